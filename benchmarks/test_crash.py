"""The server killed with SIGKILL at many instants, started again and called again: nothing lost, nothing paid twice.

Two lanes run at once, each with a sandbox process, a state folder and an output folder of its own: in one the upstream
honours the idempotency key of every model, in the other of minimax alone. A lane is a row of lives. In each life a
server is started, everything that is still owed is asked for again, two new videos are asked for, and the server is
killed: so long after the calls, or when something is seen. What was charged is counted at the sandbox.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from aivideo_mcp.sandbox.clips import clip_for
from tests.processes import COMMAND, environment, hello, speak, start

SPEED: Final = 200.0  # a video takes 1.4 s
KEY: Final = "ak_crash_0123456789"
PATIENCE: Final = 20.0  # seconds that anything here may take
SANDBOX_OF_MINIMAX: Final = f"""
import anyio
from aivideo_mcp.sandbox import SandboxOptions, running_sandbox

async def main():
    async with running_sandbox(SandboxOptions(speed={SPEED}, credits=1000000, idempotency="minimax")) as sandbox:
        print(f"SANDBOX at {{sandbox.url}}:", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""
COMMANDS: Final = {
    "all": [*COMMAND, "sandbox", "--port", "0", "--speed", str(SPEED), "--credits", "1000000"],
    "minimax": [sys.executable, "-c", SANDBOX_OF_MINIMAX],
}


@dataclass
class Sandbox:
    """The upstream, as its own process."""

    url: str

    def seen(self) -> dict[str, int]:
        """Charges, and how many creates and files were asked for."""
        told = httpx.get(f"{self.url}/sandbox/ledger", timeout=PATIENCE, trust_env=False).json()
        return {"charges": told["charges"], "file": told["calls"].get("file", 0)}

    def faults(self, *specs: str) -> None:
        """Put these faults in force."""
        httpx.post(f"{self.url}/sandbox/faults", json={"faults": specs}, trust_env=False).raise_for_status()

    def tasks(self) -> list[dict[str, Any]]:
        """All that was charged."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = httpx.get(f"{self.url}/api/v1/tasks", headers={"key": KEY}, timeout=PATIENCE, trust_env=False)
            if answer.status_code != 429 or time.monotonic() > until:
                return list(answer.json()["tasks"])
            time.sleep(1)


@contextlib.contextmanager
def sandbox(kind: str) -> Iterator[Sandbox]:
    """A sandbox process, until the block is left."""
    process = subprocess.Popen(COMMANDS[kind], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    assert process.stdout
    drain = threading.Thread(target=process.stdout.read, daemon=True)
    try:
        while not (found := re.search(rb"SANDBOX at (http://\S+?):? ?(?:no real.*)?\n", process.stdout.readline())):
            assert process.poll() is None
        drain.start()
        yield Sandbox(found[1].decode())
    finally:
        process.kill()
        process.wait(PATIENCE)
        if drain.is_alive():
            drain.join(PATIENCE)
        process.stdout.close()


@dataclass
class Job:
    """One video that is meant: how it is asked for, and what was answered last."""

    arguments: dict[str, Any]
    tool: str = "generate_video"
    answer: dict[str, Any] | None = None
    ids: set[str] = field(default_factory=set)

    @property
    def words(self) -> str:
        return str(self.arguments["prompt"])

    @property
    def done(self) -> bool:
        return bool(self.answer and self.answer["status"] == "COMPLETED")


class Server:
    """A server process and what it says; `messages` are its progress notes so far."""

    def __init__(self, env: dict[str, str]) -> None:
        self.process = start("serve", env=env)
        self.messages: list[str] = []
        self.answers: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
        self._number = 10
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._stderr = threading.Thread(target=self.process.stderr.read, daemon=True)  # type: ignore[union-attr]
        self._ready = threading.Event()
        self._reader.start()
        self._stderr.start()
        speak(self.process, *hello())
        assert self._ready.wait(PATIENCE), "the server did not start"

    def ask(self, job: Job) -> int:
        """Send a call; the number that its answer will have."""
        self._number += 1
        call = {"name": job.tool, "arguments": job.arguments, "_meta": {"progressToken": f"p{self._number}"}}
        speak(self.process, {"id": self._number, "method": "tools/call", "params": call})
        return self._number

    def kill(self) -> None:
        """SIGKILL; then read what had been said."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self._stderr.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:  # cut off by the kill
                return
            if "params" in said:
                self.messages.append(said["params"]["message"])
            elif said["id"] == 1:
                self._ready.set()
            else:
                self.answers.put((said["id"], said["result"]["structuredContent"]))


@dataclass(frozen=True)
class Instant:
    """When a life ends: when something is seen after the calls, and so much later; under which faults."""

    name: str
    seen: Callable[[Lane, Server], bool] | None = None
    later: float = 0.0
    faults: tuple[str, ...] = ()


def _says(text: str) -> Callable[[Lane, Server], bool]:
    return lambda _, server: any(text in message for message in server.messages)


def _charged(lane: Lane, _: Server) -> bool:
    return lane.sandbox.seen()["charges"] > lane.before["charges"]


def _fetched(lane: Lane, _: Server) -> bool:
    return lane.sandbox.seen()["file"] > lane.before["file"]


def _partial(lane: Lane, _: Server) -> bool:
    return any(set(lane.output.glob(".*.part")) - lane.partials)


HELD: Final = ("slow=0.3@generate",)  # the answer of a create comes so long after the charge
LATE: Final = ("slow=0.8@generate",)  # the same, and later than the time-out
INSTANTS: Final = (
    *(Instant(f"after {ms} ms", later=ms / 1000) for ms in (0, 40, 80, 120, 160, 200, 240, 280, 320, 360, 400)),
    *(Instant(f"after {ms} ms", later=ms / 1000) for ms in (450, 500, 600, 700, 900, 1200, 1500, 1800)),
    *(Instant(f"charged, {ms} ms", _charged, ms / 1000, HELD) for ms in (0, 60, 150, 290, 310)),
    *(Instant(f"charged late, {ms} ms", _charged, ms / 1000, LATE) for ms in (0, 400, 520, 700, 1000)),
    *(Instant(f"lost, {ms} ms", _charged, ms / 1000, ("lost@generate:2",)) for ms in (0, 30, 300, 600)),
    *(Instant(f"first progress, {ms} ms", _says("created"), ms / 1000) for ms in (0, 5)),
    *(Instant(f"running, {ms} ms", _says("PROGRESS:"), ms / 1000) for ms in (0, 20)),
    *(Instant(f"completed, {ms} ms", _says("COMPLETED:"), ms / 1000) for ms in (0, 3, 6, 10, 15, 20, 30, 50)),
    *(Instant(f"fetched, {ms} ms", _fetched, ms / 1000) for ms in (0, 5)),
    *(Instant("part file", _partial) for _ in range(2)),
)


class Lane:
    """Lives one after the other over one sandbox and one state folder."""

    def __init__(self, kind: str, folder: Path, sandbox: Sandbox) -> None:
        self.kind, self.sandbox = kind, sandbox
        self.output, self.state = folder / "output", folder / "state"
        self.output.mkdir(parents=True)
        self.jobs: list[Job] = []
        self.kills: list[str] = []
        self.before: dict[str, int] = {}
        self.partials: set[Path] = set()
        self.longest = 0.0
        self._env = {
            "AIVIDEO_BASE_URL": sandbox.url,
            "AIVIDEO_API_KEY": KEY,
            "AIVIDEO_STATE_DIR": str(self.state),
            "AIVIDEO_OUTPUT_DIR": str(self.output),
            "AIVIDEO_TIMEOUT_MS": "500",
            "AIVIDEO_QUERIES_PER_MINUTE": "6000",
        }

    def run(self, instants: tuple[Instant, ...]) -> None:
        """All lives, then one that is not ended before all is done."""
        for instant in instants:
            self._live(instant)
        self.sandbox.faults()
        self._finish()

    def _live(self, instant: Instant) -> None:
        server = Server(self._env)
        try:
            self.sandbox.faults(*instant.faults)
            self.before = self.sandbox.seen()
            self.partials = set(self.output.glob(".*.part"))
            asked = {server.ask(job): job for job in self._due()}
            until = time.monotonic() + 6.0
            while instant.seen and not instant.seen(self, server) and time.monotonic() < until:
                if server.answers.qsize() == len(asked):
                    break
                time.sleep(0.0005)
            time.sleep(instant.later)
        finally:
            server.kill()
        self.kills.append(instant.name)
        self._take(server, asked)

    def _due(self) -> list[Job]:
        """What is owed, and two new videos."""
        number = len(self.kills)
        ratio = ("16:9", "9:16", "1:1")[number % 3]
        fields = {"prompt": f"t2v {number}", "model": "t2v", "aspectRatio": ratio, "duration": 5}
        other = {"prompt": f"minimax {number}", "model": "minimax", "aspectRatio": ratio}
        if number % 4 == 3:
            other["idempotencyKey"] = f"my-own-key-{number}"
        self.jobs += [Job(fields), Job(other)]
        return [job for job in self.jobs if not job.done]

    def _finish(self) -> None:
        server = Server(self._env)
        try:
            until = time.monotonic() + PATIENCE
            while (due := [job for job in self.jobs if not job.done]) and time.monotonic() < until:
                asked = {server.ask(job): job for job in due}
                waits = [1.0]
                for _ in due:
                    number, answer = server.answers.get(timeout=PATIENCE)
                    self._note(asked[number], answer)
                    waits.append(answer["retryAfter"] or 0.0)
                if not all(job.done for job in due):
                    time.sleep(min(max(waits), 2.0))
        finally:
            server.kill()

    def _take(self, server: Server, asked: dict[int, Job]) -> None:
        while not server.answers.empty():
            number, answer = server.answers.get()
            self._note(asked[number], answer)
        for message in server.messages:  # an id that was told is one that was issued
            assert re.search(r"task sb_[0-9a-f]{24}", message), message

    def _note(self, job: Job, answer: dict[str, Any]) -> None:
        assert answer["ok"] or answer["errorCode"] in ("SUBMISSION_UNCERTAIN", "NETWORK_ERROR", "RATE_LIMITED"), answer
        job.answer = answer
        if answer["taskId"]:
            job.ids.add(answer["taskId"])


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    """Both lanes, run to their end."""
    with contextlib.ExitStack() as stack:
        lanes = [
            Lane(kind, tmp_path_factory.mktemp(kind), stack.enter_context(sandbox(kind))) for kind in ("all", "minimax")
        ]
        with ThreadPoolExecutor(len(lanes)) as pool:
            # Each lane takes every other instant, so that together they take all of them.
            runs = [pool.submit(lane.run, INSTANTS[offset::2]) for offset, lane in enumerate(lanes)]
            for run in runs:
                run.result()
        yield lanes


def test_the_server_was_killed_at_forty_instants_or_more(lanes: list[Lane]) -> None:
    assert sum(len(lane.kills) for lane in lanes) == len(INSTANTS) >= 40
    assert len({(instant.name, instant.faults) for instant in INSTANTS}) >= 40


def _words(task: dict[str, Any]) -> str:
    return str(task["input"].get("prompt") or task["input"]["content"])


def test_every_video_that_was_meant_was_charged_exactly_once(lanes: list[Lane]) -> None:
    for lane in lanes:
        charged = sorted(_words(task) for task in lane.sandbox.tasks())
        assert charged == sorted(job.words for job in lane.jobs), lane.kind
        assert lane.sandbox.seen()["charges"] == len(lane.jobs)


def test_no_outcome_counts_as_delivered_that_never_left_the_server(lanes: list[Lane]) -> None:
    for lane in lanes:
        with contextlib.closing(sqlite3.connect(lane.state / "ledger.sqlite3")) as connection:
            query = "SELECT task_id FROM generations WHERE delivered_at IS NOT NULL"
            delivered = {row[0] for row in connection.execute(query)}
        assert delivered <= set().union(*(job.ids for job in lane.jobs)), lane.kind


def test_every_call_ended_with_the_task_that_was_charged(lanes: list[Lane]) -> None:
    for lane in lanes:
        issued = {_words(task): task["id"] for task in lane.sandbox.tasks()}
        for job in lane.jobs:
            assert job.done, (lane.kind, job)
            assert job.ids == {issued[job.words]}, lane.kind


def test_every_video_is_saved_and_whole(lanes: list[Lane]) -> None:
    for lane in lanes:
        for job in lane.jobs:
            assert job.answer
            file = Path(job.answer["data"]["file"])
            assert file.parent == lane.output
            assert file.read_bytes() == clip_for(job.arguments["aspectRatio"]).read_bytes()
        whole = {clip_for(ratio).read_bytes() for ratio in ("16:9", "9:16", "1:1")}
        assert all(file.read_bytes() in whole for file in lane.output.glob("*.mp4"))


def test_the_ledger_is_sound_and_holds_every_id_that_was_issued(lanes: list[Lane]) -> None:
    for lane in lanes:
        with contextlib.closing(sqlite3.connect(lane.state / "ledger.sqlite3")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            known = [row[0] for row in connection.execute("SELECT task_id FROM generations")]
        assert sorted(known) == sorted(task["id"] for task in lane.sandbox.tasks())


def _settings(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    return {
        "AIVIDEO_BASE_URL": sandbox.url,
        "AIVIDEO_API_KEY": KEY,
        "AIVIDEO_STATE_DIR": str(folder),
        "AIVIDEO_TIMEOUT_MS": "500",
        "AIVIDEO_QUERIES_PER_MINUTE": "6000",
    }


T2V: Final = {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 5}


def test_a_create_repeated_after_a_crash_and_another_call_finishes_the_lost_one(tmp_path: Path) -> None:
    job, other = Job(T2V, "create_generation"), Job({**T2V, "prompt": "a dog"}, "create_generation")
    with sandbox("minimax") as upstream:
        upstream.faults(*HELD)
        first = Server(_settings(upstream, tmp_path))
        first.ask(job)
        until = time.monotonic() + PATIENCE
        while not upstream.seen()["charges"] and time.monotonic() < until:
            time.sleep(0.001)
        first.kill()
        upstream.faults("500@tasks")
        second = Server(_settings(upstream, tmp_path))
        try:
            second.ask(other)
            second.answers.get(timeout=PATIENCE)
            upstream.faults()
            second.ask(job)
            second.answers.get(timeout=PATIENCE)
        finally:
            second.kill()
        assert upstream.seen()["charges"] == 2


def test_an_answer_that_a_stuck_client_never_took_is_still_owed(tmp_path: Path) -> None:
    with sandbox("all") as upstream:
        stuck = start("serve", env=_settings(upstream, tmp_path))
        assert stuck.stdout
        speak(stuck, *hello())
        stuck.stdout.readline()
        # From here on nobody reads: lists of tools fill the pipe, and the answer has no way out.
        speak(stuck, *({"id": 100 + number, "method": "tools/list"} for number in range(20)))
        speak(stuck, {"id": 5, "method": "tools/call", "params": {"name": "generate_video", "arguments": T2V}})
        time.sleep(4.0)  # twice as long as the video takes
        assert _ended(tmp_path / "ledger.sqlite3")
        stuck.kill()
        assert b'"id":5,' not in stuck.communicate(timeout=PATIENCE)[0].replace(b" ", b"")
        again = Server(_settings(upstream, tmp_path))
        try:
            again.ask(Job(T2V))
            assert again.answers.get(timeout=PATIENCE)[1]["status"] == "COMPLETED"
        finally:
            again.kill()
        assert upstream.seen()["charges"] == 1


def _ended(file: Path) -> bool:
    """Whether the server has seen the end of a generation."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return bool(connection.execute("SELECT 1 FROM generations WHERE status = 'COMPLETED'").fetchall())
