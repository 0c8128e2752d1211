"""The create's answer lost in each way, on a clock that jumps: as many charges as intents, always.

Hypothesis writes stories: calls of several tools at once, callers that leave, processes that die, creates whose answer
is lost, lists that fail. `World` is the sandbox behind a spoiled network, `Story` plays the steps and keeps, from the
outside and by the product's promises alone, the list of generations that callers meant.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import httpx
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aivideo_mcp.client import Upstream
from aivideo_mcp.ledger import Intent, Ledger, Role, Wanted
from aivideo_mcp.sandbox import SandboxOptions
from aivideo_mcp.sandbox.app import create_app
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Envelope
from aivideo_mcp.tools import TOOLS, Call
from aivideo_mcp.workflow import Workflow
from tests.fakes import BASE, KEY, at_once, call_of, page, reply

EPOCH: Final = 1_795_428_000.0  # 2026-11-23T10:00:00Z
TIMEOUT: Final = 30.0
SPEED: Final = 10.0  # a t2v takes 28.5 s
REQUESTS: Final[tuple[dict[str, Any], ...]] = (
    {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 5},
    {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 8},
    {"model": "minimax", "prompt": "a cat"},
    {"model": "t2v_v3", "prompt": "a dog, fail-please", "aspectRatio": "1:1", "duration": 5},
    {"model": "i2v", "image": "https://example.com/cat.png", "duration": 5},
    {"model": "i2v", "image": "https://example.com/dog.png", "duration": 5},
)
KEYS: Final = ("the-first-key", "the-second-key")
TOOL: Final = {tool.name: tool for tool in TOOLS}

# What becomes of a create: when the upstream processes it (None: never; seconds after it came), and what answer comes.
Fate = tuple[float | None, str]
FATES: Final[tuple[Fate, ...]] = (
    (0.0, "true"),
    (0.0, "slow"),
    (0.0, "reset"),
    (None, "reset"),
    (20.0, "reset"),
    (0.0, "silence"),
    (None, "silence"),
    (40.0, "silence"),
    (0.0, "truncated"),
    (0.0, "cut"),
    (0.0, "500"),
    (None, "500"),
    (0.0, "502"),
    (None, "502"),
    (10.0, "504"),
    (0.0, "html"),
    (None, "html"),
    (0.0, "empty"),
    (0.0, "redirect"),
    (None, "redirect"),
    (0.0, "types"),
    (0.0, "no id"),
    (None, "no id"),
    (0.0, "list"),
    (None, "unreachable"),
    (None, "429"),
)
WELL: Final[Fate] = (0.0, "true")
SLOW: Final = 12.0  # seconds that a slow answer takes
LISTS: Final = ("true", "500", "html", "reset", "429", "silence", "failed", "404")
STRANGE_LISTS: Final = ("shapeless", "null", "strange")


class World(httpx.AsyncBaseTransport):
    """The upstream and the network before it; `fates` and `lists` are used up one by one, then all goes well."""

    def __init__(self, nursery: trio.Nursery, *, honoured: str, keys_listed: bool, behind: float = 0.0) -> None:
        self.fates: list[Fate] = []
        self.lists: list[str] = []
        self.charged: dict[str, list[float]] = {}  # for each idempotency key when the creates came that were processed
        self._nursery = nursery
        self._keys_listed = keys_listed
        options = SandboxOptions(
            speed=SPEED,
            credits=1_000_000,
            queries_per_minute=1_000_000,
            idempotency=honoured,
            clock=trio.current_time,
            wall=lambda: EPOCH + trio.current_time() - behind,
        )
        self._sandbox = httpx.ASGITransport(create_app(options))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._answer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=_streamed(answer.content))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        call = call_of(request)
        await request.aread()
        await anyio.sleep(0.05)  # the way there
        if call == "generate":
            return await self._spoiled(request, *(self.fates.pop(0) if self.fates else WELL))
        if call == "tasks":
            return await self._listed(request, self.lists.pop(0) if self.lists else "true")
        return await self._processed(request)

    async def tasks(self) -> list[dict[str, Any]]:
        """All that was charged, as the upstream itself knows it."""
        request = httpx.Request("GET", f"{BASE}/api/v1/tasks", headers={"key": KEY})
        return list(json.loads((await self._processed(request)).content)["tasks"])

    async def _processed(self, request: httpx.Request) -> httpx.Response:
        response = await self._sandbox.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

    async def _listed(self, request: httpx.Request, kind: str) -> httpx.Response:
        answer = await self._processed(request)
        if kind == "true":
            told = json.loads(answer.content)
            for task in told["tasks"]:
                task["idempotencyKey"] = task["idempotencyKey"] if self._keys_listed else None
            return reply(told)
        return await _given(kind, answer)

    async def _spoiled(self, request: httpx.Request, after: float | None, kind: str) -> httpx.Response:
        answer = httpx.Response(500)
        if after is not None:
            self.charged.setdefault(request.headers["idempotency-key"], []).append(trio.current_time())
        if after == 0:
            answer = await self._processed(request)
        elif after is not None:
            self._nursery.start_soon(self._later, request, after)
        return await _given(kind, answer)

    async def _later(self, request: httpx.Request, after: float) -> None:
        await anyio.sleep(after)
        await self._processed(request)


async def _streamed(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _given(kind: str, true: httpx.Response) -> httpx.Response:
    """An answer of a kind; raises what a network raises."""
    if kind in ("slow", "silence"):
        await anyio.sleep(SLOW if kind == "slow" else 1e6)
    faults = {
        "reset": httpx.ReadError("reset"),
        "truncated": httpx.RemoteProtocolError("peer closed connection"),
        "unreachable": httpx.ConnectError("refused"),
    }
    if kind in faults:
        raise faults[kind]
    made: dict[str, Callable[[], httpx.Response]] = {
        "true": lambda: true,
        "slow": lambda: true,
        "cut": lambda: httpx.Response(200, content=true.content[: len(true.content) // 2]),
        "500": lambda: reply({"status": "FAILED", "message": "Internal server error"}, 500),
        "404": lambda: page(status=404),
        "502": lambda: page(status=502),
        "504": lambda: page(status=504),
        "html": page,
        "empty": lambda: httpx.Response(200),
        "redirect": lambda: httpx.Response(302, headers={"Location": "https://elsewhere.test/"}),
        "types": lambda: reply({"status": 5, "taskId": 12345, "creditsCharged": "15"}),
        "no id": lambda: reply({"status": "SUBMITTED", "taskId": None}),
        "list": lambda: reply([1, 2]),
        "429": lambda: reply({"status": "FAILED", "errorCode": "RATE_LIMITED"}, 429, retry_after="5"),
        "failed": lambda: reply({"status": "FAILED", "message": "busy"}),
        "shapeless": lambda: reply({"ok": True}),
        "null": lambda: reply({"tasks": None}),
        "strange": lambda: reply({"tasks": [{"taskId": 5, "state": "PROGRESS"}]}),
    }
    return made[kind]()


class Process:
    """A server's inside, from start to death; all processes of a story share one state folder."""

    def __init__(self, folder: Path, world: World, nursery: trio.Nursery) -> None:
        chosen = Settings(api_key=KEY, base_url=BASE, timeout_ms=int(TIMEOUT * 1000), state_dir=folder, max_retries=1)
        self.ledger = _Watched(chosen, wall=lambda: EPOCH + trio.current_time(), in_thread=at_once)
        upstream = Upstream(chosen, transport=world)
        self._nursery = nursery
        self.workflow = Workflow(chosen, upstream, self.ledger, _Background(nursery))  # type: ignore[arg-type]

    async def call(self, name: str, arguments: dict[str, Any]) -> Envelope:
        """A tool's answer, handed over as the server hands it over."""

        async def tell(_message: str) -> None: ...

        envelope = await TOOL[name].call(self.workflow, Call(arguments, tell, seen=True))
        if TOOL[name].hands_over and envelope.outcome and envelope.task_id:
            await self.workflow.delivered(envelope.task_id)
        return envelope

    @property
    def busy(self) -> bool:
        """Whether a create runs, be its caller there or not."""
        return self.workflow._background.at_work

    def die(self) -> None:
        """End as by SIGKILL: nothing more is done; the system closes the files, and with them the lock."""
        self._nursery.cancel_scope.cancel()
        if self.ledger._access.store is not None:
            self.ledger._access.store.close()
        if self.ledger._access._presence is not None:
            self.ledger._access._presence.leave()


