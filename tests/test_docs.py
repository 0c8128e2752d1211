"""Documents that are true: generated blocks, configuration snippets, the commands they name."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from packaging.requirements import Requirement

import aivideo_mcp
from aivideo_mcp.cli.parser import command_parser
from aivideo_mcp.sandbox import SandboxOptions
from aivideo_mcp.tools import TOOLS
from tests.processes import environment

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def servers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The server entries of any client's configuration."""
    for name, value in config.items():
        if name in ("mcpServers", "servers"):
            yield from value.values()
        elif isinstance(value, dict):
            yield from servers(value)


def test_the_generated_blocks_are_up_to_date() -> None:
    subprocess.run([sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, check=True)


CONFIGS = [json.loads(snippet) for snippet in snippets("json")]
ENTRIES = [entry for config in CONFIGS for entry in servers(config)]


async def boot(entry: dict[str, Any]) -> int:
    """Start a server as a client would, from command, args and env alone; the number of its tools."""
    assert entry["command"] == "aivideo-mcp"
    command = str(Path(sys.executable).with_name("aivideo-mcp"))
    parameters = StdioServerParameters(command=command, args=entry["args"], env={**environment(), **entry["env"]})
    with anyio.fail_after(20):
        async with Client(stdio_client(parameters)) as client:
            return len((await client.list_tools()).tools)


async def test_the_example_file_is_valid_and_boots() -> None:
    (entry,) = servers(json.loads((ROOT / "mcp.json.example").read_text("utf-8")))
    assert await boot(entry) == len(TOOLS)


@pytest.mark.parametrize("entry", ENTRIES, ids=range(len(ENTRIES)))
async def test_every_configuration_in_the_readme_boots(entry: dict[str, Any]) -> None:
    assert await boot(entry) == len(TOOLS)


def test_the_readme_shows_the_example_file_and_a_snippet_for_each_client() -> None:
    assert json.loads((ROOT / "mcp.json.example").read_text("utf-8")) in CONFIGS
    assert len(ENTRIES) == 3
    for client in ("Claude Desktop", "Cursor", "Claude Code", "VS Code", "OpenClaw"):
        assert f"**{client}**" in README


def test_every_command_in_the_readme_is_understood() -> None:
    lines = [line.partition("#")[0].strip() for snippet in snippets("sh") for line in snippet.splitlines()]
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
    for document in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text("utf-8")):
            assert (ROOT / target).exists(), f"{document.name} -> {target}"


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
