"""When a call may begin: one after the other, each once the event loop is free, clients by turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

_FREE: Final = 0.002  # seconds of a round of the event loop, up to which one more call may begin
_PATIENCE: Final = 0.02  # seconds after which one begins in any case


class Starts:
    """Keeps a thousand calls that come at once from beginning at once.

    Each round of the event loop serves whatever is ready, a ping takes some thirty rounds, and a round is as long as
    the calls in it are many. So the next call begins after a short round. Calls that wait for something else lengthen
    no round, and keep nobody from beginning.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[anyio.Event]] = OrderedDict()  # the next client first
        self._beginning = False

    async def turn(self, client: str) -> None:
        """Wait until a call of this client may begin."""
        if self._beginning:
            called = anyio.Event()
            self._waiting.setdefault(client, deque()).append(called)
            try:
                await called.wait()
            except BaseException:
                self._leave(client, called)
                raise
        self._beginning = True
        try:
            await self._free()
        finally:
            self._call_next()

    def _leave(self, client: str, called: anyio.Event) -> None:
        if called.is_set():
            self._call_next()
        else:
            self._waiting[client].remove(called)
            if not self._waiting[client]:
                del self._waiting[client]

    def _call_next(self) -> None:
        self._beginning = bool(self._waiting)
        if self._waiting:
            client, places = self._waiting.popitem(last=False)
            places.popleft().set()
            if places:
                self._waiting[client] = places

    async def _free(self) -> None:
        latest = anyio.current_time() + _PATIENCE
        while (began := anyio.current_time()) < latest:
            await checkpoint()
            if anyio.current_time() - began < _FREE:
                return
