"""The query budget: so many in any minute, counted in the ledger for all processes.

A minute of a sandbox is as much shorter as the sandbox is faster. A query counts for its own process's minute or the
reader's, whichever is shorter: a process that does not know yet how fast its upstream is stands in nobody's way for
longer, and is kept back by nobody who knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Engine, Row, delete, insert, select

from aivideo_mcp.ledger.tables import queries, quiet

_SOON: Final = 0.05  # seconds; who waits less would spin


class SharedBudget:
    """The budget of all processes on one ledger file.

    Args:
        engine: Whose transactions begin with the write lock held.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def admit(self, origin: str, limit: int, window: float, clock: Callable[[], float], *, direct: bool) -> float:
        """Count a query against so many in so many seconds: 0 when it may be made, else seconds until it may.

        Direct queries stop at half of that while there is a watch, which must not starve by them.
        """
        with self._engine.begin() as connection:
            now = clock()  # read once the lock is had, or it would be behind what others wrote meanwhile
            hush = connection.execute(select(quiet).where(quiet.c.origin == origin)).one_or_none()
            if hush is not None and hush.noted_at <= now + 1 and now < hush.until:
                return float(hush.until - now)
            mine = queries.c.origin == origin
            old = (queries.c.at + queries.c.window <= now) | (queries.c.at > now + 1)  # a clock may be set back
            connection.execute(delete(queries).where(mine, old))
            made = connection.execute(select(queries).where(mine)).all()
            pause = _pause(made, limit, window, now, direct=direct)
            if not pause:
                connection.execute(insert(queries).values(origin=origin, at=now, window=window, direct=direct))
            return pause

    def spent(self, origin: str, window: float, now: float) -> tuple[int, float]:
        """How many queries count right now, and for how many seconds the upstream wants none."""
        with self._engine.begin() as connection:
            hush = connection.execute(select(quiet).where(quiet.c.origin == origin)).one_or_none()
            made = connection.execute(select(queries).where(queries.c.origin == origin)).all()
        kept = hush.until - now if hush is not None and hush.noted_at <= now + 1 else 0.0
        return sum(now < row.at + min(row.window, window) <= now + window + 1 for row in made), max(0.0, kept)

    def hush(self, origin: str, seconds: float, clock: Callable[[], float]) -> None:
        """Keep every process from asking for so long, or for longer where longer was asked for before."""
        with self._engine.begin() as connection:
            now = clock()
            before = connection.execute(select(quiet).where(quiet.c.origin == origin)).one_or_none()
            kept = before.until if before is not None and before.noted_at <= now + 1 else now
            connection.execute(delete(quiet).where(quiet.c.origin == origin))
            connection.execute(insert(quiet).values(origin=origin, noted_at=now, until=max(kept, now + seconds)))


def _pause(made: Iterable[Row[tuple[object, ...]]], limit: int, window: float, now: float, *, direct: bool) -> float:
    """Seconds until a query may be made beside those that were; 0 when it may be made now."""
    counted = [row for row in made if row.at + min(row.window, window) > now]
    if direct and any(not row.direct for row in counted) and len(counted) < limit:
        counted = [row for row in counted if row.direct]
        limit = max(1, limit // 2)
    if len(counted) < limit:
        return 0.0
    leaving: list[float] = sorted(row.at + min(row.window, window) for row in counted)
    return max(_SOON, leaving[-limit] - now)