class _Background:
    """A nursery as the task group that the house knows."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.start_soon = nursery.start_soon


class _Watched(Ledger):
    """A ledger that tells the story which of its rows a call was given."""

    async def claim(self, wanted: Wanted, *, fresh: bool) -> tuple[Intent, Role]:
        intent, role = await super().claim(wanted, fresh=fresh)
        rows, keys = _claimed.get()
        rows.append(intent.number)
        keys.add(intent.key)
        return intent, role


_claimed: ContextVar[tuple[list[int], set[str]]] = ContextVar("claimed")


@dataclass(eq=False)
class Meant:
    """A generation that a caller meant; `rows` are the ledger's for it, `at_work` the calls that wait for it."""

    request: int
    key: str | None
    rows: set[int] = field(default_factory=set)
    task: str | None = None
    delivered: bool = False
    at_work: int = 0


@dataclass(frozen=True)
class Asked:
    """A call: what, how long after the one before, after how long its caller leaves, how long it waits."""

    tool: str
    request: int
    key: str | None = None
    after: float = 0.01
    leaves: float | None = None
    wait: float = 120.0


@dataclass(frozen=True)
class Step:
    """Calls that overlap, under a spell of weather; `dies` is when the process is killed in their midst."""

    calls: tuple[Asked, ...]
    fates: tuple[Fate, ...] = ()
    lists: tuple[str, ...] = ()
    dies: float | None = None
    pause: float = 0.0


