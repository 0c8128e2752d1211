"""A machine whose servers share one ledger, for tests that want it to fail.

Two ledgers on one folder are two processes to each other: each has its own name, lock and connections.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aivideo_mcp.errors import BudgetSpent
from aivideo_mcp.ledger import Intent, Ledger, Likeness, Role, Wanted
from aivideo_mcp.settings import Settings
from tests.fakes import BASE, KEY, at_once

NOON = 1_795_428_000.0
DAY = 86_400.0


class Machine:
    """A machine with a clock and one state folder, on which servers are started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "ledger.sqlite3"
        self.now = NOON
        self._servers: list[Ledger] = []

    def server(self, key: str = KEY, in_thread: Any = at_once, wall: Any = None, **settings: Any) -> Ledger:
        """One more server: to the others a process of its own."""
        made = Ledger(
            Settings(**{"api_key": key, "base_url": BASE, "state_dir": self.folder, **settings}),
            wall=wall or (lambda: self.now),
            in_thread=in_thread,
        )
        self._servers.append(made)
        return made

    async def off(self) -> None:
        """End all servers."""
        for server in self._servers:
            await server.aclose()
        self._servers.clear()

    def rows(self, query: str = "SELECT * FROM generations") -> list[dict[str, Any]]:
        """What stands in the file."""
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def run(self, *statements: str) -> None:
        """Change the file behind the ledger's back."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def aside(self) -> list[Path]:
        """Ledger files that were set aside."""
        return sorted(self.folder.glob("ledger.corrupt-*.sqlite3"))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path / "state")
    yield made
    await made.off()


def wanted(what: str = "a cat", key: str | None = None) -> Wanted:
    words = Likeness(("duration", "prompt"), what)
    return Wanted("t2v", hashlib.sha256(what.encode()).hexdigest(), words, Likeness.of({}, ()), key)


async def claim(server: Ledger, what: str = "a cat", key: str | None = None, *, fresh: bool = False) -> Role:
    return (await server.claim(wanted(what, key), fresh=fresh))[1]


async def sent(server: Ledger, what: str = "a cat", key: str | None = None) -> Intent:
    """An intent whose create is under way."""
    intent, role = await server.claim(wanted(what, key), fresh=False)
    assert role is Role.SEND
    return await server.sending(intent)


async def lost(server: Ledger, what: str = "a cat", key: str | None = None) -> Intent:
    """An intent whose create was sent and whose answer is lost."""
    intent = await sent(server, what, key)
    await server.release(intent)
    return intent


async def running(server: Ledger, task_id: str = "ck1", what: str = "a cat", key: str | None = None) -> Intent:
    """An intent with its task."""
    intent = await sent(server, what, key)
    assert await server.issued(intent, task_id, "SUBMITTED", 15)
    return intent


async def task_ids(server: Ledger) -> set[str]:
    """Every task that has its intent."""
    return (await server._access.open()).intents.settled_and_lost()[0]


async def admitted(server: Ledger, tries: int, speed: float = 1.0, *, direct: bool = True) -> int:
    """How many of so many queries may be made right now."""
    made = 0
    for _ in range(tries):
        with contextlib.suppress(BudgetSpent):
            await server.admit(speed, direct=direct)
            made += 1
    return made


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
