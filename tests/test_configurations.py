"""Every configuration that the documents show, read from them as a client reads its file, and started as it would."""

from __future__ import annotations

import base64
import itertools
import json
import ntpath
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from aivideo_mcp.cli.serving import HOST, PORT
from aivideo_mcp.settings import VARIABLES
from aivideo_mcp.tools import TOOLS
from tests.processes import environment, listening

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
README, MORE = ((ROOT / path).read_text("utf-8") for path in ("README.md", "docs/clients.md"))
EXAMPLE = json.loads((ROOT / "mcp.json.example").read_text("utf-8"))
TOKEN = "a-long-random-text"
Entry = dict[str, Any]


def entries(config: Any) -> Iterator[Entry]:
    """The server entries of any client's configuration."""
    for name, value in config.items():
        if name in ("mcpServers", "servers"):
            yield from value.values()
        elif isinstance(value, dict):
            yield from entries(value)


def fenced(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)


def claude_code(document: str) -> list[Entry]:
    """What `claude mcp add` would write down."""
    found: list[Entry] = []
    for line in "\n".join(fenced(document, "sh")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] != ["claude", "mcp", "add"]:
            continue
        options = words[3:]
        pairs = dict(itertools.pairwise(options))
        if "--" in words:
            command, *args = words[words.index("--") + 1 :]
            env = dict([pairs["--env"].split("=", 1)])
            found.append({"command": command, "args": args, "env": env})
        else:
            name, value = pairs["--header"].split(": ", 1)
            assert pairs["--transport"] == "http"
            found.append({"url": pairs["aivideo"], "headers": {name: value}})
    return found


CONFIGS = [json.loads(text) for document in (README, MORE) for text in fenced(document, "json")]
ENTRIES = [*entries(EXAMPLE), *(entry for config in CONFIGS for entry in entries(config))]
ENTRIES += claude_code(README) + claude_code(MORE)
LOCAL = [entry for entry in ENTRIES if "command" in entry and entry["command"] != "npx"]
REMOTE = [entry for entry in ENTRIES if "url" in entry]


def named(value: Any) -> str:
    return value.get("command", "url") if isinstance(value, dict) else str(value)


def installed(entry: Entry, state: Path) -> tuple[list[str], dict[str, str]]:
    """What an entry comes to where `aivideo-mcp` is installed: its arguments, and the variables that reach it."""
    command, args, env = entry["command"], list(entry["args"]), dict(entry["env"])
    if command == "docker":
        assert args[:3] == ["run", "-i", "--rm"]  # stdin stays open, and nothing is left behind
        image = args.index("aivideo-mcp")
        given = [name for option, name in itertools.pairwise(args[:image]) if option == "-e"]
        return args[image + 1 :], {name: env[name] for name in given} | {"AIVIDEO_STATE_DIR": str(state)}
    if command in ("uvx", "pipx"):
        assert (
            args[:-2] == {"uvx": ["--from", "/path/to/clone"], "pipx": ["run", "--spec", "/path/to/clone"]}[command]
        )  # no name of the index
        assert args[-2] == "aivideo-mcp"
        return args[-1:], env
    assert command == "aivideo-mcp" or (ntpath.isabs(command) and ntpath.basename(command) == "aivideo-mcp.exe")
    return args, env


