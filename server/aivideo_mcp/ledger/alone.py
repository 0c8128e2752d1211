"""The query budget of a process that cannot share one, as the ledger cannot be used: the same window, in memory."""

from __future__ import annotations

from collections import deque


class OwnBudget:
    """What one process grants itself."""

    def __init__(self) -> None:
        self._made: deque[float] = deque()
        self._quiet_until = float("-inf")

    def admit(self, limit: int, window: float, now: float) -> float:
        """0 when a query may be made, else seconds until it may; `now` is by a clock that nobody sets."""
        if now < self._quiet_until:
            return self._quiet_until - now
        while self._made and self._made[0] <= now - window:
            self._made.popleft()
        if len(self._made) >= limit:
            return self._made[-limit] + window - now
        self._made.append(now)
        return 0.0

    def hush(self, until: float) -> None:
        """No query before that time."""
        self._quiet_until = max(until, self._quiet_until)
