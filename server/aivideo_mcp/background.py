"""Work that goes on when the call which began it has left, and that the server's end waits for a little."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup


class Background:
    """A task group that outlives calls.

    Args:
        group: Where the work runs.
    """

    def __init__(self, group: TaskGroup) -> None:
        self.group = group
        self._ends: set[anyio.Event] = set()

    @property
    def at_work(self) -> bool:
        """Whether anything that was started here goes on."""
        return bool(self._ends)

    def start(self, work: Callable[[], Awaitable[None]]) -> anyio.Event:
        """Begin something that must not raise; the event of its end."""
        ended = anyio.Event()
        self._ends.add(ended)

        async def run() -> None:
            try:
                await work()
            finally:
                self._ends.discard(ended)
                ended.set()

        self.group.start_soon(run)
        return ended

    async def settle(self, seconds: float) -> None:
        """Wait until all has come to its end, so long at most; no cancel interrupts this."""
        with anyio.move_on_after(seconds, shield=True):
            for ended in tuple(self._ends):
                await ended.wait()
