"""What the makers of models and of clients refuse in a tool, as far as it is published or was met.

One function for each family: it takes a tool as listed and yields the rules that it breaks, each with the place.
`SOURCES` says of each rule where it was found, last looked at in November 2026. Where a limit was raised over time, the
lower one is kept to, because older models and gateways still hold it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

import jsonschema

Schema = dict[str, Any]
Tool = Mapping[str, Any]
Faults = Iterator[tuple[str, str]]

_CLAUDE_400: Final = "anthropics/claude-code#40075: 400 input_schema does not support oneOf, allOf, or anyOf"
_CLAUDE_DOCS: Final = "platform.claude.com/docs/en/managed-agents/self-hosted-sandboxes"
_OPENAI_400: Final = "langchain-ai/langchainjs#9804: 400 schema must have type 'object' and not have 'oneOf'..."
_OPENAI_DOCS: Final = "OpenAI, Structured Outputs, Supported schemas"
_GENAI: Final = "google-genai 3.4.0, types.Schema"
_GEMINI_400: Final = "anomalyco/opencode#12911, lukacf/meerkat#95: 400 Unknown name, Proto field is not repeating"
_OPENCLAW: Final = "openclaw 2026.9, @openclaw/ai clean-for-gemini"
_AJV: Final = "@modelcontextprotocol/sdk 1.32, ajv-provider: Ajv of draft 7, where the v2 client has draft 2020-12"

SOURCES: Final[Mapping[str, str]] = {
    "claude.name": "Claude Desktop: 400 name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
    "claude.prefixed-name": "Claude Code calls a tool mcp__SERVER__TOOL, and that is the name of 64 characters",
    "claude.description": "Claude Code cuts descriptions at 2 KB",
    "claude.root-type": "Anthropic, Define tools: input_schema is an object; the MCP schema says so too",
    "claude.root-union": _CLAUDE_400,
    "claude.reference": f"{_CLAUDE_DOCS}: rejects reference keywords anywhere in input_schema",
    "claude.key": f"{_CLAUDE_DOCS}; 400 Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'",
    "claude.dialect": "anthropics/claude-code#586: 400 It must match JSON Schema draft 2020-12",
    "openai.name": "OpenAI, Function calling: a-z, A-Z, 0-9, underscores and dashes, at most 64",
    "openai.description": "getsentry/sentry-mcp#106: 400 Expected a string with maximum length 1024",
    "openai.root": _OPENAI_400,
    "openai.properties": "openai-agents 0.24, mcp/util.py: OpenAI needs properties, even empty ones",
    "openai.items": "OpenAI: 400 array schema missing items",
    "strict.open": f"{_OPENAI_DOCS}: additionalProperties: false must always be set; openai-agents, strict_schema.py",
    "strict.required": f"{_OPENAI_DOCS}: all fields must be required",
    "strict.untyped": f"{_OPENAI_DOCS}: supported types",
    "strict.word": f"{_OPENAI_DOCS}: allOf, not, dependentRequired, if, ... are not supported; openai-agents on $ref",
    "strict.depth": f"{_OPENAI_DOCS}: up to 5 levels of nesting, 10 since 2025",
    "strict.size": f"{_OPENAI_DOCS}: up to 100 properties in total, 5000 since 2025",
    "strict.values": f"{_OPENAI_DOCS}: up to 500 enum values in total, 1000 since 2025",
    "strict.characters": f"{_OPENAI_DOCS}: names and enum values up to 15,000 characters, 120,000 since 2025",
    "gemini.name": f"{_GENAI} FunctionDeclaration.name: begins with a letter or an underscore, at most 64",
    "gemini.word": f"{_GENAI} is closed; {_GEMINI_400}",
    "gemini.type": f"{_GEMINI_400}; NousResearch/hermes-agent#89673: a schema without type is refused",
    "gemini.enum": "anomalyco/opencode#12911: 400 enum: only allowed for STRING type; empty values are refused",
    "gemini.format": "Firebase, SchemaShared.format: for strings enum or date-time, otherwise requests will fail",
    "gemini.items": "Gemini: 400 items: missing field",
    "gemini.required": "Gemini: 400 required[0]: property is not defined",
    "gemini.empty": "MarkusPfundstein/mcp-obsidian#21: 400 properties: should be non-empty for OBJECT type",
    "openclaw.name": "openclaw 2026.9, agent-bundle-mcp-names: SERVER__TOOL is cut at 64, odd characters are replaced",
    "openclaw.union": f"{_OPENCLAW}: a nested oneOf becomes a bare object; DeepSeek refuses anyOf and oneOf",
    "openclaw.bounds": f"{_OPENCLAW} drops bounds, lengths and patterns: what is said by them must be said in words",
    "output.root": "MCP schema 2025-06-18, Tool.outputSchema; one that breaks it costs the whole tools/list",
    "output.dialect": "ankimcp/anki-mcp-server-addon#75: Claude's default validator knows draft 2020-12 only",
    "output.word": f"{_AJV}: what only one of them knows is no check for the other, or an error if strict",
    "output.untyped": "a value of which nothing is said helps no reader",
}

_SUBSCHEMAS: Final = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
_REFERENCES: Final = {"$ref", "$dynamicRef", "$defs", "definitions", "$id", "$anchor"}
_SERVER: Final = 20  # characters that a user's own name for this server may have
_GEMINI_WORDS: Final = {
    *("type", "description", "title", "nullable", "default", "enum", "format", "items", "properties", "required"),
    *("minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf"),
    # Not of the API: each adapter that was looked at strips it (OpenClaw, gemini-cli, from_json_schema), and OpenAI's
    # strict mode cannot do without.
    "additionalProperties",
}
_GEMINI_TYPES: Final = ("string", "number", "integer", "boolean", "array", "object")
_FORMATS: Final = {
    "string": {"enum", "date-time"},
    "number": {"float", "double"},
    "integer": {"int32", "int64"},
}
_DROPPED: Final = {
    *("minLength", "maxLength", "minimum", "maximum", "multipleOf", "pattern", "format"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
}
_STRICT_WORDS: Final = {
    *("type", "description", "title", "enum", "const", "items", "properties", "required", "additionalProperties"),
    *("anyOf", "pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minItems", "maxItems"),
}
_SHARED_WORDS: Final = _STRICT_WORDS | {"minLength", "maxLength", "uniqueItems", "oneOf", "allOf", "not", "default"}


def nodes(schema: Any, where: str = "#") -> Iterator[tuple[str, Schema]]:
    """Every schema within a schema, itself first, each with its place."""
    if not isinstance(schema, dict):
        return
    yield where, schema
    for word, value in schema.items():
        if word in _SUBSCHEMAS and isinstance(value, dict):
            for name, inner in value.items():
                yield from nodes(inner, f"{where}/{word}/{name}")
        elif isinstance(value, list) and word in (*_UNIONS, "prefixItems", "items"):
            for index, inner in enumerate(value):
                yield from nodes(inner, f"{where}/{word}/{index}")
        elif word in ("items", "not", "if", "then", "else", "additionalProperties", "contains", "propertyNames"):
            yield from nodes(value, f"{where}/{word}")


def _types(node: Schema) -> list[str]:
    kind = node.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _dialect(rule: str, schema: Schema) -> Faults:
    dialect = jsonschema.Draft202012Validator
    if schema.get("$schema", dialect.META_SCHEMA["$id"]) != dialect.META_SCHEMA["$id"] or not _is_schema(schema):
        yield rule, "#"


def _is_schema(schema: Schema) -> bool:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError:
        return False
    return True


def claude(tool: Tool) -> Faults:
    """The Messages API, Claude Desktop and Claude Code."""
    schema = tool["inputSchema"]
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"]):
        yield "claude.name", tool["name"]
    if len(f"mcp____{tool['name']}") + _SERVER > 64:
        yield "claude.prefixed-name", tool["name"]
    if len(tool["description"].encode()) > 2048:
        yield "claude.description", tool["name"]
    if schema.get("type") != "object":
        yield "claude.root-type", "#"
    if schema.keys() & {*_UNIONS}:
        yield "claude.root-union", "#"
    for where, node in nodes(schema):
        if node.keys() & _REFERENCES:
            yield "claude.reference", where
        for key in node.get("properties", {}):
            if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", key):
                yield "claude.key", f"{where}/{key}"
    yield from _dialect("claude.dialect", schema)


def openai(tool: Tool) -> Faults:
    """Function calling as it is by default."""
    schema = tool["inputSchema"]
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"]):
        yield "openai.name", tool["name"]
    if len(tool["description"]) > 1024:
        yield "openai.description", tool["name"]
    if schema.get("type") != "object" or schema.keys() & {*_UNIONS, "enum", "const", "not"}:
        yield "openai.root", "#"
    for where, node in nodes(schema):
        if "object" in _types(node) and "properties" not in node:
            yield "openai.properties", where
        if "array" in _types(node) and "items" not in node:
            yield "openai.items", where


def strict(schema: Schema) -> Schema:
    """A schema in strict form: objects closed, every property required, null for what could be left out.

    So the documentation asks for it. (openai-agents closes and requires too, but adds no null.) What cannot be said in
    strict form stays as it is, for `strictly` to find.
    """
    schema = deepcopy(schema)
    for _, node in nodes(schema):
        if "object" in _types(node):
            node.setdefault("additionalProperties", False)
        if "oneOf" in node and "anyOf" not in node:
            node["anyOf"] = node.pop("oneOf")
        if "properties" in node:
            optional = node["properties"].keys() - set(node.get("required", ()))
            node["properties"] = {n: _nullable(p) if n in optional else p for n, p in node["properties"].items()}
            node["required"] = list(node["properties"])
    return schema


def _nullable(schema: Schema) -> Schema:
    if "null" in _types(schema) or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    if not isinstance(schema.get("type"), str) or "const" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {
        **schema,
        "type": [schema["type"], "null"],
        **({"enum": [*schema["enum"], None]} if "enum" in schema else {}),
    }


def strictly(tool: Tool) -> Faults:
    """OpenAI's strict mode, once converted: `inputSchema` and `outputSchema`, which agents use as a type too."""
    for part in ("inputSchema", "outputSchema"):
        yield from _strictly(strict(tool[part]), part)


