"""What callers may write, brought into the one vocabulary.

Taken beside the canonical form, without being advertised: the upstream's names and types (`content`, `ratio`,
`"duration": "5"`, `prompt: [...]` for lv), the older skill's `{"model": ..., "payload": ...}` with the payload an
object or a JSON string (its `filterMode` is dropped, as the upstream dropped it), one string where a list of one is
meant, a list written as JSON. Only spellings change here, never meanings: a duration of 7 stays 7 and is refused by
the contract.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from aivideo_mcp.contracts.contract import Contract, Slot
from aivideo_mcp.contracts.models import MODELS
from aivideo_mcp.errors import InvalidModel, InvalidPayload

_RETIRED = frozenset({"filterMode"})  # the older skill had to send it; the upstream reads it no more
_LINES = 10_000  # of a resolution, such as 720; what is higher is none
_SHOWN = 40  # characters of a caller's value that an error repeats at most


def canonical(arguments: Mapping[str, Any]) -> tuple[type[Contract], dict[str, Any]]:
    """Find the contract that is meant, and the arguments in its own words.

    Raises:
        InvalidModel: When the model is missing or unknown.
        InvalidPayload: When `payload` cannot be read, or one field is given under two names.
    """
    written = _unfold(arguments)
    contract = model_named(written.pop("model", None))
    slots = {slot.name: slot for slot in contract.slots()}
    fields: dict[str, Any] = {}
    for name, value in written.items():
        ours = _our_name(name, value, contract)
        if ours in _RETIRED:
            continue
        if value == [] and ours in slots:  # an empty list gives nothing, like null
            continue
        if ours in fields:
            raise InvalidPayload(f"{ours} is given twice, under two of its names; give it once")
        fields[ours] = _our_spelling(value, slots[ours]) if ours in slots else value
    return contract, fields


def model_named(name: object) -> type[Contract]:
    """The contract of a model.

    Raises:
        InvalidModel: When there is none; the text lists those that exist.
    """
    if isinstance(name, str) and name in MODELS:
        return MODELS[name]
    fault = "model is missing" if name is None else f"model {shown(name)} is unknown"
    raise InvalidModel(f"{fault}; use {', '.join(MODELS)}")


def shown(value: object) -> str:
    """A caller's value as an error may repeat it: as JSON when short, else only its size."""
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        return "(a value that cannot be shown)"
    return text if len(text) <= _SHOWN else f"({len(text):,} characters)"


def _unfold(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without nulls, and with the skill's `payload` opened."""
    given = {name: value for name, value in arguments.items() if value is not None}
    payload = given.pop("payload", None)
    if payload is None:
        return given
    if isinstance(payload, str):
        payload = _read_json(payload)
    if not isinstance(payload, dict):
        raise InvalidPayload('payload must be a JSON object, such as {"prompt": "a cat", "duration": 5}')
    inner = {str(name): value for name, value in payload.items() if value is not None}
    if inner.get("model") == given.get("model"):
        inner.pop("model", None)
    if twice := sorted(inner.keys() & given.keys()):
        raise InvalidPayload(f"{shown(twice[0])} is given beside payload and in it; give it once")
    return given | inner


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _our_name(name: str, value: object, contract: type[Contract]) -> str:
    """Our word for a field that may be written in the upstream's."""
    own = {slot.name for slot in contract.slots()}
    for slot in contract.slots():
        if slot.wire_name == name != slot.name and (
            name not in own or (slot.kind == "array" and isinstance(_listed(value), list))
        ):
            return slot.name
    return name if name in own else _upstream_words().get(name, name)


@cache
def _upstream_words() -> dict[str, str]:
    """Upstream field names that are no words of ours, over all models: content -> prompt."""
    slots = [slot for contract in MODELS.values() for slot in contract.slots()]
    ours = {slot.name for slot in slots}
    return {slot.wire_name: slot.name for slot in slots if slot.wire_name not in ours}


def _our_spelling(value: object, slot: Slot) -> object:
    """The same value in the type that the vocabulary uses; returned as it is where it has no such reading."""
    if slot.kind == "array" and isinstance(value, str):
        listed = _listed(value)
        return listed if isinstance(listed, list) else [value]
    if slot.kind == "integer":
        return _integer(value)
    if slot.kind == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if slot.kind == "string" and slot.values:
        value = _integer(value)
        word = str(value).strip().lower() if isinstance(value, str) or value in range(_LINES) else None
        return next((v for v in slot.values if word in (v.lower(), v.lower().removesuffix("p"))), value)
    return value


def _listed(value: object) -> object:
    """A list that came as JSON text as the list it is; anything else as it came."""
    listed = _read_json(value) if isinstance(value, str) and value.startswith("[") else None
    return listed if isinstance(listed, list) else value


def _integer(value: object) -> object:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < _SHOWN:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
