"""Writes what is generated from the code: blocks of the documents, and whole files; --check says whether they are new.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

import listings
import record
import snippets
import transcript
from aivideo_mcp.app import build_server
from aivideo_mcp.contracts import MODELS
from aivideo_mcp.errors import codes
from aivideo_mcp.settings import VARIABLES, Settings
from aivideo_mcp.tools import TOOLS, Tool
from aivideo_mcp.transports.limits import Limits
from aivideo_mcp.workflow import open_workflow

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tools() -> str:
    """The table of tools."""
    rows = [f"| `{tool.name}` | {tool.description} | {_kind(tool)} |" for tool in TOOLS]
    return "\n".join(["| tool | what it does | kind |", "|---|---|---|", *rows])


def _kind(tool: Tool) -> str:
    if tool.hints.read_only:
        return "reads"
    return "cancels" if tool.hints.destructive else "spends" if "maxCredits" in tool.properties() else "saves"


def models() -> str:
    """The table of models; required fields are marked with an exclamation mark."""
    rows = []
    for name, contract in MODELS.items():
        fields = [
            f"`{slot.name}`{'!' if slot.required else ''}{f' {slot.allowed}' if slot.allowed else ''}"
            f"{f' (default {slot.default})' if slot.default is not None else ''}"
            for slot in contract.slots()
        ]
        rules = [f"*{rule.text}*" for rule in contract.rules]
        usual = f"{contract.usual[0]:g}-{contract.usual[1]:g} min" if contract.usual else "unknown"
        about = "<br>".join([*fields, *rules])
        rows.append(f"| `{name}` | {contract.summary()} | {about} | {contract.price.text} | {usual} |")
    return "\n".join(["| model | makes | fields | price | usual time |", "|---|---|---|---|---|", *rows])


def errors() -> str:
    """The table of error codes."""
    rows = [f"| `{code}` | {(kind.__doc__ or '').splitlines()[0]} |" for code, kind in codes().items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def advice() -> str:
    """The table of what to do about each error code, where that can be said without knowing the case."""
    unsaid = "The answer's `nextSteps` say it, from the case at hand."
    rows = [f"| `{code}` | {' '.join(kind.advice) or unsaid} |" for code, kind in codes().items()]
    return "\n".join(["| code | what to do |", "|---|---|", *rows])


def variables() -> str:
    """The table of environment variables."""
    rows = [f"| `{v.name}` | {f'`{v.default_text}`'} | {v.meaning} |" for v in VARIABLES.values()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def size() -> str:
    """What the list of tools costs an assistant's context."""
    listed = anyio.run(tools_list)
    for tool in listed["tools"]:
        tool.pop("outputSchema")
    count = len(json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode())
    return f"`tools/list` is {count:,} bytes for {len(listed['tools'])} tools (without output schemas)."


async def tools_list() -> dict[str, Any]:
    """The answer to `tools/list` that a client gets."""
    async with open_workflow(Settings()) as workflow, Client(build_server(workflow), mode="legacy") as client:
        answer = await client.list_tools()
    return answer.model_dump(mode="json", by_alias=True, exclude_none=True, include={"tools"})


def limits() -> str:
    """What the network transports take."""
    it = Limits()
    told = (
        f"A full server answers 503 with `Retry-After`. It takes {it.connections:,} connections, {it.calls} calls at "
        f"once, {it.calls_each} of them of one client, {it.streams} streams, {it.sessions} sessions, "
        f"{it.body / 1e6:.0f} MB in one body ({it.body_parts:,} members at most) "
        f"and {it.bodies // it.body} times that in all. Headers get {it.head:g} s, "
        f"a body {it.body_pause:g} s without progress and {it.body_whole:g} s in all, a client that reads nothing "
        f"{it.stalled:g} s."
    )
    return textwrap.fill(told, 120)


def name() -> str:
    """What the registry looks for in the README to see that package and entry belong together."""
    return f"<!-- mcp-name: {listings.REGISTRY_NAME} -->"


BLOCKS = {
    block.__name__: block
    for block in (tools, models, errors, advice, variables, size, name, limits, snippets.launches, snippets.network)
} | {"clients": snippets.readme, "links": snippets.links, "transcript": transcript.transcript}
DOCUMENTS = ("README.md", "docs/clients.md", "docs/network.md", "docs/troubleshooting.md", "docs/agents.md")


def files() -> dict[str, str]:
    """What every generated file should hold, by its path."""
    texts = {path: (ROOT / path).read_text("utf-8") for path in DOCUMENTS}
    return {
        path: _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block['name']]()}\n{block[3]}", text)
        for path, text in texts.items()
    } | {
        "mcp.json.example": snippets.written(snippets.desktop(snippets.INSTALLED.entry())) + "\n",
        "server.json": json.dumps(listings.server_json(), indent=2) + "\n",
        "docs/demo.svg": record.demo_svg(),
    }


def main() -> int:
    """Write or check; 1 when a check finds an old file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = []
    for path, text in files().items():
        file = ROOT / path
        if file.exists() and file.read_text("utf-8") == text:
            continue
        old.append(path)
        if not check:
            file.write_text(text, "utf-8")
    if check and old:
        print(f"{', '.join(old)}: older than the code. Run `make format` and commit what it changes.")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
