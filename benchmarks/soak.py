"""A long bad day: fuzzed calls, crowds, weather, rude clients and kills against real processes; one table at the end.

    .venv/bin/python -m benchmarks.soak [--minutes 8] [--quick]

Nothing may be lost, paid twice, answered without an envelope, or grow: then the exit code is 1. Servers and sandboxes
(200 times faster than real) listen on loopback, and end with this script, however it ends.
"""
# ruff: noqa: T201 - a script that prints

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aivideo_mcp.contracts import read_request
from aivideo_mcp.errors import AivideoError
from benchmarks.test_crash import INSTANTS, KEY, Lane, Sandbox, sandbox
from benchmarks.waiting import p99
from benchmarks.wires import PATIENCE, Http, Message, Process, Schemas, Stdio, Wire
from tests.oddities import Call, calls, writable

GROWN: Final = 60.0, 20  # megabytes and descriptors that a server may have more after it has settled
SETTLING: Final = 4.0
T2V: Final = {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 5}
GOOD: Final = st.sampled_from(
    (
        T2V,
        {**T2V, "model": "t2v_v3", "duration": 10},
        {"model": "i2v", "image": "https://example.com/cat.png", "duration": 5},
        {"model": "lv", "image": "https://example.com/cat.png", "prompts": ["a cat", "it sleeps"]},
        {"model": "minimax", "prompt": "a cat", "referenceImages": ["https://example.com/cat.png"]},
        {"model": "wan27", "prompt": "a cat", "duration": 5, "resolution": "720p", "aspectRatio": "1:1"},
    )
)
WEATHER: Final = (
    "lost",
    "500",
    "reset",
    "429",
    "truncated",
    "html",
    "empty",
    "failed-200",
    "503",
    "redirect",
    "slow=0.8",
)
OWN: Final = ("maxCredits", "idempotencyKey", "confirmationCode", "maxWaitSeconds")


@dataclass
class Row:
    """What one phase came to."""

    phase: str
    calls: int = 0
    injected: int = 0
    charges: int = 0
    meant: int = 0
    lost: int = 0
    twice: int = 0
    untyped: list[str] = field(default_factory=list)
    before: tuple[float, int] = (0.0, 0)
    after: tuple[float, int] = (0.0, 0)
    pings: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peak: bool = False  # whether this is the first of its size, whose memory the allocator keeps for the next one

    def wrong(self) -> list[str]:
        """All that must not be."""
        grown = [
            f"{what} grew from {a:.0f} to {b:.0f}"
            for what, a, b, most in zip(("RSS", "descriptors"), self.before, self.after, GROWN, strict=True)
            if b - a > most and not self.peak
        ]
        counted = {"lost": self.lost, "charged twice": self.twice, "untyped answers": len(self.untyped)}
        told = [f"{number} {what}" for what, number in counted.items() if number]
        return [f"{self.phase}: {fault}" for fault in (*told, *self.untyped[:5], *grown, *self.faults)]

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        ping = f"{p99(self.pings) * 1000:.0f}/{statistics.median(self.pings) * 1000:.0f}" if self.pings else "-"
        sizes = [f"{a:.0f}>{b:.0f}" if b else "-" for a, b in zip(self.before, self.after, strict=True)]
        numbers = (self.calls, self.injected, self.charges, self.meant, self.lost, self.twice, len(self.untyped))
        return (self.phase, *map(str, numbers), *sizes, ping)


HEAD: Final = (
    "phase",
    "calls",
    "faults",
    "charges",
    "meant",
    "lost",
    "twice",
    "untyped",
    "RSS MB",
    "fds",
    "ping p99/50 ms",
)


def pool(number: int) -> list[Call]:
    """So many calls, others in each run."""
    made: list[Call] = []

    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(GOOD).filter(writable))
    def draw(call: Call) -> None:
        made.append(call)

    draw()
    return [call for call in made if "NaN" not in (text := json.dumps(call)) and "Infinity" not in text]


def generates(call: Call) -> bool:
    """Whether a call would be sent on as a create."""
    name, arguments = call
    try:
        read_request({key: value for key, value in arguments.items() if key not in OWN})
    except AivideoError:
        return False
    return name in ("create_generation", "generate_video")


