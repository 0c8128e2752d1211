"""How each client is told to start or reach the server: the one place where configurations are written down.

A configuration is an entry (command, args, env; or url and headers) in the shape that a client's file has. The README,
docs/clients.md, mcp.json.example and the links that install with one click are folds over these tables.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

NAME: Final = "aivideo"
URL: Final = "http://127.0.0.1:8000/mcp"
_KEY: Final = {"AIVIDEO_API_KEY": "your-api-key"}
_BEARER: Final = {"Authorization": "Bearer a-long-random-text"}
_ASKED: Final = {  # VS Code asks once and keeps the answer out of the file
    "AIVIDEO_API_KEY": ("aivideo-key", "AIVideoMaker API key"),
    "Authorization": ("aivideo-token", "What the server has in AIVIDEO_HTTP_TOKEN"),
}
_LINE: Final = 110  # characters that a list or an object may have to stay on one line

Document = dict[str, Any]
"""JSON as a client reads it; each has its own shape."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A way to start the server over stdio: its heading, what has to be there first, and the command line."""

    heading: str
    about: str
    command: str
    args: tuple[str, ...]

    def entry(self) -> Document:
        """As most clients have it."""
        return {"command": self.command, "args": list(self.args), "env": {**_KEY}}


CLONE: Final = "/path/to/clone"
INSTALLED: Final = Launch("Installed", "", "aivideo-mcp", ("serve",))
OTHERS: Final = (
    Launch(
        "uv",
        "Installs nothing for good. The package is not on PyPI yet, so its bare name may be anybody's, who would be\n"
        "given your key: put your clone's path where it says `/path/to/clone`.",
        "uvx",
        ("--from", CLONE, "aivideo-mcp", "serve"),
    ),
    Launch("pipx", "The same by pipx.", "pipx", ("run", "--spec", CLONE, "aivideo-mcp", "serve")),
    Launch(
        "Docker",
        "After `docker build -t aivideo-mcp .` in a clone. The volume keeps the ledger, which is what stops a second\n"
        "charge; the image runs as user 10001 and needs no writable root. To save videos add, with what `id -u` and\n"
        "`id -g` say: `--user 1000:1000 -v /home/me/Videos:/videos -e AIVIDEO_OUTPUT_DIR=/videos`.",
        "docker",
        ("run", "-i", "--rm", "--read-only", "-v", "aivideo-state:/state", "-e", "AIVIDEO_API_KEY", "aivideo-mcp"),
    ),
    Launch(
        "Windows",
        "What pipx and pip install is an `.exe` and needs no `cmd /c`; `where aivideo-mcp` tells its path, and JSON\n"
        "wants each backslash twice.",
        "C:\\Users\\me\\.local\\bin\\aivideo-mcp.exe",
        ("serve",),
    ),
)
BRIDGED: Final = Launch(
    "Claude Desktop",
    "",
    "npx",
    ("-y", "mcp-remote", URL, "--header", "Authorization:${AUTHORIZATION}"),
)


def desktop(entry: Document) -> Document:
    """Claude Desktop and Cursor."""
    return {"mcpServers": {NAME: entry}}


def vscode(entry: Document) -> Document:
    """VS Code, which asks for the secrets."""
    secret = "env" if "env" in entry else "headers"
    asked = {key: _ASKED[key] for key in entry[secret]}
    inputs = [
        {"type": "promptString", "id": name, "description": words, "password": True} for name, words in asked.values()
    ]
    hidden = {key: f"{'Bearer ' if key in _BEARER else ''}${{input:{name}}}" for key, (name, _) in asked.items()}
    return {"inputs": inputs, "servers": {NAME: {**entry, secret: hidden}}}


def openclaw(entry: Document) -> Document:
    """OpenClaw, told to wait a minute longer than we do."""
    return {"mcp": {"servers": {NAME: {**entry, "requestTimeoutMs": 1_260_000}}}}


def claude_code(launch: Launch) -> str:
    """The command that tells Claude Code."""
    key = " ".join(f'--env {name}="{value}"' for name, value in _KEY.items())
    return f"claude mcp add {NAME} {key} -- {shlex.join([launch.command, *launch.args])}"


def over_http(kind: Mapping[str, str]) -> Document:
    """A server on the network; `kind` is how a client names the transport, where it wants to be told."""
    return {**kind, "url": URL, "headers": {**_BEARER}}


