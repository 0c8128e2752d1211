"""What is wrong with a request body, in words that name the field and never repeat its value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from jsonschema import Draft202012Validator
from pydantic import AfterValidator

from aivideo_mcp.contracts.pictures import check_link, check_picture
from aivideo_mcp.sandbox.wire import is_given, vocabulary
from aivideo_mcp.schemas import wire_schema

if TYPE_CHECKING:
    from jsonschema import ValidationError

    from aivideo_mcp.contracts import Contract, Slot

_KINDS: Final = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "an array of strings",
    "null": "null",
}
# image/jpg has been refused upstream, image/jpeg passes.
_IMAGE_DATA: Final = re.compile(r"data:image/(?!jpg\b)[a-z0-9.+-]+;base64,", re.IGNORECASE)


def complaints(contract: type[Contract], body: Mapping[str, Any]) -> list[str]:
    """Every fault of a wire body; empty when it can be taken. Unknown fields are no fault."""
    schema, validator = _validator(contract)
    found = [f"{name} is required" for name in schema["required"] if name not in body]
    faults = sorted(validator.iter_errors(body), key=lambda fault: fault.json_path)
    found += [_complaint(fault) for fault in faults if fault.validator != "required"]
    if found:
        return list(dict.fromkeys(found))
    for slot in contract.slots():
        found += _slot_complaints(contract, slot, body.get(slot.wire_name))
    given = vocabulary(contract, body).keys()
    return found + [rule.text for rule in contract.rules if not rule.allows(given)]


@cache
def _validator(contract: type[Contract]) -> tuple[dict[str, Any], Draft202012Validator]:
    schema = wire_schema(contract)
    return schema, Draft202012Validator(schema)


def _complaint(fault: ValidationError) -> str:
    name, *rest = fault.absolute_path
    where = str(name) + "".join(f"[{part}]" for part in rest)
    assert isinstance(fault.schema, dict)
    return f"{where} must be {_words(fault.schema)}"


def _words(schema: Mapping[str, Any]) -> str:
    """A property's schema in words: `a string, one of "5", "8"`."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_words(part) for part in schema["anyOf"]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = " or ".join(_KINDS[kind] for kind in kinds)
    if "enum" in schema:
        text += ", one of " + ", ".join(json.dumps(value) for value in schema["enum"])
    if "minimum" in schema:
        text += f" from {schema['minimum']} to {schema['maximum']}"
    if "maxItems" in schema:
        text += f", {schema['minItems']} to {schema['maxItems']} of them"
    return f"{text}, not empty" if schema.get("minLength") else text


def _slot_complaints(contract: type[Contract], slot: Slot, value: object) -> Iterator[str]:
    """What JSON Schema cannot say about one field."""
    texts = value if isinstance(value, list) else [value]
    if slot.required and not all(is_given(text) for text in texts):
        yield f"{slot.wire_name} must not be blank"
    checks = _checks(contract, slot)
    for text in texts:
        if isinstance(text, str) and is_given(text):
            if check_picture in checks and not (_IMAGE_DATA.match(text) or _is_link(text)):
                yield f"{slot.wire_name} must be a public http(s) URL or a data:image/...;base64 URI"
            if check_link in checks and not _is_link(text):
                yield f"{slot.wire_name} must be a public http(s) URL"


def _is_link(text: str) -> bool:
    try:
        check_link(text)
    except ValueError:
        return False
    return True


@cache
def _checks(contract: type[Contract], slot: Slot) -> frozenset[object]:
    """The checks that the contract puts on a field's strings: whether it takes pictures or links."""
    info = next(info for name, info in contract.model_fields.items() if slot.name == (info.alias or name))
    return frozenset(_functions([*info.metadata, *_metadata(info.annotation)]))


def _metadata(annotation: object) -> Iterator[object]:
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _metadata(part)


def _functions(metadata: Iterable[object]) -> Iterator[object]:
    return (entry.func for entry in metadata if isinstance(entry, AfterValidator))
