"""What the ledger holds, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Self

from aivideo_mcp.contracts import Contract
from aivideo_mcp.tasks import Task

DAY: Final = 86_400.0  # seconds, over which spending is summed and for which the upstream keeps a file
SWEEP: Final = "sweep"  # what the holder's name ends with while nobody's call is at work on an intent
OWN_KEY: Final = "aivideo-mcp-"  # what the idempotency keys begin with that are made here


@dataclass(frozen=True, slots=True)
class Likeness:
    """Values that a task may be held against without being kept: their fields' wire names, and a digest."""

    names: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, fields: Mapping[str, Any], names: Iterable[str]) -> Self:
        """The likeness of these fields' values; the upstream may give a number back as a string."""
        names = tuple(names)
        told = json.dumps([_plain(fields.get(name)) for name in names])
        return cls(names, hashlib.sha256(told.encode()).hexdigest())

    def fits(self, fields: Mapping[str, Any]) -> bool:
        """Whether these are the same values."""
        return Likeness.of(fields, self.names) == self


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(entry) for entry in value] or _plain(None)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request as the ledger knows it: by digests, since prompts and pictures are nobody else's business.

    Attributes:
        model: The model asked for.
        digest: Of the whole wire body; equal digests are the same request.
        words: Likeness of the fields that the upstream gives back as they were, media left out.
        media: Likeness of all fields for pictures and links, which it may keep elsewhere or not tell.
        key: The caller's own idempotency key.
    """

    model: str
    digest: str
    words: Likeness
    media: Likeness
    key: str | None

    @classmethod
    def of(cls, request: Contract, key: str | None) -> Self:
        """What the ledger needs to know of a request. Hashes pictures: milliseconds for each megabyte."""
        wire = request.wire()
        media = {slot.wire_name for slot in request.slots() if slot.media}  # those left out as well
        return cls(
            model=request.model,
            digest=hashlib.sha256(json.dumps([request.model, wire], sort_keys=True).encode()).hexdigest(),
            words=Likeness.of(wire, sorted(wire.keys() - media)),
            media=Likeness.of(wire, sorted(media)),
            key=key,
        )


class Role(Enum):
    """What a claim on an intent means for the one who made it."""

    SEND = auto()  # it is new, or was never sent: send it
    FIND = auto()  # it was sent and its answer lost: look for its task
    WAIT = auto()  # somebody else is sending it right now
    JOIN = auto()  # it has its task


@dataclass(frozen=True, slots=True)
class Intent:
    """One generation that was asked for.

    Times are Unix seconds; `sent_at` is of the first create that was sent for it, `last_sent_at` of the last, `lost_at`
    of when that one's answer was known to be lost; `holder` is the claim that is at work on it; `price` are the credits
    that were quoted before the first sending, None where nobody asked.
    """

    number: int
    model: str
    digest: str
    words: Likeness
    media: Likeness
    key: str
    holder: str
    sent_at: float | None
    last_sent_at: float | None
    lost_at: float | None
    task_id: str | None
    status: str | None
    credits: int | None
    price: int | None


@dataclass(frozen=True, slots=True)
class Rivals:
    """What else a task on the upstream's list may belong to than a certain intent.

    Attributes:
        settled: Tasks that have their intent.
        twins: Creates of the same request that have no task yet.
        strangers: Creates that differ in their pictures alone and have no task yet.
        waiting: Whether one of all these still waits for its answer, or a younger twin is at work: it goes first.
    """

    settled: frozenset[str]
    twins: tuple[Intent, ...]
    strangers: tuple[Intent, ...]
    waiting: bool

    @classmethod
    def of(
        cls, intent: Intent, settled: Iterable[str], lost: Iterable[Intent], is_at_work: Callable[[Intent], bool]
    ) -> Self:
        """The rivals of an intent.

        Args:
            intent: Whose task is looked for.
            settled: Tasks that have their intent.
            lost: All intents that were sent and have no task yet.
            is_at_work: Whether an intent's holder is at work on it.
        """
        alike = [
            other
            for other in lost
            if (other.model, other.words) == (intent.model, intent.words) and other.number != intent.number
        ]
        twins = [other for other in alike if other.digest == intent.digest]
        ahead = [other for other in alike if other.lost_at is None or (other in twins and other.number > intent.number)]
        return cls(
            settled=frozenset(settled),
            twins=tuple(twins),
            strangers=tuple(other for other in alike if other not in twins),
            waiting=any(map(is_at_work, ahead)),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How the ledger stands: this account's generations, and what the processes on it share.

    Attributes:
        running: Tasks that had not ended when they were last looked at, and are owed to a caller.
        undelivered: Tasks that ended, and whose outcome no caller got.
        lost: Creates whose answer is lost and that nobody is at work on.
        processes: How many other processes have the ledger open.
        queries: How many may be made right now; `quiet` is for how many seconds the upstream wants none.
        aside: Names of files that were damaged and set aside.
    """

    running: int
    undelivered: int
    lost: int
    processes: int
    queries: int
    quiet: float
    aside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known here of a task that was created here; times are Unix seconds, amounts credits."""

    model: str
    sent_at: float | None
    charged: int | None
    delivered_at: float | None
    file: str | None
    refunded: int | None = None
    status: str | None = None
    gone_at: float | None = None

    def lacks(self, task: Task) -> bool:
        """Whether the whole task tells what is not known."""
        return (task.status, task.credits_refunded) != (self.status, self.refunded) or self.charged is None