def environment(upstream: Sandbox, folder: Path, **more: str) -> dict[str, str]:
    """A server's settings: this upstream, its ledger and its videos in this folder."""
    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    named = {"BASE_URL": upstream.url, "API_KEY": KEY, "STATE_DIR": str(folder / "state"), "OUTPUT_DIR": str(output)}
    return {f"AIVIDEO_{name}": value for name, value in {**named, "QUERIES_PER_MINUTE": "6000", **more}.items()}


@contextlib.asynccontextmanager
async def watched(row: Row, process: Process, wire: Wire, *, pings: bool = True) -> AsyncIterator[None]:
    """Take sizes before and after, once things have settled, and ping all the while."""

    async def ping() -> None:
        while pings and not ended.is_set():
            row.pings.append(await wire.ping())
            await asyncio.sleep(0.05)

    for tool, arguments in (("generate_video", {**T2V, "prompt": row.phase}), ("list_tasks", {}), ("list_models", {})):
        await wire.call(tool, arguments)  # whatever is loaded at first use is there before sizes are taken
    row.before = process.size()
    ended = asyncio.Event()
    pinging = asyncio.create_task(ping())
    try:
        yield
    finally:
        ended.set()  # a cancel could be lost in `wait_for`, which in Python 3.11 prefers an answer that came with it
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, TimeoutError, httpx.HTTPError):
            await pinging
        await asyncio.sleep(SETTLING)
        with contextlib.suppress(OSError):
            row.after = process.size()
            row.faults += [f"log: {line[:200]}" for line in process.complaints()[:5]]


async def answered(row: Row, schemas: Schemas, tool: str, asking: Awaitable[Message]) -> Mapping[str, Any] | None:
    """The envelope of a call, counted and judged."""
    row.calls += 1
    try:
        answer = await asyncio.wait_for(asking, PATIENCE)
    except (TimeoutError, OSError, httpx.HTTPError, ValueError) as fault:
        row.untyped.append(f"{tool}: no answer, {fault!r}")
        return None
    if fault := schemas.fault(tool, answer):
        row.untyped.append(fault)
        return None
    envelope: Mapping[str, Any] | None = answer.get("result", {}).get("structuredContent")
    return envelope


