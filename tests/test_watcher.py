"""One watch for all who wait, on a clock that jumps: what is asked and when, who is told, and what stops it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trio.testing

from aivideo_mcp import errors
from aivideo_mcp.client import LONGEST_QUIET, Upstream
from aivideo_mcp.contracts import read_request
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.settings import Settings
from aivideo_mcp.submission import Terms
from aivideo_mcp.tasks import Task
from aivideo_mcp.tools import TOOLS, Call
from aivideo_mcp.watcher import News, Notice, Watcher, pause
from tests.fakes import BASE, KEY, SUBMITTED, T2V, Answer, FakeNetwork, at_once, call_of, page, reply, task

pytestmark = pytest.mark.anyio

WALL = 1_795_428_000.0
USUAL = (1.0, 2.0)
QUERIES = 54  # what one machine may ask in a minute, all in all
WATCHED = 48  # the part of it that the watch may use


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time as everywhere, but creeping on: a heartbeat whose rest is below a float's step never ends else."""
    return "trio", {"clock": trio.testing.MockClock(rate=0.001, autojump_threshold=0.02)}


class World:
    """An upstream whose tasks change with the clock, and whose weather is on order, answer by answer."""

    def __init__(self) -> None:
        self.plans: dict[str, list[tuple[float, str]]] = {}
        self.unlisted: set[str] = set()
        self.bare: set[str] = set()  # listed without their output
        self.extra: dict[str, dict[str, object]] = {}
        self.weather: dict[str, Iterator[Answer | None]] = {}
        self.log: list[tuple[float, str, str]] = []
        self.network = FakeNetwork(
            tasks=self._answer, status=self._answer, task=self._answer, generate=self._answer, account=self._answer
        )

    def add(self, *names: str, at: float = float("inf"), ends: str = "COMPLETED") -> None:
        """Tasks that run until a time, and what they become."""
        for name in names:
            self.plans[name] = [(0.0, "PROGRESS"), (at, ends)]

    def fails(self, call: str, *answers: Answer | None) -> None:
        """What the next requests of a call get in place of the truth; None is the truth."""
        self.weather[call] = iter(answers)

    def keeps_failing(self, call: str, answer: Answer) -> None:
        self.weather[call] = itertools.repeat(answer)

    def state(self, name: str) -> str:
        now = anyio.current_time()
        return [state for since, state in self.plans[name] if since <= now][-1]

    def shown(self, name: str, *, listed: bool = False) -> dict[str, object]:
        output = {"output": None} if listed and name in self.bare else {}
        url = {"url": f"https://files.example.test/{name}.mp4"}
        done = {"output": url} if self.state(name) == "COMPLETED" else {}
        return task(self.state(name), **{"id": name, **done, **self.extra.get(name, {}), **output})

    def calls(self, since: float = 0.0) -> list[str]:
        return [call for at, call, _ in self.log if at >= since]

    def queries(self) -> list[float]:
        return [at for at, call, _ in self.log if call in ("account", "tasks", "task", "status")]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        call = call_of(request)
        parts = request.url.path.split("/")
        name = parts[4] if len(parts) > 4 and parts[3] == "tasks" else ""
        self.log.append((anyio.current_time(), call, name))
        weather = next(self.weather.get(call, iter(())), None)
        if isinstance(weather, Exception):
            raise weather
        if weather is not None:
            return weather if isinstance(weather, httpx.Response) else await weather(request)
        if call == "account":
            return reply({"ok": True, "currentBalance": 100})
        if call == "generate":
            return reply(SUBMITTED)
        if call == "tasks":
            names = [name for name in reversed(self.plans) if name not in self.unlisted]
            return reply({"tasks": [self.shown(name, listed=True) for name in names]})
        if name not in self.plans:
            return reply({"status": "FAILED", "message": "Task not found"}, 404)
        return reply({"status": self.state(name)} if call == "status" else self.shown(name))


@dataclass
class Waiter:
    """One who waits, and all that came to it."""

    news: list[News] = field(default_factory=list)
    outcome: Task | Exception | None = None
    at: float | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


@dataclass
class Watched:
    """A watcher under test."""

    watcher: Watcher
    upstream: Upstream
    group: Any
    seen: list[tuple[str, str]]

    def wait(self, name: str, usual: tuple[float, float] | None = None, notice: Notice | None = None) -> Waiter:
        waiter = Waiter()

        async def listen(news: News) -> None:
            waiter.news.append(news)
            if notice:
                await notice(news)

        async def run() -> None:
            with waiter.scope:
                try:
                    waiter.outcome = await self.watcher.until_ended(name, usual, listen)
                except Exception as failure:  # noqa: BLE001 - to be looked at
                    waiter.outcome = failure
                waiter.at = anyio.current_time()

        self.group.start_soon(run)
        return waiter


