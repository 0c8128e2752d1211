"""At most one charge for each intent: what is sent, looked for, joined and refused, on a clock that jumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aivideo_mcp import errors
from aivideo_mcp.contracts import read_request
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.submission import Terms
from aivideo_mcp.workflow import Waited, Workflow
from tests.fakes import SUBMITTED, T2V, FakeNetwork, page, reply, task

pytestmark = pytest.mark.anyio

REQUEST = read_request(T2V)
MINIMAX = read_request({"model": "minimax", "prompt": "a cat"})
LOST = page(status=502)
NONE = reply({"tasks": []})
RUNNING, DONE = reply({"status": "PROGRESS"}), reply({"status": "COMPLETED"})
WIRE = {"prompt": "a cat", "aspectRatio": "16:9", "duration": "5"}


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def silent(_: str) -> None:
    return


async def generate(workflow: Workflow, request: Any = REQUEST, **terms: Any) -> Waited:
    return await workflow.generate(request, Terms(**terms), silent, seen=True)


def keys(network: FakeNetwork) -> list[str]:
    return [request.headers["idempotency-key"] for request in network.requests if request.method == "POST"]


def listed(*tasks: dict[str, object]) -> httpx.Response:
    return reply({"tasks": list(tasks)})


def echoing(network: FakeNetwork, **fields: object) -> Any:
    """A task list whose one task carries the idempotency key that was sent."""

    async def answer(_: httpx.Request) -> httpx.Response:
        return listed(task("PROGRESS", id="ck7", idempotencyKey=keys(network)[0], **fields))

    return answer


def network_with(tasks: Any, *generate: Any, **other: Any) -> FakeNetwork:
    answers = {"status": DONE, "task": reply(task("COMPLETED")), **other}
    return FakeNetwork(generate=list(generate) or LOST, tasks=tasks, **answers)


LOSSES = {
    "502": LOST,
    "reset": httpx.ReadError("reset"),
    "time-out": httpx.ReadTimeout("slow"),
    "page": page(),
    "empty": httpx.Response(200),
    "no id": reply({"status": "SUBMITTED"}),
    "redirect": httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_create_is_found_by_its_key_and_not_sent_again(loss: str) -> None:
    network = network_with(NONE, LOSSES[loss], task=reply(task("COMPLETED", id="ck7")))
    network._answers["tasks"] = [echoing(network, input={})]
    async with network.workflow() as workflow:
        waited = await generate(workflow)
    assert (waited.task.id, waited.joined) == ("ck7", False), "it was this call that paid"
    assert network.calls().count("generate") == 1


@pytest.mark.parametrize("duration", ["5", 5, 5.0])
async def test_where_the_key_is_not_returned_model_input_and_time_tell(duration: object) -> None:
    alike = task("PROGRESS", id="ck7", input={**WIRE, "duration": duration, "extra": 1})
    network = network_with(listed(alike), LOST, task=reply(task("COMPLETED", id="ck7")))
    async with network.workflow() as workflow:
        assert (await generate(workflow)).task.id == "ck7"
    assert network.calls().count("generate") == 1


@pytest.mark.parametrize(
    "other",
    [
        {"input": {**WIRE, "prompt": "a dog"}},
        {"input": {**WIRE, "duration": "8"}},
        {"input": WIRE, "model": "t2v_v3"},
        {"input": WIRE, "createdAt": "2026-11-23T09:50:00Z"},
        {"input": WIRE, "idempotencyKey": "somebody-elses"},
    ],
)
async def test_a_task_that_is_not_alike_is_not_taken_for_the_lost_one(other: dict[str, object]) -> None:
    network = network_with(listed(task("PROGRESS", id="ck7", **other)), LOST, reply(SUBMITTED))
    async with network.workflow() as workflow:
        assert (await generate(workflow)).task.id == "ck1"
    assert network.calls().count("generate") == 2


async def test_a_task_of_another_intent_is_not_taken_for_the_lost_one() -> None:
    mine = task("PROGRESS", id="ck1", input=WIRE)
    network = network_with(listed(mine), reply(SUBMITTED), LOST, reply({**SUBMITTED, "taskId": "ck2"}))
    async with network.workflow() as workflow:
        assert (await workflow.create(REQUEST, Terms())).submission.id == "ck1"
        assert (await workflow.create(REQUEST, Terms())).submission.id == "ck2"
    assert len(set(keys(network))) == 2


async def test_the_model_that_declares_the_key_is_sent_again_at_once_with_it() -> None:
    network = network_with(NONE, LOST, reply({**SUBMITTED, "idempotentReplay": True}))
    async with network.workflow() as workflow:
        started = anyio.current_time()
        made = await workflow.create(MINIMAX, Terms())
        assert anyio.current_time() - started < 5
    assert made.submission.id == "ck1"
    assert network.calls() == ["generate", "tasks", "generate"]
    assert len(set(keys(network))) == 1


async def test_other_models_are_sent_again_only_when_a_look_one_time_out_later_shows_nothing() -> None:
    network = network_with(NONE, LOST, reply(SUBMITTED))
    async with network.workflow() as workflow:
        started = anyio.current_time()
        assert (await generate(workflow)).task.id == "ck1"
        assert anyio.current_time() - started >= 30
    assert network.calls()[:4] == ["generate", "tasks", "tasks", "generate"]
    assert len(set(keys(network))) == 1


async def test_a_task_that_shows_up_late_is_not_paid_again() -> None:
    network = network_with([NONE, listed(task("PROGRESS", id="ck7", input=WIRE))], LOST)
    network._answers["task"] = [reply(task("COMPLETED", id="ck7"))]
    async with network.workflow() as workflow:
        assert (await generate(workflow)).task.id == "ck7"
    assert network.calls().count("generate") == 1


async def test_what_stays_unknown_is_uncertain_with_a_time_to_call_again_and_the_next_call_finishes_it() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(100)
        return reply(SUBMITTED)

    network = network_with(NONE, slow, reply(SUBMITTED))
    async with network.workflow() as workflow:
        with pytest.raises(errors.SubmissionUncertain) as lost:
            await workflow.create(REQUEST, Terms())
        assert lost.value.retry_after == 30
        assert "same call again" in lost.value.next_steps[0]
        assert network.calls() == ["generate", "tasks"]
        await anyio.sleep(30)
        assert (await workflow.create(REQUEST, Terms())).submission.id == "ck1"
    assert network.calls()[2:] == ["tasks", "generate"]
    assert len(set(keys(network))) == 1


async def test_nothing_is_sent_again_while_the_upstream_cannot_be_asked() -> None:
    network = network_with(LOST, LOST, reply(SUBMITTED))
    async with network.workflow(max_retries=0) as workflow:
        for _ in range(3):
            with pytest.raises(errors.SubmissionUncertain):
                await generate(workflow)
            await anyio.sleep(600)
        assert network.calls().count("generate") == 1
        network._answers["tasks"] = [listed(task("PROGRESS", input=WIRE))]
        assert (await generate(workflow)).task.id == "ck1"
    assert network.calls().count("generate") == 1


async def test_twice_lost_is_looked_for_and_then_left_to_the_next_call() -> None:
    network = network_with(NONE, LOST)
    async with network.workflow() as workflow:
        with pytest.raises(errors.SubmissionUncertain):
            await generate(workflow)
    assert network.calls() == ["generate", "tasks", "tasks", "generate", "tasks"]


async def test_the_same_call_joins_a_generation_that_runs() -> None:
    network = network_with(NONE, reply(SUBMITTED), status=RUNNING)
    async with network.workflow() as workflow:
        first = await generate(workflow, max_wait=0)
        second = await generate(workflow, max_wait=0)
    assert (first.joined, second.joined) == (False, True)
    assert first.task.id == second.task.id == "ck1"
    assert network.calls().count("generate") == 1


async def test_generate_video_joins_what_create_generation_began() -> None:
    network = network_with(NONE, reply(SUBMITTED))
    async with network.workflow() as workflow:
        await workflow.create(REQUEST, Terms())
        assert (await generate(workflow)).joined
    assert network.calls().count("generate") == 1


@pytest.mark.parametrize("ending", ["COMPLETED", "FAILED", "CANCEL"])
async def test_an_outcome_that_was_never_delivered_is_joined_and_a_delivered_one_is_not(ending: str) -> None:
    ended = reply(task(ending, output={"url": "https://x.test/a.mp4", "error": "why"}))
    again = reply({**SUBMITTED, "taskId": "ck2"})
    network = network_with(NONE, reply(SUBMITTED), again, status=reply({"status": ending}), task=ended)
    async with network.workflow() as workflow:
        await generate(workflow)
        joined = await generate(workflow)
        assert (joined.joined, joined.task.status, joined.task.id) == (True, ending, "ck1")
        await workflow.delivered("ck1")
        network._answers["task"] = [
            reply(task(ending, id="ck2", output={"error": "why", "url": "https://x.test/a.mp4"}))
        ]
        fresh = await generate(workflow)
    assert (fresh.joined, fresh.task.id) == (False, "ck2")


async def test_a_new_key_asks_for_another_and_the_same_key_never_does() -> None:
    network = network_with(NONE, reply(SUBMITTED), reply({**SUBMITTED, "taskId": "ck2"}), status=RUNNING)
    async with network.workflow() as workflow:
        await generate(workflow, max_wait=0)
        second = await workflow.create(REQUEST, Terms(idempotency_key="another-one"))
        third = await workflow.create(REQUEST, Terms(idempotency_key="another-one"))
        await workflow.delivered("ck2")
        fourth = await workflow.create(REQUEST, Terms(idempotency_key="another-one"))
    assert second.submission.id == third.submission.id == fourth.submission.id == "ck2"
    assert (second.joined, third.joined) == (False, True)
    assert network.calls().count("generate") == 2


async def test_a_key_used_for_other_arguments_is_a_conflict_and_nothing_is_sent() -> None:
    network = network_with(NONE, reply(SUBMITTED))
    async with network.workflow() as workflow:
        await workflow.create(REQUEST, Terms(idempotency_key="mine-12345"))
        with pytest.raises(errors.IdempotencyConflict):
            await workflow.create(MINIMAX, Terms(idempotency_key="mine-12345"))
    assert network.calls().count("generate") == 1


async def test_a_conflict_over_our_own_key_is_called_our_mistake() -> None:
    network = network_with(NONE, reply({"status": "FAILED", "errorCode": "IDEMPOTENCY_CONFLICT"}, 409))
    async with network.workflow() as workflow:
        with pytest.raises(errors.IdempotencyConflict, match="its own mistake"):
            await workflow.create(REQUEST, Terms())


async def test_each_create_without_a_key_is_a_new_intent() -> None:
    network = network_with(NONE, reply(SUBMITTED), reply({**SUBMITTED, "taskId": "ck2"}))
    async with network.workflow() as workflow:
        made = [await workflow.create(REQUEST, Terms()) for _ in range(2)]
    assert [it.submission.id for it in made] == ["ck1", "ck2"]
    assert not any(it.joined for it in made)


async def test_calls_at_the_same_time_with_the_same_arguments_end_in_one_task() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(5)
        return reply(SUBMITTED)

    network = network_with(NONE, slow)
    joined: list[bool] = []

    async def one() -> None:
        joined.append((await generate(workflow)).joined)

    async with network.workflow() as workflow, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    assert sorted(joined) == [False] + [True] * 19
    assert network.calls().count("generate") == 1


async def test_a_call_that_waits_for_anothers_create_does_not_wait_for_ever() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(29)
        return reply(SUBMITTED)

    network = network_with(NONE, slow)
    async with network.workflow() as workflow, anyio.create_task_group() as group:
        group.start_soon(generate, workflow)
        await anyio.sleep(1)
        with pytest.raises(errors.SubmissionUncertain, match="Another call"):
            await generate(workflow, max_wait=3)
        group.cancel_scope.cancel()


async def test_a_call_left_in_the_middle_of_its_create_is_joined_by_the_next() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(10)
        return reply(SUBMITTED)

    network = network_with(NONE, slow)
    async with network.workflow() as workflow:
        for seconds in (0.0, 1.0):
            with anyio.move_on_after(seconds):
                await generate(workflow)
        assert (await generate(workflow)).joined
    assert network.calls().count("generate") == 1


async def test_a_refused_create_leaves_nothing_to_join() -> None:
    poor = reply({"status": "FAILED", "errorCode": "INSUFFICIENT_CREDITS"}, 402)
    network = network_with(NONE, poor, reply(SUBMITTED))
    async with network.workflow() as workflow:
        with pytest.raises(errors.InsufficientCredits):
            await generate(workflow)
        assert not (await generate(workflow)).joined
    assert network.calls().count("generate") == 2
    assert "tasks" not in network.calls()


async def test_a_create_that_never_left_leaves_nothing_to_look_for() -> None:
    network = network_with(NONE, httpx.ConnectError("refused"), reply(SUBMITTED))
    async with network.workflow() as workflow:
        with pytest.raises(errors.NotSent):
            await generate(workflow)
        await generate(workflow)
    assert network.calls()[:2] == ["generate", "generate"]


async def test_a_joined_task_that_the_upstream_knows_no_more_makes_way_for_a_new_one() -> None:
    network = network_with(NONE, reply(SUBMITTED), reply({**SUBMITTED, "taskId": "ck2"}), status=reply({}, 404))
    async with network.workflow() as workflow:
        await workflow.create(REQUEST, Terms())
        with pytest.raises(errors.TaskNotFound):
            await generate(workflow)
        network._answers["status"] = [RUNNING]
        assert (await generate(workflow, max_wait=0)).task.id == "ck2"


async def test_a_server_that_starts_again_joins_what_the_last_one_began(tmp_path: Path) -> None:
    network = network_with(NONE, reply(SUBMITTED))
    async with network.workflow(state_dir=tmp_path) as workflow:
        await generate(workflow, max_wait=0)
    async with network.workflow(state_dir=tmp_path) as workflow:
        assert (await generate(workflow)).joined
    assert network.calls().count("generate") == 1


async def test_the_next_start_finds_tasks_of_lost_creates_at_its_first_create(tmp_path: Path) -> None:
    network = network_with(LOST, LOST, reply({**SUBMITTED, "taskId": "ck2"}))
    async with network.workflow(state_dir=tmp_path, max_retries=0) as workflow:
        with pytest.raises(errors.SubmissionUncertain):
            await workflow.create(REQUEST, Terms())
    network._answers["tasks"] = [listed(task("PROGRESS", input=WIRE))]
    async with network.workflow(state_dir=tmp_path) as workflow:
        await workflow.create(MINIMAX, Terms())
        await anyio.sleep(1)
        network._answers["tasks"] = [LOST]
        assert (await generate(workflow)).task.id == "ck1"
    assert network.calls().count("generate") == 2


async def test_without_a_ledger_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    network = network_with(NONE, reply(SUBMITTED))
    async with network.workflow(state_dir=tmp_path / "file" / "below") as workflow:
        with pytest.raises(errors.LedgerUnavailable, match="cannot be used"):
            await generate(workflow)
        assert (await workflow.upstream.status("ck1")).status == "COMPLETED"
    assert "generate" not in network.calls()


@pytest.mark.parametrize("step", ["issued", "saw", "delivered"])
async def test_a_ledger_that_fails_after_the_charge_does_not_cost_the_video(
    step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object) -> None:
        raise errors.LedgerUnavailable("database or disk is full")

    monkeypatch.setattr(Ledger, step, full)
    async with network_with(NONE, reply(SUBMITTED)).workflow() as workflow:
        waited = await generate(workflow)
        await workflow.delivered("ck1")
    assert waited.task.video_url
    assert "disk is full" in caplog.text


async def test_what_is_stored_holds_neither_key_nor_prompt(tmp_path: Path) -> None:
    network = network_with(NONE, reply(SUBMITTED))
    secret = read_request({**T2V, "prompt": "my very private idea"})
    async with network.workflow(state_dir=tmp_path) as workflow:
        await generate(workflow, secret)
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"ck1" in stored
    assert b"private" not in stored
    assert b"ak_canary" not in stored
