"""The open ledger: its tables brought to this form, and what works on them. Blocks; runs in worker threads."""

from __future__ import annotations

from sqlalchemy import Engine, delete

from aivideo_mcp.ledger.budget import SharedBudget
from aivideo_mcp.ledger.intents import Intents
from aivideo_mcp.ledger.outcomes import Outcomes
from aivideo_mcp.ledger.purse import Purse
from aivideo_mcp.ledger.tables import generations, migrate
from aivideo_mcp.ledger.transactions import Transactions


class Store:
    """An open ledger.

    Args:
        engine: Its transactions begin with the write lock held, but for those that only read.
        account: Whose generations are meant by every call.
    """

    def __init__(self, engine: Engine, account: str) -> None:
        self._account = account
        self._engine = engine
        with self._engine.begin() as connection:
            migrate(connection)
        transactions = Transactions(engine, account)
        self.intents = Intents(transactions)
        self.outcomes = Outcomes(transactions)
        self.purse = Purse(transactions)
        self.budget = SharedBudget(engine)
        self.files: object = None
        """What the files were when it was opened."""

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

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
