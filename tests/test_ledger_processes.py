"""One ledger and several processes: started at once, racing, killed at any instant.

The processes are this file, run as a program: each takes one line of JSON on stdin for each thing it is to do, and
answers with one line on stdout.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import filelock
import pytest

from aivideo_mcp.contracts import read_request
from aivideo_mcp.errors import BudgetSpent, LedgerUnavailable
from aivideo_mcp.ledger import Intent, Ledger, Likeness, Role, Wanted
from aivideo_mcp.settings import Settings

KEY = "ak_canary_0123456789"
NOON = 1_795_428_000.0
HOUR = 3600
DIRECT, WATCHER = True, False


def wanted(what: str) -> Wanted:
    words = Likeness(("prompt",), what)
    return Wanted("t2v", hashlib.sha256(what.encode()).hexdigest(), words, Likeness.of({}, ()), None)


# The programs


class Server:
    """A server process's ledger, with real threads and a clock that it is told."""

    def __init__(self, folder: str) -> None:
        self.now = NOON
        settings = Settings(api_key=KEY, base_url="https://api.example.test", state_dir=Path(folder))
        self.ledger = Ledger(settings, wall=lambda: self.now)
        self.intent: Intent | None = None

    async def claims(self, what: str, times: int) -> list[str]:
        """The roles of so many claims at once."""
        roles: list[str] = []

        async def claim() -> None:
            intent, role = await self.ledger.claim(wanted(what), fresh=False)
            if role is Role.SEND:
                self.intent = intent
            roles.append(role.name)

        async with anyio.create_task_group() as group:
            for _ in range(times):
                group.start_soon(claim)
        return roles

    async def makes(self, until: str, what: dict[str, Any]) -> str:
        """A generation of this request, as far as the step named."""
        asked = Wanted.of(read_request(what), None)
        intent, role = await self.ledger.claim(asked, fresh=False)
        if until in ("sending", "issued"):
            intent = await self.ledger.sending(intent)
        if until == "issued":
            await self.ledger.issued(intent, "ck1", "SUBMITTED", 15)
            await self.ledger.saw("ck1", "PROGRESS")
        return role.name

    async def admits(self, now: float, times: int, direct: bool) -> int:
        """How many of so many queries at once are admitted."""
        self.now = NOON + now
        made = 0

        async def admit() -> None:
            nonlocal made
            with contextlib.suppress(BudgetSpent):
                await self.ledger.admit(1, direct=direct)
                made += 1

        async with anyio.create_task_group() as group:
            for _ in range(times):
                group.start_soon(admit)
        return made

    async def hushes(self, seconds: float) -> None:
        """Quiet for so long."""
        await self.ledger.hush(seconds)

    async def limits_files(self, size: int) -> None:
        """As on a full disk: no file of this process grows beyond so many bytes."""
        import resource  # noqa: PLC0415 - only where there is one

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def fills(self, times: int) -> int:
        """How many intents fit before the ledger says that it cannot be used."""
        for number in range(times):
            try:
                await self.ledger.claim(wanted(f"{number}"), fresh=False)
            except LedgerUnavailable:
                return number
        return times


async def serve(folder: str, *flags: str) -> None:
    """Do what stdin says until it ends."""
    if "tell-door" in flags:
        tell_at_the_door()
    server = Server(folder)
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        name, *given = json.loads(line)
        try:
            told = await getattr(server, name)(*given)
        except LedgerUnavailable as failure:
            told = failure.message
        print(json.dumps(told), flush=True)  # noqa: T201 - the answer
    await server.ledger.aclose()


def tell_at_the_door() -> None:
    """Say so as soon as this process comes to opening.lock."""

    class Telling(filelock.FileLock):  # type: ignore[misc, valid-type]
        def acquire(self, *given: Any, **named: Any) -> Any:
            if Path(self.lock_file).name == "opening.lock":
                print(json.dumps("at the door"), flush=True)  # noqa: T201 - the answer
            return super().acquire(*given, **named)

    filelock.FileLock = Telling  # type: ignore[misc]


