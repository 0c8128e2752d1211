"""How clients reach the server: stdio with signals, SSE, streamable HTTP with SSE beside it.

Each transport ends within three seconds of SIGTERM, SIGINT or the end of stdin, after `closing` has run.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TextIO, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aivideo_mcp.contracts import MAX_IMAGE_BYTES
from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.settings import is_loopback

Closing = Callable[[], Awaitable[None]]
Written = Callable[[bytes], None]  # told of what has gone out

# The largest call: four pictures of 10 MB as base64, and some room for the rest.
MAX_BODY: Final = 4 * (MAX_IMAGE_BYTES * 4 // 3 + 4) + 1024 * 1024
_GRACE: Final = 2.2  # seconds for an orderly end
_SESSIONS: Final = 1  # seconds that open HTTP streams get of those


async def serve_stdio(server: MCPServer, closing: Closing, written: Written) -> None:
    """Serve one client over stdin and stdout until stdin ends or a signal comes; `written` is told of each frame."""
    inside = server._lowlevel_server  # noqa: SLF001 - `run_stdio_async` does this, and lets nobody see what it wrote
    out = cast("anyio.AsyncFile[str]", _Out(_take_stdout(), written))
    async with anyio.create_task_group() as group:
        group.start_soon(_end_on_signal, closing)
        async with stdio_server(stdout=out) as (received, sent):
            await inside.run(received, sent, inside.create_initialization_options())
        group.cancel_scope.cancel()


def _take_stdout() -> TextIO:
    """The way out for frames alone: whatever else is printed, by a library perhaps, goes to stderr."""
    wire = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(wire, "w", encoding="utf-8")


class _Out:
    """stdout as the SDK writes to it: a frame, then a flush, in a thread that a client which does not read holds up."""

    def __init__(self, wire: TextIO, written: Written) -> None:
        self._file = anyio.wrap_file(wire)
        self._written = written
        self._frame = ""

    async def write(self, frame: str) -> None:
        """Write a frame."""
        await self._file.write(frame)
        self._frame = frame

    async def flush(self) -> None:
        """See the frame off."""
        await self._file.flush()
        self._written(self._frame.encode())


async def _end_on_signal(closing: Closing) -> None:
    """Leave in order when a signal comes. stdin is read in a thread that cannot be woken, hence the hard exit."""
    await until_signal()
    with anyio.move_on_after(_GRACE, shield=True):
        await closing()
    sys.stderr.flush()
    os._exit(0)


async def until_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    if sys.platform == "win32":  # no signal receiver there: Ctrl-C raises, a kill is a kill
        await anyio.sleep_forever()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


@dataclass(frozen=True, slots=True)
class Address:
    """Where the network transports listen, and what they ask of clients.

    Attributes:
        transport: `sse` for /sse alone, `http` for /mcp with /sse beside it.
        host: Loopback, or any other together with a token.
        port: 0 takes any free one.
        token: Bearer token that every request must carry; None asks for none.
    """

    transport: Literal["sse", "http"]
    host: str
    port: int
    token: str | None

    def listen(self) -> socket.socket:
        """A listening socket.

        Raises:
            ConfigurationError: No token for a public address, or the address cannot be had.
        """
        if not is_loopback(self.host) and self.token is None:
            raise ConfigurationError(
                f"--host {self.host} is reachable from other machines, so AIVIDEO_HTTP_TOKEN must be set. "
                "Example: AIVIDEO_HTTP_TOKEN=a-long-random-text"
            )
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self.port), family=family)
        except (OSError, OverflowError) as fault:
            reason = (getattr(fault, "strerror", None) or str(fault)).partition(" (while")[
                0
            ]  # the rest repeats the address
            raise ConfigurationError(
                f"--host {self.host} --port {self.port} cannot be listened on: {reason}. Any free one: --port 0"
            ) from None
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each small answer waits 40 ms for an ACK
        return listener

    def url(self, listener: socket.socket) -> str:
        """What clients connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{listener.getsockname()[1]}{'/sse' if self.transport == 'sse' else '/mcp'}"


async def serve_network(
    server: MCPServer, address: Address, listener: socket.socket, closing: Closing, written: Written
) -> None:
    """Serve many clients over HTTP until a signal comes; `closing` runs before the end, `written` hears of answers."""
    import uvicorn  # noqa: PLC0415 - 90 ms that stdio does not need

    streams = Streams(_network_app(server, address), written)
    config = uvicorn.Config(
        streams if address.token is None else BearerGate(streams, address.token),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=_SESSIONS,
    )
    web = uvicorn.Server(config)
    web.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment] # ours are below

    async def stop_on_signal() -> None:
        await until_signal()
        web.should_exit = True
        streams.end()
        await anyio.sleep(_GRACE)
        await closing()
        os._exit(0)

    async with anyio.create_task_group() as group:
        group.start_soon(stop_on_signal)
        await web.serve(sockets=[listener])
        await closing()
        group.cancel_scope.cancel()


def _network_app(server: MCPServer, address: Address) -> ASGIApp:
    sse = server.sse_app(host=address.host, max_request_body_size=MAX_BODY)
    if address.transport == "sse":
        return sse
    streamable = server.streamable_http_app(host=address.host, max_request_body_size=MAX_BODY)
    return Starlette(routes=[*streamable.routes, *sse.routes], lifespan=lambda _: server.session_manager.run())


class Streams:
    """Sees to it that a request gets one response, that this response ends, and that all of them can be ended.

    Left to itself, a server that stops leaves traces in its log: streams without their last message, uvicorn's
    cancelled tasks with their tracebacks, and the empty second response of the SDK's SSE endpoint.
    """

    def __init__(self, app: ASGIApp, written: Written) -> None:
        self._app = app
        self._written = written
        self._open: set[anyio.CancelScope] = set()

    def end(self) -> None:
        """End every request that is being answered."""
        for scope in self._open:
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the first response back, to its end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = ended = False

        async def send_first(message: Message) -> None:
            nonlocal started, ended
            starts = message["type"] == "http.response.start"
            if ended or (started and starts):
                return
            started = started or starts
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)
            self._written(message.get("body", b""))

        with anyio.CancelScope() as request:
            self._open.add(request)
            try:
                await self._app(scope, receive, send_first)
            finally:
                self._open.discard(request)
        if not started:
            await Response("The server is ending.", 503)(scope, receive, send)
        elif not ended:
            await send({"type": "http.response.body", "body": b""})


class BearerGate:
    """Lets through only requests that carry the token; compared in constant time."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "http":
            scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._expected):
                refusal = JSONResponse(
                    {"error": "a bearer token is required"}, 401, {"WWW-Authenticate": 'Bearer realm="aivideo-mcp"'}
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
