"""From a caller's arguments to a frozen request, or to one error that says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from aivideo_mcp.contracts.contract import Contract, Slot
from aivideo_mcp.contracts.pictures import Local
from aivideo_mcp.contracts.vocabulary import canonical, shown
from aivideo_mcp.errors import InvalidPayload

_KINDS = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "a list of strings",
}
_NAMED = 5  # faults that one message lists
_LOCAL = 32, 64 * 1024 * 1024  # local pictures of one request, and the characters that they may become


def read_request(arguments: Mapping[str, Any], local: Local | None = None) -> Contract:
    """The request that the arguments mean, valid for its model in every field.

    Args:
        arguments: As the caller wrote them.
        local: Reads a picture that is neither URL nor data URI, blocking; None where local files are not read.

    Raises:
        InvalidModel: When the model is missing or unknown.
        InvalidPayload: With every fault named at once: field, what is wrong, what is allowed.
    """
    contract, fields = canonical(arguments)
    if odd := next((name for name in fields if not name.isprintable()), None):  # pydantic cannot report it
        raise InvalidPayload(f"{contract.name()}: {_unknown(odd, contract)}")
    try:
        return contract.model_validate({"model": contract.name(), **fields}, context=local and _rationed(local))
    except ValidationError as refusal:
        faults = [_explain(error, contract) for error in refusal.errors(include_url=False)]
    named = list(dict.fromkeys(faults))
    more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    raise InvalidPayload(
        f"{contract.name()}: {'; '.join(named[:_NAMED])}{more}",
        next_steps=(
            *InvalidPayload.advice,
            f'list_models with model "{contract.name()}" shows every field of it.',
        ),
    )


def _rationed(local: Local) -> Local:
    """The reader of local pictures for one request: a list of paths costs its writer nothing, and us megabytes each."""
    tries, left = _LOCAL

    def read(text: str) -> str:
        nonlocal tries, left
        tries -= 1
        uri = local(text) if tries >= 0 and left >= 0 else ""
        left -= len(uri)
        if tries < 0 or left < 0:
            raise ValueError("is too much: {} local pictures and {:,} bytes in base64 is the most".format(*_LOCAL))
        return uri

    return read


def _explain(error: ErrorDetails, contract: type[Contract]) -> str:
    """One fault in words."""
    reason = str(error.get("ctx", {}).get("error", ""))
    if not error["loc"]:  # a rule between fields
        return reason
    name = str(error["loc"][0])
    slot = next((slot for slot in contract.slots() if slot.name == name), None)
    if slot is None:
        return _unknown(name, contract)
    where = name + "".join(f"[{part}]" for part in error["loc"][1:])
    if reason:  # our own checks: the text follows the field's name
        return f"{where} {reason}"
    if error["type"] == "missing":
        return f"{where} is missing{_use(slot)}"
    if error["type"] == "literal_error":
        return f"{where} {shown(error['input'])} is not allowed{_use(slot)}"
    if error["type"] in ("too_short", "too_long"):
        return f"{where} has {len(error['input'])} entries{_use(slot)}"
    if error["type"] in ("greater_than_equal", "less_than_equal"):
        return f"{where} {shown(error['input'])} is out of range{_use(slot)}"
    return f"{where} must be {'a string' if len(error['loc']) > 1 else _KINDS[slot.kind]}{_use(slot)}"


def _unknown(name: str, contract: type[Contract]) -> str:
    return f"{shown(name)} is not a field of this model, which takes {', '.join(s.name for s in contract.slots())}"


def _use(slot: Slot) -> str:
    return f"; use {slot.allowed}" if slot.allowed else ""
