"""What a create may cost: caps that nothing exceeds, and prices that the user has to agree to.

Asked for once an intent is to be sent, not before: who joins a generation that is paid for spends nothing.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Final

from aivideo_mcp.accounts import Accounts
from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import Contract, cheaper_ways
from aivideo_mcp.errors import AivideoError, BudgetExceeded, ConfirmationRequired, InvalidModel
from aivideo_mcp.ledger import Intent, Ledger
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Quote

logger = logging.getLogger(__name__)

_CODE_KEPT: Final = 600.0  # seconds in which the user may agree in the chat
_LETTERS: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that is taken for another
_CODE_LENGTH: Final = 6


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller grants beside the request.

    Attributes:
        max_credits: A price cap.
        idempotency_key: For repeating.
        max_wait: Seconds of patience.
        confirmation_code: By which the user agreed to a price in the chat.
        agreed: Credits that the user agreed to when asked just now.
    """

    max_credits: int | None = None
    idempotency_key: str | None = None
    max_wait: float | None = None
    confirmation_code: str | None = None
    agreed: int | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """What a create will cost, where it was asked for, and what it is sent with as the most that it may."""

    price: int | None = None
    ceiling: int | None = None


class Spending:
    """Says yes to a create, or why not.

    Args:
        settings: Caps and the threshold of consent.
        upstream: Who knows prices.
        ledger: What was spent, and which codes were given.
        accounts: Which models are served.
    """

    def __init__(self, settings: Settings, upstream: Upstream, ledger: Ledger, accounts: Accounts) -> None:
        self._settings = settings
        self._upstream = upstream
        self._ledger = ledger
        self._accounts = accounts

    async def approve(self, request: Contract, intent: Intent, terms: Terms) -> Bill:
        """What a create will cost, if it may be sent.

        Raises:
            InvalidModel: The account does not serve the model.
            BudgetExceeded: It is above a cap.
            ConfirmationRequired: The user has to agree first.
            AivideoError: There is a cap, or a threshold, and no price can be had.
        """
        served = await self._accounts.served()
        if served is not None and request.model not in served:
            raise _not_served(request, served)
        caps = [cap for cap in (terms.max_credits, self._settings.max_credits) if cap is not None]
        cap, daily, threshold = min(caps, default=None), self._settings.daily_credits, self._settings.confirm_above
        if cap is None and daily is None and threshold is None:
            return Bill()
        quote = await self._upstream.quote(request)
        price = quote.credits
        assert price is not None  # the upstream's always names one
        if cap is not None and price > cap:
            raise _too_dear(request, f"costs {price} credits; the cap is {cap}", cap, served)
        if daily is not None and intent.price is None:
            spent = await self._spent(daily - price)
            if spent + price > daily:
                told = (
                    f"costs {price} credits, and of the {daily} that AIVIDEO_DAILY_CREDITS allows in 24 hours {spent}"
                    " are spent"
                )
                raise _too_dear(request, told, daily - spent, served)
        agreed = max(terms.agreed or 0, intent.price or 0)
        if threshold is not None and price > max(threshold, agreed):
            code = terms.confirmation_code
            if code is None or not await self._ledger.redeem(code, intent.digest, price):
                raise ConfirmationRequired(_question(request, quote, wrong=code is not None), price=price)
        # What the user agreed to, or the day has room for, is this price and no other, however high the cap is.
        return Bill(price, price if cap is None or daily is not None or threshold is not None else cap)

    async def _spent(self, most: int) -> int:
        """Credits spent in 24 hours; where it is more than that, refunds that nobody has seen yet are looked for."""
        spent = await self._ledger.spent_today()
        if spent <= most:
            return spent
        try:
            known = await self._ledger.known()
            await self._ledger.catch_up((entry.task for entry in await self._upstream.tasks(tries=1)), known)
        except AivideoError as failure:
            logger.info("refunds could not be looked for: %s", failure.message)
        return await self._ledger.spent_today()

    async def code_for(self, digest: str, price: int) -> str:
        """A code by which the user may agree to a price for a request: for ten minutes, for one create."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))
        await self._ledger.offer(code, digest, price, _CODE_KEPT)
        return code


def _question(request: Contract, quote: Quote, *, wrong: bool) -> str:
    fields = request.fields()
    length = f"{fields['duration']} s" if "duration" in fields else f"{len(fields['prompts'])} segments"
    size = f" at {fields['resolution']}" if "resolution" in fields else ""
    balance = f"; the balance is {quote.current_balance}" if quote.current_balance is not None else ""
    note = "The confirmationCode was used, is too old, or was given for something else. " if wrong else ""
    cost = f"{quote.credits} credits (USD {quote.usd:.2f}{balance})"
    return f"{note}Spend {cost} on a {request.model} video of {length}{size}?"


def _too_dear(request: Contract, told: str, left: int, served: tuple[str, ...] | None) -> BudgetExceeded:
    ways = cheaper_ways(request, left, served)
    return BudgetExceeded(
        f"{request.model} as asked {told}, so it was not sent.",
        next_steps=(
            f"Cheaper: {'; '.join(ways)}." if ways else "No model makes this for less than the cap.",
            "Only the user may raise the cap.",
        ),
    )


def _not_served(request: Contract, served: tuple[str, ...]) -> InvalidModel:
    ways = cheaper_ways(request, 10**9, served)
    instead = f"Use instead: {'; '.join(ways)}." if ways else f"This account has {', '.join(served)}."
    return InvalidModel(
        f"{request.model} is not served to this account today, so it was not sent.", next_steps=(instead,)
    )
