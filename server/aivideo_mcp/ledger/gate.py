"""What every query to the upstream passes: the budget of all processes, or one of its own where that cannot be had."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from aivideo_mcp.errors import BudgetSpent, LedgerUnavailable
from aivideo_mcp.ledger.access import Access
from aivideo_mcp.ledger.alone import OwnBudget
from aivideo_mcp.settings import Settings

if TYPE_CHECKING:  # SQLAlchemy comes at first use, in a thread
    from aivideo_mcp.ledger.store import Store

_MINUTE: Final = 60.0
_RESERVE: Final = 0.1  # of the query budget is left to direct calls by the watcher


class QueryGate:
    """Counts queries.

    Args:
        settings: The upstream, and how many queries a minute has.
        access: To the ledger.
        wall: Unix seconds.
    """

    def __init__(self, settings: Settings, access: Access, wall: Callable[[], float]) -> None:
        self._most = settings.queries_per_minute
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(settings.base_url))
        self._access = access
        self._wall = wall
        self._alone = OwnBudget()

    async def admit(self, speed: float, *, direct: bool) -> None:
        """Count one query against the budget of all processes.

        Args:
            speed: By how much the upstream is faster than real time, and its minute shorter.
            direct: Whether a caller waits for it; the watcher leaves a tenth of the budget to those.

        Raises:
            BudgetSpent: It is spent, or the upstream asked for quiet.
        """
        limit = max(1, int(self._most * (1 if direct else 1 - _RESERVE)))
        window = _MINUTE / speed
        try:
            pause = await self._access.do(
                lambda store: store.budget.admit(self._origin, limit, window, self._wall, direct=direct)
            )
        except LedgerUnavailable:
            pause = self._alone.admit(limit, window, anyio.current_time())
        if pause:
            raise BudgetSpent(
                "The query budget of this machine is spent for now.", retry_after=math.ceil(pause * 100) / 100
            )

    async def hush(self, seconds: float) -> None:
        """Keep every process from asking for so long, as the upstream wished."""
        self._alone.hush(anyio.current_time() + seconds)
        with contextlib.suppress(LedgerUnavailable):
            await self._access.do(lambda store: store.budget.hush(self._origin, seconds, self._wall))

    def left(self, store: Store) -> tuple[int, float]:
        """How many queries may be made right now, and for how many seconds the upstream wants none. Blocks."""
        made, quiet = store.budget.spent(self._origin, _MINUTE, self._wall())
        return max(0, self._most - made), quiet