class Story:
    """Plays steps and keeps what callers meant."""

    def __init__(self, folder: Path, world: World) -> None:
        self._file = folder / "ledger.sqlite3"
        self._folder = folder
        self._world = world
        self.meant: list[Meant] = []
        self.told: list[str] = []
        self._spared: list[tuple[str, float]] = []  # keys of which somebody was told that nothing was sent, and when

    async def play(self, steps: Sequence[Step]) -> None:
        """All steps, then good weather until every generation is delivered, then the sums."""
        rest = list(steps)
        while rest:
            async with self._process() as process:
                while rest:
                    step = rest.pop(0)
                    await self._play(process, step)
                    if step.dies is not None:
                        break
                    await anyio.sleep(step.pause)
            self._learn()
            await anyio.sleep(step.pause)
        self._world.lists.clear()
        async with self._process() as process:
            await self._deliver_all(process)
        await self._check()

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        async with trio.open_nursery() as nursery:
            process = Process(self._folder, self._world, nursery)
            yield process
            process.die()

    async def _play(self, process: Process, step: Step) -> None:
        self._world.fates[:], self._world.lists[:] = step.fates, step.lists
        with trio.move_on_after(float("inf") if step.dies is None else step.dies):
            async with trio.open_nursery() as calls:
                for asked in step.calls:
                    await anyio.sleep(asked.after)
                    calls.start_soon(self._ask, process, asked)
            while process.busy:
                await anyio.sleep(0.5)
        self._world.fates.clear()
        self._learn()

    async def _ask(self, process: Process, asked: Asked) -> None:
        """One call, with what the product promises about it."""
        meant = await self._meaning(process, asked)
        arguments = dict(REQUESTS[asked.request])
        if asked.key is not None:
            arguments["idempotencyKey"] = asked.key
        if asked.tool == "generate_video":
            arguments["maxWaitSeconds"] = asked.wait
        rows: list[int] = []
        keys: set[str] = set()
        _claimed.set((rows, keys))
        if meant:
            meant.at_work += 1
        try:
            with trio.move_on_after(float("inf") if asked.leaves is None else asked.leaves) as caller:
                envelope = await process.call(asked.tool, arguments)
        finally:
            if meant:
                meant.at_work -= 1
                meant = self._moved(meant, rows, asked)
                meant.rows.update(rows)
        if caller.cancelled_caught:
            return
        self.told.append(f"{trio.current_time():.1f} {asked} -> {envelope.text.splitlines()[0]}")
        if meant is None:
            assert envelope.error_code == "IDEMPOTENCY_CONFLICT", self.tale
            return
        self._take(meant, envelope, asked.tool)
        self._learn()
        if "othing was sent" in (envelope.error_message or ""):
            self._spared += [(key, trio.current_time()) for key in keys]

    async def _meaning(self, process: Process, asked: Asked) -> Meant | None:
        """Which generation a call means by promise 3; None where its key was used for another."""
        if asked.key is not None:
            named = [meant for meant in self.meant if meant.key == asked.key]
            if named:
                return named[0] if named[0].request == asked.request else None
        elif asked.tool == "generate_video":
            if owed := [meant for meant in self._of(asked.request) if not meant.delivered]:
                return owed[0]
        else:  # a create that repeats one whose answer is lost; nobody can say that of one that is at work
            while any(not meant.at_work and meant.task is None for meant in self._of(asked.request)) and process.busy:
                await anyio.sleep(0.5)
            self._learn()
            untold = set(self._rows("WHERE untold"))  # found with no caller to tell
            if lost := [m for m in self._of(asked.request) if not m.at_work and (m.task is None or m.rows & untold)]:
                return min(lost, key=lambda meant: min(meant.rows, default=0))
        self.meant.append(Meant(asked.request, asked.key))
        return self.meant[-1]

    def _of(self, request: int) -> list[Meant]:
        return [meant for meant in self.meant if meant.request == request]

    def _moved(self, meant: Meant, rows: list[int], asked: Asked) -> Meant:
        """What a call means in the end.

        Where the generation that it waited for was refused, it joins the next; and which of several lost ones a create
        finishes is decided when it comes to it.
        """
        known = self._rows()
        finishes = asked.tool == "create_generation" and asked.key is None
        if finishes or not meant.rows & known.keys():
            for other in self._of(meant.request):
                if other is not meant and other.rows & set(rows[-1:]) and (not finishes or other.task is None):
                    if not meant.rows and not meant.at_work:
                        self.meant.remove(meant)
                    return other
        return meant

    def _take(self, meant: Meant, envelope: Envelope, tool: str) -> None:
        """Hold an answer against what is known."""
        if envelope.task_id is None:
            assert envelope.error_code in ("SUBMISSION_UNCERTAIN", "NETWORK_ERROR", "RATE_LIMITED"), self.tale
            return
        assert meant.task in (None, envelope.task_id), f"two tasks for one generation; {self.tale}"
        for other in self.meant:
            assert other is meant or other.task != envelope.task_id, f"one task for two generations; {self.tale}"
        meant.task = envelope.task_id
        meant.delivered = meant.delivered or (tool == "generate_video" and envelope.outcome)

    def _learn(self) -> None:
        """From the ledger: what became nothing, and the tasks of those whose callers left."""
        known = self._rows()
        for meant in [meant for meant in self.meant if meant.task is None and not meant.at_work]:
            mine = meant.rows & known.keys()
            if not mine:
                self.meant.remove(meant)
            else:
                meant.task = next((known[row] for row in mine if known[row]), None)

    def _rows(self, which: str = "") -> dict[int, str | None]:
        """Each of the ledger's rows and its task."""
        if not self._file.exists():
            return {}
        with contextlib.closing(sqlite3.connect(self._file)) as connection:
            query = f"SELECT number, task_id FROM generations {which}"  # noqa: S608 - written here
            return dict(connection.execute(query).fetchall())

    async def _deliver_all(self, process: Process) -> None:
        tries = 0
        while owed := [meant for meant in self.meant if not meant.delivered]:
            tries += 1
            assert tries <= len(owed) + 8, f"no end; {self.tale}"
            await self._ask(process, Asked("generate_video", owed[0].request, owed[0].key, wait=600.0))
            await anyio.sleep(TIMEOUT)

    async def _check(self) -> None:
        tasks = {task["id"]: _shown(task["model"], task["input"]) for task in await self._world.tasks()}
        assert set(tasks) <= set(self._rows().values()), f"the ledger does not know all of {tasks}; {self.tale}"
        assert len(tasks) == len(self.meant), f"{len(tasks)} charges, {len(self.meant)} meant; {self.tale}"
        for key, told in self._spared:
            charged = [came for came in self._world.charged.get(key, ()) if came < told]
            assert not charged, f"told that nothing was sent; {self.tale}"
        for meant in self.meant:
            asked = REQUESTS[meant.request]
            assert tasks.get(meant.task or "") == _shown(asked["model"], asked), f"another's video; {self.tale}"

    @property
    def tale(self) -> str:
        """What was asked and answered so far."""
        return "\n".join(["", *self.told, *map(str, self.meant)])


