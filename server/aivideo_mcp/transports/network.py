"""Many clients over HTTP: the web server, and what stands in front of the SDK's applications."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import socket
from typing import Final

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp

from aivideo_mcp.transports import gates
from aivideo_mcp.transports.address import Address
from aivideo_mcp.transports.bodies import Bodies
from aivideo_mcp.transports.connections import Connection, Crowd, crowded
from aivideo_mcp.transports.limits import Limits
from aivideo_mcp.transports.probes import Probes
from aivideo_mcp.transports.rooms import Rooms, Sessions
from aivideo_mcp.transports.signals import GRACE, Closing, Written, end_in_time, until_signal
from aivideo_mcp.transports.streams import Streams

_SESSIONS: Final = 1  # seconds that open streams get of the grace
_ACCEPTED: Final = 16  # connections in one round of the event loop, which all others wait for
_BACKLOG: Final = 1024  # connections that wait to be accepted
_LIMITS: Final = Limits()
_HEADERS: Final = [("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin")]
_CORS_HEADERS: Final = ["Authorization", "Content-Type", "Last-Event-ID", "MCP-Protocol-Version"] + [
    f"Mcp-{name}" for name in ("Session-Id", "Method", "Name")
]
_OURS: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # the gates check, for every path


async def serve_network(
    server: MCPServer, address: Address, listener: socket.socket, closing: Closing, written: Written
) -> None:
    """Serve many clients over HTTP until a signal comes; `closing` runs before the end, `written` hears of answers."""
    streams = Streams(_network_app(server, address), written)
    web = _web(streams)
    logging.getLogger("mcp.server.sse").setLevel(logging.CRITICAL)  # it quotes what it cannot read, with a traceback

    async def stop_on_signal() -> None:
        await until_signal()
        end_in_time()
        web.should_exit = True
        streams.end()
        await anyio.sleep(GRACE)
        await closing()
        os._exit(0)

    async with anyio.create_task_group() as group:
        group.start_soon(stop_on_signal)
        await web.serve(sockets=[listener])
        await closing()
        group.cancel_scope.cancel()


class _Server(uvicorn.Server):
    """uvicorn's, without its signal handlers: ours are in `serve_network`."""

    capture_signals = contextlib.nullcontext  # type: ignore[assignment] # it is called without arguments

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; asyncio takes one number for how many may wait and how many it accepts in one go."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)


def _web(streams: Streams, limits: Limits = _LIMITS) -> uvicorn.Server:
    """The web server, with probes before all else."""

    def ready() -> bool:
        return not streams.ending

    crowd = Crowd(limits, Probes(crowded, ready))
    config = uvicorn.Config(
        Probes(streams, ready),
        http=functools.partial(Connection, crowd=crowd),  # type: ignore[arg-type] # is called alone
        ws="none",
        lifespan="on",
        log_level="error",  # warnings are of clients that speak no HTTP, who could fill the log with them
        access_log=False,
        proxy_headers=False,  # nothing here depends on them, and anybody can send them
        server_header=False,
        headers=_HEADERS,
        backlog=_ACCEPTED,
        timeout_keep_alive=math.ceil(limits.keep_alive) + 1,  # ours comes first
        timeout_graceful_shutdown=_SESSIONS,
    )
    return _Server(config)


def _network_app(server: MCPServer, address: Address, limits: Limits = _LIMITS) -> ASGIApp:
    """The SDK's applications behind the gates: first whose page it is, then who it is, then what there is room for."""
    routes = server.sse_app(max_request_body_size=limits.body, transport_security=_OURS).routes
    lifespan = None
    if address.transport == "http":
        server.streamable_http_app(
            max_request_body_size=limits.body,
            session_idle_timeout=limits.session_idle,
            max_sessions=limits.sessions,
            transport_security=_OURS,
        )
        manager = server.session_manager
        sessions = Sessions(manager.asgi_app, manager, limits)
        routes = [*(Route(path, sessions) for path in ("/mcp", "/mcp/")), *routes]
        lifespan = lambda _: manager.run()  # noqa: E731 - mypy knows its type so
    inside = Starlette(routes=routes, lifespan=lifespan)
    inside.router.redirect_slashes = False  # a redirect names its scheme, and behind a proxy the wrong one
    app = Rooms(Bodies(inside, limits), limits)
    gated: ASGIApp = gates.Gate(app, gates.local if address.token is None else gates.bearer(address.token))
    if address.allowed_origins:
        gated = CORSMiddleware(
            gated,
            allow_origins=[page.lower() for page in address.allowed_origins],
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=_CORS_HEADERS,
            expose_headers=["Mcp-Session-Id"],
        )
    return gates.Gate(gated, gates.site(address))