async def fuzz(row: Row, wire: Wire, upstream: Sandbox, made: list[Call], *, count: int, until: float) -> None:
    """(a) So many calls, of which few are creates."""
    schemas, told = await Schemas.of(wire), set[str]()
    source = itertools.cycle([(call, generates(call)) for call in made])
    before = {task["id"] for task in upstream.tasks()}
    creates = max(20, count // 80)

    async def work() -> None:
        while row.calls < count and time.monotonic() < until:
            (tool, arguments), creating = next(source)
            if creating and creates <= row.meant:
                await asyncio.sleep(0)
                continue
            row.meant += creating
            envelope = await answered(row, schemas, tool, wire.call(tool, arguments))
            if envelope and envelope["taskId"]:
                told.add(envelope["taskId"])

    await asyncio.gather(*(work() for _ in range(16)))
    issued = {task["id"] for task in upstream.tasks()} - before
    row.charges = len(issued)
    row.lost = len(issued - told)
    row.twice = max(0, row.charges - row.meant)


@contextlib.asynccontextmanager
async def beside(row: Row, url: str) -> AsyncIterator[None]:
    """Let another client ping and probe, which a crowd may slow down and not keep out."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "benchmarks.soak", "--beside", url)  # this loop is busy with the crowd
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert other.stdout
    await other.stdout.readline()
    try:
        yield
    finally:
        told = json.loads((await other.communicate(b"end"))[0])
        row.pings, row.faults = told["pings"], [*row.faults, *told["faults"]]
        row.notes.append(
            f"longest ping {max(row.pings) * 1000:.0f} ms, healthz p99 {p99(told['probes']) * 1000:.0f} ms"
        )


async def pinging(url: str) -> None:
    """Be the other client until something comes on stdin, and tell on stdout how long answers took."""
    told: dict[str, list[Any]] = {"pings": [], "probes": [], "faults": []}
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read, 1))
    async with Http.session(url, Process(os.getpid(), Path(os.devnull))) as wire:
        print(flush=True)
        while not end.done():
            began = time.perf_counter()
            pong = await asyncio.wait_for(wire.request("ping"), PATIENCE)
            told["pings"].append(time.perf_counter() - began)
            began = time.perf_counter()
            healthy = await wire.web.get(httpx.URL(url).copy_with(path="/healthz"), headers={"Connection": "close"})
            told["probes"].append(time.perf_counter() - began)
            if "result" not in pong or healthy.status_code != 200:
                told["faults"].append(f"another client was kept out: {pong}, {healthy.status_code}")
            await asyncio.sleep(0.02)
    print(json.dumps(told))


async def crowd(row: Row, wire: Wire, upstream: Sandbox, number: int) -> None:
    """(b) So many calls at once, of which those that find no room are told when to come again."""
    schemas = await Schemas.of(wire)
    before = {task["id"] for task in upstream.tasks()}
    kinds: tuple[Call, ...] = (
        *(("list_models", {}), ("get_account", {}), ("list_tasks", {}), ("get_status", {"taskId": "sb_" + "0" * 24})),
        *(("quote_generation", T2V), ("get_task", {"taskId": []}), ("generate_video", {"model": "t9v"})),
    )
    told: set[str] = set()
    refused: list[bool] = []

    async def one(index: int) -> None:
        tool, arguments = kinds[index % len(kinds)]
        if index % 16 == 0:
            tool, arguments = (
                ("create_generation", "generate_video")[index % 32 // 16],
                {**T2V, "prompt": f"{row.phase} {index}"},
            )
        envelope = await answered(row, schemas, tool, wire.call(tool, arguments))
        refused.append(envelope is None)
        if index % 16 == 0 and envelope is not None:
            row.meant += envelope["taskId"] is not None
            told.add(str(envelope["taskId"]))

    await asyncio.gather(*map(one, range(number)))
    issued = {task["id"] for task in upstream.tasks()} - before
    row.charges, row.lost, row.twice = len(issued), len(issued - told), max(0, len(issued) - row.meant)
    row.notes.append(f"{number - sum(refused)} of {number} answered, the others told to come again")


@dataclass
class Video:
    """One video that is meant, and how its first caller leaves."""

    arguments: Message
    leaves: str
    ids: set[str] = field(default_factory=set)
    file: str | None = None
    tries: int = 0

    def take(self, envelope: Mapping[str, Any] | None) -> bool:
        """Note what was answered; whether it is done."""
        if envelope and envelope["taskId"]:
            self.ids.add(envelope["taskId"])
        if envelope and envelope["status"] == "COMPLETED" and envelope["data"]:
            self.file = envelope["data"]["file"]
            return True
        return False


LEAVES: Final = (
    "stays",
    "cancels at once",
    "cancels on progress",
    "times out",
    "hangs up at once",
    "hangs up on progress",
)


async def weather(row: Row, upstream: Sandbox, folder: Path, seconds: float) -> None:
    """(c) Each third answer of each call spoilt, while clients leave and come again: each video is paid for once."""
    env = environment(upstream, folder, TIMEOUT_MS="500")
    videos: list[Video] = []
    async with Stdio.to(env) as wire, Http.to(env) as web:
        schemas = await Schemas.of(wire)
        async with watched(row, wire.process, wire):
            spoiling = asyncio.create_task(_spoil(row, upstream))
            storm, until = time.monotonic() + seconds * 0.7, time.monotonic() + seconds
            work: list[asyncio.Task[bool]] = []
            try:
                while time.monotonic() < storm:
                    wave = [_meant(len(videos) + n) for n in range(2 * len(LEAVES))]
                    videos += wave
                    work += [asyncio.create_task(_insist(row, schemas, (wire, web), video, until)) for video in wave]
                    await asyncio.wait(work, timeout=min(8.0, max(0.1, storm - time.monotonic())))
            finally:
                spoiling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await spoiling
                await asyncio.to_thread(upstream.faults)
            outcomes = await asyncio.gather(*work, return_exceptions=True)
            for video in videos:  # what could not be saved in the storm is told so, and can be saved after it
                if video.file is None and video.ids:
                    saving = wire.call("download_video", {"taskId": max(video.ids)})
                    video.take(await answered(row, schemas, "download_video", saving))
    row.faults += [f"{outcome!r}"[:300] for outcome in outcomes if isinstance(outcome, BaseException)][:5]
    issued = [task for task in upstream.tasks() if _words(task).startswith("weather ")]
    words = [_words(task) for task in issued]
    row.charges, row.meant = len(issued), len(videos)
    row.twice = len(words) - len(set(words))
    with contextlib.closing(sqlite3.connect(folder / "state" / "ledger.sqlite3")) as connection:
        known = {found[0] for found in connection.execute("SELECT task_id FROM generations")}
    lost = [video for video in videos if not (video.file and Path(video.file).is_file())]
    row.lost = len({task["id"] for task in issued} - known) + len(lost)
    twice = {word for word in words if words.count(word) > 1}
    twins = [video for video in videos if video.arguments["prompt"] in twice]
    row.faults += [f"{what}: {video}" for what, some in (("lost", lost), ("twice", twins)) for video in some[:5]]


def _meant(number: int) -> Video:
    fields: Message = {"model": "minimax"} if number % 2 else T2V
    return Video({**fields, "prompt": f"weather {number}"}, LEAVES[number // 2 % len(LEAVES)])


def _words(task: Message) -> str:
    return str(task["input"].get("prompt") or task["input"].get("content"))


async def _spoil(row: Row, upstream: Sandbox) -> None:
    """Other faults each second and a half."""
    for kind in itertools.cycle(WEATHER):
        calls_ = ("account", "quote", "generate", "tasks", "task", "status", "file")
        # A lost or slow create is charged, and its answer never seen.
        await asyncio.to_thread(upstream.faults, *(f"{kind}@{call}:3" for call in calls_))
        before = await asyncio.to_thread(_seen, upstream)
        await asyncio.sleep(1.5)
        after = await asyncio.to_thread(_seen, upstream)
        row.injected += sum((after.get(call, 0) - before.get(call, 0)) // 3 for call in calls_)


def _seen(upstream: Sandbox) -> dict[str, int]:
    told: dict[str, int] = httpx.get(f"{upstream.url}/sandbox/ledger", timeout=20, trust_env=False).json()["calls"]
    return told


async def _insist(row: Row, schemas: Schemas, wires: tuple[Stdio, Http], video: Video, until: float) -> bool:
    """Ask for a video, leave as it is said, and ask again until it is there."""
    wire, web = wires
    if video.leaves.startswith("hangs up"):
        heard = asyncio.Event()
        asking = asyncio.create_task(
            web.call("generate_video", video.arguments, lambda text: "Keep this id" in text and heard.set())
        )
        row.calls += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), 0.15 if video.leaves.endswith("once") else 3)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError, ConnectionError):
            if video.take((await asking).get("result", {}).get("structuredContent")):
                return True
    elif video.leaves != "stays":
        heard = asyncio.Event()
        params = {"name": "generate_video", "arguments": video.arguments}
        number, answer = await wire.begin("tools/call", params, lambda text: "Keep this id" in text and heard.set())
        row.calls += 1
        patience = {"cancels at once": 0.0, "cancels on progress": 5.0}.get(video.leaves, 0.9)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(heard.wait() if "progress" in video.leaves else asyncio.shield(answer), patience)
        await wire.cancel(number)
        if answer.done() and video.take(answer.result().get("result", {}).get("structuredContent")):
            return True
    while time.monotonic() < until:
        video.tries += 1
        envelope = await answered(
            row, schemas, "generate_video", wire.call("generate_video", video.arguments, lambda _: None)
        )
        if video.take(envelope):
            return True
        await asyncio.sleep(min(1.0, (envelope or {}).get("retryAfter") or 0.2))
    return False


async def rude_stdio(row: Row, wire: Stdio, cancellations: int) -> None:
    """(d) Frames that no client should send, and a client that does not read."""
    heavy = b"x" * 50_000_000
    call = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{%s}}}'
    flood = [
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id_}}
        for id_ in itertools.islice(itertools.cycle((10**6, "x", -1, 10**30)), cancellations)
    ]
    frames: dict[str, list[Message | bytes]] = {
        "a 50 MB call": [call % (900_001, b"get_status", b'"taskId":"' + heavy + b'"')],
        "50 MB of nothing": [heavy],
        "a 50 MB prompt": [
            call % (900_002, b"quote_generation", b'"model":"t2v","duration":5,"prompt":"' + heavy + b'"')
        ],
        "invalid UTF-8": [call % (900_003, b"get_status", b'"taskId":"\xff\xfe\xc0"'), b"\xff\xfe\x00"],
        "half surrogates": [call % (900_004, b"get_status", b'"taskId":"\\ud800"')],
        "deep": [call % (900_005, b"get_status", b'"taskId":' + b"[" * 100_000 + b"]" * 100_000)],
        "no JSON-RPC": [b"hello", b"[]", b"{}", b"null", b'{"jsonrpc":"2.0"}', b'{"id":1}', b""],
        "cancellations": list(flood),
        "NaN": [call % (900_006, b"generate_video", b'"maxWaitSeconds":NaN')],
    }
    heard = {n: asyncio.get_running_loop().create_future() for n in range(900_001, 900_007)}
    wire._open.update({number: (answer, None) for number, answer in heard.items()})
    for what, sent in frames.items():
        await wire.send(*sent)
        row.calls += len(sent)
        await _pinged(row, wire, what)
    wire.reading.clear()
    flooding = [asyncio.create_task(wire.call("list_models", {})) for _ in range(300)]
    await asyncio.sleep(3)
    row.calls += 300
    wire.reading.set()
    await asyncio.gather(*flooding)
    await _pinged(row, wire, "not reading")
    await asyncio.sleep(1)
    names = ("50 MB call", "50 MB prompt", "bad UTF-8", "half surrogate", "deep", "NaN")
    silent = [name for name, answer in zip(names, heard.values(), strict=True) if not answer.done()]
    if silent:
        row.notes.append(f"never answered over stdio: {', '.join(silent)}")


async def _pinged(row: Row, wire: Wire, what: str) -> None:
    took = await wire.ping()
    row.pings.append(took)
    row.notes.append(f"ping after {what}: {took * 1000:.0f} ms")
    if took > 2:
        row.faults.append(f"after {what} a ping took {took:.1f} s")


async def rude_http(row: Row, web: Http) -> None:
    """(d) The same over HTTP: bodies that are none, and connections that are opened, asked on and never read."""
    heavy = b"x" * 50_000_000
    call = (
        b'{"jsonrpc":"2.0","id":900007,"method":"tools/call","params":{"name":"get_status","arguments":{"taskId":%s}}}'
    )
    bodies = {
        "a 50 MB call": call % (b'"' + heavy + b'"'),
        "50 MB of nothing": heavy,
        "80 MB": heavy + heavy[:30_000_000],
        "invalid UTF-8": call % b'"\xff\xfe"',
        "half surrogates": call % b'"\\ud800"',
        "deep": call % (b"[" * 100_000 + b"]" * 100_000),
    }
    for what, body in bodies.items():
        row.calls += 1
        try:
            answer = await web.web.post(web.url, content=body, headers={"Content-Type": "application/json"})
            row.notes.append(f"{what}: HTTP {answer.status_code}")
            if answer.status_code >= 500 and "retry-after" not in answer.headers:
                row.untyped.append(f"{what}: HTTP {answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as fault:
            row.untyped.append(f"{what}: {fault!r}")
        await _pinged(row, web, what)
    host, port = httpx.URL(web.url).host, httpx.URL(web.url).port
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 900_008, "method": "tools/call", "params": {"name": "list_models", "arguments": {}}}
    )
    named = {
        "Host": f"{host}:{port}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "mcp-session-id": web.web.headers["mcp-session-id"],
        "Content-Length": str(len(body)),
    }
    head = "POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()) + "\r\n"
    writers = []
    for _ in range(50):
        _, writer = await asyncio.open_connection(host, port, limit=64)
        writer.write((head + body).encode() * 20)
        writers.append(writer)
        row.calls += 20
    await asyncio.sleep(1)
    await _pinged(row, web, "fifty that do not read")
    for writer in writers:
        writer.transport.abort()
    await _pinged(row, web, "fifty that hung up")


async def kills(row: Row, folder: Path, number: int) -> None:
    """(e) kill -9 and start again, in the middle of creates and downloads."""
    with sandbox("minimax") as upstream:
        lane = Lane("minimax", folder, upstream)
        step = max(1, len(INSTANTS) // number)
        try:
            for instant in INSTANTS[1::step][:number]:
                await asyncio.to_thread(lane._live, instant)
            upstream.faults()
            await asyncio.to_thread(lane._finish)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is told
            row.faults.append(f"{fault!r}"[:300])
        words = [_words(task) for task in upstream.tasks()]
        row.calls, row.injected = len(lane.jobs), len(lane.kills)
        row.charges, row.meant = len(words), len(lane.jobs)
        row.twice = len(words) - len(set(words))
        with contextlib.closing(sqlite3.connect(lane.state / "ledger.sqlite3")) as connection:
            row.faults += (
                [] if connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)] else ["ledger damaged"]
            )
            known = {found[0] for found in connection.execute("SELECT task_id FROM generations")}
        files = [job for job in lane.jobs if job.done and Path(str((job.answer or {})["data"]["file"])).is_file()]
        row.lost = len({task["id"] for task in upstream.tasks()} - known) + len(lane.jobs) - len(files)


async def soak(minutes: float, rows: list[Row]) -> None:
    """All phases, one after the other; each gets a share of the time."""
    scale, seconds = minutes / 8, minutes * 60
    print("drawing calls", file=sys.stderr)
    made = await asyncio.to_thread(pool, max(300, int(3000 * scale)))

    def begin(phase: str) -> Row:
        print(phase, file=sys.stderr)
        rows.append(Row(phase))
        return rows[-1]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs: tuple[tuple[type[Stdio | Http], float], ...] = ((Stdio, 0.3), (Http, 0.2))
        for kind, share in runs:
            with sandbox("all") as upstream:
                async with kind.to(environment(upstream, folder / kind.__name__)) as wire:
                    row = begin(f"a fuzz {kind.__name__.lower()}")
                    async with watched(row, wire.process, wire):
                        until = time.monotonic() + seconds * share
                        await fuzz(row, wire, upstream, made, count=int(20_000 * scale), until=until)
                    if isinstance(wire, Stdio):
                        row.untyped += [f"stray frame {line!r}" for line in wire.strange]
                        continue
                    for turn in ("b crowd http", "b crowd again"):  # a leak is what the second one adds
                        row = begin(turn)
                        row.peak = turn == "b crowd http"
                        async with watched(row, wire.process, wire, pings=False), beside(row, wire.url):
                            await crowd(row, wire, upstream, 1000 if minutes >= 1 else 250)
        with sandbox("minimax") as upstream:
            await weather(begin("c weather"), upstream, folder / "c", max(20, seconds * 0.2))
        with sandbox("all") as upstream:
            async with Stdio.to(environment(upstream, folder / "d")) as wire:
                row = begin("d rude stdio")
                async with watched(row, wire.process, wire, pings=False):
                    await rude_stdio(row, wire, 5000)
            async with Http.to(environment(upstream, folder / "d2")) as wire:
                row = begin("d rude http")
                async with watched(row, wire.process, wire, pings=False):
                    await rude_http(row, wire)
        await kills(begin("e kills"), folder / "e", max(4, int(20 * min(1, scale * 2))))


def table(rows: list[Row]) -> str:
    """All that was found."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    lines += [f"  {row.phase}: {note}" for row in rows for note in row.notes]
    wrong = [fault for row in rows for fault in row.wrong()]
    return "\n".join([*lines, *(f"WRONG {fault}" for fault in wrong)])


async def _bounded(minutes: float, rows: list[Row]) -> None:
    async with asyncio.timeout(minutes * 90 + 120):
        await soak(minutes, rows)


def main() -> int:
    """The exit code: 0 well, 1 something is wrong, 130 interrupted."""
    parser = argparse.ArgumentParser(description="A long bad day for the server.")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--beside", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.beside:
        asyncio.run(pinging(arguments.beside))
        return 0
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    warnings.filterwarnings("ignore", message="Generating overly large repr")
    rows: list[Row] = []
    began, code = time.monotonic(), 0
    try:
        asyncio.run(_bounded(0.5 if arguments.quick else min(max(arguments.minutes, 0.5), 12.0), rows))
    except KeyboardInterrupt:
        code = 130
    except Exception as fault:  # noqa: BLE001 - what was found until then is told all the same
        print(f"WRONG the soak broke off in {rows[-1].phase if rows else 'its start'}: {fault!r}")
        code = 1
    print(table(rows))
    code = code or int(any(row.wrong() for row in rows))
    print("nothing was lost, paid twice or untyped" if code == 0 else f"exit {code}")
    print(f"{time.monotonic() - began:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
