"""The ledger's transactions, each of them whole or not at all; safe with several processes at once.

Everything here blocks and runs in worker threads.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from aivideo_mcp.errors import BudgetExceeded, IdempotencyConflict
from aivideo_mcp.ledger.budget import SharedBudget
from aivideo_mcp.ledger.records import DAY, OWN_KEY, SWEEP, Intent, Known, Likeness, Role, Wanted
from aivideo_mcp.ledger.tables import codes, generations, migrate

READING: Final = "reading"  # the execution option of connections that only read

Alive = Callable[[Intent], bool]


class Store:
    """An open ledger.

    Args:
        engine: Its transactions begin with the write lock held, but for those that only read.
        account: Whose generations are meant by every call.
    """

    def __init__(self, engine: Engine, account: str) -> None:
        self._account = account
        self._engine = engine
        self._reading = engine.execution_options(**{READING: True})
        with self._engine.begin() as connection:
            migrate(connection)
        self.budget = SharedBudget(self._engine)
        self.files: object = None
        """What the files were when it was opened."""

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

    def sending(self, intent: Intent, now: float, price: int | None, daily: int | None) -> bool:
        """Take down that a create is about to be sent; False when the intent is no longer its holder's.

        Args:
            intent: Whose create.
            now: Unix seconds.
            price: Credits that it will cost, where they were asked for; they count as spent from now on.
            daily: What may be spent in 24 hours, this price included.

        Raises:
            BudgetExceeded: It would be more.
        """
        first = func.coalesce(generations.c.sent_at, now)
        with self._engine.begin() as connection:
            if price is not None and daily is not None and intent.price is None:
                spent = self._spent(connection, now - DAY)
                if spent + price > daily:
                    raise BudgetExceeded(
                        f"It costs {price} credits, and {spent} of the {daily} that AIVIDEO_DAILY_CREDITS allows in 24"
                        " hours are spent, so it was not sent."
                    )
            if price is not None:
                self._own(connection, intent, price=price)
            return self._own(connection, intent, sent_at=first, last_sent_at=now, lost_at=None)

    def spent(self, since: float) -> int:
        """Credits spent since then, refunds given back, creates without an answer included."""
        with self._reading.begin() as connection:
            return self._spent(connection, since)

    def _spent(self, connection: Connection, since: float) -> int:
        its = generations.c
        price, back = func.coalesce(its.credits, its.price, 0), func.coalesce(its.refunded, 0)
        query = select(price, back).where(its.account == self._account, its.sent_at > since)
        return sum(max(0, charged - refunded) for charged, refunded in connection.execute(query))

    def offer(self, code: str, request: str, price: int, now: float, until: float) -> None:
        """Take down a code by which the user may agree to a price for a request."""
        with self._engine.begin() as connection:
            connection.execute(delete(codes).where(codes.c.until <= now))
            connection.execute(
                insert(codes).values(
                    digest=_digest(code), account=self._account, request=request, price=price, until=until
                )
            )

    def redeem(self, code: str, request: str, price: int, now: float) -> bool:
        """Use up a code; False when it was not given for this request and a price as high as this."""
        with self._engine.begin() as connection:
            gone = connection.execute(
                delete(codes).where(
                    codes.c.digest == _digest(code),
                    codes.c.account == self._account,
                    codes.c.request == request,
                    codes.c.price >= price,
                    codes.c.until > now,
                )
            )
            return bool(gone.rowcount)

    def unanswered(self, intent: Intent, now: float) -> None:
        """Take down that the answer of an intent's create is lost."""
        with self._engine.begin() as connection:
            self._own(connection, intent, lost_at=now)

    def issued(self, intent: Intent, task_id: str, status: str, price: int | None, now: float, *, untold: bool) -> bool:
        """Take down the task that a create became; False when another intent has that task already.

        An intent that was forgotten meanwhile is taken down anew: its task was paid for.
        """
        values = {"task_id": task_id, "status": status, "credits": price, "holder": "", "untold": untold}
        try:
            with self._engine.begin() as connection:
                if not self._own(connection, intent, **values):
                    wanted = Wanted(intent.model, intent.digest, intent.words, intent.media, intent.key)
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
        return self.settled_and_lost()[1]

    def settled_and_lost(self) -> tuple[set[str], list[Intent]]:
        """Every task that has its intent, and the intents that were sent and have no task yet, at one moment."""
        mine, task = generations.c.account == self._account, generations.c.task_id
        lost = select(generations).where(mine, task.is_(None), generations.c.sent_at.is_not(None))
        with self._reading.begin() as connection:
            settled = set(connection.execute(select(task).where(mine, task.is_not(None))).scalars())
            return settled, [_intent(row) for row in connection.execute(lost)]

    def known(self) -> dict[str, Known]:
        """All that is known of the account's tasks, by their ids."""
        query = select(generations).where(generations.c.account == self._account, generations.c.task_id.is_not(None))
        with self._reading.begin() as connection:
            return {row.task_id: _known(row) for row in connection.execute(query)}

    def owed(self) -> list[str]:
        """The states, as they were last seen, of the account's tasks whose outcome no caller has got."""
        query = select(generations.c.status).where(
            generations.c.account == self._account,
            generations.c.task_id.is_not(None),
            generations.c.delivered_at.is_(None),
            generations.c.gone_at.is_(None),
        )
        with self._reading.begin() as connection:
            return [status or "" for status in connection.execute(query).scalars()]

    def about(self, task_id: str) -> Known | None:
        """What is known of a task; None where it has no row."""
        query = select(generations).where(generations.c.account == self._account, generations.c.task_id == task_id)
        with self._reading.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _known(row)

    def note(self, task_id: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        """Set columns of a task's row; nothing where the task has none."""
        with self._engine.begin() as connection:
            connection.execute(
                update(generations)
                .where(generations.c.account == self._account, generations.c.task_id == task_id)
                .values(**values)
            )

    def learned(self, task_id: str, status: str, charged: int | None, refunded: int | None, now: float) -> None:
        """Take down what a whole task says; nothing is written where it is known."""
        its = generations.c
        told = {"status": status, "credits": func.coalesce(its.credits, charged), "refunded": refunded}
        values = {name: value for name, value in told.items() if value is not None}
        news = or_(*(its[name].is_distinct_from(value) for name, value in values.items()))
        with self._engine.begin() as connection:
            connection.execute(
                update(generations)
                .where(its.account == self._account, its.task_id == task_id, news)
                .values(**values, seen_at=now)
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
                compared=",".join(wanted.words.names),
                likeness=wanted.words.digest,
                media=",".join(wanted.media.names),
                media_likeness=wanted.media.digest,
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
        words=Likeness(_names(values["compared"]), values["likeness"]),
        media=Likeness.of({}, ())
        if values["media"] is None
        else Likeness(_names(values["media"]), values["media_likeness"]),
        key=values["idempotency_key"],
        holder=values["holder"],
        sent_at=values["sent_at"],
        last_sent_at=values["last_sent_at"],
        lost_at=values["lost_at"],
        task_id=values["task_id"],
        status=values["status"],
        credits=values["credits"],
        price=values["price"],
    )


def _known(row: Row[Any]) -> Known:
    return Known(
        model=row.model,
        sent_at=row.sent_at,
        charged=row.credits,
        delivered_at=row.delivered_at,
        file=row.file,
        refunded=row.refunded,
        status=row.status,
        gone_at=row.gone_at,
    )


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _held(intent: Intent) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return generations.c.number == intent.number, generations.c.holder == intent.holder
