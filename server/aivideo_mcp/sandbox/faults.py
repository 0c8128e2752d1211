"""Bad days on order: what a fault specification means, and on which request it strikes.

A specification is `KIND[@CALL][:N]`: `429@status:3` answers every third status query with 429. It is pure
data and counting; `disturbance` carries it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

Call = Literal["account", "quote", "generate", "tasks", "task", "status", "cancel", "file"]
CALLS: Final[tuple[str, ...]] = get_args(Call)

KINDS: Final = {
    "429": "429 RATE_LIMITED with Retry-After: 1",
    "500": "500 with an envelope",
    "502": "502 with an HTML page",
    "503": "503 with an HTML page",
    "504": "504 with an HTML page",
    "html": "200 with an HTML page",
    "empty": "200 without a body",
    "failed-200": "200 with a FAILED envelope",
    "redirect": "302 to another origin",
    "reset": "connection reset before anything is processed",
    "lost": "processed and charged, then closed without an answer",
    "truncated": "processed, then half the body and closed",
    "slow": "processed, then the answer is held back 3 s, or S with slow=S",
    "failed": "tasks created end FAILED (generate only)",
}
FORMS: Final = (
    "KIND[@CALL][:N], where KIND is one of "
    + ", ".join(KINDS).replace("slow", "slow, slow=SECONDS")
    + "; CALL is one of "
    + ", ".join(CALLS)
    + " (left out: every API call, not file); N strikes every Nth matching request (left out: each);"
    + " failed takes no CALL but generate"
)
_SPEC: Final = re.compile(
    r"(?P<kind>[a-z0-9-]+)(?:=(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,3})?))?"
    r"(?:@(?P<call>[a-z]+))?(?::(?P<every>[1-9][0-9]{0,5}))?",
    re.ASCII,
)
_SLOW_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        spec: As it was written.
        kind: A key of KINDS.
        call: The call it strikes; None for every API call.
        every: It strikes every so-manyth matching request.
        seconds: How long `slow` holds an answer back, in real seconds.
    """

    spec: str
    kind: str
    call: str | None = None
    every: int = 1
    seconds: float = _SLOW_SECONDS

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read a specification.

        Raises:
            ValueError: When it is none; the text lists the allowed forms.
        """
        match = _SPEC.fullmatch(spec)
        if (
            match is None
            or match["kind"] not in KINDS
            or match["call"] not in (None, *CALLS)
            or (match["seconds"] is not None and match["kind"] != "slow")
            or (match["kind"] == "failed" and match["call"] not in (None, "generate"))
        ):
            raise ValueError(f"unknown fault {spec[:60]!r}; use {FORMS}")
        return cls(
            spec=spec,
            kind=match["kind"],
            call="generate" if match["kind"] == "failed" else match["call"],
            every=int(match["every"] or 1),
            seconds=float(match["seconds"] or _SLOW_SECONDS),
        )

    def matches(self, call: str) -> bool:
        """Whether requests of this call are counted."""
        return call == self.call if self.call else call != "file"


class FaultPlan:
    """The faults in force, each with its own count of matching requests."""

    def __init__(self, specs: Iterable[str] = ()) -> None:
        self.faults: tuple[Fault, ...] = ()
        self._seen: list[int] = []
        self.replace(specs)

    def replace(self, specs: Iterable[str]) -> None:
        """Put other faults in force; all counts begin anew.

        Raises:
            ValueError: When one is no specification; then the old faults stay.
        """
        self.faults = tuple(Fault.parse(spec) for spec in specs)
        self._seen = [0] * len(self.faults)

    def strike(self, call: str) -> tuple[Fault, ...]:
        """Count a request, and return the faults that strike it, in the order in which they were given."""
        struck = []
        for index, fault in enumerate(self.faults):
            if fault.matches(call):
                self._seen[index] += 1
                if self._seen[index] % fault.every == 0:
                    struck.append(fault)
        return tuple(struck)
