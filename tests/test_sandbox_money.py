"""Credits: charged once, refunded in full, guarded by budget, balance and idempotency key."""

from typing import Any

import pytest
from test_sandbox_twin import BODIES, Twin

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "intent-0001"}


async def test_a_balance_too_low_is_refused_with_both_figures() -> None:
    twin = Twin(credits=5)
    answer = await twin.generate()
    assert answer.status_code == 402
    assert answer.json() == {
        "status": "FAILED",
        "errorCode": "INSUFFICIENT_CREDITS",
        "message": "Current balance 5 is below required 15",
    }
    assert (await twin.ledger())["tasks"] == 0


async def test_the_last_credit_can_be_spent() -> None:
    twin = Twin(credits=15)
    await twin.submitted()
    assert await twin.balance() == 0


@pytest.mark.parametrize(("maximum", "status"), [("14", 422), ("15", 200), ("0", 422)])
async def test_a_price_above_the_approved_maximum_is_refused_before_billing(maximum: str, status: int) -> None:
    twin = Twin()
    answer = await twin.generate(headers={"X-Max-Credits": maximum})
    assert answer.status_code == status
    assert (await twin.ledger())["charges"] == (status == 200)
    if status == 422:
        assert answer.json()["errorCode"] == "BUDGET_EXCEEDED"


@pytest.mark.parametrize("maximum", ["-1", "1.5", "many", "", "9" * 30])
async def test_a_malformed_maximum_is_an_invalid_payload(maximum: str) -> None:
    answer = await Twin().generate(headers={"X-Max-Credits": maximum})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "INVALID_PAYLOAD")


async def test_rejected_content_costs_nothing_and_has_no_error_code() -> None:
    twin = Twin()
    body = BODIES["lv"] | {"prompt": ["fine", "some Forbidden-Content here"]}
    assert (await twin.quote("lv", body)).status_code == 200
    answer = await twin.generate("lv", body)
    assert answer.status_code == 422
    assert answer.json() == {"status": "FAILED", "message": "Content rejected by moderation"}
    assert await twin.balance() == 10_000


async def test_a_failed_task_gives_its_reason_and_its_credits_back() -> None:
    twin = Twin()
    task_id = await twin.submitted("t2v", BODIES["t2v"] | {"prompt": "fail-please"})
    assert await twin.balance() == 9_985
    twin.wait_sandbox_minutes(10)
    task = await twin.task(task_id)
    assert task["status"] == "FAILED"
    assert task["output"]["error"]
    assert "url" not in task["output"]
    assert task["creditsRefunded"] == task["creditsCharged"] == 15
    assert task["listValueCents"] == 0
    assert task["completedAt"] is not None
    assert await twin.balance() == 10_000


async def test_a_cancelled_task_gives_its_credits_back() -> None:
    twin = Twin()
    task_id = await twin.submitted()
    answer = await twin.http.put(f"/api/v1/tasks/{task_id}/cancel")
    assert answer.json() == {"status": "CANCEL", "taskId": task_id}
    task = await twin.task(task_id)
    assert (task["status"], task["creditsRefunded"], task["output"]) == ("CANCEL", 15, None)
    assert await twin.balance() == 10_000


async def test_a_replay_names_the_original_and_charges_nothing() -> None:
    twin = Twin()
    first = (await twin.generate("minimax", headers=KEY)).json()
    reordered = dict(reversed(BODIES["minimax"].items()))
    again = (await twin.generate("minimax", reordered, headers=KEY)).json()
    assert again == first | {"idempotentReplay": True}
    assert (await twin.ledger())["charges"] == 1
    assert (await twin.task(first["taskId"]))["idempotencyKey"] == "intent-0001"


async def test_a_replay_needs_no_credits_and_no_budget() -> None:
    twin = Twin(credits=15)
    first = (await twin.generate(headers=KEY)).json()
    again = await twin.generate(headers=KEY | {"X-Max-Credits": "1"})
    assert again.json()["taskId"] == first["taskId"]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("t2v", BODIES["t2v"] | {"duration": "8"}),
        ("t2v_v3", BODIES["t2v"]),
        ("t2v", BODIES["t2v"] | {"unknown": 1}),
    ],
)
async def test_a_key_reused_with_other_data_is_a_conflict(model: str, body: dict[str, Any]) -> None:
    twin = Twin()
    await twin.generate("t2v", BODIES["t2v"], headers=KEY)
    answer = await twin.generate(model, body, headers=KEY)
    assert (answer.status_code, answer.json()["errorCode"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert (await twin.ledger())["charges"] == 1


@pytest.mark.parametrize("size", [40, 40_000])
async def test_pictures_that_look_alike_when_shortened_are_other_data(size: int) -> None:
    twin = Twin()
    body = {"content": "a cat", "imageUrl": "data:image/png;base64," + "A" * size}
    await twin.generate("minimax", body, headers=KEY)
    assert (await twin.generate("minimax", body, headers=KEY)).json()["idempotentReplay"] is True
    other = await twin.generate("minimax", body | {"imageUrl": body["imageUrl"][:-1] + "B"}, headers=KEY)
    assert other.status_code == 409


async def test_two_accounts_may_use_the_same_idempotency_key() -> None:
    twin = Twin()
    await twin.generate(headers=KEY)
    answer = await twin.client("ak_two").post("/api/v1/generate/t2v", json=BODIES["t2v"], headers=KEY)
    assert answer.json()["idempotentReplay"] is False


@pytest.mark.parametrize(("length", "status"), [(0, 400), (7, 400), (8, 200), (128, 200), (129, 400)])
async def test_an_idempotency_key_has_8_to_128_characters(length: int, status: int) -> None:
    answer = await Twin().generate(headers={"Idempotency-Key": "k" * length})
    assert answer.status_code == status


async def test_where_only_minimax_honours_the_key_other_models_ignore_it() -> None:
    twin = Twin(idempotency="minimax")
    first, second = (await twin.generate(headers=KEY)).json(), (await twin.generate(headers=KEY)).json()
    assert first["taskId"] != second["taskId"]
    assert (await twin.task(first["taskId"]))["idempotencyKey"] is None
    assert (await twin.generate(headers={"Idempotency-Key": "short"})).status_code == 200


async def test_where_only_minimax_honours_the_key_minimax_does() -> None:
    twin = Twin(idempotency="minimax")
    first = (await twin.generate("minimax", headers=KEY)).json()
    assert (await twin.generate("minimax", headers=KEY)).json()["taskId"] == first["taskId"]


async def test_the_ledger_adds_up_over_all_keys() -> None:
    twin = Twin()
    cancelled = await twin.submitted()
    await twin.http.put(f"/api/v1/tasks/{cancelled}/cancel")
    await twin.client("ak_two").post("/api/v1/generate/lv", json=BODIES["lv"])
    await twin.status(cancelled)
    assert await twin.ledger() == {
        "charges": 2,
        "creditsCharged": 165,
        "creditsRefunded": 15,
        "tasks": 2,
        "queries": 1,
        "maxQueriesPerMinute": 1,
        "calls": {"generate": 2, "cancel": 1, "status": 1},
    }
