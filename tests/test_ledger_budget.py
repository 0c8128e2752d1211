"""The query budget of all servers on a machine."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import anyio.to_thread
import pytest

from aivideo_mcp.errors import BudgetSpent
from tests.fakes import BASE, KEY
from tests.machine import NOON, Machine, admitted

pytestmark = pytest.mark.anyio


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
    assert slow._access.store is not None
    begin, made = slow._access.store.budget.admit, 0

    def held_up(*given: Any, **named: Any) -> float:
        nonlocal made
        machine.now += 2
        made += anyio.run(admitted, other, 54)
        return begin(*given, **named)

    monkeypatch.setattr(slow._access.store.budget, "admit", held_up)
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