def _strictly(schema: Schema, part: str) -> Faults:
    names = [key for _, node in nodes(schema) for key in node.get("properties", {})]
    values = [value for _, node in nodes(schema) for value in node.get("enum", ())]
    for where, node in nodes(schema, part):
        if "object" in _types(node) and node.get("additionalProperties") is not False:
            yield "strict.open", where
        if set(node.get("required", ())) != node.get("properties", {}).keys():
            yield "strict.required", where
        if not node.keys() & {"type", "anyOf", "enum", "const"}:
            yield "strict.untyped", where
        for word in node.keys() - _STRICT_WORDS:
            yield "strict.word", f"{where}: {word}"
    if _depth(schema) > 5:
        yield "strict.depth", part
    if len(names) > 100:
        yield "strict.size", part
    if len(values) > 500:
        yield "strict.values", part
    if sum(map(len, (*names, *map(str, values)))) > 15_000:
        yield "strict.characters", part


def _depth(schema: Any) -> int:
    """Objects within objects."""
    if isinstance(schema, list):
        return max(map(_depth, schema), default=0)
    if not isinstance(schema, dict):
        return 0
    return ("properties" in schema) + max(map(_depth, schema.values()), default=0)


def gemini(tool: Tool) -> Faults:
    """The Gemini API's Schema, a part of OpenAPI 3.0.

    Not held against an argument-less tool is its empty `properties`, which older Gemini models refused: OpenAI refuses
    it when there are none, and adapters for Gemini leave it out.
    """
    schema = tool["inputSchema"]
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", tool["name"]):
        yield "gemini.name", tool["name"]
    for where, node in nodes(schema):
        kind = node.get("type")
        for word in node.keys() - _GEMINI_WORDS:
            yield "gemini.word", f"{where}: {word}"
        if "anyOf" not in node and kind not in _GEMINI_TYPES:
            yield "gemini.type", where
        if "enum" in node and not (kind == "string" and all(isinstance(v, str) and v for v in node["enum"])):
            yield "gemini.enum", where
        if "format" in node and node["format"] not in _FORMATS.get(str(kind), ()):
            yield "gemini.format", where
        if kind == "array" and not isinstance(node.get("items"), dict):
            yield "gemini.items", where
        if set(node.get("required", ())) - node.get("properties", {}).keys():
            yield "gemini.required", where
        if kind == "object" and not node.get("properties") and node is not schema:
            yield "gemini.empty", where


