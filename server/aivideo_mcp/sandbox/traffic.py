"""What arrives: which call a path is, how often each was made, and the query limit that all clients share."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aivideo_mcp.sandbox.faults import Call
    from aivideo_mcp.sandbox.options import SandboxOptions

MINUTE: Final = 60.0
UPSTREAM_LIMIT: Final = 60  # queries a minute and address; the sandbox's clients all have the same address
_QUERIES: Final = ("account", "tasks", "task", "status")
_PATHS: Final[tuple[tuple[Call, re.Pattern[str]], ...]] = (
    ("account", re.compile(r"/api/v1/account")),
    ("quote", re.compile(r"/api/v1/quote/[^/]+")),
    ("generate", re.compile(r"/api/v1/generate/[^/]+")),
    ("tasks", re.compile(r"/api/v1/tasks")),
    ("task", re.compile(r"/api/v1/tasks/[^/]+")),
    ("status", re.compile(r"/api/v1/tasks/[^/]+/status")),
    ("cancel", re.compile(r"/api/v1/tasks/[^/]+/cancel")),
    ("file", re.compile(r"/files/[^/]+\.mp4")),
)


def call_at(path: str) -> Call | None:
    """The call that a decoded path belongs to, whatever the method; None for the sandbox's own pages."""
    return next((call for call, pattern in _PATHS if pattern.fullmatch(path)), None)


class Traffic:
    """Counts calls, and holds queries to a limit over a sliding window.

    The window is a minute of sandbox time with 60 queries, or a real minute with as many as the options say.

    Attributes:
        calls: Requests that arrived, by call, refused and disturbed ones included.
        queries: The part of them that falls under the query limit.
        busiest: The most queries that arrived within one window, refused ones included.
    """

    def __init__(self, options: SandboxOptions) -> None:
        chosen = options.queries_per_minute
        self._limit = UPSTREAM_LIMIT if chosen is None else chosen
        self._window = MINUTE / options.speed if chosen is None else MINUTE
        self._clock: Callable[[], float] = options.clock
        self._arrived: deque[float] = deque()
        self._admitted: deque[float] = deque()
        self.calls: Counter[str] = Counter()
        self.queries = 0
        self.busiest = 0

    def record(self, call: Call) -> None:
        """Count a request that arrived."""
        self.calls[call] += 1
        if call in _QUERIES:
            self.queries += 1
            self._arrived.append(self._clock())
            self._forget(self._arrived)
            self.busiest = max(self.busiest, len(self._arrived))

    def admit(self) -> int | None:
        """Let one query through, or say after how many whole real seconds it may be tried again."""
        self._forget(self._admitted)
        now = self._clock()
        if len(self._admitted) >= self._limit:
            return max(1, math.ceil(self._admitted[0] + self._window - now))
        self._admitted.append(now)
        return None

    def _forget(self, times: deque[float]) -> None:
        while times and times[0] <= self._clock() - self._window:
            times.popleft()