def _shown(model: str, fields: dict[str, Any]) -> tuple[str, ...]:
    """What tells one request from another."""
    words = fields.get("prompt") or fields.get("content") or fields["image"]
    return model, words, str(fields.get("duration", 5))


def play(
    steps: Sequence[Step], *, honoured: str = "all", keys_listed: bool = True, behind: float = 0.0, seed: int = 0
) -> None:
    """A story from its beginning to its sums; a seed is an order in which simultaneous things happen."""

    async def main() -> None:
        async with trio.open_nursery() as outside:
            world = World(outside, honoured=honoured, keys_listed=keys_listed, behind=behind)
            await Story(Path(folder), world).play(steps)
            outside.cancel_scope.cancel()

    async def now(work: Callable[..., Any], *given: Any, **_: Any) -> Any:
        return await at_once(lambda: work(*given))

    random.seed(seed)  # the watcher's jitter
    trio._core._run._r.seed(seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        patch.setattr(anyio.to_thread, "run_sync", now)  # a clock that jumps knows no threads
        # At a rate of nothing, a sleep shorter than the clock's last digit would never end.
        clock = trio.testing.MockClock(rate=1e-6, autojump_threshold=0)
        try:
            trio.run(main, clock=clock)
        except BaseExceptionGroup as group:
            raise _first(group) from None


def _first(group: BaseExceptionGroup) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def generate(request: int, **given: Any) -> Asked:
    return Asked("generate_video", request, **given)


def create(request: int, **given: Any) -> Asked:
    return Asked("create_generation", request, **given)


@pytest.mark.parametrize("honoured", ["all", "minimax"])
@pytest.mark.parametrize("asked", [generate(0), create(0), generate(2)], ids=["t2v", "create", "minimax"])
@pytest.mark.parametrize("keys_listed", [True, False])
def test_a_create_lost_in_any_one_way_is_one_charge(honoured: str, asked: Asked, keys_listed: bool) -> None:
    for fate in FATES:
        play([Step((asked,), (fate,))], honoured=honoured, keys_listed=keys_listed)


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """Up to three steps, each with up to three calls."""
    chosen = draw(st.sampled_from([(0,), (0, 0, 2), (2,), (0, 1), (3,), (4, 5)]))
    call = st.builds(
        Asked,
        tool=st.sampled_from(["generate_video", "create_generation"]),
        request=st.sampled_from(chosen),
        key=st.sampled_from([None, None, *KEYS]),
        after=st.sampled_from([0.013, 1.7, 29.1]),
        leaves=st.sampled_from([None, None, None, 0.06, 3.3, 33.3]),
        wait=st.sampled_from([0.0, 10.0, 120.0]),
    )
    step = st.builds(
        Step,
        calls=st.lists(call, min_size=1, max_size=3).map(tuple),
        fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=4).map(tuple),
        lists=st.lists(st.sampled_from((*LISTS, *STRANGE_LISTS)), max_size=4).map(tuple),
        dies=st.sampled_from([None, None, 0.08, 2.6, 29.2, 70.4]),
        pause=st.sampled_from([0.0, 20.0, 300.0]),
    )
    return {
        "steps": draw(st.lists(step, min_size=2, max_size=3)),
        "honoured": draw(st.sampled_from(["all", "minimax"])),
        "keys_listed": draw(st.booleans()),
        "behind": draw(st.sampled_from([0.0, 100.0])),
        "seed": draw(st.integers(0, 3)),
    }


