"""What a check found, and how all of it is told: as lines for people, or as one document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

_SECRET: Final = 8  # characters from which on a text is secret; to strike what is shorter would ruin every line


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, what was found, and what to do where there is something to do."""

    name: str
    state: State
    finding: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, in the order in which they are told.

    Attributes:
        checks: Fit to be shown.
        unusable: Whether a variable cannot be used.
        hanging: Whether something did not end in time, and may still be at it in a thread.
    """

    checks: tuple[Check, ...]
    unusable: bool
    hanging: bool

    @classmethod
    def of(cls, checks: Iterable[Check], secrets: Iterable[str | None], *, unusable: bool, hanging: bool) -> Self:
        """The report of these checks, without the secrets, wherever somebody may have put them."""
        struck = [secret for secret in secrets if secret is not None and len(secret) >= _SECRET]
        shown = (
            Check(_shown(it.name, struck), it.state, _shown(it.finding, struck), _shown(it.advice, struck))
            for it in checks
        )
        return cls(tuple(shown), unusable, hanging)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self._number(State.FAIL)

    @property
    def code(self) -> int:
        """The exit code: 2 for a variable that cannot be used, 1 for any other failure."""
        return 2 if self.unusable else 0 if self.ok else 1

    def lines(self) -> list[str]:
        """A line for each check, and one that sums up."""
        words = {State.OK: "ok", State.WARN: "warn", State.FAIL: "FAIL"}
        told = [f"{words[it.state]:<4}  {it.name}: {it.finding} {it.advice}".rstrip() for it in self.checks]
        summary = ", ".join(f"{self._number(state)} {word}" for state, word in words.items())
        return [*told, summary]

    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {"ok": self.ok, "checks": [asdict(it) for it in self.checks]}

    def _number(self, state: State) -> int:
        return sum(it.state is state for it in self.checks)


def _shown(text: str, secrets: Iterable[str]) -> str:
    """A text on one line that a terminal and any encoding can take, with its secrets struck out."""
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
