"""When the ledger cannot be used: what is told, and that all is well once it can be again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from aivideo_mcp.errors import LedgerUnavailable
from aivideo_mcp.ledger import Ledger, Role
from tests.machine import Machine, claim, running, sent, wanted

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("where", ["", "alive", "ledger.sqlite3", "opening.lock"])
async def test_something_in_the_way_is_told_and_once_it_is_gone_all_is_well(machine: Machine, where: str) -> None:
    obstacle = machine.folder / where
    obstacle.parent.mkdir(exist_ok=True)
    if where in ("", "alive"):
        obstacle.write_text("in the way")
    else:
        obstacle.mkdir()
    server = machine.server()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable) as told:
            await claim(server)
        assert str(machine.folder) in told.value.message
        assert "Traceback" not in told.value.message
    obstacle.rmdir() if obstacle.is_dir() else obstacle.unlink()
    assert await claim(server) is Role.SEND
    assert await claim(machine.server()) is Role.WAIT


@pytest.mark.parametrize(
    "call",
    [
        lambda ledger, _: ledger.claim(wanted(), fresh=False),
        Ledger.adopt,
        Ledger.sending,
        lambda ledger, intent: ledger.issued(intent, "ck1", "SUBMITTED", 15),
        Ledger.release,
        Ledger.drop,
        Ledger.settled,
        lambda ledger, _: ledger.lost(),
        lambda ledger, intent: ledger.rivals(intent),
        lambda ledger, _: ledger.saw("ck1", "PROGRESS"),
        lambda ledger, _: ledger.saved("ck1", Path("/videos/cat.mp4")),
        lambda ledger, _: ledger.delivered("ck1"),
        lambda ledger, _: ledger.gone("ck1"),
        lambda ledger, _: ledger.forget(0, open_too=True),
    ],
)
async def test_every_method_says_when_the_folder_cannot_be_used(machine: Machine, call: Any) -> None:
    intent = await sent(machine.server())
    await machine.off()
    shutil.rmtree(machine.folder)
    machine.folder.write_text("in the way")
    broken = machine.server()
    with pytest.raises(LedgerUnavailable):
        await call(broken, intent)
    await broken.aclose()


async def test_a_file_that_is_damaged_while_it_is_open_is_set_aside_and_no_task_id_is_lost(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    server, other = machine.server(), machine.server()
    flying = await sent(server)
    await other.lost()
    machine.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    with machine.file.open("r+b") as file:
        file.write(b"\x55" * machine.file.stat().st_size)
    assert await server.issued(flying, "ck1", "SUBMITTED", 15)
    assert (await server.about("ck1")).model == "t2v"
    assert await claim(server) is await claim(other) is Role.JOIN
    assert len(machine.aside()) == 1
    assert caplog.text.count("set aside") == 1


@contextlib.contextmanager
def full_disk(server: Ledger) -> Iterator[None]:
    """As if not a page more went onto the disk."""
    from sqlalchemy import event  # noqa: PLC0415 - as the ledger does

    assert server._access.store is not None
    engine = server._access.store._engine

    def no_more(connection: Any, *_: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    def free(connection: Any, *_: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    event.listen(engine, "begin", no_more)
    yield
    event.remove(engine, "begin", no_more)
    event.listen(engine, "begin", free)


async def fill(server: Ledger) -> None:
    for number in range(1000):
        await server.claim(wanted(f"{number} cats"), fresh=False)


async def test_a_full_disk_is_told_and_tears_nothing(machine: Machine) -> None:
    server = machine.server()
    flying = await sent(server)
    with full_disk(server), pytest.raises(LedgerUnavailable, match="full"):
        await fill(server)
    assert await server.issued(flying, "ck1", "SUBMITTED", 15)
    assert await claim(server) is Role.JOIN
    assert await claim(server, "room again") is Role.SEND
    assert machine.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


@pytest.mark.parametrize(
    "fault",
    [
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("disk I/O error"),
        OSError(5, "Input/output error"),
    ],
)
async def test_a_fault_in_a_transaction_is_told_and_the_next_one_works(
    machine: Machine, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy import event  # noqa: PLC0415 - as the ledger does

    server = machine.server()
    await sent(server)
    assert server._access.store is not None
    engine = server._access.store._engine

    def refuse(*_: object) -> None:
        raise fault

    event.listen(engine, "before_cursor_execute", refuse)
    with pytest.raises(LedgerUnavailable) as told:
        await claim(server, "a dog")
    event.remove(engine, "before_cursor_execute", refuse)
    assert str(fault.args[-1]) in told.value.message
    assert await claim(server, "a dog") is Role.SEND
    assert await claim(server) is Role.WAIT
    assert machine.aside() == []
    assert caplog.text == ""


@pytest.mark.parametrize(
    "fault",
    [
        "attempt to write a readonly database",
        "unable to open database file",
        "database or disk is full",
        "disk I/O error",
    ],
)
async def test_a_file_that_cannot_be_written_right_now_is_not_taken_for_a_corrupt_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    await running(machine.server())
    await machine.off()

    def refuse(*_given: Any, **_named: Any) -> None:
        raise sqlite3.OperationalError(fault)

    server = machine.server()
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", refuse)
        patched.setattr(sqlite3.dbapi2, "connect", refuse)
        with pytest.raises(LedgerUnavailable, match=fault):
            await claim(server)
    assert machine.aside() == []
    assert await claim(server) is Role.JOIN


async def test_a_mistake_of_our_own_is_not_dressed_as_a_broken_disk(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aivideo_mcp.ledger import file  # noqa: PLC0415 - brings SQLAlchemy

    def mistaken(*_given: object) -> None:
        raise IndexError

    monkeypatch.setattr(file, "open_store", mistaken)
    with pytest.raises(IndexError):
        await claim(machine.server())


async def test_a_ledger_of_a_newer_version_is_left_as_it_is(machine: Machine) -> None:
    await running(machine.server())
    await machine.off()
    machine.run("UPDATE ledger_version SET number = 99")
    server = machine.server()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="newer version"):
            await claim(server)
    assert machine.aside() == []
    machine.run("UPDATE ledger_version SET number = 2")
    assert await claim(server) is Role.JOIN


async def test_a_server_stuck_in_opening_is_told_to_the_next(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    await claim(machine.server())
    real = filelock.FileLock

    def impatient(file: Path, timeout: float = -1, **named: Any) -> filelock.BaseFileLock:
        return real(file, timeout=min(timeout, 0), **named)

    with real(machine.folder / "opening.lock"):
        monkeypatch.setattr(filelock, "FileLock", impatient)
        server = machine.server()
        with pytest.raises(LedgerUnavailable, match=r"opening\.lock"):
            await claim(server)
    assert await claim(server) is Role.WAIT
