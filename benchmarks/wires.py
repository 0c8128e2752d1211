"""Server processes spoken to by hand, over stdio and HTTP: what a client of the SDK would never send, too."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx
from jsonschema import Draft202012Validator

from aivideo_mcp.errors import codes
from tests.processes import COMMAND, environment, hello

Message = dict[str, Any]
Progress = Callable[[str], None]
PATIENCE: Final = 60.0  # seconds until an answer counts as none
_LONGEST: Final = 2**27  # bytes of a frame


@dataclass
class Process:
    """A server process: how much memory and how many descriptors it has, and what it said on stderr."""

    pid: int
    log: Path

    def size(self) -> tuple[float, int]:
        """Resident megabytes and open descriptors."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4096 / 1e6, len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def complaints(self) -> list[str]:
        """What it said of its own mistakes."""
        text = self.log.read_text(errors="replace")
        return re.findall(r"^(?:.*Traceback.*|.*\bbroke\b.*|.*never retrieved.*)$", text, re.MULTILINE)


@asynccontextmanager
async def serving(env: Mapping[str, str], *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Process]]:
    """A server process, killed at the end."""
    with tempfile.NamedTemporaryFile() as log:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *COMMAND, "serve", *arguments, stdin=pipe, stdout=pipe, stderr=log, env=environment(env), limit=_LONGEST
        )
        try:
            yield child, Process(child.pid, Path(log.name))
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


class Wire:
    """A session with a server; an answer is the JSON-RPC message that carries the request's id."""

    process: Process

    async def request(self, method: str, params: Message | None = None, heard: Progress | None = None) -> Message:
        """Ask, and wait for the answer; progress messages are told as they come."""
        raise NotImplementedError

    async def call(self, tool: str, arguments: Message, heard: Progress | None = None) -> Message:
        """Call a tool."""
        return await self.request("tools/call", {"name": tool, "arguments": arguments}, heard)

    async def ping(self) -> float:
        """Seconds that a ping takes."""
        began = time.perf_counter()
        await asyncio.wait_for(self.request("ping"), PATIENCE)
        return time.perf_counter() - began


def _asked(number: int, method: str, params: Message | None, heard: Progress | None) -> Message:
    message: Message = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        meta = {"_meta": {"progressToken": number}} if heard else {}
        message["params"] = {**params, **meta}
    return message


