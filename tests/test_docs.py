"""Documents that are true: generated blocks, the commands they name, the links between them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

import aivideo_mcp
from aivideo_mcp.cli.parser import command_parser
from aivideo_mcp.sandbox import SandboxOptions

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def test_the_generated_blocks_are_up_to_date() -> None:
    subprocess.run([sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, check=True)


def test_every_command_in_the_documents_is_understood() -> None:
    snippets = [
        found
        for document in DOCUMENTS
        for found in re.findall(r"```sh\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    ]
    lines = [line.partition("#")[0].strip() for snippet in snippets for line in snippet.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("aivideo-mcp")]
    assert commands
    for command in commands:
        arguments = command_parser().parse_args(command)
        SandboxOptions(faults=tuple(arguments.fault))


def test_the_two_commands_stand_at_the_top_and_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    top = README[: README.index("##")]
    for target in ("demo", "test"):
        assert f"make {target}" in top
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_changelog_has_this_version() -> None:
    assert f"## [{aivideo_mcp.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name} -> {target}"


def test_the_lock_pins_every_dependency_within_its_bounds_and_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    pinned: dict[str, list[str]] = {}
    for name, version, rest in re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n    .*)*)", lock, re.MULTILINE):
        assert "--hash=sha256:" in rest, name
        pinned.setdefault(name, []).append(version)
    for text in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        wanted = Requirement(text)
        assert all(version in wanted.specifier for version in pinned[wanted.name.lower()]), text
        assert any(bound.operator == "<" for bound in wanted.specifier), f"{text} has no upper bound"