def openclaw(tool: Tool) -> Faults:
    """OpenClaw, which rewrites names and, for some makers, schemas; no answer tells it what was lost.

    Bounds that no reader would miss, a minimum of 0 or 1, need no words; nor do those of a field that another tool
    describes and this one's description points to.
    """
    schema = tool["inputSchema"]
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", tool["name"]) or len(tool["name"]) + 2 + _SERVER > 64:
        yield "openclaw.name", tool["name"]
    for where, node in nodes(schema):
        if node.keys() & {*_UNIONS, "not"}:
            yield "openclaw.union", where
        told = node.get("description", "")
        for word in node.keys() & _DROPPED:
            said = str(node[word]) in re.findall(r"\d+", told) if isinstance(node[word], int) else bool(told)
            if not said and node[word] not in (0, 1) and "generate_video" not in tool["description"]:
                yield "openclaw.bounds", f"{where}: {word}"


def output(tool: Tool) -> Faults:
    """What clients check answers against, with whatever validator they have."""
    schema = tool["outputSchema"]
    if schema.get("type") != "object" or schema.keys() & {*_UNIONS, "$ref"}:
        yield "output.root", "#"
    yield from _dialect("output.dialect", schema)
    for where, node in nodes(schema):
        for word in node.keys() - _SHARED_WORDS - {"$schema"}:
            yield "output.word", f"{where}: {word}"
        if not node.keys() & {"type", "enum", "const", *_UNIONS, "not"}:
            yield "output.untyped", where


FAMILIES: Final[tuple[Callable[[Tool], Faults], ...]] = (claude, openai, strictly, gemini, openclaw, output)


def faults(tool: Tool) -> list[tuple[str, str]]:
    """All that anyone refuses in a tool: the rule, and the place."""
    return [fault for family in FAMILIES for fault in family(tool)]
