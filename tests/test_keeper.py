"""Videos that nobody waits for any more are saved all the same, at a question a minute."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aivideo_mcp import keeper
from aivideo_mcp.contracts import read_request
from aivideo_mcp.keeper import MOST
from aivideo_mcp.submission import Terms
from tests.fakes import SUBMITTED, T2V, FakeNetwork, page, reply, task
from tests.filehost import CLIP, Host, breaking, hanging, saying

pytestmark = pytest.mark.anyio

REQUEST = read_request(T2V)
RUNNING = reply({"status": "PROGRESS"})
DONE = reply({"status": "COMPLETED"})
NAME = "2026-11-23_t2v_x_ck1.mp4"


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def untold(_: str) -> None:
    pass


def scripted(*states: Any, final: dict[str, object] | None = None, file: Any = None) -> FakeNetwork:
    return FakeNetwork(
        generate=reply(SUBMITTED),
        status=list(states),
        task=reply(final or task("COMPLETED")),
        file=file or httpx.Response(200, content=CLIP),
    )


def numbered() -> Callable[[httpx.Request], Awaitable[httpx.Response]]:
    """Creates that each make a task of its own: ck1, ck2, ..."""
    made = 0

    async def generate(_: httpx.Request) -> httpx.Response:
        nonlocal made
        made += 1
        return reply({**SUBMITTED, "taskId": f"ck{made}"})

    return generate


def queries(network: FakeNetwork) -> int:
    return sum(call in ("status", "task", "tasks") for call in network.calls())


async def test_a_video_whose_caller_left_is_saved_and_delivered_to_nobody(tmp_path: Path) -> None:
    network = scripted(*[RUNNING] * 8, DONE)
    async with network.workflow(output_dir=tmp_path) as workflow:
        with anyio.move_on_after(20):
            await workflow.generate(REQUEST, Terms(), untold, seen=True)
        await anyio.sleep(600)
        known = await workflow._ledger.about("ck1")
        assert known is not None
        assert (known.file, known.delivered_at, known.status) == (str(tmp_path / NAME), None, "COMPLETED")
        assert (tmp_path / NAME).read_bytes() == CLIP
        asked = len(network.requests)
        await anyio.sleep(1200)
        assert len(network.requests) == asked


async def test_the_next_same_call_joins_what_was_saved_meanwhile(tmp_path: Path) -> None:
    network = scripted(DONE)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(200)
        waited = await workflow.generate(REQUEST, Terms(), untold, seen=True)
    assert (waited.joined, waited.task.file) == (True, str(tmp_path / NAME))
    assert (network.calls().count("generate"), network.calls().count("file")) == (1, 1)


async def test_a_create_whose_caller_left_before_there_was_an_id_is_kept_too(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(10)
        return reply(SUBMITTED)

    network = scripted(DONE)
    network._answers["generate"] = [slow]
    async with network.workflow(output_dir=tmp_path) as workflow:
        with anyio.move_on_after(1):
            await workflow.create(REQUEST, Terms())
        await anyio.sleep(300)
    assert (tmp_path / NAME).exists()


async def test_what_an_earlier_process_left_is_saved_at_the_first_use_of_the_ledger(tmp_path: Path) -> None:
    async with scripted(RUNNING).workflow() as killed:
        await killed.create(REQUEST, Terms())
    network = scripted(DONE)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await anyio.sleep(600)
        assert network.requests == []
        await workflow.history.spent()
        await anyio.sleep(5)
    assert (tmp_path / NAME).exists()


async def test_a_download_that_a_killed_server_began_is_gone_on_with(tmp_path: Path) -> None:
    begun = anyio.Event()
    cut = scripted(DONE, file=hanging(CLIP[:300_000], begun))
    async with cut.workflow(output_dir=tmp_path) as killed:
        await killed.create(REQUEST, Terms())
        await begun.wait()
        await anyio.sleep(1)
    assert not (tmp_path / NAME).exists()
    async with scripted(DONE).workflow(output_dir=tmp_path) as workflow:
        await workflow.history.spent()
        await anyio.sleep(100)
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("age", [25 * 3600, 100 * 3600])
async def test_what_is_a_day_old_is_not_asked_for(age: float, tmp_path: Path) -> None:
    network = scripted(RUNNING)
    async with network.workflow() as killed:
        await killed.create(REQUEST, Terms())
        await anyio.sleep(age)
    asked = len(network.requests)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.history.spent()
        await anyio.sleep(600)
    assert len(network.requests) == asked


async def test_nothing_is_asked_without_an_output_folder(tmp_path: Path) -> None:
    network = scripted(RUNNING)
    async with network.workflow() as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(7200)
    assert network.calls() == ["generate"]
    assert list(tmp_path.iterdir()) == []


async def test_one_task_alone_costs_a_question_a_minute_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "DAY", 4000.0)  # each minute of a clock that jumps costs a moment of a real one
    network = scripted(reply({"status": "RENDERING"}))
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(3600)
        assert 55 <= queries(network) <= 60
        await anyio.sleep(500)
        asked = queries(network)
        await anyio.sleep(1200)
        assert queries(network) == asked


async def test_many_tasks_cost_no_more_than_one_however_they_come(tmp_path: Path) -> None:
    running = [task("PROGRESS", id=f"ck{number}") for number in range(1, 31)]
    network = FakeNetwork(generate=numbered(), status=RUNNING, tasks=reply({"tasks": running}))
    async with network.workflow(output_dir=tmp_path) as workflow:
        for _ in range(30):
            await workflow.create(REQUEST, Terms())
            await anyio.sleep(47)
        assert queries(network) <= 30 * 47 / 60
        assert queries(network) >= 20  # and newcomers put off nobody
        await anyio.sleep(1200)
        assert queries(network) <= (30 * 47 + 1200) / 60


async def test_a_caller_who_waits_makes_its_task_fast_and_no_other(tmp_path: Path) -> None:
    network = FakeNetwork(
        generate=numbered(),
        status=RUNNING,
        tasks=reply({"tasks": [task("PROGRESS", id="ck1")]}),
        task=reply(task("PROGRESS", id="ck1")),
    )
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await workflow.create(REQUEST, Terms())  # which the list does not show
        network.requests.clear()
        await workflow.resume("ck1", Terms(max_wait=120), untold, seen=True)
        paths = [request.url.path for request in network.requests]
        assert sum("ck1" in path for path in paths) >= 12
        assert sum("ck2" in path for path in paths) <= 3
        asked = queries(network)
        await anyio.sleep(600)
        assert queries(network) - asked <= 22


@pytest.mark.parametrize(
    "weather",
    [
        reply({}, 429, retry_after="50"),
        page(status=500),
        page(),
        httpx.Response(200),
        httpx.ReadError("reset"),
        page(status=404),
    ],
)
async def test_weather_is_waited_out(weather: Any, tmp_path: Path) -> None:
    network = scripted(weather, weather, RUNNING, DONE)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(900)
    assert (tmp_path / NAME).exists()


@pytest.mark.parametrize("state", ["FAILED", "CANCEL"])
async def test_a_task_that_ended_without_a_video_is_taken_down_and_left(state: str, tmp_path: Path) -> None:
    network = scripted(reply({"status": state}), final=task(state, creditsRefunded=15))
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(1200)
        known = await workflow._ledger.about("ck1")
        assert known is not None
        assert (known.status, known.refunded, known.delivered_at) == (state, 15, None)
        assert await workflow.history.spent() == 0
    assert network.calls() == ["generate", "status", "task"]


@pytest.mark.parametrize("status", [401, 404])
async def test_a_refused_key_or_a_missing_task_is_asked_for_once(status: int, tmp_path: Path) -> None:
    network = scripted(reply({"status": "FAILED"}, status))
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(1200)
        known = await workflow._ledger.about("ck1")
        assert known is not None
        assert known.gone_at is None  # so that the next same call is told of it and does not silently pay again
    assert network.calls() == ["generate", "status"]


async def test_a_caller_that_waits_saves_once_together_with_the_keeper(tmp_path: Path) -> None:
    host = Host()
    network = scripted(RUNNING, DONE, file=host)
    async with network.workflow(output_dir=tmp_path) as workflow:
        waited = await workflow.generate(REQUEST, Terms(), untold, seen=True)
        await anyio.sleep(600)
    assert waited.task.file == str(tmp_path / NAME)
    assert len(host.asked) == 1
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_caller_that_leaves_during_its_download_is_taken_over_from(tmp_path: Path) -> None:
    begun = anyio.Event()
    network = scripted(DONE, file=[hanging(CLIP[:1000], begun), httpx.Response(200, content=CLIP)])
    async with network.workflow(output_dir=tmp_path) as workflow:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.generate(REQUEST, Terms(), untold, seen=True))
            await begun.wait()
            group.cancel_scope.cancel()
        await anyio.sleep(120)
    assert (tmp_path / NAME).read_bytes() == CLIP


@pytest.mark.parametrize("bad", [saying(404), saying(200, b"<html>"), breaking(5)])
async def test_a_save_that_fails_is_tried_again_later(bad: Any, tmp_path: Path) -> None:
    host = Host(days=[bad] * 4)
    network = scripted(DONE, file=host)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(3 * 1800)
    assert (tmp_path / NAME).read_bytes() == CLIP


async def test_a_save_that_never_works_ends_with_the_file_s_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_LOOK", 3600.0)
    host = Host(days=[saying(404)] * 1000)
    network = scripted(DONE, file=host)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(30 * 3600)
        asked = len(network.requests)
        await anyio.sleep(10 * 3600)
        assert len(network.requests) == asked
    assert len(host.asked) < 40


async def test_so_many_are_waited_for_at_once_and_the_oldest_first(tmp_path: Path) -> None:
    running = [task("PROGRESS", id=f"ck{number}") for number in range(1, MOST + 11)]
    network = FakeNetwork(generate=numbered(), status=RUNNING, tasks=reply({"tasks": running}))
    async with network.workflow() as killed:
        for _ in range(MOST + 10):
            await killed.create(REQUEST, Terms())
            await anyio.sleep(1)
    async with network.workflow(output_dir=tmp_path) as workflow:
        await workflow.history.spent()
        await anyio.sleep(60)
        assert workflow._keeper is not None
        assert workflow._keeper._at_work == {f"ck{number}" for number in range(1, MOST + 1)}
        network._answers["tasks"] = [reply({"tasks": [*running[1:], task("CANCEL", id="ck1")]})]
        await anyio.sleep(70)
        assert workflow._keeper._at_work == {f"ck{number}" for number in range(2, MOST + 2)}


async def test_the_server_s_end_does_not_wait_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in (hanging(CLIP[:10]), httpx.Response(200, content=CLIP)):
        network = scripted(DONE if file is not None else RUNNING, file=file)
        async with network.workflow(output_dir=tmp_path) as workflow:
            await workflow.create(REQUEST, Terms())
            await anyio.sleep(61.0)
            ending = anyio.current_time()
        assert anyio.current_time() - ending < 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_mistake_of_ours_harms_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with scripted(DONE).workflow(output_dir=tmp_path) as workflow:
        monkeypatch.setattr(workflow.shelf, "keep", None)
        await workflow.create(REQUEST, Terms())
        await anyio.sleep(300)
        assert (await workflow.create(REQUEST, Terms(idempotency_key="another-one"))).submission.id == "ck1"
