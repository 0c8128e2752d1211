"""The sandbox on a loopback port, for as long as a `with` block lasts."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from aivideo_mcp.sandbox.options import SandboxOptions

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

_HOST: Final = "127.0.0.1"  # never another: the sandbox takes any key, and anyone who reaches it may break it
_PATIENCE_SECONDS: Final = 0.3  # for cancelled requests to end


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that answers.

    Attributes:
        url: Base URL, without a slash at its end.
        key: An API key that it takes.
    """

    url: str
    key: str = field(default_factory=lambda: f"sandbox-{secrets.token_hex(4)}")


@asynccontextmanager
async def running_sandbox(options: SandboxOptions) -> AsyncIterator[RunningSandbox]:
    """Serve a sandbox on 127.0.0.1 from the running event loop (asyncio) until the block is left.

    It answers when the block is entered. Leaving the block breaks open connections and takes well under half
    a second, also when cancelled. Signals are left alone.

    Raises:
        OSError: When the port is taken.
    """
    import uvicorn  # noqa: PLC0415 - with the real upstream it is never needed, and starting is faster without

    from aivideo_mcp.sandbox.app import create_app  # noqa: PLC0415 - the same, for starlette and jsonschema

    requests = _OpenRequests(create_app(options))
    config = uvicorn.Config(
        requests,
        http="h11",  # pure Python and always installed; faults close connections through its request objects
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server((_HOST, options.port)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each small answer waits 40 ms for an ACK
        # `serve` would take over the process's signals. Its parts do not, and nothing more is needed: once
        # started, the event loop itself serves, and no task has to run beside it.
        await server.startup(sockets=[listener])
        port = listener.getsockname()[1]
        try:
            yield RunningSandbox(url=f"http://{_HOST}:{port}")
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(server, requests)


async def _stop(server: uvicorn.Server, requests: _OpenRequests) -> None:
    for listening in server.servers:
        listening.close()
    # Connections first: a request that finds its client gone ends without complaint in the log.
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    requests.cancel()
    if server.server_state.tasks:
        await asyncio.wait(set(server.server_state.tasks), timeout=_PATIENCE_SECONDS)


class _OpenRequests:
    """The requests being answered, so that they can be ended; slow ones would outlast the server otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[anyio.CancelScope] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as request:
            self._open.add(request)
            try:
                await self._app(scope, receive, send)
            finally:
                self._open.discard(request)

    def cancel(self) -> None:
        """End all of them."""
        for request in tuple(self._open):
            request.cancel()
