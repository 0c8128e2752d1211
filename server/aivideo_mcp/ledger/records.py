"""What the ledger holds, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Self

from aivideo_mcp.contracts import Contract

SWEEP: Final = "sweep"  # what the holder's name ends with while nobody's call is at work on an intent
OWN_KEY: Final = "aivideo-mcp-"  # what the idempotency keys begin with that are made here


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request as the ledger knows it: by digests, since prompts and pictures are nobody else's business.

    Attributes:
        model: The model asked for.
        digest: Of the whole wire body; equal digests are the same request.
        compared: Names of the wire fields, media left out, that an answer can be held against.
        likeness: Digest of the values of those fields, numbers and their texts being the same.
        key: The caller's own idempotency key.
    """

    model: str
    digest: str
    compared: tuple[str, ...]
    likeness: str
    key: str | None

    @classmethod
    def of(cls, request: Contract, key: str | None) -> Self:
        """What the ledger needs to know of a request. Hashes pictures: milliseconds for each megabyte."""
        wire = request.wire()
        compared = tuple(
            sorted(slot.wire_name for slot in request.slots() if slot.wire_name in wire and not slot.media)
        )
        digest = hashlib.sha256(json.dumps([request.model, wire], sort_keys=True).encode()).hexdigest()
        return cls(request.model, digest, compared, likeness(wire, compared), key)


def likeness(fields: Mapping[str, Any], names: Iterable[str]) -> str:
    """Digest of these fields' values; the upstream may give a number back as a string."""
    told = [_plain(fields.get(name)) for name in names]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class Role(Enum):
    """What a claim on an intent means for the one who made it."""

    SEND = auto()  # it is new, or was never sent: send it
    FIND = auto()  # it was sent and its answer lost: look for its task
    WAIT = auto()  # somebody else is sending it right now
    JOIN = auto()  # it has its task


@dataclass(frozen=True, slots=True)
class Intent:
    """One generation that was asked for.

    Times are Unix seconds; `sent_at` is of the first create that was sent for it, `last_sent_at` of the last; `holder`
    is the claim that is at work on it.
    """

    number: int
    model: str
    digest: str
    compared: tuple[str, ...]
    likeness: str
    key: str
    holder: str
    sent_at: float | None
    last_sent_at: float | None
    task_id: str | None
    status: str | None
    credits: int | None
