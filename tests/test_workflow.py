"""From a create to a saved video, on a clock that jumps: what is told when, and what each ending looks like."""

from __future__ import annotations

import itertools
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aivideo_mcp import errors
from aivideo_mcp.contracts import read_request
from aivideo_mcp.sandbox.clips import clip_for
from aivideo_mcp.submission import Terms
from aivideo_mcp.watcher import pause
from aivideo_mcp.workflow import Workflow
from tests.fakes import SUBMITTED, T2V, FakeNetwork, page, reply, task

pytestmark = pytest.mark.anyio

REQUEST = read_request(T2V)
RUNNING = reply({"status": "PROGRESS"})
DONE = reply({"status": "COMPLETED"})
MP4 = clip_for("16:9").read_bytes()


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


def opened(network: FakeNetwork, **settings: Any) -> AbstractAsyncContextManager[Workflow]:
    return network.workflow(**settings)


class Listener:
    """Remembers what was told, and when."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.times: list[float] = []

    async def tell(self, message: str) -> None:
        self.messages.append(message)
        self.times.append(anyio.current_time())


def scripted(*states: httpx.Response | Exception, final: dict[str, object] | None = None) -> FakeNetwork:
    return FakeNetwork(
        generate=reply(SUBMITTED), status=list(states), task=reply(final or task("COMPLETED")), file=httpx.Response(404)
    )


async def test_a_generation_is_created_watched_and_fetched() -> None:
    network, listener = scripted(reply({"status": "SUBMITTED"}), RUNNING, RUNNING, DONE), Listener()
    async with opened(network) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), listener.tell, seen=True)
    assert waited.task.video_url == "https://files.example.test/ck1.mp4"
    assert waited.task.expires_at == "2026-11-24T10:05:00Z"
    assert network.calls() == ["generate", *["status"] * 4, "task"]


async def test_the_first_message_names_the_task_as_soon_as_it_is_known() -> None:
    network, listener = scripted(DONE), Listener()
    async with opened(network) as workflow:
        await workflow.generate(REQUEST, Terms(), listener.tell, seen=True)
    assert "ck1" in listener.messages[0]
    assert "15 credits" in listener.messages[0]


async def test_something_is_told_every_ten_seconds_while_no_id_is_known_yet() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(25)
        return reply(SUBMITTED)

    listener = Listener()
    network = FakeNetwork(generate=slow, status=DONE, task=reply(task("COMPLETED")))
    async with opened(network) as workflow:
        began = anyio.current_time()
        await workflow.generate(REQUEST, Terms(), listener.tell, seen=True)
    assert [round(at - began) for at in listener.times[:3]] == [10, 20, 25]
    assert listener.messages[1] == "No task id yet: the create is under way. Do not repeat it; 20 s so far"
    assert "ck1" in listener.messages[2]


async def test_a_wait_that_is_resumed_counts_from_the_creation() -> None:
    network, listener = scripted(RUNNING), Listener()
    async with opened(network) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(100)
        await workflow.resume("ck1", Terms(max_wait=20), listener.tell, seen=True)
        await anyio.sleep(100)
        await workflow.generate(REQUEST, Terms(max_wait=20), listener.tell, seen=True)
    assert any("1 min 41 s so far" in message for message in listener.messages)
    assert any("3 min 50 s so far" in message for message in listener.messages)


async def test_something_is_told_at_every_change_and_every_ten_seconds() -> None:
    network, listener = scripted(*[RUNNING] * 40, DONE), Listener()
    async with opened(network) as workflow:
        await workflow.generate(REQUEST, Terms(), listener.tell, seen=True)
    gaps = [after - before for before, after in itertools.pairwise(listener.times)]
    assert max(gaps) <= 10.001
    assert listener.times[-1] - listener.times[0] > 120
    assert "PROGRESS" in listener.messages[1]
    assert "t2v usually takes 3 to 6.5 min" in listener.messages[1]
    assert "COMPLETED" in listener.messages[-1]


async def test_messages_go_on_while_one_look_takes_long() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(29)
        return DONE

    listener = Listener()
    network = FakeNetwork(generate=reply(SUBMITTED), status=slow, task=reply(task("COMPLETED")))
    async with opened(network) as workflow:
        await workflow.generate(REQUEST, Terms(), listener.tell, seen=True)
    assert len(listener.messages) >= 3


@pytest.mark.parametrize(
    "weather",
    [
        reply({}, 429, retry_after="30"),
        page(status=500),
        page(),
        httpx.Response(200),
        httpx.ReadError("reset"),
        reply({"status": "FAILED", "message": "database"}),
        reply({"status": "FAILED"}, 400),
    ],
)
async def test_weather_while_waiting_is_told_and_waited_out(weather: httpx.Response | Exception) -> None:
    listener = Listener()
    network = FakeNetwork(
        generate=reply(SUBMITTED), status=[weather, RUNNING, DONE], task=[weather, reply(task("COMPLETED"))]
    )
    async with opened(network) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), listener.tell, seen=True)
    assert waited.task.status == "COMPLETED"
    assert any("last look failed" in message for message in listener.messages)


async def test_a_rate_limit_quiets_the_watch_for_as_long_as_it_says() -> None:
    network = scripted(reply({}, 429, retry_after="50"), DONE)
    async with opened(network) as workflow:
        started = anyio.current_time()
        await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
        assert 50 <= anyio.current_time() - started < 65


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(reply({"status": "FAILED"}, 404), errors.TaskNotFound), (reply({}, 401), errors.AuthFailed)],
)
async def test_a_missing_task_or_a_refused_key_ends_the_wait_with_the_id(
    answer: httpx.Response, expected: type[errors.AivideoError]
) -> None:
    async with opened(scripted(answer)) as workflow:
        with pytest.raises(expected) as ended:
            await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
    assert ended.value.task_id == "ck1"
    assert any("ck1" in step for step in ended.value.next_steps)


async def test_a_mistake_of_ours_while_waiting_still_hands_over_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(scripted(RUNNING)) as workflow:
        monkeypatch.setattr(workflow._watcher, "until_ended", None)
        with pytest.raises(errors.UnknownError, match="mistake") as ended:
            await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
    assert ended.value.task_id == "ck1"


async def test_a_state_from_the_status_call_is_believed_only_when_the_task_says_it_too() -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED),
        status=[DONE, RUNNING, DONE],
        task=[reply(task("PROGRESS")), reply(task("COMPLETED"))],
    )
    async with opened(network) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
    assert waited.task.status == "COMPLETED"
    assert network.calls() == ["generate", "status", "task", "status", "status", "task"]


async def test_an_unclear_answer_makes_the_watch_ask_for_the_whole_task() -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED), status=page(), task=[reply(task("PROGRESS")), reply(task("FAILED"))]
    )
    async with opened(network) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
    assert waited.task.status == "FAILED"
    assert network.calls() == ["generate", "status", "task", "task"]


async def test_a_finished_task_without_a_file_is_looked_at_again_but_not_for_ever() -> None:
    late = FakeNetwork(
        generate=reply(SUBMITTED), status=DONE, task=[reply(task("COMPLETED", output=None)), reply(task("COMPLETED"))]
    )
    never = FakeNetwork(generate=reply(SUBMITTED), status=DONE, task=reply(task("COMPLETED", output=None)))
    async with opened(late) as workflow:
        assert (await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)).task.video_url
    async with opened(never) as workflow:
        other = Terms(idempotency_key="another-one")
        assert (await workflow.generate(REQUEST, other, Listener().tell, seen=True)).task.video_url is None
    assert never.calls().count("task") == 3


@pytest.mark.parametrize(
    ("seen", "terms", "settings", "seconds"),
    [
        (False, Terms(), {}, 45),
        (True, Terms(), {}, 1200),
        (True, Terms(), {"max_wait_s": 90}, 90),
        (False, Terms(), {"max_wait_s": 30}, 30),
        (False, Terms(max_wait=100), {}, 100),
        (True, Terms(max_wait=0), {}, 0),
    ],
)
async def test_a_wait_that_runs_out_leaves_the_running_task(
    seen: bool, terms: Terms, settings: dict[str, int], seconds: float
) -> None:
    async with opened(scripted(RUNNING), **settings) as workflow:
        started = anyio.current_time()
        waited = await workflow.generate(REQUEST, terms, Listener().tell, seen=seen)
        assert anyio.current_time() - started == pytest.approx(seconds, abs=0.5)
    assert waited.task.id == "ck1"
    assert not waited.task.state.terminal


async def test_time_that_the_create_took_counts_as_waiting() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(28)
        return reply(SUBMITTED)

    network = FakeNetwork(generate=slow, status=RUNNING)
    async with opened(network) as workflow:
        started = anyio.current_time()
        await workflow.generate(REQUEST, Terms(), Listener().tell, seen=False)
        assert anyio.current_time() - started == pytest.approx(45, abs=0.5)


async def test_an_unknown_state_is_waited_on_no_longer_than_a_known_one() -> None:
    async with opened(scripted(reply({"status": "RENDERING"}))) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), Listener().tell, seen=False)
    assert waited.task.status == "RENDERING"


async def test_a_caller_that_leaves_stops_the_polling_and_nothing_else() -> None:
    network = scripted(RUNNING)
    async with opened(network) as workflow:
        with anyio.move_on_after(20):
            await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
        asked = len(network.requests)
        await anyio.sleep(300)
        assert len(network.requests) == asked
    assert "cancel" not in network.calls()


async def test_a_create_that_its_caller_left_is_still_read_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(10)
        return reply(SUBMITTED)

    caplog.set_level("INFO")
    async with opened(FakeNetwork(generate=slow)) as workflow:
        with anyio.move_on_after(1):
            await workflow.create(REQUEST, Terms())
        await anyio.sleep(20)
    assert "task ck1 (t2v) created, 15 credits" in caplog.text


async def test_a_server_that_ends_gives_a_create_in_flight_two_seconds(caplog: pytest.LogCaptureFixture) -> None:
    async def answer_after(seconds: float) -> None:
        async def slow(_: httpx.Request) -> httpx.Response:
            await anyio.sleep(seconds)
            return reply(SUBMITTED)

        started = anyio.current_time()
        async with opened(FakeNetwork(generate=slow)) as workflow:
            with anyio.move_on_after(0.1):
                await workflow.create(REQUEST, Terms())
        assert anyio.current_time() - started < 2.5

    caplog.set_level("INFO")
    await answer_after(1)
    assert caplog.text.count("created") == 1
    await answer_after(60)
    assert caplog.text.count("created") == 1


async def test_a_create_that_breaks_inside_us_is_uncertain_and_the_server_lives_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async with opened(scripted(DONE)) as workflow:
        with monkeypatch.context() as patched:
            patched.setattr(workflow.upstream, "create", broken)
            with pytest.raises(errors.SubmissionUncertain):
                await workflow.create(REQUEST, Terms())
        other = read_request({**T2V, "prompt": "a dog"})
        assert (await workflow.create(other, Terms())).submission.id == "ck1"
    assert "a bug" in caplog.text


async def test_each_create_without_a_key_has_a_fresh_one_and_a_given_key_is_used() -> None:
    network = scripted(DONE)
    async with opened(network) as workflow:
        for terms in (Terms(), Terms(), Terms(idempotency_key="mine-12345")):
            await workflow.create(REQUEST, terms)
    keys = [request.headers["idempotency-key"] for request in network.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine-12345"


QUOTED = reply({"model": "t2v", "credits": 15, "affordable": True})


@pytest.mark.parametrize(("own", "general", "cap"), [(14, None, 14), (None, 14, 14), (100, 14, 14), (3, 100, 3)])
async def test_a_generation_dearer_than_a_cap_is_refused_before_it_is_sent(
    own: int | None, general: int | None, cap: int
) -> None:
    network = FakeNetwork(quote=QUOTED)
    async with opened(network, max_credits=general) as workflow:
        with pytest.raises(errors.BudgetExceeded, match=f"costs 15 credits; the cap is {cap}"):
            await workflow.create(REQUEST, Terms(max_credits=own))
    assert network.calls() == ["quote"]


async def test_a_generation_within_the_cap_tells_the_upstream_the_cap_too() -> None:
    network = FakeNetwork(quote=QUOTED, generate=reply(SUBMITTED))
    async with opened(network, max_credits=50) as workflow:
        await workflow.create(REQUEST, Terms(max_credits=15))
    assert network.requests[1].headers["x-max-credits"] == "15"


async def test_a_cap_that_cannot_be_checked_stops_the_create() -> None:
    network = FakeNetwork(quote=page(status=502))
    async with opened(network, max_retries=0) as workflow:
        with pytest.raises(errors.NetworkError):
            await workflow.create(REQUEST, Terms(max_credits=15))
    assert "generate" not in network.calls()


async def test_resuming_waits_for_a_task_made_before() -> None:
    listener = Listener()
    network = FakeNetwork(task=[reply(task("PROGRESS")), reply(task("COMPLETED"))], status=[RUNNING, DONE])
    async with opened(network) as workflow:
        waited = await workflow.resume("ck1", Terms(), listener.tell, seen=True)
    assert waited.task.status == "COMPLETED"
    assert "ck1" in listener.messages[0]


async def test_resuming_a_task_that_has_ended_asks_once() -> None:
    network = FakeNetwork(status=reply({"status": "FAILED"}), task=reply(task("FAILED")))
    async with opened(network) as workflow:
        assert (await workflow.resume("ck1", Terms(), Listener().tell, seen=True)).task.status == "FAILED"
    assert network.calls() == ["status", "task"]


CANCELLED = reply({"status": "CANCEL", "taskId": "ck1"})


async def test_a_cancel_that_worked_says_so() -> None:
    async with opened(FakeNetwork(cancel=CANCELLED)) as workflow:
        assert (await workflow.cancel("ck1")).status == "CANCEL"


@pytest.mark.parametrize("refusal", [409, 400, 422, 405, 200])
@pytest.mark.parametrize("state", ["PROGRESS", "COMPLETED", "FAILED", "RENDERING"])
async def test_a_late_cancel_is_refused_with_the_state_whatever_the_upstream_calls_it(refusal: int, state: str) -> None:
    network = FakeNetwork(
        cancel=reply({"status": "FAILED", "message": "too late"}, refusal), status=reply({"status": state})
    )
    async with opened(network) as workflow:
        with pytest.raises(errors.NotCancellable, match=state) as late:
            await workflow.cancel("ck1")
    assert "get_task" in late.value.next_steps[0]


@pytest.mark.parametrize("lost", [httpx.ReadTimeout("slow"), page(status=502), page()])
async def test_a_cancel_whose_answer_was_lost_is_cleared_up_by_looking(lost: httpx.Response | Exception) -> None:
    worked = FakeNetwork(cancel=lost, status=reply({"status": "CANCEL"}))
    async with opened(worked) as workflow:
        assert (await workflow.cancel("ck1")).status == "CANCEL"
    failed = FakeNetwork(cancel=lost, status=reply({"status": "SUBMITTED"}))
    async with opened(failed) as workflow:
        with pytest.raises(errors.NetworkError, match="still SUBMITTED"):
            await workflow.cancel("ck1")
    assert worked.calls() == failed.calls() == ["cancel", "status"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply({}, 404), errors.TaskNotFound),
        (reply({}, 401), errors.AuthFailed),
        (reply({}, 429), errors.RateLimited),
        (httpx.ConnectError("refused"), errors.NotSent),
    ],
)
async def test_a_cancel_that_never_reached_a_task_is_not_looked_into(
    answer: httpx.Response | Exception, expected: type[Exception]
) -> None:
    network = FakeNetwork(cancel=answer)
    async with opened(network) as workflow:
        with pytest.raises(expected):
            await workflow.cancel("ck1")
    assert network.calls() == ["cancel"]


async def test_the_account_is_asked_at_most_every_ten_minutes() -> None:
    network = FakeNetwork(account=reply({"ok": True, "currentBalance": 5}))
    async with opened(network) as workflow:
        for _ in range(3):
            assert (await workflow.account()).current_balance == 5
        await anyio.sleep(601)
        await workflow.account()
    assert network.calls() == ["account"] * 2


async def test_an_account_that_cannot_be_asked_is_unknown() -> None:
    async with opened(FakeNetwork(account=reply({}, 401))) as workflow:
        assert await workflow.account() is None


async def test_a_finished_video_is_saved_where_a_folder_is_set(tmp_path: Path) -> None:
    network = scripted(DONE)
    network._answers["file"] = [httpx.Response(200, content=MP4)]
    async with opened(network, output_dir=tmp_path / "new") as workflow:
        waited = await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
    saved = tmp_path / "new" / "2026-11-23_t2v_x_ck1.mp4"
    assert (waited.task.file, waited.unsaved) == (str(saved), None)
    assert saved.read_bytes() == MP4
    assert "key" not in network.requests[-1].headers


async def test_a_broken_download_does_not_lose_the_finished_video(tmp_path: Path) -> None:
    async with opened(scripted(DONE), output_dir=tmp_path) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), Listener().tell, seen=True)
    assert waited.task.video_url
    assert waited.task.file is None
    assert "404" in str(waited.unsaved)
    assert list(tmp_path.iterdir()) == []


def test_questions_are_asked_more_often_at_the_start_and_around_the_usual_time() -> None:
    usual = (3.0, 6.5)
    assert pause(0, usual) == pause(200, usual) == pause(400, usual)
    assert pause(60, usual) == pause(900, usual) == pause(60, None)
    assert pause(0, usual) < pause(60, usual)