def bridged() -> Document:
    """The same for a client that knows stdio alone; npx splits arguments at spaces on Windows."""
    return {**BRIDGED.entry(), "env": {"AUTHORIZATION": _BEARER["Authorization"]}}


def cursor_link(*, web: bool = False) -> str:
    """Installs in Cursor; `web` for pages that strip links to other programs, as GitHub does."""
    config = base64.b64encode(_small(INSTALLED.entry()).encode()).decode()
    address = "https://cursor.com/install-mcp" if web else "cursor://anysphere.cursor-deeplink/mcp/install"
    return f"{address}?name={NAME}&config={quote(config, safe='')}"


def vscode_link(*, insiders: bool = False, web: bool = False) -> str:
    """Installs in VS Code, or its insiders' build; `web` as for Cursor."""
    config = vscode(INSTALLED.entry())
    payload = _small({"name": NAME, **config["servers"][NAME], "inputs": config["inputs"]})
    link = f"vscode{'-insiders' if insiders else ''}:mcp/install?{quote(payload, safe='')}"
    return f"https://insiders.vscode.dev/redirect?url={quote(link, safe='')}" if web else link


def readme() -> str:
    """The four clients that most people have."""
    entry = INSTALLED.entry()
    example = "this is [mcp.json.example](mcp.json.example)"
    parts = (
        f"**Claude Desktop** (`claude_desktop_config.json`), **Cursor** (`.cursor/mcp.json`): {example}.",
        _fenced(desktop(entry)),
        f"**Claude Code**\n\n```sh\n{claude_code(INSTALLED)}\n```",
        f"**VS Code** (`.vscode/mcp.json`)\n\n{_fenced(vscode(entry))}",
        "**OpenClaw** (`openclaw.json`); it gives up after 60 s unless told otherwise.",
        _fenced(openclaw(entry)),
    )
    return "\n\n".join(parts)


def launches() -> str:
    """The other ways to start the server, as Claude Desktop and Cursor have them, and Claude Code."""
    parts = []
    for launch in OTHERS:
        code = f"```sh\n{claude_code(launch)}\n```"
        parts.append(f"### {launch.heading}\n\n{launch.about}\n\n{_fenced(desktop(launch.entry()))}\n\n{code}")
    return "\n\n".join(parts)


def network() -> str:
    """The clients that reach a server by its address."""
    header = f'--header "Authorization: {_BEARER["Authorization"]}"'
    code = f"claude mcp add --transport http {NAME} {URL} {header}"
    return "\n\n".join(
        (
            f"**Cursor**\n\n{_fenced(desktop(over_http({})))}",
            f"**VS Code**\n\n{_fenced(vscode(over_http({'type': 'http'})))}",
            f"**OpenClaw**\n\n{_fenced(openclaw(over_http({'transport': 'streamable-http'})))}",
            f"**Claude Code**\n\n```sh\n{code}\n```",
            f"**Claude Desktop**, by way of npm's mcp-remote\n\n{_fenced(desktop(bridged()))}",
        )
    )


def links() -> str:
    """To click on, and for a browser's address bar."""
    rows = (
        ("Cursor", cursor_link(web=True), cursor_link()),
        ("VS Code", vscode_link(web=True), vscode_link()),
        ("VS Code Insiders", vscode_link(insiders=True, web=True), vscode_link(insiders=True)),
    )
    return "\n\n".join(f"[{client}]({web})\n\n```text\n{link}\n```" for client, web, link in rows)


def written(value: object, indent: str = "") -> str:
    """JSON with two spaces, where what holds plain values alone stays on one line if it fits."""
    parts = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    line = json.dumps(value, ensure_ascii=False)
    if not any(isinstance(part, list | dict) for part in parts) and len(indent) + len(line) <= _LINE:
        return f"{{ {line[1:-1]} }}" if isinstance(value, dict) else line
    deeper = f"{indent}  "
    rows = [written(part, deeper) for part in parts]
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {row}" for key, row in zip(value, rows, strict=True)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(rows) + f"\n{indent}{closing}"


def _small(value: Document) -> str:
    return json.dumps(value, separators=(",", ":"))


def _fenced(value: Document) -> str:
    return f"```json\n{written(value)}\n```"
