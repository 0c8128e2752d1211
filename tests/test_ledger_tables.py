"""Ledgers of other versions."""

from __future__ import annotations

import sqlite3

import pytest

from aivideo_mcp.errors import LedgerUnavailable
from aivideo_mcp.ledger import Role
from tests.machine import NOON, Machine, admitted, claim, running, wanted

pytestmark = pytest.mark.anyio


async def test_an_empty_file_becomes_a_ledger(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """As a process leaves it that is killed right after creating the file."""
    machine.folder.mkdir()
    machine.file.touch(0o600)
    assert await claim(machine.server()) is Role.SEND
    assert (machine.aside(), caplog.text) == ([], "")
    assert machine.rows("SELECT number FROM ledger_version") == [{"number": 2}]


@pytest.mark.parametrize("begun", [(), ("CREATE TABLE queries (number INTEGER PRIMARY KEY, origin TEXT, at FLOAT)",)])
async def test_version_0_is_brought_to_this_version(machine: Machine, begun: tuple[str, ...]) -> None:
    machine.run("CREATE TABLE ledger_version (number INTEGER)", "INSERT INTO ledger_version VALUES (0)", *begun)
    assert await claim(machine.server()) is Role.SEND
    assert machine.rows("SELECT number FROM ledger_version") == [{"number": 2}]


VERSION_1 = """
CREATE TABLE ledger_version (number INTEGER NOT NULL);
INSERT INTO ledger_version VALUES (1);
CREATE TABLE generations (number INTEGER PRIMARY KEY AUTOINCREMENT, account VARCHAR(64) NOT NULL, model VARCHAR(40)
  NOT NULL, digest VARCHAR(64) NOT NULL, compared VARCHAR(400) NOT NULL, likeness VARCHAR(64) NOT NULL, idempotency_key
  VARCHAR(128) NOT NULL, holder VARCHAR(64) NOT NULL, made_at FLOAT NOT NULL, sent_at FLOAT, last_sent_at FLOAT, task_id
  VARCHAR(200), credits INTEGER, status VARCHAR(40), seen_at FLOAT, delivered_at FLOAT, gone_at FLOAT, file
  VARCHAR(4096), untold BOOLEAN NOT NULL, UNIQUE (account, idempotency_key), UNIQUE (account, task_id));
CREATE INDEX generations_by_digest ON generations (account, digest);
CREATE TABLE queries (number INTEGER PRIMARY KEY, origin VARCHAR(400) NOT NULL, at FLOAT NOT NULL, direct BOOLEAN NOT
  NULL);
INSERT INTO queries VALUES (1, 'https://api.example.test', 1795428000.0, 1);
CREATE TABLE quiet (origin VARCHAR(400) NOT NULL PRIMARY KEY, noted_at FLOAT NOT NULL, until FLOAT NOT NULL);
PRAGMA application_id = 1095322947
"""


async def test_a_ledger_of_version_1_keeps_what_is_owed(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    server = machine.server()
    rows = (("a cat", "k1", "NULL"), ("a dog", "k2", "'ck2'"))
    same = f"'{server._settings.account}', 't2v', 'duration,prompt', '', {NOON}, {NOON}, {NOON}, 15, 'SUBMITTED', 0"
    names = "account, model, compared, holder, made_at, sent_at, last_sent_at, credits, status, untold"
    owed = [
        f"INSERT INTO generations ({names}, digest, likeness, idempotency_key, task_id)"  # noqa: S608 - written here
        f" VALUES ({same}, '{wanted(what).digest}', '{what}', '{key}', {task})"
        for what, key, task in rows
    ]
    machine.run(*VERSION_1.split(";"), *owed)
    intent, role = await server.claim(wanted(), fresh=False)
    assert (role, intent.key, intent.lost_at) == (Role.FIND, "k1", None)
    assert intent.media.fits({"image": "https://example.test/any.png"}), "nothing is known of its pictures"
    assert await claim(server, "a dog") is Role.JOIN
    assert await admitted(server, 60) == 54
    assert (machine.aside(), caplog.text) == ([], "")


async def test_opening_again_changes_nothing(machine: Machine) -> None:
    await running(machine.server())
    await machine.off()
    before = machine.rows("SELECT * FROM sqlite_schema"), machine.rows()
    await machine.server().lost()
    assert (machine.rows("SELECT * FROM sqlite_schema"), machine.rows()) == before


async def test_a_migration_that_breaks_leaves_no_trace(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import Connection, exc  # noqa: PLC0415 - as the ledger does

    from aivideo_mcp.ledger import tables  # noqa: PLC0415 - the same

    await running(machine.server())
    await machine.off()

    def second(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE generations ADD COLUMN colour TEXT")
        raise exc.OperationalError("ALTER", {}, sqlite3.OperationalError("database or disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, second))
        with pytest.raises(LedgerUnavailable, match="full"):
            await claim(machine.server())
    assert "colour" not in machine.rows()[0]
    assert await claim(machine.server()) is Role.JOIN
