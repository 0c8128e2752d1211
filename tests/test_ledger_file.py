"""Files that are damaged or another program's: set aside whole, and a new ledger begun."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from aivideo_mcp.ledger import Role
from tests.machine import Machine, admitted, claim, mode, posix, running

pytestmark = pytest.mark.anyio


def garbage(content: bytes) -> bytes:
    return bytes(byte ^ 0xA5 for byte in content)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2 + 7]


def beheaded(content: bytes) -> bytes:
    return b"\0" * 100 + content[100:]


def a_few_bytes(_content: bytes) -> bytes:
    return b"SQLite format 3"


def a_page(file: Path, table: str) -> Callable[[bytes], bytes]:
    """Damage of the root page of one table."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return lambda content: content[: (root - 1) * size] + b"\xa5" * size + content[root * size :]


async def damage(machine: Machine, how: Callable[[bytes], bytes] | str) -> bytes:
    """A ledger with many rows, damaged; what it is now."""
    server = machine.server()
    for number in range(60):
        await running(server, f"ck{number}", f"{number} cats")
    await machine.off()
    spoil = a_page(machine.file, how) if isinstance(how, str) else how
    spoilt = spoil(machine.file.read_bytes())
    machine.file.write_bytes(spoilt)
    return spoilt


@pytest.mark.parametrize(
    "how",
    [
        garbage,
        cut,
        beheaded,
        a_few_bytes,
        "ledger_version",
        pytest.param(
            "generations",
        ),
        pytest.param(
            "queries",
        ),
    ],
)
async def test_a_corrupt_file_is_set_aside_whole_and_a_new_ledger_begins(
    machine: Machine, caplog: pytest.LogCaptureFixture, how: Callable[[bytes], bytes] | str
) -> None:
    spoilt = await damage(machine, how)
    server = machine.server()
    assert await claim(server) is Role.SEND
    assert await admitted(server, 60) == 54
    (aside,) = machine.aside()
    assert aside.read_bytes() == spoilt
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert str(aside) in record.getMessage()
    assert "Traceback" not in caplog.text
    gc.collect()  # a connection to the old file, closed late, must not take the new one's -wal along
    assert await claim(machine.server()) is Role.WAIT
    await machine.off()
    assert await claim(machine.server()) is Role.SEND
    assert len(machine.aside()) == 1


@pytest.mark.parametrize("how", [garbage, beheaded, a_few_bytes])
async def test_what_stood_in_the_wal_of_a_corrupt_file_is_kept_with_it(
    machine: Machine, tmp_path: Path, how: Callable[[bytes], bytes]
) -> None:
    """The file and -wal of a process that was killed, the file damaged; SQLite may have merged the two."""
    dead = Machine(tmp_path / "dead")
    await running(dead.server(), "ck-in-the-file")
    await dead.off()
    await running(dead.server(), "ck-in-the-wal", "a cow")
    shutil.copytree(dead.folder, machine.folder, ignore=shutil.ignore_patterns("alive", "*-shm"))
    await dead.off()
    wal = machine.file.with_name("ledger.sqlite3-wal").read_bytes()
    assert b"ck-in-the-wal" in wal
    assert b"ck-in-the-wal" not in machine.file.read_bytes()
    machine.file.write_bytes(how(machine.file.read_bytes()))
    assert await claim(machine.server(), "a dog") is Role.SEND
    (aside,) = machine.aside()
    assert any(b"ck-in-the-wal" in file.read_bytes() for file in machine.folder.glob(f"{aside.name}*"))


async def test_two_corrupt_files_in_a_row_are_both_kept(machine: Machine) -> None:
    for number in range(2):
        machine.folder.mkdir(exist_ok=True)
        machine.file.write_bytes(b"garbage %d " % number * 100)
        assert await claim(machine.server()) is Role.SEND
        await machine.off()
    assert [file.read_bytes()[:9] for file in machine.aside()] == [b"garbage 0", b"garbage 1"]


async def test_a_garbled_wal_costs_nothing_that_is_in_the_file(machine: Machine) -> None:
    await running(machine.server())
    await machine.off()
    machine.file.with_name("ledger.sqlite3-wal").write_bytes(b"\xa5" * 5000)
    machine.file.with_name("ledger.sqlite3-shm").write_bytes(b"\xa5" * 32768)
    assert await claim(machine.server()) is Role.JOIN


async def test_a_file_of_another_program_keeps_its_data_and_the_ledger_works(machine: Machine) -> None:
    machine.run("CREATE TABLE songs (name TEXT)", "INSERT INTO songs VALUES ('yesterday')")
    assert await claim(machine.server()) is Role.SEND
    await machine.off()
    found = []
    for file in [machine.file, *machine.aside()]:
        with contextlib.closing(sqlite3.connect(file)) as connection, contextlib.suppress(sqlite3.OperationalError):
            found += connection.execute("SELECT name FROM songs").fetchall()
    assert found == [("yesterday",)]
    assert await claim(machine.server()) is Role.SEND


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE generations (name TEXT)",
        "CREATE TABLE ledger_version (number INTEGER)",
        "CREATE TABLE ledger_version (name TEXT)",
        "CREATE TABLE quiet (name TEXT)",
    ],
)
async def test_a_file_of_another_program_with_tables_named_like_ours_is_set_aside(machine: Machine, table: str) -> None:
    machine.run(table)
    server = machine.server()
    assert await claim(server) is Role.SEND
    assert await admitted(server, 60) == 54
    assert len(machine.aside()) == 1


@posix
async def test_the_ledger_that_follows_a_corrupt_one_is_its_owners_alone(machine: Machine) -> None:
    await damage(machine, garbage)
    machine.file.chmod(0o600)
    await claim(machine.server())
    assert mode(machine.file) == 0o600
