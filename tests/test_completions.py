"""Names while somebody types: which, how many, and what it costs the query budget."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp_types import PromptReference, ResourceTemplateReference

from aivideo_mcp.contracts import MODELS
from tests.fakes import FakeNetwork, reply, task
from tests.sessions import both_eras, session

pytestmark = pytest.mark.anyio
MODEL, TASK = "aivideo://models/{model}", "aivideo://tasks/{taskId}"


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def completed(client: Client, where: str, name: str, typed: str) -> list[str]:
    ref = ResourceTemplateReference(uri=where) if "://" in where else PromptReference(name=where)
    return (await client.complete(ref, {"name": name, "value": typed})).completion.values


def tasks(*names: str) -> httpx.Response:
    return reply({"tasks": [task("PROGRESS", id=name) for name in names]})


@both_eras
async def test_models_are_completed_by_their_beginning(mode: str) -> None:
    network = FakeNetwork()
    async with session(network, mode) as client:
        assert client.server_capabilities.completions is not None
        assert await completed(client, MODEL, "model", "") == list(MODELS)
        assert await completed(client, MODEL, "model", "t2v") == ["t2v", "t2v_v3"]
        assert await completed(client, "make_video", "model", "m") == ["minimax"]
        assert await completed(client, "make_video", "model", "M") == []
    assert network.requests == []


async def test_only_models_that_take_a_picture_are_offered_to_animate_one() -> None:
    async with session(FakeNetwork()) as client:
        offered = await completed(client, "animate_picture", "model", "")
        assert offered == ["i2v", "i2v_v3", "minimax", "seedance20", "wan27", "happyhorse"]
        assert await completed(client, "shot_list", "segments", "") == ["1", "2", "3", "4", "5", "6"]
        assert await completed(client, "make_video", "seconds", "1") == [str(n) for n in range(10, 20)]


async def test_what_is_unknown_has_no_completions() -> None:
    network = FakeNetwork()
    async with session(network) as client:
        for where, name in (
            ("shot_list", "idea"),
            ("shot_list", "model"),
            ("nothing", "model"),
            (MODEL, "zork"),
            ("file:///{taskId}", "taskId"),
            ("file:///{model}", "model"),
        ):
            assert await completed(client, where, name, "") == []
    assert network.requests == []


@both_eras
async def test_tasks_are_completed_newest_first(mode: str) -> None:
    async with session(FakeNetwork(tasks=tasks("ck3", "tv_2", "ck1")), mode) as client:
        assert await completed(client, TASK, "taskId", "") == ["ck3", "tv_2", "ck1"]
        assert await completed(client, TASK, "taskId", "ck") == ["ck3", "ck1"]
        assert await completed(client, TASK, "taskId", "CK") == []
        assert await completed(client, "aivideo://videos/{taskId}", "taskId", "tv") == ["tv_2"]


async def test_a_hundred_are_given_and_the_rest_counted() -> None:
    async with session(FakeNetwork(tasks=tasks(*(f"ck{number}" for number in range(250))))) as client:
        ref = ResourceTemplateReference(uri=TASK)
        found = (await client.complete(ref, {"name": "taskId", "value": "ck"})).completion
    assert found.values == [f"ck{number}" for number in range(100)]
    assert (found.total, found.has_more) == (250, True)


async def test_key_strokes_do_not_burn_the_query_budget() -> None:
    network = FakeNetwork(tasks=[tasks("ck1"), tasks("ck2", "ck1")])
    async with session(network) as client:
        for typed in ("", "c", "ck", "ck1"):
            assert await completed(client, TASK, "taskId", typed) == ["ck1"]
            await anyio.sleep(5)
        assert network.calls() == ["tasks"]
        await anyio.sleep(15)
        assert await completed(client, TASK, "taskId", "ck") == ["ck2", "ck1"]
        assert network.calls() == ["tasks", "tasks"]


async def test_key_strokes_that_come_at_once_ask_once() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(2)
        return tasks("ck1")

    network = FakeNetwork(tasks=slow)
    found: list[list[str]] = []
    async with session(network) as client, anyio.create_task_group() as group:

        async def stroke(typed: str) -> None:
            found.append(await completed(client, TASK, "taskId", typed))

        for typed in ("", "c", "ck"):
            group.start_soon(stroke, typed)
    assert found == [["ck1"]] * 3
    assert network.calls() == ["tasks"]


@pytest.mark.parametrize("answer", [reply({}, 500), reply({}, 401), reply({"tasks": 5}), httpx.ConnectError("down")])
async def test_a_list_that_cannot_be_had_is_no_error_and_is_not_asked_for_at_each_stroke(answer: Any) -> None:
    network = FakeNetwork(tasks=answer)
    async with session(network, max_retries=0) as client:
        for typed in ("", "c", "ck"):
            assert await completed(client, TASK, "taskId", typed) == []
    assert len(network.requests) == 1


async def test_who_types_does_not_wait_for_an_upstream_that_hangs() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with session(FakeNetwork(tasks=hang)) as client:
        started = anyio.current_time()
        assert await completed(client, TASK, "taskId", "") == []
        assert anyio.current_time() - started < 6


async def test_without_a_key_nothing_is_asked() -> None:
    network = FakeNetwork()
    async with session(network, api_key=None) as client:
        assert await completed(client, TASK, "taskId", "") == []
    assert network.requests == []
