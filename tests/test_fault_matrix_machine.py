"""The machine's own faults on every tool: a ledger that cannot be used, a disk that is slow, a clock that is set.

Always one envelope of the contract in bounded time; a task that was paid for is named and is never paid again. Time is
virtual, as in the upstream's matrix; what needs real threads, descriptors and locks is in `test_ledger_processes`.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from aivideo_mcp.errors import BudgetSpent
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.tasks import Envelope
from aivideo_mcp.tools import TOOLS, Call
from aivideo_mcp.workflow import Workflow
from tests.fakes import _STARTED, SUBMITTED, T2V, FakeNetwork, at_once, reply, task
from tests.test_fault_matrix import ASKED, BOUND, WAYS, WELL, anyio_backend, check_envelope, no_threads

__all__ = ["anyio_backend", "no_threads"]  # fixtures, found by name

pytestmark = pytest.mark.anyio

WIRE: Final = {"prompt": "a cat", "aspectRatio": "16:9", "duration": "5"}
SAME: Final = {**T2V, "maxWaitSeconds": 100}
WAITING: Final = {**ASKED, "maxWaitSeconds": 100}
CALLS: Final = {tool: arguments for ways in WAYS.values() for tool, arguments in ways} | {"generate_video": SAME}
CASES: Final = [*CALLS.items(), ("generate_video", WAITING)]
YEAR, DAY = 365 * 86_400.0, 86_400.0


async def call(workflow: Workflow, tool: str, arguments: dict[str, Any]) -> Envelope:
    async def tell(_: str) -> None: ...

    began = anyio.current_time()
    envelope = await next(row for row in TOOLS if row.name == tool).call(workflow, Call(arguments, tell, seen=True))
    check_envelope(tool, envelope)
    assert anyio.current_time() - began <= BOUND
    return envelope


def well(**answers: Any) -> dict[str, Any]:
    """All is well upstream, where the one task is as it was asked for."""
    made = task("COMPLETED", input=WIRE)
    return {name: reply(body) for name, body in {**WELL, "task": made, "tasks": {"tasks": [made]}}.items()} | answers


def paid(network: FakeNetwork) -> int:
    return network.calls().count("generate")


# --- The state folder ------------------------------------------------------------------------------------------------

Break = Callable[[ExitStack, Ledger], None]  # until the stack is closed


HOOKS: Final[dict[str, list[Callable[..., None]]]] = {"begin": [], "before_cursor_execute": []}


@pytest.fixture(autouse=True, scope="module")
def hooked() -> None:
    """Engines keep a listener of their class for life, so it is one that can be emptied."""
    for what, hooks in HOOKS.items():

        def run(*given: Any, hooks: list[Callable[..., None]] = hooks) -> None:
            for hook in hooks:
                hook(*given)

        event.listen(Engine, what, run)


def each(what: str, does: Callable[..., None]) -> Break:
    """Something that happens at each of the database's events of a kind."""

    def breaks(stack: ExitStack, _: Ledger) -> None:
        HOOKS[what].append(does)
        stack.callback(HOOKS[what].remove, does)

    return breaks


def pragma(text: str) -> Break:
    return each("begin", lambda connection: connection.exec_driver_sql(f"PRAGMA {text}"))


def failing(failure: Exception) -> Break:
    def refuse(*_: object) -> None:
        raise failure

    return each("before_cursor_execute", refuse)


def slow(seconds: float, then: Break | None = None) -> Break:
    """Each piece of the ledger's work takes so long, and nothing interrupts it, as in a thread."""

    def breaks(stack: ExitStack, ledger: Ledger) -> None:
        async def slowly(work: Callable[[], Any], /) -> Any:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(seconds)
            return work()

        ledger._access._run_sync = slowly
        stack.callback(setattr, ledger._access, "_run_sync", at_once)
        if then:
            then(stack, ledger)

    return breaks


def corrupt(_: ExitStack, ledger: Ledger) -> None:
    file = ledger._settings.state_folder / "ledger.sqlite3"
    if file.exists():
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\x55" * 100_000)


