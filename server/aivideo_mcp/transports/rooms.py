"""How many streams, calls and sessions there may be at once."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import anyio
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aivideo_mcp.transports.limits import RETRY_AFTER, Limits
from aivideo_mcp.transports.starts import Starts

_FULL: Final = PlainTextResponse("Too many are served already.", 503, RETRY_AFTER)
_OWN_FULL: Final = PlainTextResponse("Too many of this client are served already.", 503, RETRY_AFTER)


class Rooms:
    """Turns away requests for which there is no room: GETs are streams, POSTs are calls.

    A client, which is a session or else an address, has room for a part of the calls. Calls begin by turns, and a
    body that waits for its turn is not read.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._most = {"GET": limits.streams, "POST": limits.calls}
        self._most_each = limits.calls_each
        self._taken: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._starts = Starts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        method = scope["method"] if scope["type"] == "http" else ""
        if method not in self._most:
            await self._app(scope, receive, send)
            return
        if self._taken[method] >= self._most[method]:
            await _FULL(scope, receive, send)
            return
        self._taken[method] += 1
        try:
            await (self._call if method == "POST" else self._app)(scope, receive, send)
        finally:
            self._taken[method] -= 1

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = _client(scope)
        if self._calls[client] >= self._most_each:
            await _OWN_FULL(scope, receive, send)
            return
        self._calls[client] += 1
        try:
            await self._starts.turn(client)
            await self._app(scope, receive, send)
        finally:
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client]  # clients are many in a server's life


def _client(scope: Scope) -> str:
    """Whose call it is, as far as it can be told before its body is read: the session's, else the address's."""
    for name, value in scope["headers"]:
        if name == b"mcp-session-id":
            return f"session {value.decode('latin-1')}"
    if scope["path"].startswith("/messages"):
        return f"session {scope.get('query_string', b'').decode('latin-1')}"
    return f"address {(scope.get('client') or ('',))[0]}"


class Sessions:
    """Lets a session that its client has left make room for a new one; the SDK refuses what finds none.

    Many clients end without a word, and half an hour of idleness is a long time for a server that is full of them.
    """

    def __init__(self, app: ASGIApp, manager: StreamableHTTPSessionManager, limits: Limits) -> None:
        self._app = app
        self._manager = manager
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and say when to come again if it is refused."""
        opens = scope["method"] == "POST" and b"mcp-session-id" not in (name for name, _ in scope["headers"])
        if opens and len(self._manager._server_instances) >= self._limits.sessions:  # noqa: SLF001 - below
            await self._end_longest_idle()

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:  # noqa: PLR2004 - full
                told = [(name.lower().encode(), value.encode()) for name, value in RETRY_AFTER.items()]
                message = {**message, "headers": [*message["headers"], *told]}
            await send(message)

        await self._app(scope, receive, send_told)

    async def _end_longest_idle(self) -> None:
        """End it as the client's own DELETE does; the SDK counts a session's idleness down while nothing is asked."""
        manager = self._manager
        idle = {
            session: transport.idle_scope.deadline
            for session, transport in manager._server_instances.items()  # noqa: SLF001 - nothing public tells
            if transport.idle_scope
        }
        session = min(idle, key=idle.__getitem__, default="")
        left = idle.get(session, math.inf) - anyio.current_time()
        if left <= self._limits.session_idle - self._limits.session_spared:
            await manager._discard_session(session, manager._server_instances[session])  # noqa: SLF001 - the same
