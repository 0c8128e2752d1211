"""Every call of the documented API, its answer and its refusals."""

import httpx
import pytest
from test_sandbox_twin import BODIES, PICTURE, Twin

from aivideo_mcp.contracts import MODELS

pytestmark = pytest.mark.anyio


async def test_the_account_shows_balance_and_models() -> None:
    account = (await Twin(credits=415).get("/api/v1/account")).json()
    assert account["ok"] is True
    assert account["apiVersion"] == "v1"
    assert account["currentBalance"] == 415
    assert account["supportedModels"] == list(MODELS)
    assert account["sandbox"] is True


@pytest.mark.parametrize(
    ("model", "credits_"),
    [
        ("t2v", 15),
        ("i2v", 24),
        ("lv", 150),
        ("t2v_v3", 80),
        ("i2v_v3", 60),
        ("minimax", 30),
        ("seedance20", 110),
        ("wan27", 150),
        ("happyhorse", 75),
    ],
)
async def test_a_quote_names_the_documented_price(model: str, credits_: int) -> None:
    assert (await Twin(credits=100).quote(model)).json() == {
        "model": model,
        "credits": credits_,
        "listPriceUsd": credits_ / 100,
        "usdPerCredit": 0.01,
        "currentBalance": 100,
        "affordable": credits_ <= 100,
        "billable": False,
    }


async def test_defaults_are_priced_when_left_out() -> None:
    assert (await Twin().quote("minimax", {"content": "a cat"})).json()["credits"] == 15


@pytest.mark.parametrize(("seconds", "pixels", "credits_"), [(4, 480, 41), (5, 480, 51), (5, 720, 110)])
async def test_seedance_costs_what_was_seen_upstream(seconds: int, pixels: int, credits_: int) -> None:
    body = BODIES["seedance20"] | {"duration": seconds, "resolution": pixels}
    assert (await Twin().quote("seedance20", body)).json()["credits"] == credits_


async def test_a_quote_charges_nothing_and_makes_no_task() -> None:
    twin = Twin()
    await twin.quote("t2v")
    assert await twin.balance() == 10_000
    assert (await twin.get("/api/v1/tasks")).json() == {"tasks": []}


@pytest.mark.parametrize("model", MODELS)
async def test_a_submission_is_charged_and_named(model: str) -> None:
    twin = Twin()
    answer = (await twin.generate(model)).json()
    production = f"https://aivideomaker.ai/api/v1/tasks/{answer['taskId']}"
    assert answer == {
        "status": "SUBMITTED",
        "taskId": answer["taskId"],
        "creditsCharged": (await twin.quote(model)).json()["credits"],
        "idempotentReplay": False,
        "responseUrl": production,
        "statusUrl": f"{production}/status",
        "cancelUrl": f"{production}/cancel",
    }
    assert await twin.balance() == 10_000 - answer["creditsCharged"]


async def test_a_task_shows_every_documented_field() -> None:
    twin = Twin()
    task_id = await twin.submitted("minimax")
    assert await twin.task(task_id) == {
        "id": task_id,
        "createdAt": "2026-09-21T14:13:20.000Z",
        "model": "minimax",
        "input": BODIES["minimax"] | {"duration": "6"},
        "output": None,
        "status": "SUBMITTED",
        "creditsCharged": 30,
        "creditsRefunded": 0,
        "listValueCents": 30,
        "idempotencyKey": None,
        "completedAt": None,
    }


async def test_a_status_answer_holds_the_status_alone() -> None:
    twin = Twin()
    task_id = await twin.submitted()
    assert (await twin.get(f"/api/v1/tasks/{task_id}/status")).json() == {"status": "SUBMITTED"}


async def test_tasks_are_listed_newest_first() -> None:
    twin = Twin()
    made = [await twin.submitted() for _ in range(3)]
    listed = [task["id"] for task in (await twin.get("/api/v1/tasks")).json()["tasks"]]
    assert listed == made[::-1]


