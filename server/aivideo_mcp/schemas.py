"""Pure projections of the contracts: what is advertised, what goes over the wire, what tables say.

The advertised input schema is one flat object, because a root `oneOf` is refused by several hosts. It is
therefore wider than any one contract: ranges and value lists are the union over the models, and which value
goes with which model stands in the field's description. What a contract accepts, the advertised schema accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from aivideo_mcp.contracts import MODELS, Contract, Slot

Schema = dict[str, Any]

_NOT_BLANK: Final = r"\S"
_NOISE: Final = ("$defs", "default", "description", "prefixItems", "properties", "required", "title")

# What a field means, said once; values and models are derived.
MEANINGS: Final[Mapping[str, str]] = {
    "prompt": "What happens in the video.",
    "prompts": "One prompt per 5 s segment.",
    "image": "Picture to animate: public URL, data:image/...;base64 URI, or path if allowed.",
    "images": "Reference pictures, as image.",
    "lastFrame": "Picture to end on, as image.",
    "referenceImages": "As image; not with image or lastFrame.",
    "referenceVideo": "Public URL.",
    "referenceAudio": "Public URLs.",
    "aspectRatio": "Shape.",
    "duration": "Seconds.",
    "resolution": "Size.",
    "tier": "Quality; base costs more.",
    "promptExtend": "Let the model enrich the prompt.",
}


def generation_properties(*, describe: bool) -> Schema:
    """The flat properties of a generation, `model` first; descriptions only where asked, they cost context."""
    properties: Schema = {"model": {"type": "string", "enum": list(MODELS)}}
    for name, users in _users().items():
        properties[name] = _merged([slot for _, slot in users])
        if describe:
            properties[name]["description"] = f"{MEANINGS[name]} {_who_takes_what(users)}".strip()
    return properties


def exact_schema(contract: type[Contract]) -> Schema:
    """JSON Schema (draft 2020-12) of the generation fields that one model takes, with the rules between them.

    It accepts what the contract accepts in the vocabulary's own spelling, and nothing else, but that it does not look
    into pictures and links.
    """
    slots = contract.slots()
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": contract.name(),
        "description": contract.summary(),
        "type": "object",
        "properties": {"model": {"const": contract.name()}} | {slot.name: _exact(slot) for slot in slots},
        "required": ["model", *(slot.name for slot in slots if slot.required)],
        "additionalProperties": False,
    }
    rules = [{"description": rule.text, **rule.schema} for rule in contract.rules]
    return schema | ({"allOf": rules} if rules else {})


def wire_schema(contract: type[Contract]) -> Schema:
    """JSON Schema of the upstream's request body for one model: exact names and types; null where optional.

    Fields that share a wire name (happyhorse's image, one or several) become alternatives.
    """
    properties: Schema = {}
    for slot in contract.slots():
        form = _wire_form(slot)
        known = properties.get(slot.wire_name)
        properties[slot.wire_name] = form if known is None else {"anyOf": [known, form]}
    return {
        "type": "object",
        "properties": properties,
        "required": [slot.wire_name for slot in contract.slots() if slot.required],
    }


def answer_schema(envelope: type[BaseModel], data: type[BaseModel]) -> Schema:
    """The output schema of a tool: the envelope with its own `data`, all keys required, no references."""
    schema = deepcopy(_plain(envelope))
    schema["properties"]["data"] = {"anyOf": [deepcopy(_plain(data)), {"type": "null"}]}
    return schema


def describe_model(contract: type[Contract]) -> dict[str, Any]:
    """One model as `list_models` and the README's table tell it, JSON types only."""
    return {
        "model": contract.name(),
        "summary": contract.summary(),
        "fields": [
            {
                "name": slot.name,
                "type": slot.kind,
                "required": slot.required,
                "allowed": slot.allowed or None,
                "default": None if slot.default is None else str(slot.default),
            }
            for slot in contract.slots()
        ],
        "rules": [rule.text for rule in contract.rules],
        "price": contract.price.text,
        "usualMinutes": None if contract.usual is None else list(contract.usual),
    }


@cache
def _plain(model: type[BaseModel]) -> Schema:
    """A pydantic schema with references resolved, every property required, and only words that say something."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def walk(node: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(node, list):
            return [walk(entry) for entry in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return walk(definitions[node["$ref"].rpartition("/")[2]])
        kept = {key: walk(value) for key, value in node.items() if key not in _NOISE}
        if (
            "prefixItems" in node
        ):  # draft 2020-12 alone knows it, and half of the clients are older; ours are of one type
            (kept["items"],) = {entry["type"]: walk(entry) for entry in node["prefixItems"]}.values()
        if "properties" in node:
            kept["properties"] = {name: walk(value) for name, value in node["properties"].items()}
            kept["required"] = list(node["properties"])
        return kept

    plain: Schema = walk(schema)
    return plain


def _users() -> dict[str, list[tuple[str, Slot]]]:
    """For each field, the models that take it; in the order of MEANINGS."""
    users: dict[str, list[tuple[str, Slot]]] = {name: [] for name in MEANINGS}
    for model, contract in MODELS.items():
        for slot in contract.slots():
            users[slot.name].append((model, slot))
    return users


def _merged(slots: list[Slot]) -> Schema:
    """One flat schema that accepts whatever any of the slots accepts."""
    schema: Schema = {"type": slots[0].kind}
    if schema["type"] == "array":
        schema["items"] = {"type": "string"}
    elif schema["type"] == "integer":
        schema["minimum"] = min(_bounds(slot)[0] for slot in slots)
        schema["maximum"] = max(_bounds(slot)[1] for slot in slots)
    elif all(slot.values for slot in slots):
        schema["enum"] = list(dict.fromkeys(value for slot in slots for value in slot.values))
    return schema


def _bounds(slot: Slot) -> tuple[int, int]:
    if slot.values:
        return min(slot.values), max(slot.values)
    assert slot.least is not None
    assert slot.most is not None
    return slot.least, slot.most


def _who_takes_what(users: list[tuple[str, Slot]]) -> str:
    """Models grouped by equal values, "!" for required: `t2v!, i2v!: 5, 8; minimax: 5 to 20 (default 5)`."""
    groups: dict[str, list[str]] = {}
    for model, slot in users:
        allowed = slot.allowed if slot.kind != "boolean" else ""
        default = f" (default {slot.default})" if slot.default is not None else ""
        groups.setdefault(allowed + default, []).append(model + ("!" if slot.required else ""))
    return "; ".join(", ".join(models) + (f": {allowed}" if allowed else "") for allowed, models in groups.items())


def _exact(slot: Slot) -> Schema:
    schema: Schema = {"type": slot.kind, "description": MEANINGS[slot.name]}
    if slot.values:
        schema["enum"] = list(slot.values)
    elif slot.kind == "integer":
        schema |= {"minimum": slot.least, "maximum": slot.most}
    elif slot.kind == "array":
        schema |= {"items": {"type": "string", "pattern": _NOT_BLANK}, "minItems": slot.least}
        schema |= {} if slot.most is None else {"maxItems": slot.most}
    elif slot.kind == "string":
        schema["pattern"] = _NOT_BLANK
    return schema | ({} if slot.default is None else {"default": slot.default})


def _wire_form(slot: Slot) -> Schema:
    nullable = not slot.required and slot.default is None and slot.form.json_type != "array"
    schema: Schema = {"type": [slot.form.json_type, "null"] if nullable else slot.form.json_type}
    if slot.values:
        schema["enum"] = [slot.form.write(value) for value in slot.values] + ([None] if nullable else [])
    elif slot.form.json_type == "array":
        schema |= {"items": {"type": "string", "minLength": 1}, "minItems": 1 if slot.required else 0}
        schema |= {} if slot.most is None else {"maxItems": slot.most}
    elif slot.kind == "integer":
        schema |= {"minimum": slot.least, "maximum": slot.most}
    elif slot.required:
        schema["minLength"] = 1
    return schema
