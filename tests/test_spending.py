"""Caps, prices and models served: what is refused before it is sent, with figures and with what would do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aivideo_mcp import errors
from aivideo_mcp.contracts import read_request
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.settings import Settings
from aivideo_mcp.submission import Terms
from aivideo_mcp.tools import TOOLS, Call
from aivideo_mcp.workflow import Workflow, open_workflow
from tests.fakes import BASE, KEY, SUBMITTED, T2V, FakeNetwork, page, reply, task

pytestmark = pytest.mark.anyio

REQUEST = read_request(T2V)
LONGER = read_request({**T2V, "duration": 8})
PICTURE = {"model": "i2v_v3", "image": "https://example.test/cat.png", "duration": 20}


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


def quoted(price: int, **more: object) -> httpx.Response:
    return reply({"model": "t2v", "credits": price, "currentBalance": 100, "affordable": True, **more})


def submitted(task_id: str = "ck1", price: int = 15) -> httpx.Response:
    return reply({**SUBMITTED, "taskId": task_id, "creditsCharged": price})


async def create(workflow: Workflow, request: Any = REQUEST, **terms: Any) -> str:
    return (await workflow.create(request, Terms(**terms))).submission.id


async def call(workflow: Workflow, name: str, arguments: dict[str, Any]) -> Any:
    async def tell(_: str) -> None: ...

    return await next(tool for tool in TOOLS if tool.name == name).call(workflow, Call(arguments, tell, seen=True))


# One generation


@pytest.mark.parametrize(("ours", "theirs", "least"), [(50, 20, 20), (20, 50, 20), (None, 20, 20), (20, None, 20)])
async def test_the_lower_cap_counts_and_goes_along(ours: int | None, theirs: int | None, least: int) -> None:
    network = FakeNetwork(quote=[quoted(20), quoted(21)], generate=submitted())
    async with network.workflow(max_credits=ours) as workflow:
        await create(workflow, max_credits=theirs)
        assert network.requests[-1].headers["x-max-credits"] == str(least)
        with pytest.raises(errors.BudgetExceeded, match=f"costs 21 credits; the cap is {least}, so it was not sent"):
            await create(workflow, max_credits=theirs)
    assert network.calls() == ["quote", "generate", "quote"]


@pytest.mark.parametrize("limit", [{"daily_credits": 100}, {"confirm_above": 30}])
async def test_under_a_days_cap_or_a_threshold_the_price_itself_goes_along(limit: dict[str, int]) -> None:
    network = FakeNetwork(quote=quoted(20), generate=submitted(price=20))
    async with network.workflow(max_credits=90, **limit) as workflow:
        await create(workflow, max_credits=80)
    assert network.requests[-1].headers["x-max-credits"] == "20", "a dearer create would pass by the limit"


async def test_what_is_too_dear_is_refused_with_the_cheaper_ways_there_are() -> None:
    network = FakeNetwork(quote=quoted(80))
    async with network.workflow(max_credits=30) as workflow:
        answer = await call(workflow, "create_generation", PICTURE)
    assert (answer.ok, answer.error_code) == (False, "BUDGET_EXCEEDED")
    assert answer.next_steps == (
        "Cheaper: i2v_v3 with duration 5 (about 20 credits); i2v with duration 8 (about 24 credits).",
        "Only the user may raise the cap.",
    )


async def test_only_models_that_are_served_are_offered_instead() -> None:
    served = reply({"ok": True, "supportedModels": ["i2v_v3", "t2v"]})
    network = FakeNetwork(quote=quoted(80), account=served)
    async with network.workflow(max_credits=30) as workflow:
        with pytest.raises(errors.BudgetExceeded) as told:
            await create(workflow, read_request(PICTURE))
    assert told.value.next_steps[0] == "Cheaper: i2v_v3 with duration 5 (about 20 credits)."


async def test_where_nothing_is_cheap_enough_that_is_said() -> None:
    network = FakeNetwork(quote=quoted(15))
    async with network.workflow(max_credits=0) as workflow:
        with pytest.raises(errors.BudgetExceeded) as told:
            await create(workflow)
    assert told.value.next_steps[0] == "No model makes this for less than the cap."


async def test_who_joins_what_is_paid_for_is_asked_for_no_price() -> None:
    network = FakeNetwork(quote=quoted(15), generate=submitted(), status=reply({"status": "PROGRESS"}))
    async with network.workflow(max_credits=15) as workflow:
        await create(workflow)
        waited = await workflow.generate(REQUEST, Terms(max_wait=3, max_credits=1), _untold, seen=True)
    assert waited.joined
    assert network.calls().count("quote") == 1


async def _untold(_: str) -> None: ...


# A day


async def test_a_day_holds_so_many_credits_and_frees_them_after_24_hours() -> None:
    tasks = [submitted(f"ck{number}") for number in range(9)]
    network = FakeNetwork(quote=quoted(15), generate=tasks, tasks=reply({"tasks": []}))
    async with network.workflow(daily_credits=40) as workflow:
        await create(workflow)
        await anyio.sleep(3600)
        await create(workflow)
        with pytest.raises(
            errors.BudgetExceeded, match="of the 40 that AIVIDEO_DAILY_CREDITS allows in 24 hours 30 are"
        ):
            await create(workflow)
        await anyio.sleep(23 * 3600 - 1)
        with pytest.raises(errors.BudgetExceeded):
            await create(workflow)
        await anyio.sleep(2)
        await create(workflow)
        with pytest.raises(errors.BudgetExceeded):
            await create(workflow)
    assert network.calls().count("generate") == 3


async def test_a_refund_is_given_back_to_the_day_though_nobody_looked_at_the_task() -> None:
    failed = task("FAILED", id="ck1", creditsRefunded=15)
    network = FakeNetwork(
        quote=quoted(15), generate=[submitted("ck1"), submitted("ck2")], tasks=reply({"tasks": [failed]})
    )
    async with network.workflow(daily_credits=20) as workflow:
        await create(workflow)
        assert await create(workflow) == "ck2"
        assert network.calls() == ["quote", "generate", "quote", "tasks", "generate"]
        with pytest.raises(errors.BudgetExceeded, match="15 are spent"):
            await create(workflow)


async def test_a_day_is_kept_to_when_refunds_cannot_be_looked_for() -> None:
    network = FakeNetwork(quote=quoted(15), generate=submitted(), tasks=page(status=502))
    async with network.workflow(daily_credits=20) as workflow:
        await create(workflow)
        with pytest.raises(errors.BudgetExceeded, match="15 are spent"):
            await create(workflow)


async def test_a_day_says_what_could_still_be_made() -> None:
    network = FakeNetwork(quote=[quoted(15), quoted(24)], generate=submitted(), tasks=reply({"tasks": []}))
    async with network.workflow(daily_credits=31) as workflow:
        await create(workflow)
        with pytest.raises(errors.BudgetExceeded) as told:
            await create(workflow, LONGER)
    assert told.value.next_steps[0].startswith(
        "Cheaper: t2v with duration 5 (about 15 credits); minimax with duration 5,"
    )


async def test_a_create_that_was_refused_spends_nothing_of_the_day() -> None:
    refused = reply({"status": "FAILED", "errorCode": "INSUFFICIENT_CREDITS"}, 402)
    network = FakeNetwork(quote=quoted(15), generate=[refused, httpx.ConnectError("refused"), submitted()])
    async with network.workflow(daily_credits=15) as workflow:
        for _ in range(2):
            with pytest.raises((errors.InsufficientCredits, errors.NotSent)):
                await create(workflow)
        assert await create(workflow) == "ck1"


async def test_a_create_without_an_answer_counts_as_spent() -> None:
    network = FakeNetwork(
        quote=quoted(15), generate=httpx.ReadError("reset"), tasks=reply({"status": "FAILED"}, 500), account=reply({})
    )
    async with network.workflow(daily_credits=20, max_retries=0) as workflow:
        with pytest.raises(errors.SubmissionUncertain):
            await create(workflow)
        with pytest.raises(errors.BudgetExceeded, match="15 are spent"):
            await create(workflow, LONGER)


async def test_what_was_created_without_a_cap_counts_too(tmp_path: Path) -> None:
    network = FakeNetwork(quote=quoted(15), generate=submitted(price=40), tasks=reply({"tasks": []}))
    async with network.workflow(state_dir=tmp_path) as workflow:
        await create(workflow)
    async with network.workflow(state_dir=tmp_path, daily_credits=50) as workflow:
        with pytest.raises(errors.BudgetExceeded, match="40 are spent"):
            await create(workflow)


async def test_another_account_has_a_day_of_its_own(tmp_path: Path) -> None:
    network = FakeNetwork(quote=quoted(15), generate=submitted())
    async with network.workflow(state_dir=tmp_path, daily_credits=20) as workflow:
        await create(workflow)
    async with network.workflow(state_dir=tmp_path, daily_credits=20, api_key=f"{KEY}_other") as workflow:
        await create(workflow)


async def test_a_resent_create_counts_once() -> None:
    silent = httpx.ReadError("reset")
    network = FakeNetwork(quote=quoted(15), generate=[silent, submitted()], tasks=reply({"tasks": []}))
    async with network.workflow(daily_credits=15) as workflow:
        assert await create(workflow) == "ck1"
    assert network.calls().count("generate") == 2


# Models


async def test_a_model_that_is_not_served_is_refused_with_what_to_use_instead() -> None:
    network = FakeNetwork(account=reply({"ok": True, "supportedModels": ["i2v", "t2v_v3", "minimax"]}))
    async with network.workflow() as workflow:
        for _ in range(3):
            with pytest.raises(errors.InvalidModel, match="t2v is not served to this account today") as told:
                await create(workflow)
    (step,) = told.value.next_steps
    assert step.startswith(
        "Use instead: t2v_v3 with duration 5 (about 20 credits); minimax with duration 5, resolution"
    )
    assert network.calls() == ["account"]


@pytest.mark.parametrize(
    "account",
    [page(status=502), reply({"ok": True}), reply({"status": "FAILED"}, 500), httpx.ReadError("reset")],
    ids=["page", "silent", "500", "reset"],
)
async def test_where_the_account_cannot_tell_the_upstream_decides(account: Any) -> None:
    network = FakeNetwork(account=account, generate=submitted())
    async with network.workflow() as workflow:
        await create(workflow)
        await create(workflow)
    assert network.calls() == ["account", "generate", "generate"]


async def test_an_account_that_hangs_holds_no_create_up_for_long() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    network = FakeNetwork(account=hang, generate=submitted())
    async with network.workflow() as workflow:
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(create, workflow)
        assert anyio.current_time() - began < 6
    assert network.calls().count("account") == 1


async def test_the_account_is_asked_once_for_many_creates_and_again_when_it_is_old() -> None:
    network = FakeNetwork(account=reply({"ok": True, "supportedModels": ["t2v"]}), generate=submitted())
    async with network.workflow() as workflow:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(create, workflow)
        assert network.calls().count("account") == 1
        await anyio.sleep(601)
        await create(workflow)
        assert network.calls().count("account") == 2


async def test_the_balance_told_after_a_create_is_not_the_one_before_it() -> None:
    told = [reply({"ok": True, "currentBalance": balance}) for balance in (100, 85)]
    network = FakeNetwork(account=told, generate=submitted())
    async with network.workflow() as workflow:
        assert (await workflow.accounts.current())[0].current_balance == 100
        assert (await workflow.accounts.current())[0].current_balance == 100
        await create(workflow)
        assert (await workflow.accounts.current())[0].current_balance == 85


# Quotes


async def test_a_quote_tells_the_price_and_creates_nothing() -> None:
    network = FakeNetwork(quote=quoted(15, listPriceUsd=0.15, usdPerCredit=0.01, billable=False))
    async with network.workflow() as workflow:
        answer = await call(workflow, "quote_generation", T2V)
    assert answer.ok
    assert answer.data.model_dump(by_alias=True) == {
        "model": "t2v",
        "credits": 15,
        "usd": 0.15,
        "currentBalance": 100,
        "affordable": True,
        "estimate": False,
    }
    assert network.calls() == ["quote"]


@pytest.mark.parametrize("failure", [page(status=502), httpx.ConnectError("refused"), reply({}), reply([])])
async def test_where_no_quote_can_be_had_the_contract_estimates(failure: Any) -> None:
    network = FakeNetwork(quote=failure)
    async with network.workflow(max_retries=0) as workflow:
        answer = await call(workflow, "quote_generation", T2V)
        unknown = await call(
            workflow,
            "quote_generation",
            {"model": "seedance20", "prompt": "x", "duration": 4, "resolution": "480p", "aspectRatio": "1:1"},
        )
    assert (answer.ok, answer.data.credits, answer.data.usd, answer.data.estimate) == (True, 15, 0.15, True)
    assert "estimate" in answer.next_steps[0]
    assert (unknown.ok, unknown.data.credits, unknown.data.usd) == (True, None, None)
    assert "unknown" in unknown.next_steps[0]


async def test_a_quote_that_the_balance_does_not_cover_says_so() -> None:
    network = FakeNetwork(quote=quoted(150, affordable=False))
    async with network.workflow() as workflow:
        answer = await call(workflow, "quote_generation", T2V)
    assert answer.data.affordable is False
    assert "top up" in answer.next_steps[0]


async def test_a_quote_is_refused_as_its_create_would_be() -> None:
    network = FakeNetwork()
    async with network.workflow() as workflow:
        assert (await call(workflow, "quote_generation", {**T2V, "duration": 7})).error_code == "INVALID_PAYLOAD"
        assert (await call(workflow, "quote_generation", {**T2V, "maxCredits": 5})).error_code == "INVALID_PAYLOAD"
    async with open_workflow(Settings(base_url=BASE)) as workflow:
        assert (await call(workflow, "quote_generation", T2V)).error_code == "AUTH_FAILED"


# Codes, as the ledger keeps them


async def test_a_code_is_for_one_request_one_price_one_use_and_ten_minutes(tmp_path: Path) -> None:
    now = 0.0
    ledger = Ledger(Settings(api_key=KEY, state_dir=tmp_path), wall=lambda: now, in_thread=_at_once)
    await ledger.offer("AAAAAA", "request", 20, 600)
    assert not await ledger.redeem("AAAAAB", "request", 20)
    assert not await ledger.redeem("AAAAAA", "another", 20)
    assert not await ledger.redeem("AAAAAA", "request", 21)
    assert await ledger.redeem("AAAAAA", "request", 19), "cheaper than agreed is agreed"
    assert not await ledger.redeem("AAAAAA", "request", 19)
    await ledger.offer("BBBBBB", "request", 20, 600)
    now = 600.0
    assert not await ledger.redeem("BBBBBB", "request", 20)
    assert b"BBBBBB" not in (tmp_path / "ledger.sqlite3").read_bytes()
    await ledger.aclose()


async def _at_once(work: Any, /) -> Any:
    return work()


async def test_a_finished_task_shows_what_it_cost() -> None:
    network = FakeNetwork(task=reply(task("COMPLETED")))
    async with network.workflow() as workflow:
        answer = await call(workflow, "get_task", {"taskId": "ck1"})
    assert answer.data.credits_charged == 15