def delete(*names: str) -> Break:
    def breaks(_: ExitStack, ledger: Ledger) -> None:
        folder = ledger._settings.state_folder
        for found in [found for name in names for found in folder.parent.glob(f"{folder.name}{name}")]:
            shutil.rmtree(found) if found.is_dir() else found.unlink()

    return breaks


def replace(stack: ExitStack, ledger: Ledger) -> None:
    folder = ledger._settings.state_folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way")
    stack.callback(folder.unlink)


BREAKS: Final[dict[str, Break]] = {
    "full": pragma("max_page_count = 1"),
    "read-only": pragma("query_only = ON"),
    "unreadable": failing(sqlite3.OperationalError("disk I/O error")),
    "EIO": failing(OSError(5, "Input/output error")),
    "ENOSPC": failing(OSError(28, "No space left on device")),
    "no descriptors left": failing(OSError(24, "Too many open files")),
    "locked": slow(10.0, failing(sqlite3.OperationalError("database is locked"))),
    "slow": slow(5.0),
    "corrupt": corrupt,
    "file deleted": delete("/ledger.sqlite3*"),
    "file deleted and its tail left": delete("/ledger.sqlite3"),
    "locks deleted": delete("/alive", "/*.lock"),
    "folder deleted": delete(""),
    "something in its place": replace,
}


class Breaking(FakeNetwork):
    """Breaks something when the first request comes, or the create."""

    def __init__(self, when: str, **answers: Any) -> None:
        super().__init__(**answers)
        self._when = when
        self.breaks: Callable[[], None] = lambda: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if self._when == "at the first request" or "/generate/" in request.url.path:
            self.break_now()
        return answer

    def break_now(self) -> None:
        """Break it, once."""
        breaks, self.breaks = self.breaks, lambda: None
        breaks()


WHEN: Final = ["at the start", "at the first request", "at the charge"]
CASES_OF_THE_FOLDER: Final = [
    pytest.param(tool, arguments, how, when, id=f"{tool}{'-by id' * (arguments is WAITING)}-{how}-{when}")
    for tool, arguments in CASES
    for how in BREAKS
    for when in WHEN
    if when == "at the start" or "prompt" in arguments  # nothing is at stake for the others in between
    if "deleted" not in how or when == "at the charge"
    # What was written is gone and nothing new can be: the answer's id is all that is left of what was paid.
    if how != "something in its place" or when != "at the charge"
]


@pytest.mark.parametrize(("tool", "arguments", "how", "when"), CASES_OF_THE_FOLDER)
async def test_a_ledger_that_breaks_costs_no_answer_and_no_second_charge(
    tool: str, arguments: dict[str, Any], how: str, when: str, tmp_path: Path
) -> None:
    network = Breaking(when, **well())
    async with network.workflow(state_dir=tmp_path / "state", confirm_above=1000) as workflow:
        with ExitStack() as stack:
            network.breaks = lambda: BREAKS[how](stack, workflow._ledger)
            stack.callback(setattr, network, "breaks", lambda: None)
            if when == "at the start":
                network.break_now()
            told = await call(workflow, tool, arguments)
            assert paid(network) <= 1
            if paid(network):
                assert told.task_id == "ck1", "what was charged is named"
            again = await call(workflow, "generate_video", SAME)
        if workflow._ledger._access.store:
            workflow._ledger._access.store.close()  # its connections have the pragmas still
        last = await call(workflow, "generate_video", SAME)
        assert last.task_id == "ck1", last.text
    assert paid(network) == 1, (told.error_code, again.error_code)


# --- The clock -------------------------------------------------------------------------------------------------------

JUMPS: Final = {"a year ahead": YEAR, "a day back": -DAY}


