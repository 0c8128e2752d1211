"""What every tool has in common, and the surface as a reviewed file: a change of the API is a plain diff."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import Client

from aivideo_mcp.app import build_server
from aivideo_mcp.errors import codes
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Status
from aivideo_mcp.tools import TOOLS, Tool
from aivideo_mcp.workflow import open_workflow

SNAPSHOTS = Path(__file__).parent / "snapshots"
BUDGET = 8_800  # bytes of tools/list with all ten tools of the product, output schemas left out
INPUT_WORDS = {
    *("type", "description", "enum", "items", "properties", "required"),
    *("minimum", "maximum", "default", "additionalProperties"),
}


def listed(mode: str = "legacy") -> list[dict[str, Any]]:
    """The answer to tools/list, as a client gets it."""

    async def ask() -> list[dict[str, Any]]:
        async with open_workflow(Settings()) as workflow, Client(build_server(workflow), mode=mode) as client:
            answer = await client.list_tools()
        return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in answer.tools]

    return anyio.run(ask)


LISTED = {tool["name"]: tool for tool in listed()}
every_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


def size(tools: list[dict[str, Any]]) -> int:
    return len(json.dumps({"tools": tools}, separators=(",", ":"), ensure_ascii=False).encode())


def test_the_list_of_tools_stays_small() -> None:
    bare = [{key: value for key, value in tool.items() if key != "outputSchema"} for tool in LISTED.values()]
    assert size(bare) < BUDGET


@every_tool
def test_the_surface_is_the_reviewed_one(tool: Tool) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to accept a change, then review the diff."""
    file = SNAPSHOTS / f"{tool.name}.json"
    current = json.dumps(LISTED[tool.name], indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(current, "utf-8")
    assert file.read_text("utf-8") == current


def test_no_snapshot_is_left_of_a_tool_that_is_gone() -> None:
    assert {file.stem for file in SNAPSHOTS.iterdir()} == LISTED.keys()


def test_both_protocol_eras_list_the_same_tools() -> None:
    assert listed("2026-07-28") == list(LISTED.values())


@every_tool
def test_a_tool_has_a_plain_name_a_title_and_words_worth_reading(tool: Tool) -> None:
    assert re.fullmatch(r"[a-z_]{1,40}", tool.name)
    assert LISTED[tool.name]["title"] == tool.title
    assert 100 < len(tool.description) < 400
    assert tool.description == tool.description.strip()
    shouted = set(re.findall(r"\b[A-Z_]{4,}\b", tool.description))
    assert shouted <= set(Status) | set(codes()), "capital letters are for the API's own words"
    others = {other.name for other in TOOLS} - {tool.name}
    assert tool.name in ("cancel_task", "list_models", "get_task") or any(name in tool.description for name in others)


@every_tool
def test_a_tool_states_all_four_annotations_honestly(tool: Tool) -> None:
    hints = LISTED[tool.name]["annotations"]
    assert hints.keys() == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
    reads = ("get_status", "get_task", "list_models", "list_tasks", "get_account", "quote_generation")
    assert hints["readOnlyHint"] is (tool.name in reads)
    assert hints["destructiveHint"] is (tool.name == "cancel_task")
    assert hints["idempotentHint"] is (tool.name not in ("create_generation", "generate_video"))
    assert hints["openWorldHint"] is True


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for word, value in schema.items():
            yield from (
                (node for inner in value.values() for node in nodes(inner)) if word == "properties" else nodes(value)
            )


@every_tool
def test_input_schemas_are_flat_and_in_words_that_every_client_takes(tool: Tool) -> None:
    schema = LISTED[tool.name]["inputSchema"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    for node in nodes(schema):
        assert node.keys() <= INPUT_WORDS
        assert isinstance(node.get("type"), str)
        assert node["type"] != "array" or "items" in node
    jsonschema.Draft202012Validator.check_schema(schema)


@every_tool
def test_output_schemas_are_typed_objects_without_references(tool: Tool) -> None:
    schema = LISTED[tool.name]["outputSchema"]
    assert schema["type"] == "object"
    assert len(schema["properties"]) == len(schema["required"]) == 8
    assert "$ref" not in json.dumps(schema)
    data = schema["properties"]["data"]["anyOf"][0]
    assert data["type"] == "object"
    assert data["properties"]
    jsonschema.Draft202012Validator.check_schema(schema)


def test_fields_are_described_once() -> None:
    described = [
        tool
        for tool in ("generate_video", "create_generation")
        if "description" in LISTED[tool]["inputSchema"]["properties"]["prompt"]
    ]
    assert described == ["generate_video"]
