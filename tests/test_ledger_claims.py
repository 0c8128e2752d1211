"""What a call means: claims, keys, and who is at work; several processes are in test_ledger_processes."""

from __future__ import annotations

from typing import Any

import pytest

from aivideo_mcp.errors import BudgetExceeded, IdempotencyConflict
from aivideo_mcp.ledger import Ledger, Role
from tests.fakes import KEY
from tests.machine import NOON, Machine, claim, lost, running, sent, task_ids, wanted

pytestmark = pytest.mark.anyio


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


async def test_the_key_of_a_task_that_is_gone_makes_another_whose_price_is_asked_and_counted(machine: Machine) -> None:
    server = machine.server(daily_credits=20)
    first, _ = await server.claim(wanted(key="my-key-01"), fresh=False)
    await server.issued(await server.sending(first, 15), "ck1", "SUBMITTED", 15)
    await server.gone("ck1")
    second, role = await server.claim(wanted(key="my-key-01"), fresh=False)
    assert (role, second.key, second.price, second.credits, second.sent_at) == (
        Role.SEND,
        "my-key-01",
        None,
        None,
        None,
    )
    assert await server.spent_today() == 15, "what was paid for a task does not come back because it is gone"
    with pytest.raises(BudgetExceeded):
        await server.sending(second, 15)
    assert await server.about("ck1"), "and its id stays"


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
    assert held == {second._access.presence.me, third._access.presence.me}


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
