"""Intents: each generation that was asked for, from the claim on it to its task. Blocks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from aivideo_mcp.errors import BudgetExceeded, IdempotencyConflict
from aivideo_mcp.ledger.purse import spent_since
from aivideo_mcp.ledger.records import DAY, OWN_KEY, SWEEP, Intent, Likeness, Role, Wanted
from aivideo_mcp.ledger.tables import generations
from aivideo_mcp.ledger.transactions import Transactions

Alive = Callable[[Intent], bool]


class Intents:
    """The account's intents, of which each has at most one holder and one task.

    Args:
        transactions: On the open file.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

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
        with self._transactions.writing() as connection:
            for row in self._candidates(connection, wanted):
                if wanted.key is not None and row.digest != wanted.digest:
                    raise IdempotencyConflict("This idempotencyKey was used with other arguments; nothing was sent.")
                intent = _intent(row)
                if row.gone_at is not None:  # by its key, which may make another; what that one cost stays spent
                    self._set(connection, intent.number, idempotency_key=_own_key())
                    break
                if intent.task_id is not None:
                    if fresh and wanted.key is None and not row.untold:
                        continue
                    self._set(connection, intent.number, untold=False)
                    return intent, Role.JOIN
                if alive(intent):
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
        with self._transactions.writing() as connection:
            if price is not None and daily is not None and intent.price is None:
                spent = spent_since(connection, self._transactions.account, now - DAY)
                if spent + price > daily:
                    raise BudgetExceeded(
                        f"It costs {price} credits, and {spent} of the {daily} that AIVIDEO_DAILY_CREDITS allows in 24"
                        " hours are spent, so it was not sent."
                    )
            if price is not None:
                self._own(connection, intent, price=price)
            return self._own(connection, intent, sent_at=first, last_sent_at=now, lost_at=None)

    def unanswered(self, intent: Intent, now: float) -> None:
        """Take down that the answer of an intent's create is lost."""
        with self._transactions.writing() as connection:
            self._own(connection, intent, lost_at=now)

    def issued(self, intent: Intent, task_id: str, status: str, price: int | None, now: float, *, untold: bool) -> bool:
        """Take down the task that a create became; False when another intent has that task already.

        An intent that was forgotten meanwhile is taken down anew: its task was paid for.
        """
        values = {"task_id": task_id, "status": status, "credits": price, "holder": "", "untold": untold}
        try:
            with self._transactions.writing() as connection:
                if not self._own(connection, intent, **values):
                    wanted = Wanted(intent.model, intent.digest, intent.words, intent.media, intent.key)
                    anew = self._begin(connection, wanted, "", now)
                    self._set(connection, anew.number, **values, sent_at=intent.sent_at)
        except IntegrityError:
            return False
        return True

    def take(self, number: int, holder: str, *, alive: Alive) -> bool:
        """Take over a lost intent; False when it is settled or somebody is at work on it."""
        with self._transactions.writing() as connection:
            row = connection.execute(select(generations).where(generations.c.number == number)).one_or_none()
            if row is None or row.task_id is not None or alive(_intent(row)):
                return False
            self._set(connection, number, holder=holder)
            return True

    def release(self, intent: Intent) -> None:
        """Let go of an intent whose answer is lost, so that the next call may finish it."""
        with self._transactions.writing() as connection:
            self._own(connection, intent, holder="")

    def drop(self, intent: Intent) -> None:
        """Forget an intent that was refused: it cost nothing and became nothing."""
        with self._transactions.writing() as connection:
            connection.execute(delete(generations).where(*_held(intent)))

    def intent(self, number: int) -> Intent | None:
        """One intent as it is now."""
        with self._transactions.reading() as connection:
            row = connection.execute(select(generations).where(generations.c.number == number)).one_or_none()
        return None if row is None else _intent(row)

    def lost(self) -> list[Intent]:
        """Intents that were sent and have no task yet."""
        return self.settled_and_lost()[1]

    def settled_and_lost(self) -> tuple[set[str], list[Intent]]:
        """Every task that has its intent, and the intents that were sent and have no task yet, at one moment."""
        mine, task = generations.c.account == self._transactions.account, generations.c.task_id
        lost = select(generations).where(mine, task.is_(None), generations.c.sent_at.is_not(None))
        with self._transactions.reading() as connection:
            settled = set(connection.execute(select(task).where(mine, task.is_not(None))).scalars())
            return settled, [_intent(row) for row in connection.execute(lost)]

    def _candidates(self, connection: Connection, wanted: Wanted) -> list[Row[Any]]:
        """The intents that a call may mean, the oldest first."""
        query = (
            select(generations)
            .where(generations.c.account == self._transactions.account)
            .order_by(generations.c.number)
        )
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
                account=self._transactions.account,
                model=wanted.model,
                digest=wanted.digest,
                compared=",".join(wanted.words.names),
                likeness=wanted.words.digest,
                media=",".join(wanted.media.names),
                media_likeness=wanted.media.digest,
                idempotency_key=wanted.key or _own_key(),
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


def _own_key() -> str:
    return f"{OWN_KEY}{uuid.uuid4()}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _held(intent: Intent) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return generations.c.number == intent.number, generations.c.holder == intent.holder