def die_everywhere(folder: str) -> None:
    """For each statement that a generation executes, one process that is killed right before it; and for each commit.

    Prints for each what it had said to be done, and what the ledger says after it.
    """
    for when in ("before_cursor_execute", "commit"):
        for number in range(1, 60):
            state = f"{folder}/{when}-{number}"
            told, telling = os.pipe()
            child = os.fork()
            if child == 0:
                anyio.run(live_until, when, number, state, telling)
                os._exit(0)
            os.close(telling)
            with open(told) as pipe:  # noqa: PTH123 - a pipe
                said = pipe.read().split()
            status = os.waitpid(child, 0)[1]
            print(json.dumps([when, number, said, *anyio.run(look, state)]), flush=True)  # noqa: T201 - the answer
            if not os.WIFSIGNALED(status):
                break


async def live_until(when: str, number: int, folder: str, telling: int) -> None:
    """A generation in a process that kills itself at the n-th statement."""
    from sqlalchemy import event  # noqa: PLC0415 - as the ledger does
    from sqlalchemy.engine import Engine  # noqa: PLC0415 - the same

    left = number

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, when, count)
    server = Server(folder)
    ledger = Ledger(server.ledger._settings, in_thread=at_once)
    intent, _ = await ledger.claim(wanted("a cat"), fresh=False)
    os.write(telling, b"claim\n")
    intent = await ledger.sending(intent)
    os.write(telling, b"sending\n")
    await ledger.issued(intent, "ck1", "SUBMITTED", 15)
    os.write(telling, b"issued\n")


async def look(folder: str) -> tuple[str, str | None, list[str], str]:
    """What the ledger says after a death: role, task, files set aside, and whether the file is sound."""
    ledger = Ledger(Server(folder).ledger._settings, in_thread=at_once)
    intent, role = await ledger.claim(wanted("a cat"), fresh=False)
    await ledger.aclose()
    with contextlib.closing(sqlite3.connect(f"{folder}/ledger.sqlite3")) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    return role.name, intent.task_id, [file.name for file in Path(folder).glob("*corrupt*")], sound


async def at_once(work: Any, /) -> Any:
    """Work done where it stands: a process that forks has no threads."""
    await anyio.lowlevel.checkpoint()
    return work()


# The tests


