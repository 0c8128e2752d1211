"""The ledger seen by one who wants it to fail; what takes several processes is in test_ledger_processes.

Two ledgers on one folder are two processes to each other: each has its own name, lock and connections.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import json
import logging
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import filelock
import pytest

from aivideo_mcp import cli
from aivideo_mcp.contracts import read_request
from aivideo_mcp.errors import BudgetSpent, IdempotencyConflict, LedgerUnavailable
from aivideo_mcp.ledger import Intent, Ledger, Likeness, Role, Wanted
from aivideo_mcp.settings import Settings
from tests.fakes import BASE, KEY, T2V, at_once
from tests.pictures import data_uri, png

pytestmark = pytest.mark.anyio

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
    return (await server._opened()).settled_and_lost()[0]


async def admitted(server: Ledger, tries: int, speed: float = 1.0, *, direct: bool = True) -> int:
    """How many of so many queries may be made right now."""
    made = 0
    for _ in range(tries):
        with contextlib.suppress(BudgetSpent):
            await server.admit(speed, direct=direct)
            made += 1
    return made


# What a claim means


async def test_the_first_claim_is_to_be_sent(machine: Machine) -> None:
    intent, role = await machine.server().claim(wanted(), fresh=False)
    assert role is Role.SEND
    assert (intent.model, intent.digest, intent.words) == ("t2v", wanted().digest, wanted().words)
    assert intent.key.startswith("aivideo-mcp-")
    assert (intent.sent_at, intent.last_sent_at, intent.task_id, intent.status, intent.credits) == (None,) * 5


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("in_flight", [False, True])
async def test_the_same_arguments_wait_while_the_first_call_is_at_work(
    machine: Machine, elsewhere: bool, in_flight: bool
) -> None:
    server = machine.server()
    first, _ = await server.claim(wanted(), fresh=False)
    if in_flight:
        await server.sending(first)
    second, role = await (machine.server() if elsewhere else server).claim(wanted(), fresh=False)
    assert (role, second.number, second.key) == (Role.WAIT, first.number, first.key)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_intent_let_go_before_it_was_sent_is_sent_by_the_next_call(machine: Machine, elsewhere: bool) -> None:
    server = machine.server()
    first, _ = await server.claim(wanted(), fresh=False)
    await server.release(first)
    second, role = await (machine.server() if elsewhere else server).claim(wanted(), fresh=False)
    assert (role, second.number, second.key) == (Role.SEND, first.number, first.key)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_lost_answer_is_looked_for_by_the_next_call(machine: Machine, elsewhere: bool, fresh: bool) -> None:
    server = machine.server()
    first = await lost(server)
    second, role = await (machine.server() if elsewhere else server).claim(wanted(), fresh=fresh)
    assert (role, second.number, second.key, second.sent_at) == (Role.FIND, first.number, first.key, NOON)
    assert await claim(machine.server()) is Role.WAIT, "whoever looks is at work on it"


async def test_a_running_task_is_joined_with_all_that_is_known_of_it(machine: Machine) -> None:
    first = await running(machine.server())
    second, role = await machine.server().claim(wanted(), fresh=False)
    assert (role, second.number) == (Role.JOIN, first.number)
    assert (second.task_id, second.status, second.credits) == ("ck1", "SUBMITTED", 15)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCEL"])
async def test_an_outcome_that_was_never_delivered_is_joined(machine: Machine, status: str) -> None:
    server = machine.server()
    await running(server)
    await server.saw("ck1", status)
    intent, role = await server.claim(wanted(), fresh=False)
    assert (role, intent.status) == (Role.JOIN, status)


@pytest.mark.parametrize("end", [Ledger.delivered, Ledger.gone])
async def test_what_was_delivered_or_is_gone_upstream_is_not_joined(machine: Machine, end: Any) -> None:
    server = machine.server()
    first = await running(server)
    await end(server, "ck1")
    second, role = await server.claim(wanted(), fresh=False)
    assert role is Role.SEND
    assert second.number != first.number
    assert second.key != first.key


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_fresh_call_begins_another_beside_what_runs_or_is_being_sent(machine: Machine, elsewhere: bool) -> None:
    server = machine.server()
    other = machine.server() if elsewhere else server
    first = await running(server)
    second, role = await other.claim(wanted(), fresh=True)
    assert (role, second.number) == (Role.SEND, first.number + 1)
    third, role = await server.claim(wanted(), fresh=True)
    assert (role, third.number) == (Role.SEND, first.number + 2)


async def test_a_fresh_call_finishes_a_lost_one_before_others_that_run(machine: Machine) -> None:
    server = machine.server()
    await running(server)
    second, _ = await server.claim(wanted(), fresh=True)
    await server.sending(second)
    await server.release(second)
    third, role = await server.claim(wanted(), fresh=True)
    assert (role, third.number) == (Role.FIND, second.number)


async def test_other_arguments_are_another_intent(machine: Machine) -> None:
    server = machine.server()
    await sent(server)
    assert await claim(server, "a dog") is Role.SEND


async def test_the_oldest_open_intent_is_finished_first(machine: Machine) -> None:
    server = machine.server()
    first = await running(server, "ck1")
    second, _ = await server.claim(wanted(), fresh=True)
    await server.issued(second, "ck2", "SUBMITTED", 15)
    assert (await server.claim(wanted(), fresh=False))[0].number == first.number
    await server.delivered("ck1")
    assert (await server.claim(wanted(), fresh=False))[0].task_id == "ck2"


# The caller's own key


async def test_a_key_is_what_the_intent_is_sent_with(machine: Machine) -> None:
    intent, _ = await machine.server().claim(wanted(key="my-key-01"), fresh=False)
    assert intent.key == "my-key-01"


@pytest.mark.parametrize("fresh", [False, True])
async def test_the_same_key_and_arguments_join_even_after_delivery(machine: Machine, fresh: bool) -> None:
    server = machine.server()
    await running(server, key="my-key-01")
    await server.delivered("ck1")
    intent, role = await machine.server().claim(wanted(key="my-key-01"), fresh=fresh)
    assert (role, intent.task_id) == (Role.JOIN, "ck1")


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("state", ["in flight", "lost", "running", "delivered"])
async def test_a_key_with_other_arguments_is_a_conflict_in_every_state(
    machine: Machine, state: str, fresh: bool
) -> None:
    server = machine.server()
    await {"in flight": sent, "lost": lost}.get(state, running)(server, key="my-key-01")
    if state == "delivered":
        await server.delivered("ck1")
    with pytest.raises(IdempotencyConflict):
        await server.claim(wanted("a dog", "my-key-01"), fresh=fresh)
    assert len(machine.rows()) == 1
    assert await claim(server, "a cow", "my-key-02") is Role.SEND, "the conflict left nothing open"


@pytest.mark.parametrize("fresh", [False, True])
async def test_the_same_key_waits_while_the_first_call_is_at_work(machine: Machine, fresh: bool) -> None:
    await sent(machine.server(), key="my-key-01")
    assert await claim(machine.server(), key="my-key-01", fresh=fresh) is Role.WAIT


async def test_a_new_key_asks_for_another_whatever_is_open(machine: Machine) -> None:
    server = machine.server()
    await lost(server, key="my-key-01")
    assert await claim(server, key="my-key-02") is Role.SEND


async def test_without_a_key_a_call_joins_what_a_key_began(machine: Machine) -> None:
    server = machine.server()
    await running(server, key="my-key-01")
    assert await claim(server) is Role.JOIN


async def test_a_refused_key_may_be_used_with_other_arguments(machine: Machine) -> None:
    server = machine.server()
    await server.drop(await sent(server, key="my-key-01"))
    assert await claim(server, "a dog", "my-key-01") is Role.SEND


@pytest.mark.parametrize("other", [{"key": f"{KEY}_other"}, {"base_url": "https://other.example.test"}])
async def test_another_account_sees_nothing(machine: Machine, other: dict[str, Any]) -> None:
    server, stranger = machine.server(), machine.server(**other)
    await running(server, "ck1", key="my-key-01")
    await lost(server, "a dog")
    assert await stranger.lost() == []
    assert await task_ids(stranger) == set()
    await stranger.delivered("ck1")
    assert await claim(stranger, key="my-key-01") is Role.SEND
    assert await claim(stranger) is Role.WAIT, "its own, not the other's"
    assert await stranger.forget(0, open_too=True) == 1
    assert await claim(server) is Role.JOIN
    assert await task_ids(server) == {"ck1"}


async def test_two_accounts_may_have_the_same_task_id(machine: Machine) -> None:
    assert await running(machine.server())
    assert await running(machine.server(f"{KEY}_other"))


# Holders


async def test_what_an_ended_server_held_is_free_at_once(machine: Machine) -> None:
    server, next_one = machine.server(), machine.server()
    await server.claim(wanted("never sent"), fresh=False)
    await sent(server, "sent")
    await server.aclose()
    assert await claim(next_one, "never sent") is Role.SEND
    assert await claim(next_one, "sent", fresh=True) is Role.FIND


async def test_one_intent_let_go_leaves_the_others_of_its_server_held(machine: Machine) -> None:
    server = machine.server()
    await lost(server, "one")
    await sent(server, "two")
    other = machine.server()
    assert await claim(other, "one") is Role.FIND
    assert await claim(other, "two") is Role.WAIT
    assert await claim(server, "two") is Role.WAIT


async def test_an_intent_claimed_again_is_held_again_by_the_same_server(machine: Machine) -> None:
    server = machine.server()
    await lost(server)
    assert await claim(server) is Role.FIND
    assert await claim(server) is Role.WAIT
    assert await claim(machine.server()) is Role.WAIT


async def test_locks_of_ended_servers_are_swept_and_others_kept(machine: Machine) -> None:
    first, second = machine.server(), machine.server()
    await claim(first)
    await claim(second, "a dog")
    await first.aclose()
    third = machine.server()
    await claim(third, "a cow")
    held = {file.name for file in (machine.folder / "alive").iterdir()}
    assert held == {second._presence.me, third._presence.me}


async def test_adopting_a_lost_intent_keeps_others_away_until_it_is_let_go(machine: Machine) -> None:
    server, other = machine.server(), machine.server()
    await lost(server)
    (open_one,) = await other.lost()
    mine = await other.adopt(open_one)
    assert mine is not None
    assert await server.adopt(open_one) is None
    assert await other.adopt(mine) is None
    assert await claim(server, fresh=False) is Role.WAIT
    await other.release(mine)
    assert await claim(server) is Role.FIND


async def test_an_intent_at_work_settled_or_forgotten_is_not_adopted(machine: Machine) -> None:
    server, other = machine.server(), machine.server()
    flying = await sent(server, "flying")
    done = await running(server, "ck1", "done")
    gone = await sent(server, "gone")
    await server.drop(gone)
    assert [await other.adopt(intent) for intent in (flying, done, gone)] == [None, None, None]


async def test_lost_are_those_that_were_sent_and_have_no_task(machine: Machine) -> None:
    server = machine.server()
    await server.claim(wanted("never sent"), fresh=False)
    await running(server, "ck1", "done")
    first = await lost(server, "lost")
    flying = await sent(server, "flying")
    assert [intent.number for intent in await server.lost()] == [first.number, flying.number]


@pytest.mark.parametrize("end", ["issued", "release", "drop", "the server ends"])
async def test_an_intent_is_settled_when_the_work_on_it_has_ended_however_it_ended(machine: Machine, end: str) -> None:
    server, waiter = machine.server(), machine.server()
    intent = await sent(server)
    assert not await waiter.settled(intent)
    assert not await server.settled(intent)
    if end == "issued":
        await server.issued(intent, "ck1", "SUBMITTED", 15)
    elif end == "the server ends":
        await server.aclose()
    else:
        await getattr(server, end)(intent)
    assert await waiter.settled(intent)


# What is taken down


async def test_a_task_belongs_to_one_intent_alone(machine: Machine) -> None:
    server = machine.server()
    first, second = await sent(server, "one"), await sent(server, "two")
    assert await server.issued(first, "ck1", "SUBMITTED", 15)
    assert not await server.issued(second, "ck1", "PROGRESS", 15)
    assert await claim(server, "two") is Role.WAIT, "still without a task, still at work"
    assert await server.issued(second, "ck2", "PROGRESS", None)
    assert await task_ids(server) == {"ck1", "ck2"}


async def test_the_first_and_the_last_sending_are_both_remembered(machine: Machine) -> None:
    server = machine.server()
    intent = await sent(server)
    machine.now += 70
    again = await server.sending(intent)
    assert (again.sent_at, again.last_sent_at) == (NOON, NOON + 70)
    await server.release(again)
    (seen,) = await machine.server().lost()
    assert (seen.sent_at, seen.last_sent_at) == (NOON, NOON + 70)


async def test_a_record_holds_all_that_was_seen_of_a_generation(machine: Machine) -> None:
    server = machine.server()
    await running(server, key="my-key-01")
    machine.now += 10
    await server.saw("ck1", "PROGRESS")
    await server.saved("ck1", Path("/videos/cat.mp4"))
    await server.delivered("ck1")
    (row,) = machine.rows()
    assert row["account"] == Settings(api_key=KEY, base_url=BASE).account
    assert row["idempotency_key"] == "my-key-01"
    assert (row["task_id"], row["credits"], row["status"], row["file"]) == ("ck1", 15, "PROGRESS", "/videos/cat.mp4")
    assert (row["made_at"], row["sent_at"], row["seen_at"], row["delivered_at"]) == (NOON, NOON, NOON + 10, NOON + 10)


async def test_notes_on_an_unknown_task_leave_no_trace(machine: Machine) -> None:
    server = machine.server()
    await running(server)
    before = machine.rows()
    await server.saw("ck2", "PROGRESS")
    await server.saved("ck2", Path("/videos/dog.mp4"))
    await server.delivered("ck2")
    await server.gone("ck2")
    assert machine.rows() == before


async def test_texts_that_look_like_sql_are_kept_as_they_are(machine: Machine) -> None:
    server = machine.server()
    odd = "'; DROP TABLE generations; -- \x00 \u202e \U0001f408"
    await running(server, odd, key=odd)
    assert await task_ids(server) == {odd}


async def test_letting_go_of_a_dropped_intent_frees_nobody_elses(machine: Machine) -> None:
    """What submissions do after a refusal: drop, then release; between the two another process begins."""
    server, other = machine.server(), machine.server()
    refused = await sent(server, "refused")
    await server.drop(refused)
    await sent(other, "a cat")
    await server.release(refused)
    assert await claim(machine.server(), "a cat") is Role.WAIT, "the other process is sending this right now"


async def test_an_answer_to_a_forgotten_intent_becomes_nobody_elses_task(machine: Machine) -> None:
    server, other = machine.server(), machine.server()
    cat = await sent(server, "a cat")
    await other.forget(0, open_too=True)
    await sent(other, "a dog")
    await server.issued(cat, "ck-cat", "SUBMITTED", 15)
    assert await claim(machine.server(), "a dog") is Role.WAIT, "it has no task yet, least of all the cat's"


async def test_a_task_whose_intent_was_forgotten_meanwhile_is_taken_down_or_refused(machine: Machine) -> None:
    server = machine.server()
    intent = await sent(server)
    await machine.server().forget(0, open_too=True)
    assert await server.issued(intent, "ck1", "SUBMITTED", 15) is ("ck1" in await task_ids(server))


async def test_nothing_is_sent_for_an_intent_that_was_forgotten_meanwhile(machine: Machine) -> None:
    server = machine.server()
    intent, _ = await server.claim(wanted(), fresh=False)
    await machine.server().forget(0, open_too=True)
    with contextlib.suppress(LedgerUnavailable):
        await server.sending(intent)
        assert machine.rows(), "what is about to be sent has its record"


async def test_a_price_beyond_all_bounds_is_a_fault_that_callers_know(machine: Machine) -> None:
    server = machine.server()
    with contextlib.suppress(LedgerUnavailable):
        await server.issued(await sent(server), "ck1", "SUBMITTED", 10**30)


async def test_a_task_id_that_no_file_can_hold_is_a_fault_that_callers_know(machine: Machine) -> None:
    server = machine.server()
    with contextlib.suppress(LedgerUnavailable):
        await server.issued(await sent(server), "ck\ud800", "SUBMITTED", 15)


# Forgetting


async def test_forgetting_takes_what_was_delivered_or_is_gone_and_is_old_enough(machine: Machine) -> None:
    server = machine.server()
    for number, end in enumerate((server.delivered, server.gone, None)):
        await running(server, f"old{number}", f"old {number}")
        if end:
            await end(f"old{number}")
    await lost(server, "lost")
    machine.now += 10 * DAY
    await running(server, "young", "young")
    await server.delivered("young")
    assert await server.forget(30, open_too=False) == 0
    assert await server.forget(10, open_too=False) == 2
    assert await task_ids(server) == {"old2", "young"}
    assert await claim(server, "lost") is Role.FIND
    assert await server.forget(10, open_too=True) == 2
    assert await server.forget(0, open_too=True) == 1
    assert machine.rows() == []


async def test_forgetting_with_a_clock_set_back_takes_nothing_that_is_young(machine: Machine) -> None:
    server = machine.server()
    await running(server)
    await server.delivered("ck1")
    machine.now -= DAY
    assert await server.forget(0, open_too=True) == 0


def library_erases() -> bool:
    """Whether this SQLite was built to overwrite what is deleted; those of python.org and uv are not."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute("PRAGMA secure_delete").fetchone() == (1,)


