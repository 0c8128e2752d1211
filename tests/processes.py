"""Servers as processes: started as a client starts them, spoken to over the real transports, ended by pid."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

import anyio
from anyio.abc import Process
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.canary import Searched, holds_key

COMMAND = [sys.executable, "-m", "aivideo_mcp"]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any setting of ours, plus the given ones."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AIVIDEO_")} | dict(extra or {})


@dataclass
class Serving:
    """A server that listens: its process, its address, and what it has said on stderr so far."""

    process: Process
    url: str
    said: IO[bytes]

    def stderr(self) -> str:
        """All that it has said."""
        self.said.seek(0)
        return self.said.read().decode()


@asynccontextmanager
async def listening(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Serving]:
    """A server process, once it has said where it listens; killed at the end if it is still there."""
    with tempfile.NamedTemporaryFile() as said:
        process = await anyio.open_process(
            [*COMMAND, *arguments], env=environment(env), stdin=None, stdout=said.fileno(), stderr=said.fileno()
        )
        serving = Serving(process, "", open(said.name, "rb"))  # noqa: SIM115, PTH123 - a local log
        try:
            with anyio.fail_after(60):
                while not (
                    found := re.search(r"(?:MCP|SANDBOX) at (http://\S+?):? ?(?:no real.*)?\n", serving.stderr())
                ):
                    assert process.returncode is None, serving.stderr()
                    await anyio.sleep(0.02)
            serving.url = found[1]
            yield serving
        finally:
            if process.returncode is None:
                process.kill()
            await process.aclose()
            leaked = holds_key(serving.stderr())
            serving.said.close()
            assert not leaked, "the API key is in what the server said"


@asynccontextmanager
async def connected(
    transport: str, *arguments: str, mode: str = "legacy", env: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    """A client session with `serve --sandbox` over a transport: stdio, sse, or http."""
    flags = ("serve", "--sandbox", *arguments)
    if transport == "stdio":
        parameters = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *flags], env=environment(env))
        async with Client(stdio_client(parameters), mode=mode) as client:
            yield client
        return
    async with listening(*flags, "--transport", transport, "--port", "0", env=env) as serving:
        server = sse_client(serving.url) if transport == "sse" else serving.url
        async with Client(server, mode=mode) as client:
            yield client


@asynccontextmanager
async def waited_for(serving: Serving, transport: str, arguments: Mapping[str, Any]) -> AsyncIterator[None]:
    """Somebody waits for a generation of a server on the network, and has been told of it."""
    server = sse_client(serving.url) if transport == "sse" else serving.url
    told = anyio.Event()

    async def listen(*_: object) -> None:
        told.set()

    async def hang() -> None:
        try:
            async with Client(server, mode="legacy") as client:
                await client.call_tool("generate_video", dict(arguments), progress_callback=listen)
        except Exception:  # noqa: BLE001, S110 - however the client words it, its server is gone
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(hang)
        with anyio.fail_after(60):
            await told.wait()
        yield
        group.cancel_scope.cancel()


def speak(process: subprocess.Popen[bytes], *messages: dict[str, Any]) -> None:
    """Send JSON-RPC messages, a line each."""
    assert process.stdin
    for message in messages:
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    process.stdin.flush()


def start(
    *arguments: str, env: Mapping[str, str] | None = None, python: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    """A command with pipes to speak to it by hand; `python` are flags of the interpreter."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [COMMAND[0], *python, *COMMAND[1:], *arguments], stdin=pipe, stdout=pipe, stderr=pipe, env=environment(env)
    )
    assert isinstance(process.stdout, io.BufferedReader)
    assert isinstance(process.stderr, io.BufferedReader)
    process.stdout, process.stderr = Searched(process.stdout.detach()), Searched(process.stderr.detach())
    return process


def hello(version: str = "2025-06-18") -> tuple[dict[str, Any], dict[str, Any]]:
    """The messages that begin a session of the older protocols."""
    client = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return {"id": 1, "method": "initialize", "params": client}, {"method": "notifications/initialized"}


def greeted(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A server over stdio, past the beginning of a session."""
    process = start("serve", *arguments, env=env)
    speak(process, *hello())
    assert heard(process)["id"] == 1
    return process


def heard(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The next frame that comes."""
    assert process.stdout
    frame: dict[str, Any] = json.loads(process.stdout.readline())
    return frame


def ended(process: subprocess.Popen[bytes], seconds: float = 60) -> str:
    """What a server has said on stderr, which ended in order and quietly; it is killed if it did not."""
    try:
        code = process.wait(seconds)
    finally:
        process.kill()
    assert process.stderr
    said = process.stderr.read().decode()
    assert code == 0, said
    assert "Traceback" not in said
    assert not holds_key(said)
    return said


def tools_of(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """The answer to tools/list of a server that was just started; ends it by closing its stdin."""
    speak(process, *hello(), {"id": 2, "method": "tools/list"})
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    listed: list[dict[str, Any]] = json.loads(process.stdout.readline())["result"]["tools"]
    process.stdin.close()
    process.wait(60)
    return listed
