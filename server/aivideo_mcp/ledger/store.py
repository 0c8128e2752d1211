"""The ledger's transactions, each of them whole or not at all; safe with several processes at once.

Everything here blocks and runs in worker threads. SQLite in WAL mode, with every commit on disk before it counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, create_engine, delete, event, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from aivideo_mcp.errors import IdempotencyConflict
from aivideo_mcp.ledger.records import OWN_KEY, Intent, Role, Wanted
from aivideo_mcp.ledger.tables import generations, migrate, queries, quiet

_WINDOW: Final = 60.0  # seconds over which queries are counted
_READING: Final = "reading"  # the execution option of connections that only read
_BUSY: Final = 10.0  # seconds to wait for another process's transaction


Alive = Callable[[Intent], bool]


class Store:
    """An open ledger file.

    Args:
        file: Where it is; its folder must exist.
        account: Whose generations are meant by every call.
    """

    def __init__(self, file: Path, account: str) -> None:
        self._account = account
        self._engine = _engine(file)
        self._reading = self._engine.execution_options(**{_READING: True})
        with self._engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA quick_check(1)")
            migrate(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def claim(self, wanted: Wanted, holder: str, now: float, *, fresh: bool, alive: Alive) -> tuple[Intent, Role]:
        """Find the intent that a call means, or begin one; one transaction, so that two calls never both begin.

        Args:
            wanted: What is asked for.
            holder: Who asks; a name that no claim had before.
            now: Unix seconds.
            fresh: Whether the call means a new generation even where one with the same arguments is under way;
                one whose answer was lost is finished first all the same.
            alive: Whether the holder of an intent is still at work on it.

        Raises:
            IdempotencyConflict: The caller's key was used for something else.
        """
        with self._engine.begin() as connection:
            for row in self._candidates(connection, wanted):
                if wanted.key is not None and row.digest != wanted.digest:
                    raise IdempotencyConflict("This idempotencyKey was used with other arguments; nothing was sent.")
                intent = _intent(row)
                if intent.task_id is not None:
                    if fresh and wanted.key is None:
                        continue
                    return intent, Role.JOIN
                if alive(intent):
                    if fresh and wanted.key is None:
                        continue
                    return intent, Role.WAIT
                self._set(connection, intent.number, holder=holder)
                return replace(intent, holder=holder), Role.SEND if intent.sent_at is None else Role.FIND
            return self._begin(connection, wanted, holder, now), Role.SEND

    def sending(self, number: int, now: float) -> None:
        """Take down that a create is about to be sent."""
        first = func.coalesce(generations.c.sent_at, now)
        self._update(number, sent_at=first, last_sent_at=now)

    def issued(self, number: int, task_id: str, status: str, price: int | None) -> bool:
        """Take down the task that a create became; False when another intent has that task already."""
        try:
            self._update(number, task_id=task_id, status=status, credits=price, holder="")
        except IntegrityError:
            return False
        return True

    def take(self, number: int, holder: str, *, alive: Alive) -> bool:
        """Take over a lost intent; False when it is settled or somebody is at work on it."""
        with self._engine.begin() as connection:
            row = connection.execute(select(generations).where(generations.c.number == number)).one_or_none()
            if row is None or row.task_id is not None or alive(_intent(row)):
                return False
            self._set(connection, number, holder=holder)
            return True

    def release(self, number: int) -> None:
        """Let go of an intent whose answer is lost, so that the next call may finish it."""
        self._update(number, holder="")

    def drop(self, number: int) -> None:
        """Forget an intent that was refused: it cost nothing and became nothing."""
        with self._engine.begin() as connection:
            connection.execute(delete(generations).where(generations.c.number == number))

    def intent(self, number: int) -> Intent | None:
        """One intent as it is now."""
        with self._reading.begin() as connection:
            row = connection.execute(select(generations).where(generations.c.number == number)).one_or_none()
        return None if row is None else _intent(row)

    def lost(self) -> list[Intent]:
        """Intents that were sent and have no task yet."""
        query = select(generations).where(
            generations.c.account == self._account, generations.c.task_id.is_(None), generations.c.sent_at.is_not(None)
        )
        with self._reading.begin() as connection:
            return [_intent(row) for row in connection.execute(query)]

    def task_ids(self) -> set[str]:
        """Every task that has its intent."""
        query = select(generations.c.task_id).where(
            generations.c.account == self._account, generations.c.task_id.is_not(None)
        )
        with self._reading.begin() as connection:
            return set(connection.execute(query).scalars())

    def note(self, task_id: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        """Set columns of a task's row; nothing where the task has none."""
        with self._engine.begin() as connection:
            connection.execute(
                update(generations)
                .where(generations.c.account == self._account, generations.c.task_id == task_id)
                .values(**values)
            )

    def forget(self, before: float, *, open_too: bool) -> int:
        """Delete what was begun before a time, what is still owed to a caller only where told; the number of rows."""
        old = (generations.c.account == self._account) & (generations.c.made_at <= before)
        if not open_too:
            old &= generations.c.delivered_at.is_not(None) | generations.c.gone_at.is_not(None)
        with self._engine.begin() as connection:
            return connection.execute(delete(generations).where(old)).rowcount

    def admit(self, origin: str, limit: int, now: float) -> float:
        """Count a query against the shared budget: 0 when it may be made, else seconds until it may."""
        with self._engine.begin() as connection:
            until = connection.execute(select(quiet.c.until).where(quiet.c.origin == origin)).scalar()
            if until is not None and now < until:
                return float(until - now)
            mine = queries.c.origin == origin
            old = (queries.c.at <= now - _WINDOW) | (queries.c.at > now + 1)  # the clock may have been set back
            connection.execute(delete(queries).where(mine, old))
            made = connection.execute(select(func.count()).where(mine)).scalar_one()
            if made >= limit:
                nth = select(queries.c.at).where(mine).order_by(queries.c.at).offset(made - limit).limit(1)
                return max(0.01, float(connection.execute(nth).scalar_one()) + _WINDOW - now)
            connection.execute(insert(queries).values(origin=origin, at=now))
            return 0.0

    def hush(self, origin: str, until: float) -> None:
        """Keep every process from asking before a time."""
        with self._engine.begin() as connection:
            connection.execute(delete(quiet).where(quiet.c.origin == origin))
            connection.execute(insert(quiet).values(origin=origin, until=until))

    def _candidates(self, connection: Connection, wanted: Wanted) -> list[Row[Any]]:
        """The intents that a call may mean, the oldest first."""
        query = select(generations).where(generations.c.account == self._account).order_by(generations.c.number)
        if wanted.key is not None:
            query = query.where(generations.c.idempotency_key == wanted.key)
        else:
            query = query.where(
                generations.c.digest == wanted.digest,
                generations.c.delivered_at.is_(None),
                generations.c.gone_at.is_(None),
            )
        return list(connection.execute(query))

    def _begin(self, connection: Connection, wanted: Wanted, holder: str, now: float) -> Intent:
        row = connection.execute(
            insert(generations)
            .values(
                account=self._account,
                model=wanted.model,
                digest=wanted.digest,
                compared=",".join(wanted.compared),
                likeness=wanted.likeness,
                idempotency_key=wanted.key or f"{OWN_KEY}{uuid.uuid4()}",
                holder=holder,
                made_at=now,
            )
            .returning(generations)
        ).one()
        return _intent(row)

    def _update(self, number: int, **values: Any) -> None:  # noqa: ANN401 - values of any column
        with self._engine.begin() as connection:
            self._set(connection, number, **values)

    def _set(self, connection: Connection, number: int, **values: Any) -> None:  # noqa: ANN401 - the same
        connection.execute(update(generations).where(generations.c.number == number).values(**values))


def _intent(row: Row[Any]) -> Intent:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    return Intent(
        number=values["number"],
        model=values["model"],
        digest=values["digest"],
        compared=tuple(filter(None, values["compared"].split(","))),
        likeness=values["likeness"],
        key=values["idempotency_key"],
        holder=values["holder"],
        sent_at=values["sent_at"],
        last_sent_at=values["last_sent_at"],
        task_id=values["task_id"],
        status=values["status"],
        credits=values["credits"],
    )


def _engine(file: Path) -> Engine:
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": _BUSY, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        connection.isolation_level = None  # transactions are ours: the driver begins them too late
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        # A transaction that writes takes the lock first, so that what it reads is still true when it writes.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
