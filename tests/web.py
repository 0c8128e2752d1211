"""The network transports in this process, with limits of a test's own, and clients that speak HTTP by the byte."""

from __future__ import annotations

import gc
import json
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import uvicorn
from anyio.abc import SocketStream

from aivideo_mcp.app import build_server
from aivideo_mcp.transports import Address, Streams
from aivideo_mcp.transports.connections import Crowd
from aivideo_mcp.transports.limits import Limits
from aivideo_mcp.transports.network import _network_app, _web
from tests.fakes import FakeNetwork
from tests.processes import hello

HELLO = json.dumps({"jsonrpc": "2.0", **hello()[0]}).encode()
MCP = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@dataclass
class Served:
    """A server of the network transports."""

    port: int
    web: uvicorn.Server
    streams: Streams
    crowd: Crowd

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def served(
    limits: Limits | None = None,
    transport: Literal["sse", "http"] = "http",
    token: str | None = None,
    hosts: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
) -> AsyncIterator[Served]:
    """A server that is ready; at its end nothing may have been complained of."""
    limits = limits or Limits()
    address = Address(transport, "127.0.0.1", 0, token, hosts, origins)
    said: list[str] = []
    ear = logging.Handler(logging.ERROR)
    ear.emit = lambda record: said.append(ear.format(record))  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio", "mcp")]
    async with FakeNetwork().workflow() as workflow, anyio.create_task_group() as group:
        streams = Streams(_network_app(build_server(workflow), address, limits), lambda _: None)
        web = _web(streams, limits)
        listener = address.listen()
        for logger in loggers:
            logger.addHandler(ear)
        group.start_soon(lambda: web._serve([listener]))
        await until(lambda: web.started)
        crowd = web.config.http.keywords["crowd"]  # type: ignore[union-attr]
        yield Served(listener.getsockname()[1], web, streams, crowd)
        streams.end()
        web.should_exit = True
    for logger in loggers:
        logger.removeHandler(ear)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # the SDK's SSE endpoint leaves its streams open when it is cancelled
    assert not said, said


async def until(met: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not met():
            await anyio.sleep(0.01)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """A connection, spoken to by the byte."""

    stream: SocketStream
    _seen: bytearray = field(default_factory=bytearray)

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def answer(self) -> Answer:
        """The next response; of a stream the headers alone."""
        with anyio.fail_after(60):
            while b"\r\n\r\n" not in self._seen:
                self._seen += await self.stream.receive()
            head, _, rest = bytes(self._seen).partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
            length = int(headers.get("content-length", 0))
            while len(rest) < length:
                rest += await self.stream.receive()
        self._seen[:] = rest[length:]
        return Answer(int(line.split()[1]), headers, rest[:length])

    async def answer_or_nothing(self) -> Answer | None:
        """The next response, if the server gives one before it hangs up."""
        try:
            return await self.answer()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None

    async def closed(self) -> None:
        """Wait until the server has hung up."""
        with anyio.fail_after(60):
            try:
                while True:
                    await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


@asynccontextmanager
async def wire(port: int, data: bytes = b"") -> AsyncIterator[Wire]:
    """A new connection, over which something has been said."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(data)
        yield Wire(stream)


def request(
    method: str = "GET", path: str = "/healthz", *lines: str, body: bytes = b"", host: str = "localhost"
) -> bytes:
    """A request's bytes; of a POST to /mcp with the headers that it needs."""
    named: dict[str, Any] = dict(MCP) if path.startswith(("/mcp", "/messages")) else {}
    if body and not any(line.lower().startswith(("content-length", "transfer")) for line in lines):
        named["Content-Length"] = len(body)
    fields = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*fields, *lines, "", ""]).encode("latin-1") + body


async def ask(port: int, *given: Any, **named: Any) -> Answer:
    """The answer to one request on a connection of its own."""
    async with wire(port, request(*given, **named)) as line:
        return await line.answer()


async def opened(port: int) -> str:
    """The id of a new session of streamable HTTP."""
    async with wire(port, request("POST", "/mcp", body=HELLO)) as line:
        answer = await line.answer()
    assert answer.status == 200, answer
    return answer.headers["mcp-session-id"]
