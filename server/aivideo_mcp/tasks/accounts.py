"""Money and limits: the account, and what a request would cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from aivideo_mcp.tasks.answers import Answer
from aivideo_mcp.tasks.reading import MAX_COUNT, read_count, read_limit, read_word

_USD_PER_CREDIT: Final = 0.01
_MOST_MODELS: Final = 100

Limit = int | Literal["unlimited"] | None


class Account(Answer):
    """Balance and limits of the API key's account; None where the upstream does not tell."""

    current_balance: int | None = None
    supported_models: tuple[str, ...] | None = None
    sandbox: bool = False
    daily_credit_limit: Limit = None
    generation_requests_per_minute: Limit = None
    credit_warning_at: Limit = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The account in an answer."""
        models = body.get("supportedModels")
        known = tuple(filter(None, map(read_word, models[:_MOST_MODELS]))) if isinstance(models, list) else None
        return cls(
            current_balance=read_count(body.get("currentBalance")),
            supported_models=known,
            sandbox=body.get("sandbox") is True,
            daily_credit_limit=read_limit(body, "dailyCreditLimit"),
            generation_requests_per_minute=read_limit(body, "generationRequestsPerMinute"),
            credit_warning_at=read_limit(body, "creditWarningAt"),
        )


class Quote(Answer):
    """What a request would cost, in credits and US dollars, and whether the balance covers it; None where unknown.

    `estimate` marks a figure of this server's own table, which stands in where the upstream cannot be asked.
    """

    model: str
    credits: int | None
    usd: float | None
    current_balance: int | None = None
    affordable: bool | None = None
    estimate: bool = False

    @classmethod
    def of(cls, model: str, price: int | None, balance: int | None, *, estimate: bool = False) -> Self:
        """The quote that these figures make."""
        return cls(
            model=model,
            credits=price,
            usd=None if price is None else round(price * _USD_PER_CREDIT, 2),
            current_balance=balance,
            affordable=None if price is None or balance is None else balance >= price,
            estimate=estimate,
        )

    @classmethod
    def read(cls, body: Mapping[str, Any], model: str) -> Self | None:
        """The quote in an answer; None when it names no price."""
        price = read_count(body.get("credits"))
        if price is None:
            return None
        quote = cls.of(model, price, read_count(body.get("currentBalance")))
        usd: object = body.get("listPriceUsd")
        affordable = body.get("affordable")
        if isinstance(usd, int | float) and not isinstance(usd, bool) and 0 <= usd <= MAX_COUNT:  # no infinity, no NaN
            quote = quote.model_copy(update={"usd": usd})
        return quote.model_copy(update={"affordable": affordable}) if isinstance(affordable, bool) else quote