async def test_media_data_comes_back_shortened_and_unknown_fields_do_not_come_back() -> None:
    twin = Twin()
    picture = "data:image/png;base64," + "A" * 1_500_000  # large enough to be read in a thread
    body = BODIES["happyhorse"] | {"image": [picture, PICTURE], "filterMode": "strict"}
    task = await twin.task(await twin.submitted("happyhorse", body))
    assert task["input"]["image"] == ["data:image/png;base64,... (1500022 characters)", PICTURE]
    assert "filterMode" not in task["input"]


async def test_another_keys_task_does_not_exist() -> None:
    twin = Twin()
    task_id = await twin.submitted()
    stranger = twin.client("ak_two")
    for answer in (
        await stranger.get(f"/api/v1/tasks/{task_id}"),
        await stranger.get(f"/api/v1/tasks/{task_id}/status"),
        await stranger.put(f"/api/v1/tasks/{task_id}/cancel"),
    ):
        assert answer.status_code == 404
        assert answer.json() == {"status": "FAILED", "message": "Task not found"}
    assert (await stranger.get("/api/v1/tasks")).json() == {"tasks": []}
    assert (await stranger.get("/api/v1/account")).json()["currentBalance"] == 10_000


@pytest.mark.parametrize("key", [None, "", "wrong", "Bearer ak_one"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/account"),
        ("POST", "/api/v1/quote/t2v"),
        ("POST", "/api/v1/generate/no-such-model"),
        ("GET", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks/x"),
        ("GET", "/api/v1/tasks/x/status"),
        ("DELETE", "/api/v1/tasks/x/cancel"),
        ("GET", "/api/v1/no-such-path"),
    ],
)
async def test_the_key_is_checked_before_everything_else(key: str | None, method: str, path: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Twin().app), base_url="http://sandbox.test") as http:
        answer = await http.request(method, path, headers={} if key is None else {"key": key})
    assert answer.status_code == 401
    assert answer.json()["status"] == "FAILED"
    assert answer.json()["errorCode"] == "AUTH_FAILED"


@pytest.mark.parametrize("key", ["ak_live_1", "sandbox", "sandbox-of-mine"])
async def test_keys_that_look_right_are_taken(key: str) -> None:
    assert (await Twin(key).get("/api/v1/account")).status_code == 200


@pytest.mark.parametrize("call", ["quote", "generate"])
async def test_the_model_is_checked_before_the_body(call: str) -> None:
    answer = await Twin().http.post(f"/api/v1/{call}/sora", content=b"not json")
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "INVALID_MODEL"


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
async def test_cancel_takes_put_alone(method: str) -> None:
    twin = Twin()
    answer = await twin.http.request(method, f"/api/v1/tasks/{await twin.submitted()}/cancel")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "PUT"
    assert answer.json() == {"status": "FAILED", "message": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/tasks/", "/api/v1/tasks/a/b", "/favicon.ico"])
async def test_an_unknown_path_is_404_with_an_envelope(path: str) -> None:
    answer = await Twin().get(path)
    assert answer.status_code == 404
    assert answer.json() == {"status": "FAILED", "message": "Not Found"}


async def test_text_that_is_no_valid_unicode_survives() -> None:
    twin = Twin()
    body = rb'{"prompt": "\ud800 cat", "aspectRatio": "1:1", "duration": "5"}'
    answer = await twin.http.post("/api/v1/generate/t2v", content=body)
    task = await twin.task(answer.json()["taskId"])
    assert task["input"]["prompt"] == "\ud800 cat"


async def test_a_body_of_70_mb_is_taken_and_a_larger_one_refused() -> None:
    twin = Twin()
    frame = b'{"content": "a cat", "imageUrl": "data:image/png;base64,%s"}'
    largest = frame % (b"A" * (70_000_000 - len(frame) + 2))
    assert len(largest) == 70_000_000
    assert (await twin.http.post("/api/v1/quote/minimax", content=largest)).status_code == 200
    refused = await twin.http.post("/api/v1/quote/minimax", content=largest + b" ")
    assert refused.status_code == 413
    assert refused.json()["status"] == "FAILED"
