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


def each(what: str, does: Callable[..., None]) -> Break:
    """Something that happens at each of the database's events of a kind."""

    def breaks(stack: ExitStack, _: Ledger) -> None:
        event.listen(Engine, what, does)
        stack.callback(event.remove, Engine, what, does)

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

        ledger._run_sync = slowly
        stack.callback(setattr, ledger, "_run_sync", at_once)
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
            breaks, self.breaks = self.breaks, lambda: None
            breaks()
        return answer


WHEN: Final = ["at the start", "at the first request", "at the charge"]
CASES_OF_THE_FOLDER: Final = [
    pytest.param(tool, arguments, how, when, id=f"{tool}{'-by id' * (arguments is WAITING)}-{how}-{when}")
    for tool, arguments in CASES
    for how in BREAKS
    for when in WHEN
    if when != "at the charge" or "prompt" in arguments
    if when != "at the start" or "deleted" not in how
]


@pytest.mark.parametrize(("tool", "arguments", "how", "when"), CASES_OF_THE_FOLDER)
async def test_a_ledger_that_breaks_costs_no_answer_and_no_second_charge(
    tool: str, arguments: dict[str, Any], how: str, when: str, tmp_path: Path
) -> None:
    network = Breaking(when, **well())
    async with network.workflow(state_dir=tmp_path / "state", confirm_above=1000) as workflow:
        with ExitStack() as stack:
            network.breaks = lambda: BREAKS[how](stack, workflow._ledger)
            if when == "at the start":
                network.breaks()
            told = await call(workflow, tool, arguments)
            assert paid(network) <= 1
            if paid(network):
                assert told.task_id == "ck1", "what was charged is named"
            first = paid(network)
            again = await call(workflow, "generate_video", SAME)
            assert again.task_id == "ck1" or again.error_code == "SUBMISSION_UNCERTAIN" or not paid(network), again
        if workflow._ledger._store:
            workflow._ledger._store.close()  # its connections have the pragmas still
        last = await call(workflow, "generate_video", SAME)
        assert last.task_id == "ck1"
    assert paid(network) == 1, (first, told.error_code, again.error_code)
