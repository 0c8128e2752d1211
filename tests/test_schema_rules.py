"""The tools as they are listed, held against what the makers of models and clients refuse; and each rule at work."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp import Client
from test_contracts import BASIC, Body, requests, steady
from test_exact_schemas import ODD
from test_surface import listed

from aivideo_mcp.app import build_server
from tests.fakes import SUBMITTED, FakeNetwork, reply, task
from tests.schema_rules import SOURCES, Schema, faults, nodes, strict

ERAS: Final = {"legacy": listed("legacy"), "2026-07-28": listed("2026-07-28")}
TOOLS: Final = {tool["name"]: tool for tool in ERAS["legacy"]}
SPENDING: Final = ("generate_video", "create_generation")
GENERATING: Final = (*SPENDING, "quote_generation")
EXAMPLES: Final[Mapping[str, list[Body]]] = {
    **{name: [{"taskId": "ck1"}] for name in ("get_status", "get_task", "cancel_task", "download_video")},
    **{name: list(BASIC.values()) for name in GENERATING},
    "list_models": [{}, {"model": "t2v"}],
    "list_tasks": [{}, {"status": "FAILED", "limit": 5}],
    "get_account": [{}],
}


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("era", ERAS)
def test_no_maker_of_models_or_clients_refuses_a_tool(era: str, name: str) -> None:
    tool = next(tool for tool in ERAS[era] if tool["name"] == name)
    found = [(rule, where, SOURCES[rule]) for rule, where in faults(tool)]
    assert found == []


def test_every_tool_has_examples() -> None:
    assert EXAMPLES.keys() == TOOLS.keys()


# Each rule at work

GOOD: Final[Schema] = {
    "name": "make_tea",
    "description": "Make tea.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "leaf": {"type": "string", "enum": ["green", "black"], "description": "Kind."},
            "grams": {"type": "integer", "minimum": 2, "maximum": 9, "description": "From 2 to 9."},
            "extras": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["leaf"],
        "additionalProperties": False,
    },
    "outputSchema": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
}


def nested(levels: int) -> Schema:
    return {"type": "object", "properties": {"in": nested(levels - 1)}} if levels else {"type": "string"}


def root(**words: Any) -> Callable[[Schema], object]:
    return lambda tool: tool["inputSchema"].update(words)


def leaf(**words: Any) -> Callable[[Schema], object]:
    return lambda tool: tool["inputSchema"]["properties"].update(leaf=words)


def key(name: str) -> Callable[[Schema], object]:
    return lambda tool: tool["inputSchema"]["properties"].update({name: {"type": "string"}})


def named(name: str) -> Callable[[Schema], object]:
    return lambda tool: tool.update(name=name)


def answer(**words: Any) -> Callable[[Schema], object]:
    return lambda tool: tool["outputSchema"]["properties"].update(data=words)


def told(text: str) -> Callable[[Schema], object]:
    return lambda tool: tool.update(description=text)


ONE: Final = {"type": "string"}
BREAKS: Final[Mapping[str, list[Callable[[Schema], object]]]] = {
    "claude.name": [named("make.tea"), named(""), named("make tea"), named("x" * 65)],
    "claude.prefixed-name": [named("x" * 60)],
    "claude.description": [told("é" * 1025)],
    "claude.root-type": [lambda tool: tool["inputSchema"].pop("type"), root(type=["object", "null"])],
    "claude.root-union": [root(**{word: [{"required": ["leaf"]}]}) for word in ("oneOf", "anyOf", "allOf")],
    "claude.reference": [
        leaf(**{"$ref": "#/properties/grams"}),
        root(**{"$defs": {"a": ONE}}),
        leaf(items={"$id": "x"}),
    ],
    "claude.key": [key("not[leaf]"), key("x" * 65), key("blätter")],
    "claude.dialect": [root(**{"$schema": "http://json-schema.org/draft-07/schema#"}), leaf(type="text")],
    "openai.name": [named("make.tea"), named("x" * 65)],
    "openai.description": [told("x" * 1025)],
    "openai.root": [root(**{word: {}}) for word in ("oneOf", "anyOf", "allOf", "enum", "const", "not")],
    "openai.properties": [lambda tool: tool["inputSchema"].pop("properties"), leaf(type="object")],
    "openai.items": [leaf(type="array"), leaf(type=["array", "null"])],
    "strict.open": [root(additionalProperties=True), leaf(type="object", additionalProperties=ONE)],
    "strict.required": [leaf(type="object", required=["x"], additionalProperties=False)],
    "strict.untyped": [leaf(description="Anything."), leaf(type="array", items={})],
    "strict.word": [
        leaf(allOf=[ONE]),
        leaf(**{"not": ONE}),
        leaf(**{"$ref": "#"}),
        root(dependentRequired={"leaf": []}),
        answer(type="array", prefixItems=[ONE]),
        root(patternProperties={"^x": ONE}),
        leaf(type="string", default="a"),
    ],
    "strict.depth": [leaf(**nested(5)), answer(**nested(5)), answer(anyOf=[{"type": "array", "items": nested(5)}])],
    "strict.size": [root(properties={f"p{number}": ONE for number in range(101)})],
    "strict.values": [leaf(type="string", enum=[str(number) for number in range(501)])],
    "strict.characters": [leaf(type="string", enum=["x" * 15_000]), key("x" * 15_000)],
    "gemini.name": [named("2teas"), named("-tea")],
    "gemini.word": [
        leaf(type="string", **{word: {}}) for word in ("const", "oneOf", "allOf", "$ref", "not", "examples")
    ]
    + [leaf(type="integer", exclusiveMinimum=1), root(**{"$schema": "x"}), leaf(type="array", prefixItems=[ONE])],
    "gemini.type": [
        leaf(description="?"),
        leaf(type=["string", "null"]),
        leaf(type="null"),
        leaf(anyOf=[{"items": ONE}]),
    ],
    "gemini.enum": [leaf(type="integer", enum=[5, 8]), leaf(type="string", enum=["a", ""]), leaf(enum=["a"])],
    "gemini.format": [leaf(type="string", format="uri"), leaf(type="integer", format="date-time")],
    "gemini.items": [leaf(type="array"), leaf(type="array", items=[ONE])],
    "gemini.required": [root(required=["leaf", "ghost"]), leaf(type="object", required=["x"], properties={"y": ONE})],
    "gemini.empty": [leaf(type="object"), leaf(type="array", items={"type": "object", "properties": {}})],
    "openclaw.name": [named("make tea"), named("_tea"), named("x" * 50)],
    "openclaw.union": [leaf(oneOf=[ONE, {"type": "integer"}]), leaf(type="array", items={"anyOf": [ONE]})],
    "openclaw.bounds": [
        leaf(type="integer", maximum=20),
        leaf(type="integer", maximum=20, description="Up to 200."),
        leaf(type="string", pattern="^a"),
        leaf(type="array", items=ONE, maxItems=4, description="Some."),
    ],
    "output.root": [
        lambda tool: tool["outputSchema"].pop("type"),
        lambda tool: tool["outputSchema"].update(anyOf=[{}]),
    ],
    "output.dialect": [
        lambda tool: tool["outputSchema"].update({"$schema": "http://json-schema.org/draft-07/schema#"}),
        answer(type="text"),
    ],
    "output.word": [
        answer(type="array", prefixItems=[ONE]),
        answer(**{"$ref": "#"}),
        answer(type="object", nullable=True),
    ],
    "output.untyped": [answer(), answer(anyOf=[{}, {"type": "null"}])],
}


def test_a_tool_without_fault_has_none() -> None:
    assert faults(GOOD) == []


def test_each_rule_has_a_source_and_something_that_breaks_it() -> None:
    assert BREAKS.keys() == SOURCES.keys()


@pytest.mark.parametrize(("rule", "change"), [(rule, change) for rule, all_ in BREAKS.items() for change in all_])
def test_each_rule_sees_what_breaks_it(rule: str, change: Callable[[Schema], object]) -> None:
    tool = deepcopy(GOOD)
    change(tool)
    assert rule in {found for found, _ in faults(tool)}


# The strict form


def complete(schema: Schema, arguments: Body) -> Body:
    """Arguments as strict mode has them written: every property, null where it is left out."""
    return {name: arguments.get(name) for name in schema["properties"]} | arguments


@pytest.mark.parametrize(("name", "example"), [(name, one) for name, many in EXAMPLES.items() for one in many])
def test_the_strict_form_takes_what_the_tool_takes(name: str, example: Body) -> None:
    schema = TOOLS[name]["inputSchema"]
    converted = strict(schema)
    Draft202012Validator.check_schema(converted)
    assert Draft202012Validator(schema).is_valid(example)
    assert list(Draft202012Validator(converted).iter_errors(complete(schema, example))) == []
    assert not Draft202012Validator(converted).is_valid(example) or example.keys() == converted["properties"].keys()


@pytest.mark.parametrize("name", TOOLS)
def test_the_strict_form_keeps_every_word_of_the_tool(name: str) -> None:
    for part in ("inputSchema", "outputSchema"):
        before, after = (dict(nodes(schema)) for schema in (TOOLS[name][part], strict(TOOLS[name][part])))
        for where, node in before.items():
            kept = after.get(where) or after[f"{where}/anyOf/0"]
            assert node.keys() <= kept.keys()
            for word in node.keys() & {"minimum", "maximum", "description", "additionalProperties"}:
                assert kept[word] == node[word]
            assert set(node.get("enum", ())) <= set(kept.get("enum", ())) <= {*node.get("enum", ()), None}


@steady
@given(requests, st.data())
def test_the_strict_form_refuses_exactly_what_the_tool_refuses(request: Body, data: st.DataObject) -> None:
    schema = TOOLS[data.draw(st.sampled_from(GENERATING))]["inputSchema"]
    asked = request | data.draw(st.dictionaries(st.sampled_from([*schema["properties"], "zork"]), st.sampled_from(ODD)))
    plain, converted = Draft202012Validator(schema), Draft202012Validator(strict(schema))
    assert converted.is_valid(complete(schema, asked)) is plain.is_valid(asked)


# What models then send, at the server


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def call(upstream: FakeNetwork, name: str, arguments: Body) -> dict[str, Any]:
    async with upstream.workflow() as workflow, Client(build_server(workflow)) as client:
        answered = (await client.call_tool(name, arguments)).structured_content
    assert answered is not None
    return answered


def network() -> FakeNetwork:
    known = {"generate": reply(SUBMITTED), "status": reply({"status": "COMPLETED"}), "task": reply(task("COMPLETED"))}
    more = {
        "quote": reply({"model": "t2v", "credits": 15}),
        "cancel": reply({"ok": True}),
        "account": reply({"ok": True}),
    }
    return FakeNetwork(**known, **more, tasks=reply({"tasks": []}))


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "example"), [(name, one) for name, many in EXAMPLES.items() for one in many])
async def test_nulls_for_what_is_left_out_ask_for_the_same(name: str, example: Body) -> None:
    plain, nulls = network(), network()
    expected = await call(plain, name, example)
    assert await call(nulls, name, complete(TOOLS[name]["inputSchema"], example)) == expected or name in SPENDING
    assert nulls.calls() == plain.calls()
    sent = [[json.loads(r.content) for r in net.requests if r.method == "POST" and r.content] for net in (plain, nulls)]
    assert sent[0] == sent[1]
    assert plain.calls().count("generate") == (name in SPENDING)


def made_up(node: Schema) -> Any:
    """What a model writes that has to fill in a field it has no use for."""
    if "enum" in node:
        return node["enum"][0]
    return {"string": "", "array": [], "integer": node.get("minimum"), "number": 0, "boolean": False}[node["type"]]


@pytest.mark.anyio
@pytest.mark.parametrize("name", SPENDING)
@pytest.mark.parametrize("model", BASIC)
async def test_a_call_with_every_field_made_up_pays_nothing(model: str, name: str) -> None:
    """The agents' conversion requires every field and allows no null."""
    upstream, properties = network(), TOOLS[name]["inputSchema"]["properties"]
    answered = await call(upstream, name, {n: made_up(node) for n, node in properties.items()} | BASIC[model])
    assert answered["errorCode"] == "INVALID_PAYLOAD"
    assert upstream.calls() == []


@pytest.mark.anyio
@pytest.mark.parametrize("name", SPENDING)
@pytest.mark.parametrize(
    "odd",
    [
        {"duration": 2},
        {"duration": 21},
        {"duration": 5.5},
        {"maxCredits": -1},
        {"tea": "green"},
        {"aspectRatio": "2:1"},
    ],
)
async def test_what_a_schema_without_bounds_lets_through_is_refused_before_anything_is_paid(
    name: str, odd: Body
) -> None:
    upstream, asked = network(), BASIC["minimax"] | odd
    assert not Draft202012Validator(TOOLS[name]["inputSchema"]).is_valid(asked)
    assert (await call(upstream, name, asked))["errorCode"] == "INVALID_PAYLOAD"
    assert upstream.calls() == []
