"""What became of tasks: their states, charges, refunds and files, and whether a caller was told. Blocks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, or_, select, update

from aivideo_mcp.ledger.records import Known
from aivideo_mcp.ledger.tables import generations
from aivideo_mcp.ledger.transactions import Transactions
from aivideo_mcp.tasks import Task


class Outcomes:
    """What is known of the account's tasks that were created here.

    Args:
        transactions: On the open file.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def known(self) -> dict[str, Known]:
        """All that is known of the account's tasks, by their ids."""
        query = select(generations).where(
            generations.c.account == self._transactions.account, generations.c.task_id.is_not(None)
        )
        with self._transactions.reading() as connection:
            return {row.task_id: _known(row) for row in connection.execute(query)}

    def owed(self) -> list[str]:
        """The states, as they were last seen, of the account's tasks whose outcome no caller has got."""
        query = select(generations.c.status).where(
            generations.c.account == self._transactions.account,
            generations.c.task_id.is_not(None),
            generations.c.delivered_at.is_(None),
            generations.c.gone_at.is_(None),
        )
        with self._transactions.reading() as connection:
            return [status or "" for status in connection.execute(query).scalars()]

    def about(self, task_id: str) -> Known | None:
        """What is known of a task; None where it has no row."""
        query = select(generations).where(
            generations.c.account == self._transactions.account, generations.c.task_id == task_id
        )
        with self._transactions.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _known(row)

    def note(self, task_id: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        """Set columns of a task's row; nothing where the task has none."""
        with self._transactions.writing() as connection:
            connection.execute(
                update(generations)
                .where(generations.c.account == self._transactions.account, generations.c.task_id == task_id)
                .values(**values)
            )

    def learned(self, task: Task, now: float) -> None:
        """Take down what a whole task says; nothing is written where it is known."""
        its = generations.c
        told = {
            "status": task.status,
            "credits": func.coalesce(its.credits, task.credits_charged),
            "refunded": task.credits_refunded,
        }
        values = {name: value for name, value in told.items() if value is not None}
        news = or_(*(its[name].is_distinct_from(value) for name, value in values.items()))
        with self._transactions.writing() as connection:
            connection.execute(
                update(generations)
                .where(its.account == self._transactions.account, its.task_id == task.id, news)
                .values(**values, seen_at=now)
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
