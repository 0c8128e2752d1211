"""The way to the file: opened late, private, whatever the folder; cancelled and crowded."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from aivideo_mcp.ledger import Intent, Role
from tests.machine import NOON, Machine, claim, mode, posix, running, sent, task_ids, wanted

pytestmark = pytest.mark.anyio


# Opening


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


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


async def test_a_folder_in_alive_or_a_stray_file_hinders_nobody(machine: Machine) -> None:
    (machine.folder / "alive").mkdir(parents=True)
    (machine.folder / "alive" / ".DS_Store").write_text("x")
    assert await claim(machine.server()) is Role.SEND


# Cancellation and crowds


async def test_a_call_cancelled_in_its_transaction_ends_it_and_the_ledger_goes_on(machine: Machine) -> None:
    server = machine.server(in_thread=anyio.to_thread.run_sync)
    await server.lost()
    assert server._access.store is not None
    inside, go_on = threading.Event(), threading.Event()

    class Held(type(server._access.store.intents)):  # type: ignore[misc]
        def _begin(self, *given: Any) -> Intent:
            inside.set()
            assert go_on.wait(60)
            return super()._begin(*given)

    server._access.store.intents.__class__ = Held
    kept: list[Intent] = []
    async with anyio.create_task_group() as group:

        async def call() -> None:
            kept.append((await server.claim(wanted(), fresh=False))[0])

        group.start_soon(call)
        assert await anyio.to_thread.run_sync(inside.wait, 60)
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
        assert go_on.wait(60)
        return real(*given)

    monkeypatch.setattr(file, "open_store", slow)
    async with anyio.create_task_group() as group:
        group.start_soon(claim, server)
        group.start_soon(claim, server)
        assert await anyio.to_thread.run_sync(inside.wait, 60)
        group.cancel_scope.cancel()
        go_on.set()
    with anyio.fail_after(60):
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
    with anyio.fail_after(60):
        assert await claim(machine.server(), "a dog") is Role.SEND


async def test_two_hundred_operations_at_once_all_come_through(machine: Machine) -> None:
    servers = [machine.server(in_thread=anyio.to_thread.run_sync) for _ in range(2)]

    async def whole_life(number: int) -> None:
        server = servers[number % 2]
        intent = await running(server, f"ck{number}", f"{number} cats")
        await server.saw(f"ck{number}", "COMPLETED")
        await server.delivered(f"ck{number}")
        assert await server.settled(intent)

    with anyio.fail_after(60):
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

    with anyio.fail_after(60):
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
