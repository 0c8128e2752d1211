"""The ledger's transactions, each of them whole or not at all; safe with several processes at once.

Everything here blocks and runs in worker threads. SQLite in WAL mode, with every commit on disk before it counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Row,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from aivideo_mcp.errors import IdempotencyConflict
from aivideo_mcp.ledger.records import OWN_KEY, SWEEP, Intent, Role, Wanted
from aivideo_mcp.ledger.tables import generations, migrate, queries, quiet

_SOON: Final = 0.05  # seconds; who waits less would spin
_MARK: Final = 0x41494D43  # the application id of our files: "AIMC"
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
        _check(self._engine)
        self._reading = self._engine.execution_options(**{_READING: True})
        with self._engine.begin() as connection:
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
                if row.gone_at is not None:  # by its key: the task is no more, so the key may make another
                    intent = replace(intent, task_id=None, sent_at=None, last_sent_at=None)
                    self._set(connection, intent.number, task_id=None, sent_at=None, gone_at=None, delivered_at=None)
                elif intent.task_id is not None:
                    if fresh and wanted.key is None and not row.untold:
                        continue
                    self._set(connection, intent.number, untold=False)
                    return intent, Role.JOIN
                elif alive(intent):
                    if fresh and wanted.key is None and not intent.holder.endswith(SWEEP):
                        continue
                    return intent, Role.WAIT
                self._set(connection, intent.number, holder=holder)
                return replace(intent, holder=holder), Role.SEND if intent.sent_at is None else Role.FIND
            return self._begin(connection, wanted, holder, now), Role.SEND

    def sending(self, intent: Intent, now: float) -> bool:
        """Take down that a create is about to be sent; False when the intent is no longer its holder's."""
        first = func.coalesce(generations.c.sent_at, now)
        with self._engine.begin() as connection:
            return self._own(connection, intent, sent_at=first, last_sent_at=now)

    def issued(self, intent: Intent, task_id: str, status: str, price: int | None, now: float, *, untold: bool) -> bool:
        """Take down the task that a create became; False when another intent has that task already.

        An intent that was forgotten meanwhile is taken down anew: its task was paid for.
        """
        values = {"task_id": task_id, "status": status, "credits": price, "holder": "", "untold": untold}
        try:
            with self._engine.begin() as connection:
                if not self._own(connection, intent, **values):
                    wanted = Wanted(intent.model, intent.digest, intent.compared, intent.likeness, intent.key)
                    anew = self._begin(connection, wanted, "", now)
                    self._set(connection, anew.number, **values, sent_at=intent.sent_at)
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

    def release(self, intent: Intent) -> None:
        """Let go of an intent whose answer is lost, so that the next call may finish it."""
        with self._engine.begin() as connection:
            self._own(connection, intent, holder="")

    def drop(self, intent: Intent) -> None:
        """Forget an intent that was refused: it cost nothing and became nothing."""
        with self._engine.begin() as connection:
            connection.execute(delete(generations).where(*_held(intent)))

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

    def model(self, task_id: str) -> str | None:
        """The model of a task; None where the task has no row."""
        query = select(generations.c.model).where(
            generations.c.account == self._account, generations.c.task_id == task_id
        )
        with self._reading.begin() as connection:
            model: str | None = connection.execute(query).scalar()
        return model

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
            number = connection.execute(delete(generations).where(old)).rowcount
        with self._engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # a checkpoint is no part of a transaction
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        return number

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
            old = (queries.c.at <= now - window) | (queries.c.at > now + 1)  # the clock may have been set back
            connection.execute(delete(queries).where(mine, old))
            made = list(connection.execute(select(queries.c.at, queries.c.direct).where(mine).order_by(queries.c.at)))
            times: list[float] = [row.at for row in made]
            if direct and any(not row.direct for row in made) and len(times) < limit:
                times = [row.at for row in made if row.direct]
                limit = max(1, limit // 2)
            if len(times) >= limit:
                return max(_SOON, times[-limit] + window - now)
            connection.execute(insert(queries).values(origin=origin, at=now, direct=direct))
            return 0.0

    def hush(self, origin: str, seconds: float, clock: Callable[[], float]) -> None:
        """Keep every process from asking for so long, or for longer where longer was asked for before."""
        with self._engine.begin() as connection:
            now = clock()
            before = connection.execute(select(quiet).where(quiet.c.origin == origin)).one_or_none()
            kept = before.until if before is not None and before.noted_at <= now + 1 else now
            connection.execute(delete(quiet).where(quiet.c.origin == origin))
            connection.execute(insert(quiet).values(origin=origin, noted_at=now, until=max(kept, now + seconds)))

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

    def _own(self, connection: Connection, intent: Intent, **values: Any) -> bool:  # noqa: ANN401 - any column's
        """Set columns of an intent that is still its holder's; whether it is."""
        return bool(connection.execute(update(generations).where(*_held(intent)).values(**values)).rowcount)

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


def _held(intent: Intent) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return generations.c.number == intent.number, generations.c.holder == intent.holder


class NotOurs(Exception):
    """The file is damaged, or another program's."""


def _check(engine: Engine) -> None:
    """Refuse a file that is damaged or not a ledger; mark a new one as ours.

    Raises:
        NotOurs: It is one of those.
    """
    with engine.begin() as connection:
        told = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if told != "ok":
            raise NotOurs(f"it is damaged: {told}")
        mark = connection.exec_driver_sql("PRAGMA application_id").scalar()
        if mark != _MARK:
            if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar():
                raise NotOurs("it belongs to another program")
            connection.exec_driver_sql(f"PRAGMA application_id = {_MARK}")


def _engine(file: Path) -> Engine:
    address = URL.create("sqlite", database=str(file))
    engine = create_engine(address, connect_args={"timeout": _BUSY, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        connection.isolation_level = None  # transactions are ours: the driver begins them too late
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        # A transaction that writes takes the lock first, so that what it reads is still true when it writes.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
