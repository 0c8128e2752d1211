"""The two kinds of transactions on the ledger's file: those that write, and those that only read. Blocks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from sqlalchemy import Connection, Engine

READING: Final = "reading"  # the execution option of connections that only read


class Transactions:
    """Transactions, each of them whole or not at all; safe with several processes at once.

    Args:
        engine: Its transactions begin with the write lock held, but for those that only read.
        account: Whose generations are meant by every call.
    """

    def __init__(self, engine: Engine, account: str) -> None:
        self.account = account
        self._engine = engine
        self._reading = engine.execution_options(**{READING: True})

    def writing(self) -> AbstractContextManager[Connection]:
        """One that holds the write lock, so that what it reads is still true when it writes."""
        return self._engine.begin()

    def reading(self) -> AbstractContextManager[Connection]:
        """One that sees the file as it is at one moment, and changes nothing."""
        return self._reading.begin()