BOUNDED: Final = settings(
    max_examples=int(os.environ.get("STORIES", "200")),
    derandomize="STORIES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@BOUNDED
@given(stories())
def test_there_are_as_many_charges_as_callers_meant_generations(story: dict[str, Any]) -> None:
    play(**story)


LOST: Final[Fate] = (0.0, "silence")


def test_a_create_repeated_after_a_crash_finishes_the_lost_one() -> None:
    for seed in range(8):
        play([Step((create(0),), (LOST,), dies=5.0), Step((create(0),))], seed=seed)


def test_a_create_repeated_after_a_crash_and_a_failed_look_finishes_the_lost_one() -> None:
    again = Step((generate(2), create(0, after=50.0)), lists=("500",) * 6)
    for seed in range(8):
        play([Step((generate(0),), (LOST,), dies=5.0), again], seed=seed)


@pytest.mark.parametrize("kind", STRANGE_LISTS)
def test_a_list_that_cannot_be_read_shows_nothing_and_so_nothing_is_sent_again(kind: str) -> None:
    play([Step((create(0),), ((0.0, "reset"),), (kind,) * 2)], honoured="minimax")


@pytest.mark.parametrize(
    "calls",
    [
        (generate(0, key=KEYS[0]), generate(0, key=KEYS[1], after=29.0)),
        (create(0), create(0, after=29.0)),
        (generate(4), generate(5, after=29.0)),  # another picture even
    ],
    ids=["keyed", "created", "pictures"],
)
def test_a_lost_create_does_not_take_the_task_of_one_still_unanswered(calls: tuple[Asked, ...]) -> None:
    play([Step(calls, ((None, "reset"), (0.0, "slow")))], honoured="minimax")


def test_of_two_creates_at_the_next_start_one_finishes_the_lost_one_and_one_is_new() -> None:
    for seed in range(4):
        play([Step((generate(0),), ((0.0, "slow"),), dies=0.3), Step((create(0), create(0)))], seed=seed)


def test_nobody_is_told_that_nothing_was_sent_when_the_first_sending_is_still_open() -> None:
    play([Step((generate(2),), ((40.0, "silence"), (None, "unreachable")))])
