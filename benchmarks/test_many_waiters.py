"""Many who wait at once, as processes: what the upstream is asked, how soon they hear, and how all of it ends."""

from __future__ import annotations

import itertools
import json
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest

from benchmarks.waiting import (
    LIMIT,
    Figures,
    Upstream,
    Wait,
    interval,
    one_server,
    p99,
    sandbox,
    sessions,
    settings,
    several_servers,
    wait_for,
)
from tests.processes import hello, speak, start

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:ping is removed")]

SPEED = 30.0


def assert_each_got_its_own(figures: Figures) -> None:
    ids = set()
    for wait in figures.waits:
        assert wait.envelope["status"] == "COMPLETED", wait.envelope
        task_id = wait.envelope["taskId"]
        ids.add(task_id)
        assert task_id in wait.envelope["data"]["videoUrl"]
        assert task_id in wait.told[0][1]
        assert all(task_id in message for _, message in wait.told)
        values = [value for value, _ in wait.told]
        assert values == sorted(set(values))
    assert len(ids) == len(figures.waits)


async def test_two_hundred_waits_over_one_server_stay_under_the_limit_and_hear_in_time() -> None:
    with anyio.fail_after(60):
        figures = await one_server(200, SPEED, "stdio")
    assert_each_got_its_own(figures)
    assert figures.busiest <= LIMIT  # so there was no 429 either
    assert statistics.median(figures.latencies) <= interval(SPEED) / 2 + 1
    assert max(figures.latencies) < 5
    assert len(figures.crowded) > 50
    assert p99(figures.crowded) < 0.25  # promised are 0.05; the benchmark has the figure, and a test machine is busy


async def test_four_servers_on_one_state_folder_stay_under_the_limit_together() -> None:
    with anyio.fail_after(60):
        figures = await several_servers(4, 25, SPEED)
    assert_each_got_its_own(figures)
    assert figures.busiest <= LIMIT
    assert statistics.median(figures.latencies) <= interval(SPEED) / 2 + 1


KINDS = ("429", "500", "502", "503", "504", "reset", "html", "empty", "truncated", "failed-200")


async def _bad_weather(upstream: Upstream) -> None:
    """Spoil every third look, in another way every two seconds."""
    for kind in itertools.cycle(KINDS):
        await upstream.misbehave(*(f"{kind}@{call}:3" for call in ("status", "tasks", "task")))
        await anyio.sleep(2)


async def test_in_half_an_hour_of_bad_weather_every_task_is_delivered() -> None:
    short = {"model": "t2v", "aspectRatio": "16:9", "duration": 5}
    long = {"model": "t2v_v3", "aspectRatio": "16:9", "duration": 5}
    waits: list[Wait] = []
    async with sandbox(60) as upstream:
        with tempfile.TemporaryDirectory() as folder:
            async with sessions("stdio", settings(upstream, folder)) as clients, anyio.create_task_group() as weather:
                weather.start_soon(_bad_weather, upstream)
                began = time.monotonic()
                with anyio.fail_after(60):
                    async with anyio.create_task_group() as calls:
                        for wave in (1, 10, 1, 5, 1):  # alone, asked for by its state; together, by the list
                            for number in range(wave):
                                wait = Wait(f"clip {len(waits)}")
                                waits.append(wait)
                                calls.start_soon(wait_for, clients[0], wait, short if number % 2 else long)
                            await anyio.sleep(6)
                assert time.monotonic() - began > 30
                weather.cancel_scope.cancel()
        ledger = await upstream.ledger()
    assert {wait.envelope["status"] for wait in waits} == {"COMPLETED"}
    assert ledger["charges"] == len(waits) == 18
    assert any("last look failed" in message for wait in waits for _, message in wait.told)


# The end, with two hundred waiting


@contextmanager
def _crowd(upstream: Upstream, folder: str, count: int) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """A server over stdio with so many calls waiting, and what it has written since."""
    process = start(env=settings(upstream, folder))
    written: list[str] = []
    known: set[str] = set()
    everybody = threading.Event()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            written.append(line.decode())
            params: dict[str, Any] = json.loads(line).get("params") or {}
            if "Keep this id" in params.get("message", ""):
                known.add(params["progressToken"])
                if len(known) == count:
                    everybody.set()

    reader = threading.Thread(target=read)
    complaints: list[bytes] = []
    assert process.stderr
    errors = threading.Thread(target=lambda: complaints.extend(process.stderr or ()))
    try:
        speak(process, *hello())
        reader.start()
        errors.start()
        for number in range(count):
            arguments = {"model": "t2v", "prompt": f"clip {number}", "aspectRatio": "16:9", "duration": 5}
            params = {"name": "generate_video", "arguments": arguments, "_meta": {"progressToken": f"p{number}"}}
            speak(process, {"id": number + 10, "method": "tools/call", "params": params})
        assert everybody.wait(40), (len(known), b"".join(complaints)[-2000:])
        yield process, written
        errors.join(5)
        told = b"".join(complaints).decode()
        assert "Traceback" not in told, told[-4000:]
        assert "ERROR" not in told, told[-4000:]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        reader.join(5)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()


@pytest.mark.parametrize("end", ["eof", "SIGTERM"])
async def test_a_server_with_two_hundred_waiting_is_gone_in_time_and_the_ledger_knows_them(end: str) -> None:
    async with sandbox(4) as upstream:
        with tempfile.TemporaryDirectory() as folder:
            with _crowd(upstream, folder, 200) as (process, _):
                began = time.monotonic()
                if end == "eof":
                    assert process.stdin
                    process.stdin.close()
                else:
                    process.send_signal(signal.Signals[end])
                assert process.wait(10) == 0
                assert time.monotonic() - began < 3
            asked = (await upstream.ledger())["queries"]
            await anyio.sleep(2.5)
            ledger = await upstream.ledger()
            assert ledger["queries"] == asked
            assert ledger["charges"] == 200
            async with sessions("stdio", settings(upstream, folder)) as clients:
                wait = Wait("clip 199")
                given = {"model": "t2v", "aspectRatio": "16:9", "duration": 5, "maxWaitSeconds": 1}
                await wait_for(clients[0], wait, given)
            assert wait.envelope["ok"], wait.envelope
            assert "joined" in wait.told[0][1]
            assert (await upstream.ledger())["charges"] == 200


async def test_two_hundred_cancelled_calls_stop_the_polling_and_no_task() -> None:
    async with sandbox(4) as upstream:
        with tempfile.TemporaryDirectory() as folder:
            with _crowd(upstream, folder, 200) as (process, _):
                for number in range(200):
                    speak(process, {"method": "notifications/cancelled", "params": {"requestId": number + 10}})
                await anyio.sleep(1.5)
                asked = (await upstream.ledger())["calls"]
                await anyio.sleep(3)
                assert (await upstream.ledger())["calls"] == asked
                assert "cancel" not in asked
                assert process.stdin
                process.stdin.close()
                assert process.wait(5) == 0