@asynccontextmanager
async def watching(world: World, folder: Path | None = None, *, gate: bool = True) -> AsyncIterator[Watched]:
    """A watcher over a world; those with the same folder are like processes on one machine."""
    settings = Settings(api_key=KEY, base_url=BASE, state_dir=folder)
    ledger = Ledger(settings, wall=lambda: WALL + anyio.current_time(), in_thread=at_once)
    upstream = Upstream(settings, transport=world.network, gate=ledger if gate else None)
    await upstream.exchange()  # opened in a thread, of which the clock knows nothing
    seen: list[tuple[str, str]] = []

    async def saw(name: str, status: str) -> None:
        seen.append((name, status))

    async with anyio.create_task_group() as group:
        yield Watched(Watcher(upstream, group, saw), upstream, group, seen)
        group.cancel_scope.cancel()
    await upstream.aclose()
    await ledger.aclose()


def numbered(count: int) -> list[str]:
    return [f"ck{number}" for number in range(count)]


def most_in_a_minute(times: Iterable[float]) -> int:
    """The most of them that lie within any sixty seconds."""
    ordered = sorted(times)
    return max((sum(start <= at < start + 60 for at in ordered) for start in ordered), default=0)


def gaps(times: Iterable[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


# Who asks for whom


async def test_one_task_is_asked_for_by_its_state_alone() -> None:
    world = World()
    world.add("ck1", at=20)
    world.add("other", "another")
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        await anyio.sleep(40)
    assert isinstance(waiter.outcome, Task)
    assert set(world.calls()[:-1]) == {"status"}
    assert world.calls()[-1] == "task"


@pytest.mark.parametrize("count", [2, 50])
async def test_several_tasks_cost_one_list_each_round_and_nothing_by_id(count: int) -> None:
    world = World()
    for number, name in enumerate(numbered(count)):
        world.add(name, at=30 + number)
    async with watching(world) as watched:
        waiters = {name: watched.wait(name) for name in world.plans}
        await anyio.sleep(29)
        assert set(world.calls()) == {"tasks"}
        asked = len(world.calls())
        assert asked <= 10  # as often as for a single one
        await anyio.sleep(71)
    assert {name: waiter.outcome.id for name, waiter in waiters.items() if isinstance(waiter.outcome, Task)} == {
        name: name for name in world.plans
    }
    late = world.calls()[asked:]
    assert late.count("task") <= 1  # the last one, when nobody else waited any more
    for number, name in enumerate(world.plans):
        at = waiters[name].at
        assert at is not None
        assert at - (30 + number) <= 9 * 1.2 + 0.1


async def test_several_waiters_on_one_task_are_one_task() -> None:
    world = World()
    world.add("ck1", at=20)
    async with watching(world) as watched:
        waiters = [watched.wait("ck1") for _ in range(50)]
        await anyio.sleep(40)
    assert "tasks" not in world.calls()
    assert len(world.calls()) <= 8
    assert all(isinstance(waiter.outcome, Task) for waiter in waiters)
    assert len({round(waiter.at or 0, 1) for waiter in waiters}) == 1
    assert watched.seen == [("ck1", "PROGRESS"), ("ck1", "COMPLETED")]


async def test_a_task_that_the_list_does_not_show_is_asked_for_by_id_and_less_often() -> None:
    world = World()
    world.add("ck1")
    world.add("ck2", at=60)
    world.unlisted = {"ck2"}
    async with watching(world) as watched:
        watched.wait("ck1")
        waiter = watched.wait("ck2")
        await anyio.sleep(59)
        by_id = [name for _, call, name in world.log if call == "status"]
        assert set(by_id) == {"ck2"}
        assert 3 <= len(by_id) <= 6
        await anyio.sleep(40)
    assert isinstance(waiter.outcome, Task)
    assert waiter.outcome.status == "COMPLETED"


async def test_a_list_that_shows_completed_without_its_file_is_completed_by_id() -> None:
    world = World()
    world.add("ck1", "ck2")
    world.add("ck3", at=10)
    world.bare = {"ck3"}
    async with watching(world) as watched:
        watched.wait("ck1")
        waiter = watched.wait("ck3")
        await anyio.sleep(30)
        calls = world.calls()
        await anyio.sleep(60)
    assert isinstance(waiter.outcome, Task)
    assert waiter.outcome.video_url == "https://files.example.test/ck3.mp4"
    assert calls.count("task") == 1
    assert [name for _, call, name in world.log if call == "task"] == ["ck3"]


@pytest.mark.parametrize("ends", ["COMPLETED", "FAILED", "CANCEL"])
async def test_what_ended_is_taken_from_the_list_and_what_runs_is_waited_for(ends: str) -> None:
    world = World()
    world.add("ck1", "ck2")
    world.add("ck3", at=2, ends=ends)
    world.extra = {"ck3": {"output": {"error": "no", "url": "https://files.example.test/ck3.mp4"}}}
    async with watching(world) as watched:
        running = [watched.wait("ck1"), watched.wait("ck2")]
        ended = watched.wait("ck3")
        await anyio.sleep(12)
    assert isinstance(ended.outcome, Task)
    assert ended.outcome.status == ends
    assert ended.news[-1] == News(ends)
    assert [waiter.outcome for waiter in running] == [None, None]
    assert set(world.calls()) == {"tasks"}


async def test_a_failure_that_the_list_shows_without_its_reason_is_fetched_by_id() -> None:
    world = World()
    world.add("ck1")
    world.add("ck2", at=2, ends="FAILED")
    world.extra = {"ck2": {"output": {"error": "the model is down"}}}
    world.bare = {"ck2"}
    async with watching(world) as watched:
        watched.wait("ck1")
        failed = watched.wait("ck2")
        await anyio.sleep(12)
    assert isinstance(failed.outcome, Task)
    assert "the model is down" in failed.outcome.reason


async def test_a_state_that_the_list_has_told_is_not_asked_for_again_by_id() -> None:
    world = World()
    world.add("ck1")
    world.add("ck2", at=0)
    world.bare = {"ck2"}
    async with watching(world) as watched:
        watched.wait("ck1")
        watched.wait("ck2")
        await anyio.sleep(3)
    assert world.calls() == ["tasks", "task"]


# Coming and going


async def test_one_who_leaves_disturbs_nobody_and_costs_nothing() -> None:
    world = World()
    world.add("ck1", "ck2", at=60)
    async with watching(world) as watched:
        first, leaver, other = watched.wait("ck1"), watched.wait("ck1"), watched.wait("ck2")
        await anyio.sleep(20)
        asked = len(world.log)
        leaver.scope.cancel()
        await anyio.sleep(0.5)
        assert len(world.log) <= asked + 1
        await anyio.sleep(80)
    assert leaver.outcome is None
    assert isinstance(first.outcome, Task)
    assert isinstance(other.outcome, Task)


async def test_when_all_but_one_have_left_the_one_is_asked_for_by_its_state() -> None:
    world = World()
    world.add(*numbered(5))
    async with watching(world) as watched:
        waiters = [watched.wait(name) for name in world.plans]
        await anyio.sleep(20)
        for waiter in waiters[1:]:
            waiter.scope.cancel()
        await anyio.sleep(0.1)
        left = anyio.current_time()
        await anyio.sleep(30)
    assert set(world.calls(left)) == {"status"}
    assert {name for at, _, name in world.log if at >= left} == {"ck0"}


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_with_nobody_waiting_nothing_is_asked(count: int) -> None:
    world = World()
    world.add(*numbered(count))
    async with watching(world) as watched:
        waiters = [watched.wait(name) for name in world.plans]
        await anyio.sleep(30)
        for waiter in waiters:
            waiter.scope.cancel()
        await anyio.sleep(0.1)
        asked = len(world.log)
        await anyio.sleep(600)
        assert len(world.log) == asked
        watched.wait("ck0")
        await anyio.sleep(10)
        assert len(world.log) > asked


async def test_after_the_end_nothing_is_asked() -> None:
    world = World()
    world.add("ck1", "ck2", at=10)
    async with watching(world) as watched:
        waiters = [watched.wait("ck1"), watched.wait("ck2")]
        await anyio.sleep(30)
        assert all(isinstance(waiter.outcome, Task) for waiter in waiters)
        asked = len(world.log)
        await anyio.sleep(600)
    assert len(world.log) == asked


async def test_one_who_comes_late_shares_the_rounds_and_is_answered() -> None:
    world = World()
    world.add("ck1")
    world.add("ck2", at=105)
    async with watching(world) as watched:
        watched.wait("ck1", USUAL)
        await anyio.sleep(100.5)
        late = watched.wait("ck2")
        await anyio.sleep(20)
    assert isinstance(late.outcome, Task)
    assert late.at is not None
    assert late.at <= 112
    assert min(gaps(at for at, call, _ in world.log if call in ("tasks", "status"))) >= 3.2


async def test_one_who_comes_to_an_ended_watch_is_answered_at_once() -> None:
    world = World()
    world.add("ck1", at=2)
    async with watching(world) as watched:

        async def stuck(_: News) -> None:
            await anyio.sleep(100)

        watched.wait("ck1", notice=stuck)
        await anyio.sleep(20)
        late = watched.wait("ck1")
        await anyio.sleep(0.1)
        assert isinstance(late.outcome, Task)


async def test_a_caller_slow_to_read_its_progress_does_not_keep_an_ended_task_asked_for() -> None:
    world = World()
    world.add("ck1", at=2)

    async def stuck(_: News) -> None:
        await anyio.sleep(10_000)

    async with watching(world) as watched:
        watched.wait("ck1", notice=stuck)
        await anyio.sleep(20)
        asked = len(world.log)
        await anyio.sleep(600)
    assert len(world.log) == asked


async def test_the_last_to_leave_during_a_question_stops_the_next_one() -> None:
    world = World()
    world.add("ck1", at=0)

    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(10)
        return reply({"status": "COMPLETED"})

    world.fails("status", slow)
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        await anyio.sleep(5)
        waiter.scope.cancel()
        await anyio.sleep(60)
    assert world.calls() == ["status"]


async def test_a_waiter_that_breaks_breaks_alone() -> None:
    world = World()
    world.add("ck1", "ck2", at=30)

    async def broken(_: News) -> None:
        raise RuntimeError("a bug")

    async with watching(world) as watched:
        breaking, same, other = watched.wait("ck1", notice=broken), watched.wait("ck1"), watched.wait("ck2")
        await anyio.sleep(60)
    assert isinstance(breaking.outcome, RuntimeError)
    assert isinstance(same.outcome, Task)
    assert isinstance(other.outcome, Task)


async def test_a_waiter_that_is_slow_to_take_its_news_holds_up_nobody() -> None:
    world = World()
    world.add("ck1", "ck2", at=30)

    async def stuck(_: News) -> None:
        await anyio.sleep(10_000)

    async with watching(world) as watched:
        watched.wait("ck1", notice=stuck)
        same, other = watched.wait("ck1"), watched.wait("ck2")
        await anyio.sleep(60)
    assert isinstance(same.outcome, Task)
    assert isinstance(other.outcome, Task)


# When


@pytest.mark.parametrize(
    ("elapsed", "usual", "seconds"),
    [
        (0, None, 4),
        (29.9, None, 4),
        (31, None, 9),
        (5000, None, 9),
        (31, (3, 6.5), 9),
        (161, (3, 6.5), 9),
        (163, (3, 6.5), 4),
        (467, (3, 6.5), 4),
        (469, (3, 6.5), 9),
        (700, (12, 14), 4),
    ],
)
def test_the_pace_is_quick_then_slow_then_quick_around_the_usual_time(
    elapsed: float, usual: tuple[float, float] | None, seconds: float
) -> None:
    assert pause(elapsed, usual) == seconds


async def test_the_pace_is_kept_and_jittered() -> None:
    world = World()
    world.add("ck1")
    async with watching(world) as watched:
        watched.wait("ck1", USUAL)
        await anyio.sleep(240)
    times = [at for at, _, _ in world.log]
    for before, after in itertools.pairwise(times):
        expected = pause(before, USUAL)
        assert expected * 0.79 <= after - before <= expected * 1.21
    quick = [gap for gap, at in zip(gaps(times), times, strict=False) if pause(at, USUAL) == 4]
    assert len({round(gap, 3) for gap in quick}) > len(quick) // 2


async def test_the_pace_is_that_of_the_most_urgent_task() -> None:
    world = World()
    world.add("ck1", "ck2")
    async with watching(world) as watched:
        watched.wait("ck1", None)
        watched.wait("ck2", USUAL)
        await anyio.sleep(140)
    around = [gap for gap, (at, _, _) in zip(gaps(world.queries()), world.log, strict=False) if 60 < at < 130]
    assert max(around) <= 4.9


async def test_all_processes_on_a_machine_stay_under_the_budget_together(tmp_path: Path) -> None:
    world = World()
    names = numbered(40)
    world.add(*names)
    world.unlisted = set(names[::2])
    async with (
        watching(world, tmp_path) as a,
        watching(world, tmp_path) as b,
        watching(world, tmp_path) as c,
        watching(world, tmp_path) as d,
    ):
        waiters = [each.wait(name) for each in (a, b, c, d) for name in names]
        await anyio.sleep(200)
    assert most_in_a_minute(world.queries()) <= WATCHED
    for process in (waiters[start : start + len(names)] for start in range(0, len(waiters), len(names))):
        assert sum(bool(waiter.news) for waiter in process) >= len(names) // 2


async def test_every_task_that_a_capped_list_leaves_out_gets_its_turn() -> None:
    world = World()
    names = numbered(60)
    world.add(*names[:-1])
    world.add(names[-1], at=0)
    world.unlisted = set(names)
    async with watching(world) as watched:
        for name in names:
            last = watched.wait(name)
            await anyio.sleep(0.01)  # trio starts tasks in any order
        await anyio.sleep(600)
    assert isinstance(last.outcome, Task)


async def test_a_spent_budget_is_weather_and_the_wait_goes_on() -> None:
    world = World()
    world.add("ck1", at=0)
    async with watching(world) as watched:
        for _ in range(QUERIES):
            await watched.upstream.account()
        waiter = watched.wait("ck1")
        await anyio.sleep(30)
        assert waiter.news
        assert {news.status for news in waiter.news} == {None}
        assert "budget" in str(waiter.news[0].weather)
        assert world.calls().count("status") == 0
        await anyio.sleep(60)
    assert isinstance(waiter.outcome, Task)
    assert waiter.at is not None
    assert waiter.at <= 70


async def test_a_direct_call_without_budget_answers_rate_limited_and_when_to_try_again() -> None:
    world = World()
    world.add("ck1")
    async with world.network.workflow() as workflow:
        tool = next(tool for tool in TOOLS if tool.name == "get_status")
        for _ in range(QUERIES):
            assert (await tool.call(workflow, Call({"taskId": "ck1"}, _deaf, seen=False))).ok
        asked = anyio.current_time()
        refused = await tool.call(workflow, Call({"taskId": "ck1"}, _deaf, seen=False))
        assert anyio.current_time() - asked < 0.1
    assert (refused.ok, refused.error_code, refused.task_id) == (False, "RATE_LIMITED", "ck1")
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= 60


async def test_a_client_that_keeps_asking_directly_does_not_starve_those_who_wait() -> None:
    world = World()
    world.add("ck1", at=100)
    world.add("ck2")
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        for _ in range(220):
            with suppress(errors.RateLimited):
                await watched.upstream.status("ck2")
            await anyio.sleep(1)
    assert isinstance(waiter.outcome, Task)


# Weather


@pytest.mark.parametrize("call", ["tasks", "status", "task"])
@pytest.mark.parametrize(
    "weather",
    [
        reply({}, 429, retry_after="30"),
        reply({}, 429, retry_after="Mon, 23 Nov 2026 10:00:40 GMT"),
        reply({}, 429, retry_after="soon"),
        reply({}, 429),
        reply({"status": "FAILED", "message": "db"}, 500),
        page(status=502),
        page(status=503),
        page(status=504),
        page(),
        httpx.Response(200),
        reply([1, 2]),
        reply({"status": "FAILED", "message": "db"}),
        reply({"status": "FAILED", "errorCode": "INVALID_PAYLOAD"}, 400),
        reply({}, 402),
        reply({}, 422),
        httpx.Response(302, headers={"location": "https://elsewhere.example.test/"}),
        httpx.Response(200, content=b'{"tasks": [{"id": "ck'),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("hung up"),
    ],
    ids=str,
)
async def test_weather_is_told_and_asked_again(call: str, weather: Answer) -> None:
    world = World()
    world.add("ck1", at=10)
    if call == "tasks":
        world.add("ck2")
    world.fails(call, weather, weather)
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        if call == "tasks":
            watched.wait("ck2")
        await anyio.sleep(300)
    assert isinstance(waiter.outcome, Task), waiter.outcome
    assert waiter.outcome.video_url
    assert any(news.weather for news in waiter.news)


@pytest.mark.parametrize("call", ["tasks", "status"])
async def test_no_retry_after_header_whatever_can_end_the_watch(call: str) -> None:
    world = World()
    world.add("ck1", "ck2", at=10)
    world.fails(call, reply({}, 429, retry_after="Mon, 1 Jan 99999999999999999999 00:00:00 GMT"))
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        if call == "tasks":
            watched.wait("ck2")
        await anyio.sleep(300)
    assert isinstance(waiter.outcome, Task)


@pytest.mark.parametrize("call", ["tasks", "status"])
async def test_weather_that_stays_is_waited_out_to_the_end(call: str) -> None:
    world = World()
    world.add("ck1", "ck2", at=10)
    world.fails(call, *[page(status=500)] * 40)
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        if call == "tasks":
            watched.wait("ck2")
        await anyio.sleep(500)
    assert isinstance(waiter.outcome, Task)


@pytest.mark.parametrize("answer", [page(status=500), reply({}, 404), page()], ids=["500", "404", "html"])
async def test_a_list_that_never_comes_does_not_keep_two_from_what_one_would_get(answer: httpx.Response) -> None:
    world = World()
    world.add("ck1", "ck2", at=10)
    world.keeps_failing("tasks", answer)
    async with watching(world) as watched:
        waiters = [watched.wait("ck1"), watched.wait("ck2")]
        await anyio.sleep(600)
    assert all(isinstance(waiter.outcome, Task) for waiter in waiters)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_key_that_is_refused_ends_every_wait(status: int, count: int) -> None:
    world = World()
    world.add(*numbered(count))
    world.fails("tasks" if count > 1 else "status", None, reply({"status": "FAILED"}, status))
    async with watching(world) as watched:
        waiters = [watched.wait(name) for name in world.plans for _ in range(2)]
        await anyio.sleep(30)
        asked = len(world.log)
        await anyio.sleep(300)
    assert all(isinstance(waiter.outcome, errors.AuthFailed) for waiter in waiters)
    assert len({id(waiter.outcome) for waiter in waiters}) == len(waiters)  # each adds its own advice
    assert len(world.log) == asked == 2


@pytest.mark.parametrize("count", [1, 3])
async def test_a_task_that_does_not_exist_ends_its_own_wait_alone(count: int) -> None:
    world = World()
    world.add(*numbered(count - 1))
    async with watching(world) as watched:
        others = [watched.wait(name) for name in world.plans]
        missing = [watched.wait("gone"), watched.wait("gone")]
        await anyio.sleep(20)
    assert all(isinstance(waiter.outcome, errors.TaskNotFound) for waiter in missing)
    assert all(waiter.outcome is None for waiter in others)


async def test_a_refused_key_by_id_ends_that_wait_and_the_list_goes_on() -> None:
    world = World()
    world.add("ck1", at=30)
    world.add("ck2", "ck3")
    world.unlisted = {"ck2"}
    world.fails("status", reply({}, 401))
    async with watching(world) as watched:
        listed, unlisted = watched.wait("ck1"), watched.wait("ck2")
        watched.wait("ck3")
        await anyio.sleep(50)
    assert isinstance(unlisted.outcome, errors.AuthFailed)
    assert isinstance(listed.outcome, Task)


@pytest.mark.parametrize("seconds", [10, 50, 119])
@pytest.mark.parametrize("call", ["tasks", "status"])
async def test_a_retry_after_on_one_call_quiets_all_calls_of_all_processes(
    call: str, seconds: int, tmp_path: Path
) -> None:
    world = World()
    world.add("ck1", "ck2", "ck3", at=0)
    world.unlisted = {"ck2"}
    world.fails(call, reply({}, 429, retry_after=str(seconds)))
    async with watching(world, tmp_path) as here, watching(world, tmp_path) as there:
        mine = [here.wait("ck2")] if call == "status" else [here.wait("ck1"), here.wait("ck2")]
        await anyio.sleep(2)
        assert len(world.log) == 1
        theirs = there.wait("ck3")
        with pytest.raises(errors.RateLimited) as refused:
            await there.upstream.status("ck3")
        assert refused.value.retry_after is not None
        assert refused.value.retry_after <= seconds
        await anyio.sleep(seconds - 3)
        assert len(world.log) == 1
        await anyio.sleep(40)
    assert all(isinstance(waiter.outcome, Task) for waiter in (*mine, theirs))


async def test_one_who_comes_while_it_is_quiet_does_not_break_the_quiet() -> None:
    world = World()
    world.add("ck1", "ck2")
    world.fails("status", reply({}, 429, retry_after="60"))
    async with watching(world) as watched:
        watched.wait("ck1")
        await anyio.sleep(5)
        for _ in range(10):
            watched.wait("ck2")
            await anyio.sleep(5)
        assert len(world.log) == 1
        await anyio.sleep(30)
        assert len(world.log) > 1


async def test_a_retry_after_of_an_hour_is_not_sat_out() -> None:
    world = World()
    world.add("ck1", at=0)
    world.fails("status", reply({}, 429, retry_after="3600"))
    async with watching(world) as watched:
        waiter = watched.wait("ck1")
        await anyio.sleep(LONGEST_QUIET * 2)
    assert isinstance(waiter.outcome, Task)


async def test_a_short_retry_after_does_not_end_a_longer_one(tmp_path: Path) -> None:
    world = World()
    world.add("ck1")
    long, short = reply({}, 429, retry_after="100"), reply({}, 429, retry_after="1")

    async def late(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(1)
        return short

    world.fails("status", late, long)
    async with watching(world, tmp_path) as here, watching(world, tmp_path) as there:
        here.wait("ck1")
        there.wait("ck1")
        await anyio.sleep(60)
    assert len(world.log) == 2


@pytest.mark.parametrize("what", ["spent", "hushed"])
async def test_a_clock_that_was_set_back_does_not_silence_the_machine(what: str, tmp_path: Path) -> None:
    clock = [WALL]
    ledger = Ledger(Settings(api_key=KEY, state_dir=tmp_path), wall=lambda: clock[0], in_thread=at_once)
    try:
        for _ in range(QUERIES):
            await ledger.admit(1.0, direct=True)
        if what == "hushed":
            await ledger.hush(30)
        with pytest.raises(errors.RateLimited):
            await ledger.admit(1.0, direct=True)
        clock[0] -= 86_400
        await ledger.admit(1.0, direct=True)
    finally:
        await ledger.aclose()


# The list's answer is everybody's


async def test_what_the_list_brought_is_told_before_anything_is_asked_by_id() -> None:
    world = World()
    world.add("ck1")
    world.add("ck2", at=0)
    world.unlisted = {"ck1"}
    world.fails("status", reply({}, 429, retry_after="100"))
    async with watching(world) as watched:
        watched.wait("ck1")
        await anyio.sleep(0.01)  # trio starts tasks in any order
        ended = watched.wait("ck2")
        await anyio.sleep(10)
    assert isinstance(ended.outcome, Task)


async def test_a_task_that_hangs_by_id_holds_up_no_other() -> None:
    world = World()
    names = numbered(6)
    world.add(*names[:-1])
    world.add(names[-1], at=0)
    world.unlisted = set(names[:-1])

    async def hanging(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    world.keeps_failing("status", hanging)
    async with watching(world) as watched:
        for name in names:
            ended = watched.wait(name)
            await anyio.sleep(0.01)  # trio starts tasks in any order
        await anyio.sleep(20)
    assert isinstance(ended.outcome, Task)


async def test_a_state_is_taken_down_once_whatever_the_weather() -> None:
    world = World()
    names = numbered(20)
    world.add(*names)
    world.fails("tasks", *[None, page(status=500)] * 5)
    async with watching(world) as watched:
        for name in names:
            watched.wait(name)
        await anyio.sleep(60)
    assert len(watched.seen) == len(names)


async def test_entries_that_are_no_tasks_and_tasks_of_others_do_no_harm() -> None:
    world = World()
    world.add("ck1", "ck2", at=10)
    strange: list[object] = [
        None,
        7,
        "ck1",
        [],
        {},
        {"id": None, "status": "COMPLETED"},
        {"id": "ck1"},
        {"id": "ck1", "status": {"is": "COMPLETED"}},
        {"id": "ck1", "status": ""},
        {"id": "ck1\u202e", "status": "COMPLETED", "output": {"url": "https://evil.example.test/"}},
        {"id": "x" * 10_000, "status": "COMPLETED"},
        {"id": "other", "status": "COMPLETED", "output": 5, "creditsCharged": 1e308, "completedAt": "9999-12-31"},
    ]
    world.fails(
        "tasks", *[reply({"tasks": strange}), reply({"tasks": {"id": "ck1"}}), reply({}), reply({"tasks": None})]
    )
    async with watching(world) as watched:
        waiters = [watched.wait("ck1"), watched.wait("ck2")]
        await anyio.sleep(60)
    assert all(isinstance(waiter.outcome, Task) for waiter in waiters)


async def test_an_unknown_state_is_told_in_its_own_word_and_waited_on() -> None:
    world = World()
    world.plans = {"ck1": [(0, "RENDERING"), (30, "COMPLETED")], "ck2": [(0, "completed")]}
    async with watching(world) as watched:
        waiter, other = watched.wait("ck1"), watched.wait("ck2")
        await anyio.sleep(60)
    assert waiter.news[0] == News("RENDERING")
    assert isinstance(waiter.outcome, Task)
    assert other.outcome is None
    assert {news.status for news in other.news} == {"completed"}


# The wait, as a caller has it


async def _deaf(_: str) -> None:
    """Hear nothing."""


def _tool(name: str) -> Any:
    return next(tool for tool in TOOLS if tool.name == name)


@pytest.mark.parametrize("state", ["SUBMITTED", "PROGRESS", "RENDERING"])
async def test_without_progress_a_wait_ends_at_45_s_with_the_id_and_how_to_go_on(state: str) -> None:
    world = World()
    world.plans = {"ck1": [(0, state)]}
    async with world.network.workflow() as workflow:
        started = anyio.current_time()
        answer = await _tool("generate_video").call(workflow, Call(T2V, _deaf, seen=False))
        assert anyio.current_time() - started == pytest.approx(45, abs=0.1)
        asked = len(world.log)
        await anyio.sleep(300)
        assert len(world.log) == asked
    assert (answer.ok, answer.task_id, answer.data.status) == (True, "ck1", state)
    assert answer.status == ("UNKNOWN" if state == "RENDERING" else "PROGRESS")
    assert any("generate_video" in step and "ck1" in step for step in answer.next_steps)


@pytest.mark.parametrize("state", ["PROGRESS", "RENDERING"])
async def test_with_progress_something_is_told_every_ten_seconds_and_the_wait_is_bounded(state: str) -> None:
    world = World()
    world.plans = {"ck1": [(0, state)]}
    world.fails("status", None, None, reply({}, 429, retry_after="60"))
    told: list[float] = []

    async def tell(_: str) -> None:
        told.append(anyio.current_time())

    async with world.network.workflow(max_wait_s=200) as workflow:
        started = anyio.current_time()
        answer = await _tool("generate_video").call(workflow, Call(T2V, tell, seen=True))
        assert anyio.current_time() - started == pytest.approx(200, abs=0.1)
    assert answer.ok
    assert max(gaps([*told, started + 200])) <= 10.001


async def test_a_caller_that_leaves_leaves_the_task_in_the_ledger_and_can_come_back() -> None:
    world = World()
    world.add("ck1", at=100)
    async with world.network.workflow() as workflow:
        with anyio.move_on_after(30) as left:
            await workflow.generate(read_request(T2V), Terms(), _deaf, seen=True)
        assert left.cancelled_caught
        asked = len(world.log)
        await anyio.sleep(100)
        assert len(world.log) == asked
        assert await workflow._ledger.about("ck1")
        back = await workflow.generate(read_request(T2V), Terms(), _deaf, seen=True)
    assert back.joined
    assert back.task.status == "COMPLETED"
    assert world.calls().count("generate") == 1
    assert "cancel" not in world.calls()


async def test_two_callers_of_the_same_generation_have_each_their_own_messages_and_the_same_result() -> None:
    world = World()
    world.add("ck1", at=50)
    results: list[Task] = []

    async def wait() -> None:
        results.append((await workflow.generate(read_request(T2V), Terms(), _deaf, seen=True)).task)

    async with world.network.workflow() as workflow, anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
    assert len(results) == 2
    assert results[0].video_url == results[1].video_url
    assert world.calls().count("generate") == 1
    assert "tasks" not in world.calls()


async def test_a_heartbeat_that_breaks_still_hands_over_the_id() -> None:
    world = World()
    world.add("ck1")
    told = 0

    async def tell(_: str) -> None:
        nonlocal told
        told += 1
        if told > 2:
            raise RuntimeError("the stream is gone")

    async with world.network.workflow() as workflow:
        answer = await _tool("generate_video").call(workflow, Call(T2V, tell, seen=True))
    assert answer.task_id == "ck1"


async def test_waiting_for_sixty_given_ids_costs_no_more_than_waiting_for_one() -> None:
    world = World()
    names = numbered(60)
    world.add(*names, at=30)
    answers: list[Any] = []

    async def wait(name: str) -> None:
        answers.append(await _tool("generate_video").call(workflow, Call({"taskId": name}, _deaf, seen=True)))

    async with world.network.workflow() as workflow, anyio.create_task_group() as group:
        for name in names:
            group.start_soon(wait, name)
    assert {answer.error_code for answer in answers} == {None}
    assert len(world.queries()) < QUERIES


@pytest.mark.parametrize("answer", [reply({}, 429, retry_after="30"), page(status=502)], ids=["429", "502"])
async def test_weather_at_the_first_look_does_not_end_a_wait_for_a_given_id(answer: httpx.Response) -> None:
    world = World()
    world.add("ck1", at=100)
    world.fails("task", *[answer] * 4)
    async with world.network.workflow() as workflow:
        waited = await workflow.resume("ck1", Terms(), _deaf, seen=True)
    assert waited.task.status == "COMPLETED"


async def test_an_html_page_with_status_404_is_not_the_word_that_the_task_is_gone() -> None:
    world = World()
    world.add("ck1", at=100)
    world.fails("status", page(status=404))
    async with world.network.workflow() as workflow:
        waited = await workflow.generate(read_request(T2V), Terms(), _deaf, seen=True)
    assert waited.task.status == "COMPLETED"
    assert world.calls().count("generate") == 1


async def test_the_budget_holds_within_a_sandbox_minute_too(tmp_path: Path) -> None:
    """At speed 20 the sandbox allows 60 queries in 3 s, not 1200 at once: several servers together run into its 429."""
    ledger = Ledger(Settings(api_key=KEY, state_dir=tmp_path), wall=lambda: WALL, in_thread=at_once)
    admitted = 0
    with suppress(errors.RateLimited):
        for _ in range(100):
            await ledger.admit(20.0, direct=True)
            admitted += 1
    await ledger.aclose()
    assert admitted == QUERIES
