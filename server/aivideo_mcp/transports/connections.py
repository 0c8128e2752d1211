"""Connections: how many there may be, and how long one may stay that sends nothing or takes nothing.

uvicorn waits for ever for the rest of a request's headers, for a body that nobody reads, and for a client to take its
response.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import sys
from collections import deque
from typing import Any, Final

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from aivideo_mcp.transports.limits import RETRY_AFTER, Limits
from aivideo_mcp.transports.probes import PROBES

_ROUND: Final = 0.002  # seconds of a round of the event loop that go into reading requests
_LAST_BYTES: Final = 0.5  # seconds for a response to get through when the server ends


class Crowd:
    """All connections of one server.

    Args:
        limits: How many, and how patient to be with them.
        crowded: Answers those for which there is no room.
    """

    def __init__(self, limits: Limits, crowded: ASGIApp) -> None:
        self.limits = limits
        self.crowded = crowded
        self.most = _files(2 * limits.connections) // 2
        self._open: set[Connection] = set()
        self.quiet: dict[Connection, None] = {}
        """Those that are not being answered, the longest quiet first."""
        self._heard: tuple[deque[Connection], deque[Connection]] = deque(), deque()
        self._lines = itertools.cycle(self._heard)
        self._reading = False

    def enter(self, connection: Connection) -> None:
        """Take one in. If there are too many, one that is quiet goes; if none is, the new one is told so."""
        self._open.add(connection)
        if len(self._open) > self.most:
            if quiet := next((other for other in self.quiet if not other.heard), None):
                quiet.cut()
            else:
                connection.turn_away()
        self.quiet[connection] = None

    def hear(self, connection: Connection, *, known: bool) -> None:
        """Let a connection read what came, soon: a thousand requests at once would keep all others waiting.

        Args:
            connection: Which one.
            known: Whether it waits among those that were answered before, beside which newcomers wait their own line.
        """
        self._heard[known].append(connection)
        if not self._reading:
            self._reading = True
            connection.loop.call_soon(self._read, connection.loop)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        until = loop.time() + _ROUND
        try:
            while any(self._heard) and loop.time() < until:
                if line := next(self._lines):  # goes on where the last round ended, however few that one read
                    line.popleft().read()
        finally:  # whatever one of them does to the reader, the others are read
            self._reading = any(self._heard)
            if self._reading:
                loop.call_soon(self._read, loop)

    def leave(self, connection: Connection) -> None:
        """Forget one."""
        self._open.discard(connection)
        self.quiet.pop(connection, None)


class Connection(H11Protocol):
    """A connection that is cut when it holds up the server for nothing."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        crowd: Crowd,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._crowd = crowd
        self._turned_away = False
        self._between = False
        self.heard = b""
        """What came of the next request and is not read yet."""
        self._silence: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        """Wait for a request, not for ever."""
        super().connection_made(transport)
        self._await_request(self._crowd.limits.head)
        self._crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._crowd.leave(self)
        for timer in (self._silence, self._stall):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A request waits until it is its turn to be read; a body does not, it has a reader."""
        if self._answering:
            super().data_received(data)
            return
        if not self.heard:
            self.transport.pause_reading()
            self._crowd.hear(self, known=self._between or data.startswith(PROBES))
        self.heard += data

    def read(self) -> None:
        """The next request begins, or the rest of a body comes that was not wanted: either has to end soon."""
        data, self.heard = self.heard, b""
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        if self._between:
            self._await_request(self._crowd.limits.head)
        super().data_received(data)

    def handle_events(self) -> None:
        """A request whose headers are complete is answered, in its own time."""
        super().handle_events()
        if self._answering:
            self._crowd.quiet.pop(self, None)
            if self._silence:
                self._silence.cancel()

    def on_response_complete(self) -> None:
        """The response is on its way; wait for the next request, not for ever."""
        super().on_response_complete()
        if not self._answering:  # a request that was waiting behind the first
            self._await_request(self._crowd.limits.keep_alive)
            self._crowd.quiet[self] = None
            self._between = True
        if self._turned_away:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Tell the client that this is no HTTP, unless it is being told something else already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self._answering:  # the body went wrong: the application's response would be a second one
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            super().send_400_response(msg)
        else:
            self.cut()

    def pause_writing(self) -> None:
        """The client takes nothing: it has some time to change its mind."""
        super().pause_writing()
        self._stall = self.loop.call_later(self._crowd.limits.stalled, self.cut)

    def resume_writing(self) -> None:
        """The client takes what is sent."""
        super().resume_writing()
        if self._stall:
            self._stall.cancel()

    def shutdown(self) -> None:
        """The server ends, whether or not the client takes the last of its response."""
        super().shutdown()
        self.loop.call_later(_LAST_BYTES, self.transport.abort)

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn says that there always is one
        return cycle is not None and not cycle.response_complete

    def turn_away(self) -> None:
        """Let the crowd's application answer instead, once."""
        self._turned_away = True
        self.app = self._crowd.crowded

    def cut(self) -> None:
        """End the connection, whatever is still to be sent."""
        self._crowd.leave(self)
        self.transport.abort()

    def _await_request(self, seconds: float) -> None:
        self._between = False
        if self._silence:
            self._silence.cancel()
        self._silence = self.loop.call_later(seconds, self.cut)


crowded = PlainTextResponse("Too many connections.", 503, {**RETRY_AFTER, "Connection": "close"})


def _files(wanted: int) -> int:
    """How many files this process may have open, once it has asked for as many as it wants."""
    if sys.platform == "win32":
        return 10_000
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = (math.inf if most < 0 else most for most in resource.getrlimit(resource.RLIMIT_NOFILE))  # -1: any
    with contextlib.suppress(ValueError, OSError):  # the system may allow fewer than it says
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(wanted, hard)), -1 if hard == math.inf else int(hard)))
            soft = min(wanted, hard)
    return int(min(soft, wanted))
