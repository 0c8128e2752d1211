"""The purse: what was spent, and the codes by which the user agrees to a price. Blocks."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, delete, func, insert, select

from aivideo_mcp.ledger.tables import codes, generations
from aivideo_mcp.ledger.transactions import Transactions


class Purse:
    """The account's spending, by all processes together.

    Args:
        transactions: On the open file.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def spent(self, since: float) -> int:
        """Credits spent since then, refunds given back, creates without an answer included."""
        with self._transactions.reading() as connection:
            return spent_since(connection, self._transactions.account, since)

    def offer(self, code: str, request: str, price: int, now: float, until: float) -> None:
        """Take down a code by which the user may agree to a price for a request."""
        with self._transactions.writing() as connection:
            connection.execute(delete(codes).where(codes.c.until <= now))
            connection.execute(
                insert(codes).values(
                    digest=_digest(code), account=self._transactions.account, request=request, price=price, until=until
                )
            )

    def redeem(self, code: str, request: str, price: int, now: float) -> bool:
        """Use up a code; False when it was not given for this request and a price as high as this."""
        with self._transactions.writing() as connection:
            gone = connection.execute(
                delete(codes).where(
                    codes.c.digest == _digest(code),
                    codes.c.account == self._transactions.account,
                    codes.c.request == request,
                    codes.c.price >= price,
                    codes.c.until > now,
                )
            )
            return bool(gone.rowcount)


def spent_since(connection: Connection, account: str, since: float) -> int:
    """The sum that `Purse.spent` tells, inside a transaction that goes by it."""
    its = generations.c
    price, back = func.coalesce(its.credits, its.price, 0), func.coalesce(its.refunded, 0)
    query = select(price, back).where(its.account == account, its.sent_at > since)
    return sum(max(0, charged - refunded) for charged, refunded in connection.execute(query))


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