class Clock:
    """A wall clock that is set at its n-th reading from now; the event loop's own goes on as it did."""

    def __init__(self, by: float, at: int) -> None:
        self.off, self.by, self.left = 0.0, by, at

    def __call__(self) -> float:
        self.left -= 1
        if self.left == 0:
            self.off += self.by
        return _STARTED + anyio.current_time() + self.off


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize(("tool", "arguments"), CASES)
async def test_a_clock_that_is_set_at_any_reading_costs_no_answer_and_no_second_charge(
    tool: str, arguments: dict[str, Any], jump: str, tmp_path: Path
) -> None:
    for at in (1, 2, 4, 7, 11) if "prompt" in arguments else (1, 2):
        network = FakeNetwork(**well())
        async with network.workflow(state_dir=tmp_path / f"{at}", daily_credits=1000, confirm_above=900) as workflow:
            clock = workflow._ledger._wall = Clock(JUMPS[jump], at)
            told = await call(workflow, tool, arguments)
            assert told.error_code in (None, "DOWNLOAD_FAILED")
            assert (await call(workflow, "generate_video", SAME)).task_id == "ck1"
            clock.off = 0.0  # and it is set right again
            assert (await call(workflow, "generate_video", SAME)).task_id == "ck1"
        assert paid(network) == 1
        if clock.left > 0:  # it was never reached
            return


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("wrong", [0.0, *JUMPS.values()])
@pytest.mark.parametrize("by", [0.0, *JUMPS.values()])
async def test_a_lost_answer_is_found_whatever_the_clock_says(
    by: float, wrong: float, dated: bool, tmp_path: Path
) -> None:
    """A clock that was wrong from the start and one that is set in between; a task that is not known is paid again."""
    if wrong and not (dated or wrong == -by):
        pytest.skip("nothing tells that the clock is wrong")
    if wrong and by not in (0.0, -wrong):
        pytest.skip("wrong twice over")

    async def tasks(_: httpx.Request) -> httpx.Response:
        now = datetime.fromtimestamp(_STARTED + anyio.current_time(), UTC)
        named = {"date": format_datetime(now, usegmt=True)} if dated else {}
        return reply({"tasks": [task("COMPLETED", input=WIRE)]}, **named)

    for at in (1, 3, 4, 5, 7)[0 if dated else 2 :] if by else (1,):
        network = FakeNetwork(**well(generate=[httpx.ReadError("reset"), reply(SUBMITTED)], tasks=tasks))
        async with network.workflow(state_dir=tmp_path / f"{at}") as workflow:
            clock = workflow._ledger._wall = Clock(by, at)
            clock.off = wrong
            told = await call(workflow, "generate_video", SAME)
            assert told.task_id == "ck1", told.text
        assert paid(network) == 1, (at, told.text)
        if clock.left > 0:
            return


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_clock_that_is_set_opens_one_budget_more_and_closes_none(jump: str, tmp_path: Path) -> None:
    async with FakeNetwork(**well()).workflow(state_dir=tmp_path) as workflow:
        ledger, admitted = workflow._ledger, 0
        clock = ledger._wall = Clock(JUMPS[jump], 40)
        for _ in range(200):
            with contextlib.suppress(BudgetSpent):
                await ledger.admit(1, direct=True)
                admitted += 1
        assert 54 <= admitted <= 108
        await anyio.sleep(61)
        await ledger.admit(1, direct=True)
        assert clock.off


@pytest.mark.parametrize("jump", [None, *JUMPS])
async def test_without_a_ledger_a_hush_is_kept_and_no_clock_makes_it_longer(jump: str | None, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    async with FakeNetwork(**well()).workflow(state_dir=tmp_path / "state") as workflow:
        ledger = workflow._ledger
        await ledger.admit(1, direct=True)
        await ledger.hush(10)
        ledger._wall = Clock(JUMPS[jump] if jump else 0.0, 1)
        with pytest.raises(BudgetSpent) as told:
            await ledger.admit(1, direct=True)
        assert told.value.retry_after is not None
        assert 9 <= told.value.retry_after <= 10
        await anyio.sleep(10)
        await ledger.admit(1, direct=True)


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_lost_create_can_be_called_again_soon_however_the_clock_is_set(jump: str, tmp_path: Path) -> None:
    network = FakeNetwork(**well(generate=httpx.ReadError("reset"), tasks=reply({}, 503)))
    async with network.workflow(state_dir=tmp_path) as workflow:
        assert (await call(workflow, "create_generation", T2V)).error_code == "SUBMISSION_UNCERTAIN"
        workflow._ledger._wall = Clock(JUMPS[jump], 1)
        told = await call(workflow, "create_generation", T2V)
        assert told.error_code == "SUBMISSION_UNCERTAIN"
        assert told.retry_after is not None
        assert told.retry_after <= 61
