"""What the ledger keeps of a generation, and what it forgets."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from aivideo_mcp.errors import LedgerUnavailable
from aivideo_mcp.ledger import Role
from aivideo_mcp.settings import Settings
from tests.fakes import BASE, KEY
from tests.machine import DAY, NOON, Machine, claim, lost, running, sent, task_ids, wanted

pytestmark = pytest.mark.anyio


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


async def test_what_was_forgotten_is_in_no_byte_of_the_folder(machine: Machine) -> None:
    server = machine.server()
    await running(server, key="canary-key-0001")
    await server.saved("ck1", Path("/videos/canary-of-a-private-name.mp4"))
    await server.delivered("ck1")
    assert await server.forget(0, open_too=False) == 1
    await machine.off()
    for file in machine.folder.rglob("*"):
        assert file.is_dir() or b"canary" not in file.read_bytes(), file.name
