"""Back from the upstream's spelling into our vocabulary, read off the contracts' own slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aivideo_mcp.contracts import Contract, Slot


def vocabulary(contract: type[Contract], body: Mapping[str, Any]) -> dict[str, Any]:
    """What a valid wire body gives, by our names and in our types.

    Null, blank text and empty lists give nothing. Where fields share a wire name, the value's type decides.
    """
    given: dict[str, Any] = {}
    for slot in contract.slots():
        value = body.get(slot.wire_name)
        if is_given(value) and isinstance(value, list) == (slot.form.json_type == "array"):
            given[slot.name] = _unwritten(slot, value)
    return given


def is_given(value: object) -> bool:
    """Whether a wire value says anything."""
    return value is not None and value != [] and not (isinstance(value, str) and not value.strip())


def _unwritten(slot: Slot, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The inverse of the slot's wire form."""
    if slot.values:
        return next(known for known in slot.values if slot.form.write(known) == value)
    if slot.kind == "array" and not isinstance(value, list):
        return [value]
    return int(value) if slot.kind == "integer" else value  # 5.0 is the integer 5 in JSON Schema
