"""What many waits at once cost: queries upstream, seconds from the upstream's end to the answer, pings meanwhile.

Run it from the repository's root, on a machine that has nothing else to do; it takes about a minute:

    .venv/bin/python -m benchmarks.waiting [--waits 200] [--speed 20]

It starts the sandbox and the servers as processes of their own and talks to them over real transports. The limit it
compares with is the sandbox's: 60 queries in a minute of sandbox time, which is 60 / speed real seconds.
"""
# ruff: noqa: T201, PTH123, SIM115 - a script that prints, and looks on from outside

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio
import httpx
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from aivideo_mcp.watcher import pause
from tests.processes import COMMAND, environment, listening

LIMIT: Final = 60  # queries in a minute of the sandbox
KEY: Final = "sandbox"
_T2V_SECONDS: Final = 285  # what the sandbox takes for t2v
_BEAT: Final = 0.02  # seconds between two pings


@dataclass
class Wait:
    """One call of generate_video: what it was told, what it got, when."""

    prompt: str
    told: list[tuple[float, str]] = field(default_factory=list)
    envelope: Mapping[str, Any] = field(default_factory=dict)
    answered: float = 0.0  # Unix seconds


@dataclass
class Upstream:
    """The sandbox as its own process."""

    url: str
    speed: float

    async def ledger(self) -> dict[str, Any]:
        """What was charged and asked."""
        async with httpx.AsyncClient(base_url=self.url) as web:
            answer: dict[str, Any] = (await web.get("/sandbox/ledger")).json()
        return answer

    async def completions(self) -> dict[str, float]:
        """When each task was completed, in Unix seconds. Counts as a query."""
        async with httpx.AsyncClient(base_url=self.url, headers={"key": KEY}) as web:
            tasks = (await web.get("/api/v1/tasks")).json()["tasks"]
        return {task["id"]: datetime.fromisoformat(task["completedAt"]).timestamp() for task in tasks}

    async def misbehave(self, *faults: str) -> None:
        """Put these faults in force."""
        async with httpx.AsyncClient(base_url=self.url) as web:
            (await web.post("/sandbox/faults", json={"faults": list(faults)})).raise_for_status()


@asynccontextmanager
async def sandbox(speed: float) -> AsyncIterator[Upstream]:
    """A sandbox process."""
    async with listening("sandbox", "--speed", str(speed), "--credits", "100000", "--port", "0") as serving:
        yield Upstream(serving.url, speed)


def settings(upstream: Upstream, folder: str) -> dict[str, str]:
    """A server's environment: this upstream, and its ledger in this folder."""
    return {"AIVIDEO_BASE_URL": upstream.url, "AIVIDEO_API_KEY": KEY, "AIVIDEO_STATE_DIR": folder}


@asynccontextmanager
async def sessions(transport: str, env: Mapping[str, str]) -> AsyncIterator[list[Client]]:
    """Clients of one server process that was started for them; the first is the one to ping on."""
    async with AsyncExitStack() as stack:
        if transport == "stdio":
            server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=environment(env))
            unheard = stack.enter_context(open(os.devnull, "w"))
            client = await stack.enter_async_context(Client(stdio_client(server, unheard), mode="legacy"))
            yield [client]
        else:  # a client of the SDK has a hundred connections, and a call keeps one
            serving = await stack.enter_async_context(
                listening("serve", "--transport", transport, "--port", "0", env=env)
            )
            yield [await stack.enter_async_context(Client(serving.url, mode="legacy")) for _ in range(4)]


async def wait_for(client: Client, wait: Wait, arguments: Mapping[str, Any] | None = None) -> None:
    """Call generate_video and take down what comes of it."""

    async def listen(progress: float, _total: float | None, message: str | None) -> None:
        wait.told.append((progress, message or ""))

    given = arguments or {"model": "t2v", "aspectRatio": "16:9", "duration": 5}
    result = await client.call_tool("generate_video", {**given, "prompt": wait.prompt}, progress_callback=listen)
    wait.answered = time.time()
    wait.envelope = result.structured_content or {}


async def ping_on(client: Client, times: list[float]) -> None:
    """Ping until cancelled; seconds for each answer."""
    while True:
        began = time.perf_counter()
        await client.send_ping()
        times.append(time.perf_counter() - began)
        await anyio.sleep(_BEAT)


@dataclass
class Figures:
    """What one run came to; times in real seconds."""

    waits: list[Wait]
    queries: int
    busiest: int
    created_within: float
    latencies: list[float]
    idle: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    crowded: list[float] = field(default_factory=list)


