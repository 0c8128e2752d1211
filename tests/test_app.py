"""The tools as a client sees them, on both protocol eras, over a fake network."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import anyio
import httpx
import jsonschema
import pytest
from mcp import Client

from aivideo_mcp import tools
from aivideo_mcp.errors import codes
from tests.fakes import SUBMITTED, T2V, FakeNetwork, page, reply, task
from tests.pictures import data_uri, png_of_size
from tests.sessions import session

pytestmark = pytest.mark.anyio

RUNNING, DONE = reply({"status": "PROGRESS"}), reply({"status": "COMPLETED"})


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def call(client: Client, name: str, arguments: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    """The envelope of one call, checked against the contract that every tool keeps."""
    result = await client.call_tool(name, arguments or {}, **other)
    envelope = result.structured_content
    assert list(envelope) == [
        "ok",
        "status",
        "taskId",
        "data",
        "errorCode",
        "errorMessage",
        "retryAfter",
        "nextSteps",
    ]
    assert result.is_error is not envelope["ok"]
    assert envelope["ok"] == (envelope["errorCode"] is None)
    assert envelope["errorCode"] is None or envelope["errorCode"] in codes()
    assert envelope["nextSteps"]
    assert len(result.content) == 1
    schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
    jsonschema.validate(envelope, schemas[name])
    return envelope


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_generate_video_ends_with_the_task_and_its_file(mode: str) -> None:
    network = FakeNetwork(generate=reply(SUBMITTED), status=[RUNNING, DONE], task=reply(task("COMPLETED")))
    progress: list[tuple[float, float | None, str]] = []

    async def listen(done: float, total: float | None, message: str) -> None:
        progress.append((done, total, message))

    async with session(network, mode) as client:
        envelope = await call(client, "generate_video", T2V, progress_callback=listen)
    assert (envelope["ok"], envelope["status"], envelope["taskId"]) == (True, "COMPLETED", "ck1")
    assert envelope["data"] == {
        "id": "ck1",
        "model": "t2v",
        "status": "COMPLETED",
        "videoUrl": "https://files.example.test/ck1.mp4",
        "expiresAt": "2026-11-24T10:05:00Z",
        "creditsCharged": 15,
        "creditsRefunded": 0,
        "createdAt": "2026-11-23T10:00:00Z",
        "completedAt": "2026-11-23T10:05:00Z",
        "file": None,
        "output": {"url": "https://files.example.test/ck1.mp4", "msg": None, "error": None},
    }
    assert "ck1" in progress[0][2]
    assert all(total is None for _, total, _ in progress)
    assert all(before[0] < after[0] for before, after in itertools.pairwise(progress))


async def test_a_failed_generation_tells_the_reason_and_what_to_do() -> None:
    failed = task("FAILED", output={"error": "no face found"}, creditsRefunded=15)
    network = FakeNetwork(generate=reply(SUBMITTED), status=reply({"status": "FAILED"}), task=reply(failed))
    async with session(network) as client:
        envelope = await call(client, "generate_video", T2V)
    assert (envelope["status"], envelope["errorCode"]) == ("FAILED", "GENERATION_FAILED")
    assert 'the upstream says: "no face found"' in envelope["errorMessage"]
    assert (envelope["data"]["creditsRefunded"], envelope["data"]["output"]["error"]) == (15, "no face found")


async def test_a_failure_that_a_repeated_key_answers_with_says_that_nothing_was_charged_and_what_helps() -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED), status=reply({"status": "FAILED"}), task=reply(task("FAILED")), tasks=reply([])
    )
    async with session(network) as client:
        first, again = [await call(client, "generate_video", {**T2V, "idempotencyKey": "key-12345"}) for _ in range(2)]
    assert network.calls().count("generate") == 1
    assert [step for step in again["nextSteps"] if step not in first["nextSteps"]] == again["nextSteps"][:1]
    assert "nothing was charged now" in again["nextSteps"][0]
    assert any("new idempotencyKey" in step for step in again["nextSteps"])


async def test_a_generation_that_was_cancelled_elsewhere_says_so() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED), status=reply({"status": "CANCEL"}), task=reply(task("CANCEL")))
    async with session(network) as client:
        envelope = await call(client, "generate_video", T2V)
    assert (envelope["ok"], envelope["status"], envelope["errorCode"]) == (False, "CANCEL", "TASK_CANCELLED")


async def test_without_a_progress_token_the_wait_ends_before_clients_give_up() -> None:
    async with session(FakeNetwork(generate=reply(SUBMITTED), status=RUNNING)) as client:
        started = anyio.current_time()
        envelope = await call(client, "generate_video", T2V)
        assert anyio.current_time() - started < 50
    assert (envelope["ok"], envelope["status"], envelope["taskId"]) == (True, "PROGRESS", "ck1")
    assert 'taskId "ck1"' in envelope["nextSteps"][0]


async def test_generate_video_with_only_a_task_id_goes_on_waiting() -> None:
    network = FakeNetwork(task=[reply(task("PROGRESS")), reply(task("COMPLETED"))], status=[RUNNING, DONE])
    async with session(network) as client:
        envelope = await call(client, "generate_video", {"taskId": "ck1", "maxWaitSeconds": "600"})
    assert envelope["status"] == "COMPLETED"
    assert "generate" not in network.calls()


async def test_an_unknown_state_is_reported_as_unknown_with_the_word_in_data() -> None:
    async with session(FakeNetwork(status=reply({"status": "RENDERING"}))) as client:
        envelope = await call(client, "get_status", {"taskId": "ck1"})
    assert (envelope["ok"], envelope["status"], envelope["data"]["status"]) == (True, "UNKNOWN", "RENDERING")
    assert "RENDERING" in envelope["nextSteps"][0]


async def test_a_finished_task_without_a_file_is_no_success() -> None:
    done = reply(task("COMPLETED", output={}))
    async with session(FakeNetwork(generate=reply(SUBMITTED), status=DONE, task=done)) as client:
        envelope = await call(client, "generate_video", T2V)
    assert (envelope["ok"], envelope["status"], envelope["errorCode"]) == (False, "COMPLETED", "UNKNOWN_ERROR")
    assert envelope["taskId"] == "ck1"


async def test_a_video_that_could_not_be_saved_is_still_a_success(tmp_path: Any) -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED), status=DONE, task=reply(task("COMPLETED")), file=httpx.Response(503)
    )
    async with session(network, output_dir=tmp_path) as client:
        envelope = await call(client, "generate_video", T2V)
    assert envelope["ok"]
    assert envelope["data"]["videoUrl"]
    assert "could not be saved" in envelope["nextSteps"][0]


async def test_create_generation_returns_at_once_with_the_id_and_the_key() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED))
    async with session(network) as client:
        envelope = await call(client, "create_generation", {**T2V, "idempotencyKey": "mine-12345"})
    assert (envelope["status"], envelope["taskId"]) == ("SUBMITTED", "ck1")
    assert envelope["data"]["idempotencyKey"] == "mine-12345"
    assert network.calls() == ["generate"]


@pytest.mark.parametrize("state", ["SUBMITTED", "PROGRESS", "COMPLETED", "FAILED", "CANCEL"])
async def test_get_status_and_get_task_answer_the_question_whatever_the_state(state: str) -> None:
    network = FakeNetwork(status=reply({"status": state}), task=reply(task(state)))
    async with session(network) as client:
        for name in ("get_status", "get_task"):
            envelope = await call(client, name, {"taskId": "ck1"})
            assert (envelope["ok"], envelope["status"], envelope["taskId"]) == (True, state, "ck1")


async def test_cancel_task_cancels_and_tells_of_the_refund() -> None:
    async with session(FakeNetwork(cancel=reply({"status": "CANCEL", "taskId": "ck1"}))) as client:
        envelope = await call(client, "cancel_task", {"taskId": "ck1"})
    assert (envelope["ok"], envelope["status"]) == (True, "CANCEL")
    assert "refunded" in envelope["nextSteps"][0]


async def test_list_models_tells_fields_prices_and_what_is_served() -> None:
    network = FakeNetwork(account=reply({"ok": True, "supportedModels": ["t2v"]}))
    async with session(network) as client:
        every = await call(client, "list_models")
        one = await call(client, "list_models", {"model": "lv"})
        text = (await client.call_tool("list_models", {"model": "lv"})).content[0].text
    assert len(every["data"]["models"]) == 9
    (model,) = one["data"]["models"]
    assert (model["model"], model["served"], model["price"]) == ("lv", False, "75 credits per prompt (5 s each)")
    assert "NOT SERVED" in text
    assert "prompts!: array, 1 to 6 entries" in text
    assert network.calls() == ["account"]


async def test_list_models_works_without_a_key() -> None:
    async with session(FakeNetwork(), api_key=None) as client:
        envelope = await call(client, "list_models")
    assert {model["served"] for model in envelope["data"]["models"]} == {None}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"status": "FAILED", "errorCode": "AUTH_FAILED"}, 401, "AUTH_FAILED"),
        ({"status": "FAILED", "message": "Insufficient credits"}, 402, "INSUFFICIENT_CREDITS"),
        ({"status": "FAILED", "message": "unsafe"}, 422, "CONTENT_REJECTED"),
        ({"status": "FAILED", "errorCode": "BUDGET_EXCEEDED"}, 422, "BUDGET_EXCEEDED"),
        ({"status": "FAILED", "errorCode": "IDEMPOTENCY_CONFLICT"}, 409, "IDEMPOTENCY_CONFLICT"),
        ({"status": "FAILED", "errorCode": "RATE_LIMITED"}, 429, "RATE_LIMITED"),
        ({"status": "FAILED"}, 200, "UNKNOWN_ERROR"),
        ({}, 500, "SUBMISSION_UNCERTAIN"),
    ],
)
async def test_each_refusal_of_a_create_has_its_code_and_a_step(body: object, status: int, code: str) -> None:
    network = FakeNetwork(generate=reply(body, status), tasks=reply({"tasks": []}))
    async with session(network) as client:
        for name in ("create_generation", "generate_video"):
            envelope = await call(client, name, T2V)
            assert (envelope["ok"], envelope["errorCode"], envelope["data"]) == (False, code, None)
            assert (envelope["retryAfter"] is not None) == (code in ("RATE_LIMITED", "SUBMISSION_UNCERTAIN"))


@pytest.mark.parametrize("name", ["get_status", "get_task", "cancel_task"])
async def test_a_foreign_task_is_not_found_with_a_step(name: str) -> None:
    missing = reply({"status": "FAILED", "message": "no such task"}, 404)
    async with session(FakeNetwork(status=missing, task=missing, cancel=missing)) as client:
        envelope = await call(client, name, {"taskId": "ck_foreign"})
    assert envelope["errorCode"] == "TASK_NOT_FOUND"
    assert "API key" in envelope["nextSteps"][1]


async def test_without_a_key_every_tool_that_needs_it_says_how_to_set_it() -> None:
    network = FakeNetwork()
    async with session(network, api_key=None) as client:
        for name, arguments in (
            ("generate_video", T2V),
            ("create_generation", T2V),
            ("get_status", {"taskId": "ck1"}),
            ("get_task", {"taskId": "ck1"}),
            ("cancel_task", {"taskId": "ck1"}),
        ):
            envelope = await call(client, name, arguments)
            assert envelope["errorCode"] == "AUTH_FAILED"
            assert "AIVIDEO_API_KEY" in envelope["nextSteps"][0]
    assert network.requests == []


LONG = "x" * 10_000
PICTURE = data_uri("png", png_of_size(200))
I2V = {"model": "i2v", "duration": 5}
MINIMAX = {"model": "minimax", "prompt": "a cat"}
BAD: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "no model": ({"prompt": "x"}, "INVALID_MODEL", ("model", "t2v", "happyhorse")),
    "unknown model": ({**T2V, "model": "sora"}, "INVALID_MODEL", ("sora", "t2v", "happyhorse")),
    "unknown field": ({**T2V, "seed": 1}, "INVALID_PAYLOAD", ("seed", "aspectRatio")),
    "missing field": ({"model": "t2v", "prompt": "x"}, "INVALID_PAYLOAD", ("duration", "5, 8", "aspectRatio")),
    "empty prompt": ({**T2V, "prompt": "  "}, "INVALID_PAYLOAD", ("prompt",)),
    "wrong ratio": ({**T2V, "aspectRatio": "4:3"}, "INVALID_PAYLOAD", ("aspectRatio", "16:9, 9:16, 1:1")),
    "wrong duration": ({**T2V, "duration": 7}, "INVALID_PAYLOAD", ("duration", "7", "5, 8")),
    "frames and references": (
        {**MINIMAX, "image": "https://x.test/a.png", "referenceImages": ["https://x.test/b.png"]},
        "INVALID_PAYLOAD",
        ("image", "referenceImages"),
    ),
    "audio alone": (
        {
            "model": "seedance20",
            "referenceAudio": ["https://x.test/a.mp3"],
            "duration": 4,
            "resolution": "480p",
            "aspectRatio": "1:1",
        },
        "INVALID_PAYLOAD",
        ("prompt", "image", "referenceVideo"),
    ),
    "seven prompts": (
        {"model": "lv", "image": "https://x.test/a.png", "prompts": ["x"] * 7},
        "INVALID_PAYLOAD",
        ("prompts", "1 to 6"),
    ),
    "no base64": ({**I2V, "image": "data:image/png;base64,%%%" + LONG}, "INVALID_PAYLOAD", ("image", "base64")),
    "no image": (
        {**I2V, "image": "data:image/png;base64," + base64.b64encode(LONG.encode()).decode()},
        "INVALID_PAYLOAD",
        ("image", "image/png"),
    ),
    "mislabelled": (
        {**I2V, "image": PICTURE.replace("image/png", "image/jpeg")},
        "INVALID_PAYLOAD",
        ("image", "image/jpeg", "image/png"),
    ),
    "image/jpg": ({**I2V, "image": PICTURE.replace("image/png", "image/jpg")}, "INVALID_PAYLOAD", ("image/jpeg",)),
    "over 10 MB": (
        {**I2V, "image": data_uri("png", png_of_size(10 * 1024 * 1024 + 1))},
        "INVALID_PAYLOAD",
        ("image", "10,485,761", "10 MB"),
    ),
    "local path": ({**I2V, "image": "/home/me/cat.png"}, "INVALID_PAYLOAD", ("image", "URL")),
    "payload no JSON": ({"model": "t2v", "payload": "{prompt: cat"}, "INVALID_PAYLOAD", ("payload", "JSON")),
    "negative cap": ({**T2V, "maxCredits": -1}, "INVALID_PAYLOAD", ("maxCredits", "0")),
    "half a credit": ({**T2V, "maxCredits": 1.5}, "INVALID_PAYLOAD", ("maxCredits",)),
    "short key": ({**T2V, "idempotencyKey": "short"}, "INVALID_PAYLOAD", ("idempotencyKey", "8 to 128")),
    "key of spaces": ({**T2V, "idempotencyKey": " " * 8}, "INVALID_PAYLOAD", ("no space at either end",)),
    "key that begins with a space": ({**T2V, "idempotencyKey": " key-12345"}, "INVALID_PAYLOAD", ("idempotencyKey",)),
    "key that ends with a space": ({**T2V, "idempotencyKey": "key-12345 "}, "INVALID_PAYLOAD", ("idempotencyKey",)),
    "key with a line break": ({**T2V, "idempotencyKey": "12345678\r\nx: y"}, "INVALID_PAYLOAD", ("idempotencyKey",)),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_one_clear_error_and_nothing_is_sent(case: str) -> None:
    arguments, code, named = BAD[case]
    network = FakeNetwork()
    async with session(network) as client:
        for name in ("create_generation", "generate_video"):
            envelope = await call(client, name, arguments)
            assert (envelope["ok"], envelope["errorCode"]) == (False, code)
            assert all(word in envelope["errorMessage"] for word in named), envelope["errorMessage"]
            assert len(envelope["errorMessage"]) < 500
            assert "xxxx" not in json.dumps(envelope)
    assert network.requests == []


@pytest.mark.parametrize("wait", [-1, 1201, "soon", True, [], "1e999"])
async def test_a_wait_beyond_the_maximum_is_refused_before_anything_is_created(wait: object) -> None:
    network = FakeNetwork()
    async with session(network) as client:
        envelope = await call(client, "generate_video", {**T2V, "maxWaitSeconds": wait})
    assert envelope["errorCode"] == "INVALID_PAYLOAD"
    assert "0 to 1200" in envelope["errorMessage"]
    assert network.requests == []


@pytest.mark.parametrize("task_id", [None, "", "a/b", "..", "a b", "a" * 10_000, 5, ["ck1"], "a?b", "%2e%2e", "ü"])
@pytest.mark.parametrize("name", ["get_status", "get_task", "cancel_task"])
async def test_what_cannot_be_a_task_id_is_refused_here(name: str, task_id: object) -> None:
    network = FakeNetwork()
    async with session(network) as client:
        envelope = await call(client, name, {"taskId": task_id})
    assert envelope["errorCode"] == "INVALID_PAYLOAD"
    assert "taskId" in envelope["errorMessage"]
    assert network.requests == []


async def test_unknown_arguments_are_an_error_that_names_the_allowed_ones() -> None:
    network = FakeNetwork()
    async with session(network) as client:
        for name, arguments, allowed in (
            ("get_task", {"taskId": "ck1", "verbose": True}, "taskId"),
            ("list_models", {"modle": "t2v"}, "model"),
            ("create_generation", {**T2V, "taskId": "ck1"}, "prompt, aspectRatio, duration"),
            ("create_generation", {**T2V, "maxWaitSeconds": 5}, "prompt, aspectRatio, duration"),
            ("generate_video", {**T2V, "taskId": "ck1"}, "taskId stands alone"),
            ("generate_video", {"taskId": "ck1", "maxCredits": 5}, "taskId stands alone"),
        ):
            envelope = await call(client, name, arguments)
            assert envelope["errorCode"] == "INVALID_PAYLOAD"
            assert allowed in envelope["errorMessage"]
    assert network.requests == []


async def test_the_skills_model_and_payload_are_taken() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED))
    async with session(network) as client:
        for payload in (
            {"prompt": "x", "aspectRatio": "1:1", "duration": "8"},
            '{"prompt":"x","aspectRatio":"1:1","duration":"8"}',
        ):
            assert (await call(client, "create_generation", {"model": "t2v", "payload": payload}))["ok"]
    assert {request.content for request in network.requests} == {
        b'{"prompt": "x", "aspectRatio": "1:1", "duration": "8"}'
    }


async def test_a_mistake_of_ours_is_an_envelope_that_tells_nothing_of_its_inside(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with session(FakeNetwork(status=RUNNING)) as client:
        monkeypatch.setattr(tools.handlers, "check_task_id", None)
        envelope = await call(client, "get_status", {"taskId": "ck1"})
    assert envelope["errorCode"] == "UNKNOWN_ERROR"
    assert "NoneType" not in json.dumps(envelope)
    assert "NoneType" in caplog.text


async def test_a_client_that_went_away_does_not_break_the_wait() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED), status=RUNNING)
    async with session(network) as client:
        with anyio.move_on_after(30):
            await client.call_tool("generate_video", T2V)
        asked = len(network.requests)
        await anyio.sleep(200)
        assert len(network.requests) == asked
    assert "cancel" not in network.calls()


async def test_the_text_form_says_the_same_in_words() -> None:
    network = FakeNetwork(task=reply(task("COMPLETED")), generate=page(status=502), tasks=reply({"tasks": []}))
    async with session(network) as client:
        done = (await client.call_tool("get_task", {"taskId": "ck1"})).content[0].text
        lost = (await client.call_tool("create_generation", T2V)).content[0].text
    assert done.startswith("COMPLETED (task ck1)\nmodel: t2v\nvideoUrl: https://files.example.test/ck1.mp4")
    assert lost.startswith("SUBMISSION_UNCERTAIN: The create was sent")
    assert "Next: " in lost


async def test_the_server_says_who_it_is_and_how_to_work_with_it() -> None:
    async with session(FakeNetwork()) as client:
        assert client.server_info.name == "aivideo-mcp"
        assert "joins and pays nothing" in str(client.instructions)
