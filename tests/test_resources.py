"""What can be read, as a client reads it, in both eras of the protocol."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from jsonschema import Draft202012Validator
from mcp import Client, MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from test_contracts import BASIC

from aivideo_mcp import tools
from aivideo_mcp.app import build_server
from aivideo_mcp.contracts import MODELS
from aivideo_mcp.schemas import exact_schema
from tests.fakes import BASE, KEY, FakeNetwork, page, reply, task
from tests.sessions import both_eras, session

pytestmark = pytest.mark.anyio
SERVED = reply({"ok": True, "supportedModels": ["t2v", "minimax"]})


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def read(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    assert (content.uri, content.mime_type) == (uri, "application/json")
    return json.loads(content.text)


async def refused(client: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    return caught.value


@both_eras
async def test_what_can_be_read_is_listed_with_words_and_types(mode: str) -> None:
    async with session(FakeNetwork(), mode) as client:
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        assert client.server_capabilities.resources
        assert client.server_capabilities.resources.subscribe
    assert [str(resource.uri) for resource in resources] == ["aivideo://models"]
    assert [template.uri_template for template in templates] == [
        "aivideo://models/{model}",
        "aivideo://tasks/{taskId}",
        "aivideo://videos/{taskId}",
    ]
    for told in (*resources, *templates):
        assert told.mime_type == ("video/mp4" if told.name == "video" else "application/json")
        assert told.title
        assert 50 < len(str(told.description)) < 120


@both_eras
async def test_the_models_are_told_a_line_each_as_list_models_tells_them(mode: str) -> None:
    network = FakeNetwork(account=SERVED)
    async with session(network, mode) as client:
        (content,) = (await client.read_resource("aivideo://models")).contents
        listed = (await client.call_tool("list_models", {})).structured_content["data"]["models"]
    told = json.loads(content.text)["models"]
    assert [row["model"] for row in told] == list(MODELS)
    for row, model in zip(told, listed, strict=True):
        assert row == {name: model[name] for name in ("model", "summary", "price", "usualMinutes", "served")} | {
            "schema": f"aivideo://models/{model['model']}"
        }
    assert {row["model"] for row in told if row["served"]} == {"t2v", "minimax"}
    assert len(content.text.splitlines()) == len(MODELS) + 2
    assert network.calls() == ["account"]


async def test_the_models_can_be_read_without_a_key() -> None:
    async with session(FakeNetwork(), api_key=None) as client:
        assert {row["served"] for row in (await read(client, "aivideo://models"))["models"]} == {None}
        assert (await read(client, "aivideo://models/lv"))["price"] == "75 credits per prompt (5 s each)"


@both_eras
async def test_each_model_s_page_is_its_price_its_time_and_its_exact_schema(mode: str) -> None:
    async with session(FakeNetwork(account=SERVED), mode) as client:
        rows = (await read(client, "aivideo://models"))["models"]
        for row in rows:
            told = await read(client, row["schema"])
            assert {name: value for name, value in told.items() if name != "schema"} == {
                name: value for name, value in row.items() if name != "schema"
            }
            assert told["schema"] == exact_schema(MODELS[row["model"]])
            Draft202012Validator(told["schema"]).validate(BASIC[row["model"]])


@both_eras
async def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(mode: str) -> None:
    async with session(FakeNetwork(), mode) as client:
        for name in ("sora", "", "T2V", "t2v%20"):
            fault = await refused(client, f"aivideo://models/{name}")
            assert fault.error.code == INVALID_PARAMS
            assert "happyhorse" in fault.error.message


@both_eras
async def test_a_task_is_read_as_get_task_answers_it(mode: str) -> None:
    network = FakeNetwork(task=reply(task("COMPLETED")))
    async with session(network, mode) as client:
        told = await read(client, "aivideo://tasks/ck1")
        answered = (await client.call_tool("get_task", {"taskId": "ck1"})).structured_content
    assert told == answered["data"]
    assert told["videoUrl"] == "https://files.example.test/ck1.mp4"


@both_eras
async def test_a_task_is_fetched_anew_on_each_read(mode: str) -> None:
    network = FakeNetwork(task=[reply(task("PROGRESS")), reply(task("FAILED", output={"error": "no face"}))])
    async with session(network, mode) as client:
        states = [(await read(client, "aivideo://tasks/ck1"))["status"] for _ in range(2)]
    assert states == ["PROGRESS", "FAILED"]


@both_eras
@pytest.mark.parametrize("task_id", ["ck_foreign", "tv:1;2", "%61bc"])
async def test_an_unknown_task_is_a_resource_that_is_not_found(mode: str, task_id: str) -> None:
    network = FakeNetwork(task=reply({"status": "FAILED", "message": "no such task"}, 404))
    uri = f"aivideo://tasks/{task_id}"
    async with session(network, mode) as client:
        fault = (await refused(client, uri)).error
    assert fault.code == INVALID_PARAMS
    assert fault.message.startswith("TASK_NOT_FOUND: ")
    assert (fault.data["uri"], fault.data["errorCode"]) == (uri.replace("%61", "a"), "TASK_NOT_FOUND")
    assert "API key" in fault.data["nextSteps"][1]


@both_eras
@pytest.mark.parametrize(
    "wrong", ["", "a%2Fb", "..", "a%20b", "a" * 201, "%00", "a%3Fb", "%C3%BC", "a,b", "a/b", "a?x=1"]
)
async def test_what_cannot_be_a_task_id_is_refused_here(mode: str, wrong: str) -> None:
    network = FakeNetwork()
    async with session(network, mode) as client:
        fault = (await refused(client, f"aivideo://tasks/{wrong}")).error
    assert fault.code == INVALID_PARAMS
    assert len(fault.message) < 400
    assert network.requests == []


@both_eras
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply({"status": "FAILED", "errorCode": "AUTH_FAILED", "message": f"bad key {KEY}"}, 401), "AUTH_FAILED"),
        (reply({"status": "FAILED", "errorCode": "RATE_LIMITED"}, 429, retry_after="7"), "RATE_LIMITED"),
        (httpx.ConnectError("connection refused"), "NETWORK_ERROR"),
        (page(f"<html>{KEY}</html>"), "UNKNOWN_ERROR"),
        (RuntimeError(f"inside {KEY}"), "UNKNOWN_ERROR"),
    ],
)
async def test_a_read_that_fails_says_why_without_the_key_or_the_inside(
    mode: str, answer: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with session(FakeNetwork(task=answer), mode, max_retries=0) as client:
        fault = (await refused(client, "aivideo://tasks/ck1")).error
    assert (fault.code, fault.data["errorCode"]) == (INTERNAL_ERROR, code)
    assert fault.data["nextSteps"]
    assert (fault.data["retryAfter"] is not None) == (code == "RATE_LIMITED")
    assert KEY not in str(fault)
    assert not {"inside", "Traceback"} & set(str(fault).split())


@both_eras
async def test_a_mistake_of_ours_tells_nothing_of_its_inside(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with session(FakeNetwork(task=reply(task("PROGRESS"))), mode) as client:
        monkeypatch.setattr(tools.handlers, "check_task_id", None)
        monkeypatch.setattr("aivideo_mcp.offers.resources.exact_schema", None)
        for uri in ("aivideo://tasks/ck1", "aivideo://models/t2v"):
            fault = (await refused(client, uri)).error
            assert fault.code == INTERNAL_ERROR
            assert "This server made a mistake" in fault.message
            assert "NoneType" not in str(fault)


async def test_reading_a_task_does_not_hand_over_what_a_generation_was_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host may read in the background: the next same call must still join what nobody has seen."""
    noted: list[str] = []
    network = FakeNetwork(task=reply(task("COMPLETED")))
    async with network.workflow() as workflow, Client(build_server(workflow), mode="legacy") as client:
        monkeypatch.setattr(workflow, "note_delivery", noted.append)
        await client.read_resource("aivideo://tasks/ck1")
        assert noted == []
        await client.call_tool("get_task", {"taskId": "ck1"})
        assert noted == ["ck1"]


async def test_the_key_goes_to_the_upstream_alone() -> None:
    network = FakeNetwork(task=reply(task("PROGRESS")))
    async with session(network) as client:
        await client.read_resource("aivideo://tasks/ck1")
    assert {f"{request.url.scheme}://{request.url.host}" for request in network.requests} == {BASE}


@both_eras
async def test_the_server_has_one_small_icon_and_the_tools_have_none(mode: str) -> None:
    async with session(FakeNetwork(), mode) as client:
        (icon,) = client.server_info.icons
        assert not any(tool.icons for tool in (await client.list_tools()).tools)
    assert len(icon.src) < 600
    kind, _, content = icon.src.partition(";base64,")
    assert (kind, icon.mime_type) == ("data:image/svg+xml", "image/svg+xml")
    assert ET.fromstring(base64.b64decode(content)).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours
