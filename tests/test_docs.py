"""Documents that are true: generated blocks, the commands they name, the links between them."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

from packaging.requirements import Requirement

import aivideo_mcp
from aivideo_mcp.cli.parser import command_parser
from aivideo_mcp.errors import codes
from aivideo_mcp.sandbox import SandboxOptions
from aivideo_mcp.settings import VARIABLES
from aivideo_mcp.tools import TOOLS

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "scripts"))

import record  # noqa: E402 - scripts are no package

README = (ROOT / "README.md").read_text("utf-8")

TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
AGENTS = (ROOT / "docs/agents.md").read_text("utf-8")
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


def test_links_into_documents_lead_to_their_headings() -> None:
    for document in DOCUMENTS:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text("utf-8")):
            there = (document.parent / target if target else document).read_text("utf-8")
            headings = [re.sub(r"[^\w -]", "", line) for line in re.findall(r"(?m)^#+ (.*)", there)]
            assert anchor in [text.lower().replace(" ", "-") for text in headings], f"{document.name} -> {anchor}"


def test_documents_name_only_variables_and_tools_that_exist() -> None:
    variables = {variable.name for variable in VARIABLES.values()}
    for document in (TROUBLESHOOTING, AGENTS):
        assert set(re.findall(r"AIVIDEO_[A-Z_]+", document)) <= variables
        assert set(re.findall(r"`([a-z]+_[a-z_]+)`", document)) <= {tool.name for tool in TOOLS}


def test_what_is_quoted_under_a_symptom_is_what_the_code_says() -> None:
    source = "".join(file.read_text("utf-8") for file in (ROOT / "server").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    quoted = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", TROUBLESHOOTING)]
    sentences = [text for text in quoted if text.count(" ") >= 2 and not text.startswith("command ")]
    assert len(sentences) > 8
    assert not [text for text in sentences if text not in source]


def test_each_error_code_says_what_to_do() -> None:
    by_hand, _, generated = TROUBLESHOOTING.partition("## By error code")
    for code, kind in codes().items():
        assert f"| `{code}` |" in generated
        assert kind.advice or f"`{code}`" in by_hand, f"{code} has no advice of its own, and no symptom tells it"


def test_each_error_code_is_for_repeating_or_for_changing_or_for_stopping() -> None:
    section = AGENTS.partition("\n## Errors")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", section)) == sorted(codes())


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


def frames(svg: str) -> list[str]:
    """What a viewer of an animated picture sees, screen after screen, as its CSS says."""
    groups = {group.attrib["id"]: group for group in ET.fromstring(svg).iter(f"{_SVG}g") if "id" in group.attrib}  # noqa: S314 - ours
    rules = {
        number: re.findall(r"([\d.]+)%\{visibility:(\w+)\}", turns)
        for number, turns in re.findall(r"@keyframes k(\d+)\{((?:[^{}]*\{[^{}]*\})*)\}", svg)
    }
    moments = sorted({float(at) for turns in rules.values() for at, _ in turns} | {0.0})
    seen = []
    for moment in moments:
        rows: dict[float, str] = {}
        for name, group in groups.items():
            turns = [how for at, how in rules.get(name[1:], [("0", "visible")]) if float(at) <= moment]
            if turns[-1] == "visible":
                rows |= {float(text.attrib["y"]): (text.text or "").replace("\xa0", " ") for text in group}
        seen.append("\n".join(text.rstrip() for _, text in sorted(rows.items())))
    return seen


_SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_of_the_demo_shows_what_was_recorded_screen_by_screen() -> None:
    recording = record.read_cast(record.CAST.read_text("utf-8"))
    shown = [[str(row).rstrip() for row in rows if str(row).strip()] for _, rows in record.screens(recording)]
    assert [screen.split("\n") for screen in frames((ROOT / "docs/demo.svg").read_text("utf-8"))] == shown
    assert len(shown) > 8
    whole = re.sub(r"\s", "", "".join(shown[-1]))
    for words in ("readbackbyteforbyte", "accountafter", ".mp4", "SANDBOX"):
        assert words in whole
    assert "AND IT DIFFERS" not in "".join(it.text for it in recording)


def test_the_picture_of_the_demo_is_small_still_where_wanted_and_loads_nothing() -> None:
    svg = (ROOT / "docs/demo.svg").read_text("utf-8")
    root = ET.fromstring(svg)  # noqa: S314 - ours
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} == {
        "svg",
        "style",
        "rect",
        "g",
        "circle",
        "text",
    }
    assert not [name for element in root.iter() for name in element.attrib if name.startswith(("on", "{", "href"))]
    styles = root.findtext(f"{_SVG}style") or ""
    assert "url(" not in styles
    assert "@import" not in styles
    assert len(svg) < 60_000
    # Without motion each group is as it ends: only what does not last is hidden.
    assert styles.count("animation:") == styles.partition("prefers-reduced-motion:no-preference")[2].count("animation:")
    still = [group for group in root.iter(f"{_SVG}g") if "id" in group.attrib and "visibility" not in group.attrib]
    assert sum(len(group) for group in still) == frames(svg)[-1].count("\n") + 1


def test_a_recording_holds_nothing_of_the_machine_and_no_long_pause() -> None:
    task = "sb_" + "0123456789abcdef01234567"
    came = [
        record.Printed(1.1, "$ AIVIDEO_OUTPUT_DIR=/var/xyz/aivideo-demo\r\n"),
        record.Printed(9.0, f"\r\x1b[2K/ a {task}"),
        record.Printed(9.2, f"\r\x1b[2K- b {task[:15]}"),
        record.Printed(99.0, f"\r\x1b[2K| \x1b[31mhttp://127.0.0.1:51123/files/{task}.mp4\x1b[0m\r\n"),
        record.Printed(99.01, "/var/xyz/aivideo-demo/2031-01-02_t2v_<a>&.mp4\r\n"),
    ]
    shown = record.cleaned(came, "/var/xyz")
    told = "".join(it.text for it in shown)
    for machine in ("/var", task[:15], "51123", "2031"):
        assert machine not in told
    times = [it.at for it in shown]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 1.5
    assert record.read_cast(record.write_cast(shown)) == shown
    drawn = frames(record.film(shown))
    assert [screen.count("\n") + 1 for screen in drawn] == [1, 2, 3, 3, 4]  # a moving line moves
    assert drawn[-1].endswith("/home/me/aivideo-demo/2026-11-22_t2v_<a>&.mp4")
    assert len(set(re.findall(r"class=\"(.*?)\"", record.film(shown)))) == 2  # red stays red