async def one_server(count: int, speed: float, transport: str) -> Figures:
    """So many waits on one server, with pings before, while they are created, and while all of them wait."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox(speed))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        clients = await stack.enter_async_context(sessions(transport, settings(upstream, folder)))
        client, callers = clients[0], clients[1:] or clients
        waits = [Wait(f"clip {number}") for number in range(count)]
        idle: list[float] = []
        busy: list[float] = []
        crowded: list[float] = []
        with anyio.move_on_after(3):
            await ping_on(client, idle)
        began = time.time()
        created = 0.0
        async with anyio.create_task_group() as calls:
            for number, wait in enumerate(waits):
                calls.start_soon(wait_for, callers[number % len(callers)], wait)
            async with anyio.create_task_group() as pings:
                pings.start_soon(ping_on, client, busy)
                while not all(wait.told for wait in waits):
                    await anyio.sleep(0.02)
                pings.cancel_scope.cancel()
            created = time.time() - began
            async with anyio.create_task_group() as pings:
                pings.start_soon(ping_on, client, crowded)
                while not any(wait.answered for wait in waits):
                    await anyio.sleep(0.02)
                pings.cancel_scope.cancel()
        asked = await upstream.ledger()
        ended = await upstream.completions()
        latencies = [wait.answered - ended[wait.envelope["taskId"]] for wait in waits]
        return Figures(waits, asked["queries"], asked["maxQueriesPerMinute"], created, latencies, idle, busy, crowded)


async def several_servers(servers: int, each: int, speed: float) -> Figures:
    """Server processes on one state folder, each with so many waits."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(sandbox(speed))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        clients = [
            (await stack.enter_async_context(sessions("stdio", settings(upstream, folder))))[0] for _ in range(servers)
        ]
        waits = [Wait(f"clip {number}") for number in range(servers * each)]
        began = time.time()
        created = 0.0
        async with anyio.create_task_group() as calls:
            for number, wait in enumerate(waits):
                calls.start_soon(wait_for, clients[number % servers], wait)
            while not all(wait.told for wait in waits):
                await anyio.sleep(0.02)
            created = time.time() - began
        asked = await upstream.ledger()
        ended = await upstream.completions()
        latencies = [wait.answered - ended[wait.envelope["taskId"]] for wait in waits]
        return Figures(waits, asked["queries"], asked["maxQueriesPerMinute"], created, latencies)


def interval(speed: float) -> float:
    """Real seconds between two questions when a t2v task is about to end, jitter aside."""
    return pause(_T2V_SECONDS, (3, 6.5)) / speed


def p99(values: list[float]) -> float:
    """The value that 99 of 100 are not above."""
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def report(title: str, figures: Figures, speed: float) -> None:
    """A table of one run."""
    allowed = interval(speed) / 2 + 1
    median = statistics.median(figures.latencies)
    rows = [
        ("waits, all delivered", f"{len(figures.waits)}, {all(wait.envelope.get('ok') for wait in figures.waits)}"),
        ("created within", f"{figures.created_within:.2f} s"),
        ("queries in all", f"{figures.queries}, {figures.queries / len(figures.waits):.2f} for each wait"),
        ("most in a sandbox minute : limit", f"{figures.busiest} : {LIMIT} = {figures.busiest / LIMIT:.2f}"),
        ("completed -> answered, median : allowed", f"{median:.2f} s : {allowed:.2f} s = {median / allowed:.2f}"),
        ("completed -> answered, p99, max", f"{p99(figures.latencies):.2f} s, {max(figures.latencies):.2f} s"),
    ]
    if figures.idle:
        idle = p99(figures.idle)
        for name, times in (("creating", figures.busy), ("all waiting", figures.crowded)):
            if times:
                text = f"{p99(times) * 1000:.1f} ms : {idle * 1000:.1f} ms = {p99(times) / idle:.1f}"
                rows.append((f"ping p99, {name} : idle", f"{text} ({len(times)} and {len(figures.idle)} pings)"))
                rows.append(
                    (f"ping median, max, {name}", f"{statistics.median(times) * 1000:.1f}, {max(times) * 1000:.1f} ms")
                )
    print(f"\n{title}, speed {speed:g}")
    for name, value in rows:
        print(f"  {name:<42} {value}")


async def _main(count: int, speed: float) -> None:
    for transport in ("stdio", "http"):
        report(f"{count} waits over one server, {transport}", await one_server(count, speed, transport), speed)
    for servers, each in ((4, 25), (8, 5)):
        figures = await several_servers(servers, each, speed)
        report(f"{servers} servers on one state folder, {each} waits each", figures, speed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what many waits at once cost.")
    parser.add_argument("--waits", type=int, default=200)
    parser.add_argument("--speed", type=float, default=20)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="ping is removed")
    anyio.run(_main, arguments.waits, arguments.speed)