class Processes:
    """Server processes on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *flags: str, program: str = "serve") -> subprocess.Popen[str]:
        """One more."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIVIDEO_")}
        process = subprocess.Popen(
            [sys.executable, __file__, program, str(self.folder), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.started.append(process)
        return process

    def all_do(self, *what: object) -> list[Any]:
        """Have all do something at the same time; their answers."""
        for process in self.started:
            tell(process, *what)
        return [answer(process) for process in self.started]

    def end(self) -> None:
        """End them all."""
        for process in self.started:
            process.kill()
            process.communicate(timeout=60)


def tell(process: subprocess.Popen[str], *what: object) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    return json.loads(process.stdout.readline())


def does(process: subprocess.Popen[str], *what: object) -> Any:
    tell(process, *what)
    return answer(process)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(60)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "state")
    yield made
    made.end()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Three that have the ledger open; each test has its own arguments, or its own hour."""
    made = Processes(tmp_path_factory.mktemp("three") / "state")
    for _ in range(3):
        assert does(made.start(), "admits", -HOUR, 1, WATCHER) == 1
    yield made
    made.end()


def told_by_all(answers: list[list[str]]) -> list[str]:
    return sorted(role for roles in answers for role in roles)


CAT = {"model": "t2v", "prompt": "a canary cat", "aspectRatio": "16:9", "duration": 5}


@pytest.mark.parametrize(("until", "role"), [("claim", "SEND"), ("sending", "FIND"), ("issued", "JOIN")])
def test_what_a_killed_process_was_at_work_on_is_free_at_once(processes: Processes, until: str, role: str) -> None:
    victim, heir = processes.start(), processes.start()
    assert does(victim, "makes", until, CAT) == "SEND"
    assert does(heir, "makes", "claim", CAT) == ("JOIN" if until == "issued" else "WAIT")
    kill(victim)
    assert does(heir, "makes", "claim", CAT) == role
    assert does(processes.start(), "makes", "claim", CAT) == ("JOIN" if until == "issued" else "WAIT")


def test_the_same_claim_from_all_threads_of_all_processes_is_sent_once(three: Processes) -> None:
    for number in range(15):
        assert told_by_all(three.all_do("claims", f"round {number}", 10)) == ["SEND"] + ["WAIT"] * 29


def test_a_dead_processs_intents_are_each_taken_over_once(three: Processes) -> None:
    victim = Processes(three.folder).start()
    for number in range(5):
        assert does(victim, "claims", f"of the victim {number}", 2) in (["SEND", "WAIT"], ["WAIT", "SEND"])
    victim.kill()
    victim.communicate(timeout=60)
    for number in range(5):
        assert told_by_all(three.all_do("claims", f"of the victim {number}", 4)) == ["SEND"] + ["WAIT"] * 11


def held_back(processes: Processes, number: int, *what: object) -> list[Any]:
    """Start so many processes and let them all come as far as opening.lock; then let them in. Their answers."""
    (processes.folder / "alive").mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(processes.folder / "opening.lock"):
        started = [processes.start("tell-door") for _ in range(number)]
        for process in started:
            tell(process, *what)
        assert [answer(process) for process in started] == ["at the door"] * number
    return [answer(process) for process in started]


def test_processes_that_open_a_new_ledger_at_once_all_get_the_same_one(processes: Processes) -> None:
    roles = told_by_all(held_back(processes, 4, "claims", "a cat", 4))
    assert roles == ["SEND"] + ["WAIT"] * 15


def test_processes_that_meet_a_corrupt_file_at_once_set_it_aside_once(processes: Processes) -> None:
    processes.folder.mkdir()
    (processes.folder / "ledger.sqlite3").write_bytes(b"garbage " * 1000)
    roles = told_by_all(held_back(processes, 3, "claims", "a cat", 4))
    assert roles == ["SEND"] + ["WAIT"] * 11
    (aside,) = processes.folder.glob("ledger.corrupt-*")
    assert aside.read_bytes() == b"garbage " * 1000


def test_no_minute_holds_more_queries_of_all_processes_than_the_budget(three: Processes) -> None:
    made: dict[float, int] = {}
    for now in (0, 1, 20, 40, 59.5, 60, 61, 79, 80, 100, 119.5, 121):
        made[now] = sum(three.all_do("admits", now, 7, now not in (0, 60)))
    windows = [sum(number for at, number in made.items() if start <= at < start + 60) for start in made]
    assert 48 <= max(windows) <= 54
    assert made[0] == 21
    assert sum(made.values()) >= 2 * 54


def test_the_watchers_of_all_processes_leave_a_tenth_to_direct_calls(three: Processes) -> None:
    assert sum(three.all_do("admits", HOUR, 30, WATCHER)) == 48
    assert sum(three.all_do("admits", HOUR + 1, 10, DIRECT)) == 6


def test_one_process_told_to_be_quiet_quiets_all(three: Processes) -> None:
    first, second, _ = three.started
    assert does(first, "admits", 2 * HOUR, 1, DIRECT) == 1
    does(first, "hushes", 20)
    assert does(second, "admits", 2 * HOUR + 19, 5, DIRECT) == 0
    assert does(second, "admits", 2 * HOUR + 20, 5, DIRECT) == 5


def test_no_byte_of_any_file_holds_key_prompt_or_picture(processes: Processes) -> None:
    """Looked at while the server runs, and after it was killed, with all that is still in the -wal."""
    from tests.pictures import data_uri, png  # noqa: PLC0415 - the programs do without

    picture = data_uri("png", png(padding=900))
    server = processes.start()
    does(server, "makes", "issued", CAT)
    does(server, "makes", "sending", {"model": "i2v", "image": picture, "prompt": "another canary", "duration": 5})
    kill(server)
    files = [file for file in processes.folder.rglob("*") if file.is_file()]
    assert {"ledger.sqlite3", "ledger.sqlite3-wal"} <= {file.name for file in files}
    assert any(b"ck1" in file.read_bytes() for file in files), "looking is of use"
    for file in files:
        content = file.read_bytes()
        for secret in (KEY, "canary", picture[30:70], picture[-40:], "data:image"):
            assert secret.encode() not in content, (file.name, secret)
            assert secret.encode("utf-16-le") not in content, (file.name, secret)


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
def test_a_file_that_cannot_grow_is_told_and_what_was_taken_down_stays(processes: Processes) -> None:
    server = processes.start()
    assert does(server, "makes", "issued", CAT) == "SEND"
    does(server, "limits_files", 120_000)
    fitted = does(server, "fills", 2000)
    assert 0 < fitted < 2000
    kill(server)
    heir = processes.start()
    assert does(heir, "makes", "claim", CAT) == "JOIN"
    assert does(heir, "claims", f"{fitted - 1}", 1) == ["SEND"], "there, and its holder is dead"
    assert does(heir, "claims", f"{fitted}", 1) == ["SEND"]
    assert list(processes.folder.glob("*corrupt*")) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_may_be_killed_at_any_statement(processes: Processes) -> None:
    processes.folder.mkdir()
    ended = processes.start(program="die")
    seen: dict[str, int] = {}
    out, _ = ended.communicate(timeout=60)
    for line in out.splitlines():
        when, number, said, role, task, aside, sound = json.loads(line)
        seen[when] = number
        assert (aside, sound) == ([], "ok"), (when, number)
        least = {0: "SEND", 1: "SEND", 2: "FIND", 3: "JOIN"}[len(said)]
        most = {0: "SEND", 1: "FIND", 2: "JOIN", 3: "JOIN"}[len(said)]
        assert role in (least, most), (when, number, said)
        assert (task == "ck1") is (role == "JOIN")
    assert ended.returncode == 0
    assert min(seen.values()) >= 4, "from the creation of the file to the task"
    assert max(seen.values()) < 59, "the last of each kind lived to its end"


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_a_ledger_that_another_holds_keeps_neither_a_ping_nor_the_end_of_a_server(tmp_path: Path, end: str) -> None:
    from tests.processes import hello, speak, start  # noqa: PLC0415 - the programs do without

    listing = {"name": "list_tasks", "arguments": {}}
    process = start("serve", "--sandbox", env={"AIVIDEO_STATE_DIR": str(tmp_path)})
    assert process.stdout
    assert process.stdin
    speak(process, *hello(), {"id": 2, "method": "tools/call", "params": listing})
    assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [1, 2]
    with process, contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(6):
            speak(process, {"id": 10 + number, "method": "tools/call", "params": listing})
        speak(process, {"id": 3, "method": "ping"})
        assert json.loads(process.stdout.readline())["id"] == 3, "before those that wait for the ledger"
        process.stdin.close() if end == "stdin" else process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        other.execute("ROLLBACK")
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("what", ["ledger.sqlite3", "ledger.sqlite3*", "alive", ""])
def test_deleted_in_use_the_ledger_begins_anew_for_all_and_nothing_is_sent_twice(
    processes: Processes, what: str
) -> None:
    first, second = processes.start(), processes.start()
    assert does(first, "makes", "issued", CAT) == "SEND"
    assert does(second, "claims", "a dog", 1) == ["SEND"]
    for found in processes.folder.glob(what) if what else [processes.folder]:
        shutil.rmtree(found) if found.is_dir() else found.unlink()
    assert does(first, "claims", "a horse", 1) == ["SEND"]
    assert does(second, "claims", "a horse", 1) == ["WAIT"], "its holder is seen to be there"
    assert does(second, "claims", "a cow", 1) == ["SEND"]
    assert does(first, "claims", "a cow", 1) == ["WAIT"]
    if what == "alive":
        assert does(second, "makes", "claim", CAT) == "JOIN"
        assert does(first, "claims", "a dog", 1) == ["WAIT"]


if __name__ == "__main__":
    program, *arguments = sys.argv[1:]
    if program == "die":
        die_everywhere(*arguments)
    else:
        anyio.run(serve, *arguments)