@pytest.mark.skipif(not library_erases(), reason="DOUBT: the ledger does not set PRAGMA secure_delete itself")
async def test_what_was_forgotten_is_in_no_byte_of_the_folder(machine: Machine) -> None:
    server = machine.server()
    await running(server, key="canary-key-0001")
    await server.saved("ck1", Path("/videos/canary-of-a-private-name.mp4"))
    await server.delivered("ck1")
    assert await server.forget(0, open_too=False) == 1
    await machine.off()
    for file in machine.folder.rglob("*"):
        assert file.is_dir() or b"canary" not in file.read_bytes(), file.name


# The query budget


async def test_the_budget_is_one_for_all_servers_and_direct_calls_have_a_tenth_more(machine: Machine) -> None:
    first, second = machine.server(), machine.server(f"{KEY}_other")
    assert await admitted(first, 40, direct=False) + await admitted(second, 40, direct=False) == 48
    assert await admitted(first, 4) + await admitted(second, 4) == 6
    assert await admitted(first, 4, direct=False) == 0


async def test_another_upstream_has_a_budget_of_its_own(machine: Machine) -> None:
    assert await admitted(machine.server(), 60) == 54
    assert await admitted(machine.server(base_url=f"{BASE}/other/path"), 1) == 0, "the path does not matter"
    assert await admitted(machine.server(base_url="http://127.0.0.1:8787"), 60) == 54


