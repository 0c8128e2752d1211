"""What a generation costs, as far as it is known without asking.

One credit is USD 0.01. Prices moved twice in 2026, so a figure from here is always called an estimate;
the upstream's quote is the price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Price(Protocol):
    """A price rule: `text` for people, `credits` for a request's fields (None where only a quote can tell)."""

    @property
    def text(self) -> str:
        """The rule in words."""
        ...

    def credits(self, fields: Mapping[str, Any]) -> int | None:
        """What the rule makes of a request's fields, in our vocabulary."""
        ...


@dataclass(frozen=True, slots=True)
class PerSecond:
    """Credits for each second, by resolution where that matters, plus a surcharge for a premium tier.

    Args:
        rates: Credits a second by resolution; the key "" stands for models with one rate.
        surcharge: Further credits a second by tier.
    """

    rates: Mapping[str, int]
    surcharge: Mapping[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The rule in words: "3 credits/s at 720p, 4 credits/s at 1080p, +1 credit/s for tier base"."""
        parts = [f"{rate} credits/s{f' at {size}' if size else ''}" for size, rate in self.rates.items()]
        parts += [f"+{extra} credit/s for tier {tier}" for tier, extra in self.surcharge.items()]
        return ", ".join(parts)

    def credits(self, fields: Mapping[str, Any]) -> int:
        """Seconds times the rate that applies."""
        rate = self.rates[fields.get("resolution", "")] + self.surcharge.get(fields.get("tier", ""), 0)
        return int(fields["duration"]) * rate


@dataclass(frozen=True, slots=True)
class PerPrompt:
    """Credits for each entry of `prompts`; every entry becomes a segment of fixed length."""

    rate: int
    seconds: int

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"{self.rate} credits per prompt ({self.seconds} s each)"

    def credits(self, fields: Mapping[str, Any]) -> int:
        """Number of prompts times the rate."""
        return len(fields["prompts"]) * self.rate


@dataclass(frozen=True, slots=True)
class QuoteOnly:
    """No published price: only the upstream's quote can tell.

    Args:
        seen: Charges that were observed, for orientation.
    """

    seen: str

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"quote only (seen: {self.seen})"

    def credits(self, fields: Mapping[str, Any]) -> None:  # noqa: ARG002 - the protocol's signature
        """Unknown without a quote."""
        return