@dataclass
class Stdio(Wire):
    """Over stdio. `reading` can be cleared to be a client that never reads; `strange` holds frames for nobody."""

    child: asyncio.subprocess.Process
    process: Process
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    strange: list[bytes] = field(default_factory=list)
    _open: dict[int, tuple[asyncio.Future[Message], Progress | None]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    @asynccontextmanager
    async def to(cls, env: Mapping[str, str]) -> AsyncIterator[Self]:
        """A session with a server of its own."""
        async with serving(env) as (child, process):
            wire = cls(child, process)
            wire.reading.set()
            reader = asyncio.create_task(wire._read())
            try:
                greeting, ready = hello()
                await wire.request("initialize", greeting["params"])
                await wire.send({"jsonrpc": "2.0", **ready})
                yield wire
            finally:
                reader.cancel()
                with suppress(asyncio.CancelledError):
                    await reader

    async def send(self, *messages: Message | bytes) -> None:
        """Write frames."""
        assert self.child.stdin
        for message in messages:
            self.child.stdin.write((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")
        await self.child.stdin.drain()

    async def begin(
        self, method: str, params: Message | None, heard: Progress | None
    ) -> tuple[int, asyncio.Future[Message]]:
        """Ask; the request's number, and where its answer will be."""
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._open[number] = answer, heard
        await self.send(_asked(number, method, params, heard))
        return number, answer

    async def request(self, method: str, params: Message | None = None, heard: Progress | None = None) -> Message:
        """Ask, and wait for the answer."""
        return await (await self.begin(method, params, heard))[1]

    async def cancel(self, number: int) -> None:
        """Tell that an answer is no longer wanted, and read what had been written before the server knew."""
        await self.send(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}},
        )
        await self.ping()

    async def _read(self) -> None:
        assert self.child.stdout
        while await self.reading.wait() and (line := await self.child.stdout.readline()):
            try:
                said = json.loads(line)
                if said.get("method") == "notifications/progress":
                    heard = self._open[said["params"]["progressToken"]][1]
                    if heard:
                        heard(said["params"]["message"])
                elif "id" in said and "method" not in said:
                    self._open.pop(said["id"])[0].set_result(said)
            except (ValueError, KeyError, asyncio.InvalidStateError):
                self.strange.append(line[:300])
        for answer, _ in self._open.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the server is gone"))


@dataclass
class Http(Wire):
    """Over streamable HTTP; each request is a POST, each answer a stream of events."""

    url: str
    process: Process
    web: httpx.AsyncClient
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    @asynccontextmanager
    async def to(cls, env: Mapping[str, str]) -> AsyncIterator[Self]:
        """A session with a server of its own."""
        async with AsyncExitStack() as stack:
            child, process = await stack.enter_async_context(serving(env, "--transport", "http", "--port", "0"))
            until = time.monotonic() + 20
            while not (found := re.search(r"MCP at (http://\S+)", process.log.read_text())):
                assert child.returncode is None, process.log.read_text()
                assert time.monotonic() < until
                await asyncio.sleep(0.05)
            yield await stack.enter_async_context(cls.session(found[1], process))

    @classmethod
    @asynccontextmanager
    async def session(cls, url: str, process: Process) -> AsyncIterator[Self]:
        """One more session with a server."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        headers = {"Accept": "application/json, text/event-stream"}
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE, trust_env=False, headers=headers) as web:
            wire = cls(url, process, web)
            greeting, ready = hello()
            await wire.request("initialize", greeting["params"])
            (await web.post(url, json={"jsonrpc": "2.0", **ready})).raise_for_status()
            yield wire

    async def request(self, method: str, params: Message | None = None, heard: Progress | None = None) -> Message:
        """Ask, and read until the answer is there; a refusal by HTTP is `{"http": status, "wait": Retry-After}`."""
        message = _asked(next(self._numbers), method, params, heard)
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json"}
        async with self.web.stream("POST", self.url, content=body, headers=headers) as answer:
            if "mcp-session-id" in answer.headers:
                self.web.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
            if answer.status_code != 200:
                return {"http": answer.status_code, "wait": answer.headers.get("retry-after")}
            async for line in answer.aiter_lines():
                said = json.loads(line.removeprefix("data:")) if line[5:].strip() and line.startswith("data:") else {}
                if said.get("method") == "notifications/progress" and heard:
                    heard(said["params"]["message"])
                elif said.get("id") == message["id"]:
                    return dict(said)
        raise ConnectionError("the stream ended without an answer")


class Schemas:
    """What each tool's answer may be."""

    def __init__(self, tools: list[Message]) -> None:
        self._outputs = {tool["name"]: Draft202012Validator(tool["outputSchema"]) for tool in tools}

    @classmethod
    async def of(cls, wire: Wire) -> Self:
        """Those that a server advertises."""
        return cls((await wire.request("tools/list"))["result"]["tools"])

    def fault(self, tool: str, answer: Message) -> str | None:
        """What keeps an answer from being a typed one; None when it is."""
        if "http" in answer:
            return None if answer["http"] == 503 and answer["wait"] else f"{tool}: HTTP {answer['http']}"
        envelope = answer.get("result", {}).get("structuredContent")
        if envelope is None:
            return f"{tool}: {json.dumps(answer)[:300]}"
        if wrong := next(self._outputs[tool].iter_errors(envelope), None):
            return f"{tool}: {wrong.message[:300]}"
        text = json.dumps(answer)
        if "Traceback" in text or "server made a mistake" in text or envelope["errorCode"] not in (None, *codes()):
            return f"{tool}: {text[:300]}"
        return None