async def test_a_faster_upstream_has_more_budget_and_the_least_is_one(machine: Machine) -> None:
    server = machine.server(queries_per_minute=6)
    assert await admitted(server, 99, speed=2.5) == 6
    machine.now += 60 / 2.5
    assert await admitted(server, 99, speed=2.5) == 6
    machine.now += 120
    assert await admitted(machine.server(queries_per_minute=1), 9, direct=False) == 1
    machine.now += 100_000
    assert await admitted(machine.server(queries_per_minute=1), 9, speed=0.001) == 1


async def test_no_window_of_a_minute_ever_holds_more_than_the_budget(machine: Machine) -> None:
    servers = [machine.server(queries_per_minute=20) for _ in range(3)]
    made: list[float] = []
    for step in range(120):
        machine.now = NOON + step * 1.7
        made += [machine.now] * await admitted(servers[step % 3], step % 5, direct=step % 2 == 0)
    assert max(sum(1 for at in made if start <= at < start + 60) for start in made) == 20


async def test_who_waits_as_long_as_told_is_admitted_and_not_before(machine: Machine) -> None:
    server = machine.server(queries_per_minute=10)
    for _ in range(10):
        await server.admit(1, direct=True)
        machine.now += 3
    with pytest.raises(BudgetSpent) as direct:
        await server.admit(1, direct=True)
    assert direct.value.retry_after == 30
    with pytest.raises(BudgetSpent) as watcher:
        await server.admit(1, direct=False)
    assert watcher.value.retry_after == 33, "two have to leave the window before one comes in below the reserve"
    machine.now += 29.9
    assert await admitted(server, 1) == 0
    machine.now += 0.1
    assert await admitted(server, 2) == 1