@pytest.mark.parametrize("entry", LOCAL, ids=named)
async def test_every_configuration_boots_from_command_args_and_env_alone(entry: Entry, tmp_path: Path) -> None:
    args, env = installed(entry, tmp_path)
    assert set(env) <= {variable.name for variable in VARIABLES.values()}
    path = {"PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path)}
    parameters = StdioServerParameters(command="aivideo-mcp", args=args, env={**path, **env})
    with anyio.fail_after(60):
        async with Client(stdio_client(parameters)) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == [tool.name for tool in TOOLS]


@pytest.mark.parametrize("entry", REMOTE, ids=named)
async def test_every_address_and_header_reaches_a_server_with_that_token(entry: Entry) -> None:
    headers = {name: re.sub(r"\$\{input:.*\}", TOKEN, value) for name, value in entry["headers"].items()}
    where = urlsplit(entry["url"])
    assert (where.hostname, where.port) == (HOST, PORT)
    env = {"AIVIDEO_HTTP_TOKEN": TOKEN}
    async with listening("serve", "--transport", "http", "--port", "0", env=env) as serving:
        assert (where.hostname, where.path) == (urlsplit(serving.url).hostname, urlsplit(serving.url).path)
        async with httpx2.AsyncClient(headers=headers) as web:
            async with Client(streamable_http_client(serving.url, http_client=web)) as client:
                assert len((await client.list_tools()).tools) == len(TOOLS)


def test_the_bridge_sends_the_token_that_the_server_has() -> None:
    (bridge,) = (entry for entry in ENTRIES if entry.get("command") == "npx")
    header = bridge["args"][bridge["args"].index("--header") + 1]
    assert " " not in header  # npx on Windows would split it
    name, _, value = header.partition(":")
    assert (name, bridge["env"][value.strip("${}")]) == ("Authorization", f"Bearer {TOKEN}")


def test_the_documents_show_every_client_and_every_way_to_start() -> None:
    assert CONFIGS[0] == EXAMPLE
    for client in ("Claude Desktop", "Cursor", "Claude Code", "VS Code", "OpenClaw"):
        assert f"**{client}**" in README
        assert f"**{client}**" in MORE
    assert {ntpath.basename(entry["command"]) for entry in LOCAL} == {
        *("aivideo-mcp", "uvx", "pipx", "docker", "aivideo-mcp.exe")
    }
    assert len(REMOTE) == 4


def test_a_client_that_waits_for_a_set_time_waits_longer_than_a_call_takes() -> None:
    patience = [entry["requestTimeoutMs"] for entry in ENTRIES if "requestTimeoutMs" in entry]
    assert len(patience) == 2
    assert min(patience) > int(VARIABLES["max_wait_s"].default_text) * 1000


@pytest.mark.parametrize("config", [config for config in CONFIGS if "inputs" in config], ids=range(2))
def test_vs_code_asks_for_every_secret_and_for_nothing_else(config: Any) -> None:
    (entry,) = entries(config)
    used = re.findall(r"\$\{input:([^}]+)\}", json.dumps(entry))
    assert [question["id"] for question in config["inputs"]] == used
    assert all(question["password"] for question in config["inputs"])
    assert "your-api-key" not in json.dumps(config)
    assert TOKEN not in json.dumps(config)


# --- Links that install ----------------------------------------------------------------------------------------------


def links() -> list[str]:
    """All of them; those of the web by the link that they lead to."""
    found = [line for text in fenced(MORE, "text") for line in text.splitlines()]
    for web in re.findall(r"\]\((https:[^)]+install[^)]*)\)", MORE):
        where = urlsplit(web)
        if where.hostname == "cursor.com":
            assert where.path == "/install-mcp"
            found.append(f"cursor://anysphere.cursor-deeplink/mcp/install?{where.query}")
        else:
            assert (where.hostname, where.path) == ("insiders.vscode.dev", "/redirect")
            found += parse_qs(where.query)["url"]
    return found


def test_the_links_are_there_to_click_and_to_type() -> None:
    typed, clicked = links()[:3], links()[3:]
    assert sorted(typed) == sorted(clicked)
    assert [link.partition(":")[0] for link in typed] == ["cursor", "vscode", "vscode-insiders"]


@pytest.mark.parametrize("link", links(), ids=lambda link: link.partition(":")[0])
def test_a_link_installs_what_the_readme_shows(link: str) -> None:
    if link.startswith("cursor:"):
        where = urlsplit(link)
        assert (where.netloc, where.path) == ("anysphere.cursor-deeplink", "/mcp/install")
        query = parse_qs(where.query, strict_parsing=True)
        config = {query["name"][0]: json.loads(base64.b64decode(query["config"][0], validate=True))}
        assert {"mcpServers": config} == EXAMPLE
        return
    scheme, _, payload = link.partition("?")
    assert scheme.endswith(":mcp/install")
    config = json.loads(unquote(payload))
    inputs, name = config.pop("inputs"), config.pop("name")
    assert {"inputs": inputs, "servers": {name: config}} in CONFIGS


def test_no_setting_of_this_process_reaches_a_configuration_under_test() -> None:
    assert not [name for name in environment() if name.startswith("AIVIDEO_")]
