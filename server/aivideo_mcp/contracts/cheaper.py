"""What would cost less: the same content shorter, smaller, or made by another model. By estimate, never by quote."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final

from aivideo_mcp.contracts.contract import Contract, Slot
from aivideo_mcp.contracts.models import MODELS

_NAMED: Final = 4  # ways that are named at most
_PRICED: Final = ("duration", "resolution", "tier", "prompts")  # the fields that prices depend on


def cheaper_ways(request: Contract, most: int, served: Container[str] | None = None) -> tuple[str, ...]:
    """Ways to make much the same for less, the most alike first: "t2v with duration 5 (about 15 credits)".

    Args:
        request: What is too dear.
        most: Credits that it may cost.
        served: The models that the account offers; all of them where it is not known.
    """
    asked = request.fields()
    content = {slot.name for slot in request.slots() if slot.name in asked and not _is_setting(slot)}
    ways: list[str] = []
    for kind in sorted(MODELS.values(), key=lambda kind: kind is not type(request)):
        needed = {slot.name for slot in kind.slots() if slot.required and not _is_setting(slot)}
        taken = {slot.name for slot in kind.slots()}
        if needed <= content <= taken and (served is None or kind.name() in served):
            affordable = [(price, fields) for price, fields in _priced(kind, asked) if price <= most]
            if affordable:
                price, fields = max(affordable, key=lambda way: (_length(way[1]), -way[0]))
                told = ", ".join(_told(name, value) for name, value in fields.items())
                ways.append(f"{kind.name()} with {told} (about {price} credits)")
    return tuple(ways[:_NAMED])


def _is_setting(slot: Slot) -> bool:
    """Whether a field says how, and not what."""
    return bool(slot.values) or slot.kind in ("integer", "boolean")


def _priced(kind: type[Contract], asked: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What a model asks for each choice of its settings, none longer than what was asked for."""
    slots = [slot for slot in kind.slots() if slot.name in _PRICED]
    for values in itertools.product(*(_choices(slot, asked.get(slot.name)) for slot in slots)):
        fields = {slot.name: value for slot, value in zip(slots, values, strict=True)}
        price = kind.price.credits(fields)
        if price is not None and _length(fields) <= _length(asked):
            yield price, fields


def _choices(slot: Slot, asked: object) -> list[Any]:
    if isinstance(asked, list):
        return [asked[:number] for number in range(1, len(asked) + 1)]
    if slot.values:
        return list(slot.values)
    assert slot.least is not None
    assert slot.most is not None
    return list(range(slot.least, slot.most + 1))


def _length(fields: Mapping[str, Any]) -> int:
    return int(fields["duration"]) if "duration" in fields else len(fields["prompts"])


def _told(name: str, value: object) -> str:
    return f"{len(value)} {name}" if isinstance(value, list) else f"{name} {value}"