async def test_a_clock_set_back_blocks_nobody(machine: Machine) -> None:
    server = machine.server()
    await admitted(server, 54)
    machine.now -= 3600
    assert await admitted(machine.server(), 60) == 54
    assert await admitted(server, 1) == 0


async def test_a_server_that_was_held_up_before_its_transaction_forgets_no_ones_queries(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the clock and BEGIN up to 10 s may pass (busy_timeout); 2 s are enough."""
    other, slow = machine.server(), machine.server(in_thread=anyio.to_thread.run_sync)
    await other.lost()
    await slow.lost()
    assert slow._store is not None
    begin, made = slow._store.budget.admit, 0

    def held_up(*given: Any, **named: Any) -> float:
        nonlocal made
        machine.now += 2
        made += anyio.run(admitted, other, 54)
        return begin(*given, **named)

    monkeypatch.setattr(slow._store.budget, "admit", held_up)
    with contextlib.suppress(BudgetSpent):
        await slow.admit(1, direct=True)
        made += 1
    made += await admitted(other, 54)
    assert made == 54


async def test_a_server_that_does_not_know_yet_how_fast_its_sandbox_is_can_ask_all_the_same(machine: Machine) -> None:
    quick, new = machine.server(), machine.server()
    assert await admitted(quick, 60, speed=20) == 54
    assert await admitted(new, 1) == 0
    machine.now += 3
    assert await admitted(new, 1) == 1, "their minute is over"
    assert await admitted(quick, 60, speed=20) == 53
    machine.now += 3
    assert await admitted(quick, 60, speed=20) == 54, "and its own query counts as long as theirs do"


async def test_a_hush_quiets_every_server_for_as_long_and_no_longer(machine: Machine) -> None:
    first, second = machine.server(), machine.server(f"{KEY}_other")
    elsewhere = machine.server(base_url="https://elsewhere.example.test")
    await first.hush(30)
    for server in (first, second):
        with pytest.raises(BudgetSpent) as told:
            await server.admit(1000, direct=True)
        assert told.value.retry_after == 30
    assert await admitted(elsewhere, 1) == 1
    machine.now += 29
    assert await admitted(second, 1) == 0
    machine.now += 1
    assert await admitted(second, 1) == 1


async def test_queries_that_were_hushed_do_not_count(machine: Machine) -> None:
    server = machine.server()
    await server.hush(10)
    assert await admitted(server, 30) == 0
    machine.now += 10
    assert await admitted(server, 60) == 54


async def test_a_clock_set_back_does_not_make_a_hush_longer(machine: Machine) -> None:
    server = machine.server()
    await server.hush(10)
    machine.now -= 3600
    await server.admit(1, direct=True)


async def test_a_shorter_hush_does_not_end_a_longer_one(machine: Machine) -> None:
    first, second = machine.server(), machine.server()
    await first.hush(60)
    await second.hush(1)
    machine.now += 2
    assert await admitted(first, 1) == 0


async def test_who_is_told_to_wait_is_told_more_than_nothing(machine: Machine) -> None:
    server = machine.server()
    await server.hush(0.004)
    with pytest.raises(BudgetSpent) as told:
        await server.admit(1, direct=True)
    assert told.value.retry_after


async def test_without_a_ledger_one_server_keeps_to_the_budget_all_the_same(machine: Machine) -> None:
    machine.folder.write_text("in the way")
    assert await admitted(machine.server(), 60) <= 54


# When it cannot be used


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

    assert server._store is not None
    engine = server._store._engine

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
    assert server._store is not None
    engine = server._store._engine

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


# Corrupt files


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


# Migrations


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


# Laziness, modes, paths


async def test_no_file_is_there_before_the_first_use(machine: Machine) -> None:
    server = machine.server()
    assert server.now() == NOON
    await server.aclose()
    assert not machine.folder.exists()


def test_the_import_brings_neither_sqlalchemy_nor_filelock() -> None:
    code = (
        "import sys, pathlib; from aivideo_mcp.ledger import Ledger; from aivideo_mcp.settings import Settings;"
        "Ledger(Settings(state_dir=pathlib.Path('nowhere')));"
        "print([name for name in ('sqlalchemy', 'filelock', 'platformdirs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")


@posix
async def test_the_ledger_is_its_owners_alone(machine: Machine) -> None:
    await running(machine.server())
    files = [machine.file.with_name(machine.file.name + tail) for tail in ("", "-wal", "-shm")]
    assert [mode(file) for file in files] == [0o600] * 3
    assert mode(machine.folder / "alive") == 0o700


@posix
async def test_the_state_folder_is_its_owners_alone(machine: Machine) -> None:
    await claim(machine.server())
    assert mode(machine.folder) == 0o700


@posix
async def test_the_ledger_that_follows_a_corrupt_one_is_its_owners_alone(machine: Machine) -> None:
    await damage(machine, garbage)
    machine.file.chmod(0o600)
    await claim(machine.server())
    assert mode(machine.file) == 0o600


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "ünïcode 猫",
        "a#b",
        "a;b",
        "a%b",
        pytest.param("a?b"),
        pytest.param("a%20b"),
    ],
)
async def test_any_folder_name_will_do_and_nothing_is_written_beside_it(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path / name)
    try:
        assert await claim(machine.server()) is Role.SEND
        assert [file.name for file in tmp_path.iterdir()] == [name]
        assert machine.file.stat().st_size
    finally:
        await machine.off()


# Races in opening


async def test_a_folder_in_alive_or_a_stray_file_hinders_nobody(machine: Machine) -> None:
    (machine.folder / "alive").mkdir(parents=True)
    (machine.folder / "alive" / ".DS_Store").write_text("x")
    assert await claim(machine.server()) is Role.SEND


# Cancellation and crowds


async def test_a_call_cancelled_in_its_transaction_ends_it_and_the_ledger_goes_on(machine: Machine) -> None:
    server = machine.server(in_thread=anyio.to_thread.run_sync)
    await server.lost()
    assert server._store is not None
    inside, go_on = threading.Event(), threading.Event()

    class Held(type(server._store)):  # type: ignore[misc]
        def _begin(self, *given: Any) -> Intent:
            inside.set()
            assert go_on.wait(5)
            return super()._begin(*given)

    server._store.__class__ = Held
    kept: list[Intent] = []
    async with anyio.create_task_group() as group:

        async def call() -> None:
            kept.append((await server.claim(wanted(), fresh=False))[0])

        group.start_soon(call)
        assert await anyio.to_thread.run_sync(inside.wait, 5)
        group.cancel_scope.cancel()
        go_on.set()
    assert len(machine.rows()) == len(kept) == 1, "who was cancelled knows what it holds, or holds nothing"
    await server.release(kept[0])
    assert await claim(server) is Role.SEND
    assert await claim(machine.server()) is Role.WAIT


async def test_a_call_cancelled_while_the_file_is_opened_leaves_it_usable(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = machine.server(in_thread=anyio.to_thread.run_sync)
    from aivideo_mcp.ledger import file  # noqa: PLC0415 - brings SQLAlchemy

    real, inside, go_on = file.open_store, threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        inside.set()
        assert go_on.wait(5)
        return real(*given)

    monkeypatch.setattr(file, "open_store", slow)
    async with anyio.create_task_group() as group:
        group.start_soon(claim, server)
        group.start_soon(claim, server)
        assert await anyio.to_thread.run_sync(inside.wait, 5)
        group.cancel_scope.cancel()
        go_on.set()
    with anyio.fail_after(5):
        assert await claim(server, "a dog") is Role.SEND
    assert await claim(machine.server(), "a dog") is Role.WAIT


async def test_calls_cancelled_at_any_moment_leave_no_transaction_open(machine: Machine) -> None:
    server = machine.server(in_thread=anyio.to_thread.run_sync)
    for number in range(40):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                for other in range(4):
                    group.start_soon(claim, server, f"{number} {other}")
                for _ in range(number % 10):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
    with anyio.fail_after(5):
        assert await claim(machine.server(), "a dog") is Role.SEND


async def test_two_hundred_operations_at_once_all_come_through(machine: Machine) -> None:
    servers = [machine.server(in_thread=anyio.to_thread.run_sync) for _ in range(2)]

    async def whole_life(number: int) -> None:
        server = servers[number % 2]
        intent = await running(server, f"ck{number}", f"{number} cats")
        await server.saw(f"ck{number}", "COMPLETED")
        await server.delivered(f"ck{number}")
        assert await server.settled(intent)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(whole_life, number)
    assert await task_ids(servers[0]) == {f"ck{number}" for number in range(200)}
    assert await servers[1].forget(0, open_too=False) == 200


async def test_two_hundred_same_claims_at_once_are_sent_once(machine: Machine) -> None:
    servers = [machine.server(in_thread=anyio.to_thread.run_sync) for _ in range(3)]
    roles: list[Role] = []

    async def call(number: int) -> None:
        roles.append(await claim(servers[number % 3]))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(call, number)
    assert sorted(role.name for role in roles) == ["SEND"] + ["WAIT"] * 199


async def test_closing_twice_or_unopened_is_quiet(machine: Machine) -> None:
    server = machine.server()
    await server.aclose()
    await sent(server)
    await server.aclose()
    await server.aclose()


async def test_a_create_that_outlives_the_closing_still_takes_down_its_task(machine: Machine) -> None:
    server = machine.server()
    intent = await sent(server)
    await server.aclose()
    assert await server.issued(intent, "ck1", "SUBMITTED", 15)
    assert await claim(machine.server()) is Role.JOIN


# What is compared


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 5}, {"n": "5"}),
        ({"n": 5.0}, {"n": 5}),
        ({"n": 5.5}, {"n": "5.5"}),
        ({"n": [5, "x"]}, {"n": ["5", "x"]}),
        ({"n": [[1.0]]}, {"n": [["1"]]}),
        ({"n": None}, {}),
        ({"n": []}, {}),
        ({"n": "x", "more": 1}, {"n": "x"}),
        ({"n": True}, {"n": "True"}),
    ],
)
def test_what_means_the_same_is_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert Likeness.of(one, ("n",)) == Likeness.of(other, ("n",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 5}, {"n": 6}),
        ({"n": 5}, {"n": 5.5}),
        ({"n": "a"}, {"n": "A"}),
        ({"n": "a"}, {"n": "a "}),
        ({"n": ["a"]}, {"n": "a"}),
        ({"n": ["a", "b"]}, {"n": ["b", "a"]}),
        ({"n": ["a", "b"]}, {"n": ["a"]}),
        ({"n": ["a, b"]}, {"n": ["a", "b"]}),
        ({"n": "é"}, {"n": "e"}),
    ],
)
def test_what_differs_is_not_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert Likeness.of(one, ("n",)) != Likeness.of(other, ("n",))


@pytest.mark.parametrize("odd", [float("inf"), float("nan"), "\ud800", {"a": [1]}, 10**400, b"x"])
def test_no_value_is_too_odd_to_be_compared(odd: object) -> None:
    assert Likeness.of({"n": odd}, ("n",)) == Likeness.of({"n": odd}, ("n",))


def test_the_values_of_two_fields_are_not_mixed_up() -> None:
    assert Likeness.of({"a": "1", "b": "2"}, ("a", "b")) != Likeness.of({"a": "2", "b": "1"}, ("a", "b"))


PICTURE = data_uri("png", png())
MINIMAX = {
    "model": "minimax",
    "prompt": "a cat",
    "duration": 5,
    "resolution": "720p",
    "tier": "turbo",
    "aspectRatio": "16:9",
    "image": PICTURE,
}


def of(key: str | None = None, **arguments: Any) -> Wanted:
    return Wanted.of(read_request(arguments), key)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a cat "},
        {"duration": 6},
        {"resolution": "1080p"},
        {"tier": "base"},
        {"aspectRatio": "1:1"},
        {"image": data_uri("png", png(padding=10))},
        {"image": "https://example.test/cat.png"},
        {"lastFrame": PICTURE},
    ],
)
def test_any_changed_field_is_another_digest(change: dict[str, Any]) -> None:
    assert of(**MINIMAX).digest != of(**(MINIMAX | change)).digest


def test_another_model_with_the_same_fields_is_another_digest() -> None:
    assert of(**T2V).digest != of(**(T2V | {"model": "t2v_v3"})).digest


def test_the_same_request_however_it_is_spelled_has_one_digest() -> None:
    assert of(**T2V).digest == of(**dict(reversed(T2V.items()))).digest == of(**(T2V | {"duration": "5"})).digest
    shorter = {name: value for name, value in MINIMAX.items() if name in ("model", "prompt", "image")}
    assert of(**MINIMAX).digest == of(**shorter).digest, "a default written out is the default"


def test_pictures_are_compared_apart_from_what_the_upstream_gives_back_as_it_was() -> None:
    it = of(**MINIMAX)
    assert it.words.names == ("aspectRatio", "content", "duration", "resolution", "tier")
    wire = read_request(MINIMAX).wire()
    elsewhere = {**wire, "imageUrl": "https://files.example.test/1.png"}
    assert (it.words.fits(elsewhere), it.media.fits(elsewhere)) == (True, False)
    assert (it.words.fits(wire), it.media.fits(wire)) == (True, True)
    assert not it.words.fits({**wire, "content": "a dog"})
    assert not it.media.fits({**wire, "lastFrameUrl": PICTURE}), "one more picture is another request"


@pytest.mark.parametrize("start", ["Data: charts that fly, ", "https://example.test is a site; show "])
def test_prompts_that_begin_like_media_are_compared_all_the_same(start: str) -> None:
    """Else a lost create is given any task with the same duration and ratio, whatever its prompt."""
    one, other = of(**(T2V | {"prompt": f"{start}one"})), of(**(T2V | {"prompt": f"{start}other"}))
    assert one.words != other.words


async def test_compared_fields_survive_the_file(machine: Machine) -> None:
    server = machine.server()
    for fields in (
        MINIMAX,
        T2V,
        {"model": "seedance20", "image": PICTURE, "duration": 5, "resolution": "480p", "aspectRatio": "1:1"},
    ):
        it = of(**fields)
        await server.claim(it, fresh=False)
        intent, _ = await machine.server().claim(it, fresh=False)
        assert (intent.words, intent.media, intent.digest) == (it.words, it.media, it.digest)
    nothing = dataclasses.replace(wanted("nothing compared"), words=Likeness.of({}, ()))
    assert (await server.claim(nothing, fresh=False))[0].words.names == ()


def test_a_request_as_the_ledger_knows_it_holds_no_word_of_the_prompt() -> None:
    it = of("my-key-01", **(MINIMAX | {"prompt": "canary words"}))
    told = json.dumps(dataclasses.asdict(it))
    assert "canary" not in told
    assert PICTURE[30:60] not in told


# The command


def forget(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["forget", *arguments])
    return ended.value.code, *capsys.readouterr()


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A folder with one delivered and one open generation of 40 days ago, and one delivered yesterday."""
    machine = Machine(tmp_path / "state")
    monkeypatch.setenv("AIVIDEO_STATE_DIR", str(machine.folder))
    monkeypatch.setenv("AIVIDEO_API_KEY", KEY)
    monkeypatch.setenv("AIVIDEO_BASE_URL", BASE)

    async def make() -> None:
        today = time.time()  # the command goes by the real clock
        server = machine.server()
        for task_id, days in (("old", 40), ("open", 40), ("new", 1)):
            machine.now = today - days * DAY
            await running(server, task_id, task_id)
            if task_id != "open":
                await server.delivered(task_id)
        await machine.off()

    anyio.run(make)
    return machine


def tasks(machine: Machine) -> set[str]:
    return {row["task_id"] for row in machine.rows()}


@pytest.mark.parametrize(
    ("arguments", "number", "left"),
    [
        (("--days", "30"), "1 record deleted", {"open", "new"}),
        (("--days", "30", "--all"), "2 records deleted", {"new"}),
        (("--days", "400"), "0 records deleted", {"old", "open", "new"}),
        (("--days", "0.5"), "2 records deleted", {"open"}),
        ((), "2 records deleted", {"open"}),
        (("--all",), "3 records deleted", set()),
    ],
)
def test_forget_deletes_what_it_was_told_and_says_how_much(
    history: Machine, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], number: str, left: set[str]
) -> None:
    code, out, err = forget(capsys, *arguments)
    assert (code, out, err) == (0, "", f"aivideo-mcp: {number}\n")
    assert tasks(history) == left


def test_forget_leaves_other_accounts_alone(
    history: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIVIDEO_API_KEY", f"{KEY}_other")
    assert forget(capsys, "--all")[0] == 0
    assert len(history.rows()) == 3


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "soon", "", "1e99"])
def test_forget_takes_no_odd_number_of_days(history: Machine, capsys: pytest.CaptureFixture[str], days: str) -> None:
    code, out, err = forget(capsys, f"--days={days}")
    assert (code, out) == (2, "")
    assert "is not a number of days" in err
    assert len(history.rows()) == 3


def test_forget_says_in_one_line_that_the_folder_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AIVIDEO_STATE_DIR", str(tmp_path / "file" / "state"))
    code, out, err = forget(capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "AIVIDEO_STATE_DIR" in err
    assert "Traceback" not in err


def test_forget_on_a_machine_without_a_ledger_deletes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIVIDEO_STATE_DIR", str(tmp_path / "none"))
    assert forget(capsys)[0::2] == (0, "aivideo-mcp: 0 records deleted\n")
