"""Subscriptions to tasks, in both eras of the protocol, on a clock that jumps: who is told, and what is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest
import trio.testing
from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer
from mcp.shared.subscriptions import ResourceUpdated
from mcp_types import ResourceUpdatedNotification
from test_watcher import World

from aivideo_mcp.app import build_server
from aivideo_mcp.contracts import MODELS
from aivideo_mcp.offers import subscriptions
from aivideo_mcp.workflow import Workflow
from tests.fakes import reply
from tests.sessions import both_eras

pytestmark = [
    pytest.mark.anyio,
    # the SDK's client warns of the older call, which is what is tested
    pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning"),
]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time, creeping on: see test_watcher."""
    return "trio", {"clock": trio.testing.MockClock(rate=0.001, autojump_threshold=0.02)}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def workflow(world: World) -> AsyncIterator[Workflow]:
    async with world.network.workflow() as workflow:
        yield workflow


def uri(name: str) -> str:
    return f"aivideo://tasks/{name}"


@dataclass
class Subscriber:
    """A client, and when it was told of what."""

    client: Client
    told: list[tuple[float, str]] = field(default_factory=list)

    def of(self, name: str) -> list[float]:
        return [at for at, told in self.told if told == uri(name)]

    async def hear(self, message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.told.append((anyio.current_time(), str(message.params.uri)))

    @asynccontextmanager
    async def subscribed(self, *uris: str) -> AsyncIterator[None]:
        """Subscribed in the words of the session's era, and not any more afterwards."""
        if self.client.protocol_version < "2026":
            for wanted in uris:
                await self.client.session.subscribe_resource(wanted)
            yield
            for wanted in uris:
                await self.client.session.unsubscribe_resource(wanted)
            return
        async with anyio.create_task_group() as group:
            async with self.client.listen(resource_subscriptions=uris) as stream:

                async def listen() -> None:
                    async for event in stream:
                        assert isinstance(event, ResourceUpdated)
                        self.told.append((anyio.current_time(), event.uri))

                group.start_soon(listen)
                yield
                group.cancel_scope.cancel()


@asynccontextmanager
async def subscriber(server: MCPServer, mode: str) -> AsyncIterator[Subscriber]:
    heard: list[Subscriber] = []

    async def hear(message: object) -> None:
        await heard[0].hear(message)

    # The newer era's client hands its stream's notifications to the handler too.
    async with Client(server, mode=mode, message_handler=hear if mode == "legacy" else None) as client:
        heard.append(Subscriber(client))
        yield heard[0]


async def quiet_for(world: World, seconds: float) -> bool:
    """Whether nothing is asked for so long."""
    await anyio.sleep(0.1)
    before = len(world.log)
    await anyio.sleep(seconds)
    return len(world.log) == before


@both_eras
async def test_a_subscriber_is_told_of_each_change_and_reads_what_became_of_the_task(
    world: World, workflow: Workflow, mode: str
) -> None:
    world.plans["a"] = [(0.0, "SUBMITTED"), (20.0, "PROGRESS"), (100.0, "COMPLETED")]
    async with subscriber(build_server(workflow), mode) as it:
        async with it.subscribed(uri("a")):
            await anyio.sleep(15)
            assert it.told == []
            await anyio.sleep(185)
            first, end = it.of("a")
            assert 20 <= first <= 26
            assert 100 <= end <= 112
            (content,) = (await it.client.read_resource(uri("a"))).contents
    assert json.loads(content.text)["videoUrl"] == "https://files.example.test/a.mp4"
    assert it.told == [(first, uri("a")), (end, uri("a"))]


@both_eras
async def test_nothing_is_asked_without_a_subscriber_and_nothing_after_the_end(
    world: World, workflow: Workflow, mode: str
) -> None:
    world.add("a", at=30.0)
    async with subscriber(build_server(workflow), mode) as it:
        assert await quiet_for(world, 60)
        async with it.subscribed(uri("a")):
            await anyio.sleep(100)
            assert it.of("a")
            assert await quiet_for(world, 300)


@both_eras
async def test_unsubscribing_ends_the_asking(world: World, workflow: Workflow, mode: str) -> None:
    world.add("a")
    async with subscriber(build_server(workflow), mode) as it:
        async with it.subscribed(uri("a")):
            await anyio.sleep(50)
            assert world.log
        assert await quiet_for(world, 300)
    assert len(it.told) == 1  # it became PROGRESS once


@both_eras
async def test_a_session_that_dies_leaves_nobody_asking(world: World, workflow: Workflow, mode: str) -> None:
    world.add("a", "b")
    async with subscriber(build_server(workflow), mode) as it, anyio.create_task_group() as group:

        async def hold() -> None:
            async with it.subscribed(uri("a"), uri("b")):
                await anyio.sleep_forever()

        group.start_soon(hold)
        await anyio.sleep(50)
        assert "tasks" in world.calls()
        group.cancel_scope.cancel()
    assert await quiet_for(world, 600)
    assert not workflow._watcher._watches


async def test_a_legacy_session_whose_stream_just_ends_leaves_nobody_asking(world: World, workflow: Workflow) -> None:
    """As when stdin ends: there is no unsubscribe."""
    world.add("a")
    async with subscriber(build_server(workflow), "legacy") as it:
        await it.client.session.subscribe_resource(uri("a"))
        await anyio.sleep(30)
    assert len(world.log) > 2
    assert await quiet_for(world, 600)
    assert not workflow._watcher._watches


@both_eras
async def test_several_subscribers_cost_no_more_than_one_and_each_is_told_once(
    world: World, workflow: Workflow, mode: str
) -> None:
    world.add("a", at=60.0)
    server = build_server(workflow)
    async with subscriber(server, mode) as one, subscriber(server, mode) as other:
        async with one.subscribed(uri("a")), other.subscribed(uri("a")):
            await anyio.sleep(120)
            assert len(one.told) == len(other.told) == 2  # PROGRESS, then the end
    assert len(world.queries()) < 120 / 4
    assert len(set(world.queries())) == len(world.queries())


@both_eras
async def test_who_subscribes_after_the_end_is_told_to_read(world: World, workflow: Workflow, mode: str) -> None:
    world.add("a", at=5.0)
    server = build_server(workflow)
    async with subscriber(server, mode) as early, subscriber(server, mode) as late:
        async with early.subscribed(uri("a")):
            await anyio.sleep(60)
            assert early.told
            async with late.subscribed(uri("a")):
                await anyio.sleep(30)
                assert len(late.told) == 1


@both_eras
async def test_a_task_that_does_not_exist_is_told_once_and_asked_for_no_more(
    world: World, workflow: Workflow, mode: str
) -> None:
    async with subscriber(build_server(workflow), mode) as it, it.subscribed(uri("gone")):
        await anyio.sleep(30)
        assert len(it.told) == 1
        with pytest.raises(MCPError, match="TASK_NOT_FOUND"):
            await it.client.read_resource(uri("gone"))
        assert await quiet_for(world, 300)


@both_eras
async def test_a_state_that_never_ends_is_not_asked_for_for_ever(
    world: World, workflow: Workflow, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 4 * 60 * max(minutes for c in MODELS.values() for minutes in c.usual or ()) < subscriptions.LONGEST
    monkeypatch.setattr(subscriptions, "LONGEST", 300.0)
    world.plans["a"] = [(0.0, "RENDERING")]
    async with subscriber(build_server(workflow), mode) as it, it.subscribed(uri("a")):
        await anyio.sleep(subscriptions.LONGEST + 60)
        assert len(it.told) == 2  # RENDERING, and that nobody looks any more
        assert await quiet_for(world, 600)


@both_eras
async def test_bad_weather_is_no_news(world: World, workflow: Workflow, mode: str) -> None:
    world.plans["a"] = [(0.0, "SUBMITTED"), (100.0, "CANCEL")]
    world.fails("status", reply({}, 500), httpx.ConnectError("down"), reply({}, 429, retry_after="20"))
    async with subscriber(build_server(workflow), mode) as it, it.subscribed(uri("a")):
        await anyio.sleep(90)
        assert it.told == []
        await anyio.sleep(60)
        assert len(it.told) == 1


WRONG = ("aivideo://models", "aivideo://models/t2v", "aivideo://tasks/", "aivideo://tasks/a%2Fb", "file:///etc/passwd")


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_no_task_is_refused_by_subscribe(world: World, workflow: Workflow, wrong: str) -> None:
    async with subscriber(build_server(workflow), "legacy") as it:
        with pytest.raises(MCPError, match="Only aivideo://tasks/{taskId} can be subscribed to") as caught:
            await it.client.session.subscribe_resource(wrong)
        assert caught.value.error.code == -32602
        await it.client.session.unsubscribe_resource(wrong)
    assert await quiet_for(world, 60)


async def test_a_listening_stream_honours_tasks_alone_and_says_so(world: World, workflow: Workflow) -> None:
    world.add("a")
    async with subscriber(build_server(workflow), "auto") as it:
        async with it.client.listen(tools_list_changed=True, resource_subscriptions=[*WRONG, uri("a")]) as stream:
            assert stream.honored.resource_subscriptions == [uri("a")]
            assert stream.honored.tools_list_changed
        async with it.client.listen(resource_subscriptions=WRONG) as stream:
            assert not stream.honored.resource_subscriptions


async def test_subscribing_twice_is_told_once_and_ended_once(world: World, workflow: Workflow) -> None:
    world.add("a")
    async with subscriber(build_server(workflow), "legacy") as it:
        for _ in range(3):
            await it.client.session.subscribe_resource(uri("a"))
        await anyio.sleep(30)
        assert len(it.told) == 1
        await it.client.session.unsubscribe_resource(uri("a"))
        await it.client.session.subscribe_resource(uri("a"))
        await anyio.sleep(30)
        assert len(it.told) == 2
        await it.client.session.unsubscribe_resource(uri("a"))
        assert await quiet_for(world, 300)


async def test_a_session_has_a_hundred_subscriptions_at_most(world: World, workflow: Workflow) -> None:
    names = [f"t{number}" for number in range(101)]
    world.add(*names)
    async with subscriber(build_server(workflow), "legacy") as it:
        for name in names[:100]:
            await it.client.session.subscribe_resource(uri(name))
        with pytest.raises(MCPError, match="at most 100"):
            await it.client.session.subscribe_resource(uri("t100"))
        await it.client.session.unsubscribe_resource(uri("t0"))
        await it.client.session.subscribe_resource(uri("t100"))
        await anyio.sleep(5)
        assert world.calls().count("tasks") == len(world.calls())  # one list for all of them
    async with subscriber(build_server(workflow), "auto") as it:
        async with it.client.listen(resource_subscriptions=[uri(name) for name in names]) as stream:
            assert stream.honored.resource_subscriptions == [uri(name) for name in names[:100]]


async def test_tasks_that_ended_make_room_for_others(world: World, workflow: Workflow) -> None:
    names = [f"t{number}" for number in range(100)]
    world.add(*names, at=10.0)
    async with subscriber(build_server(workflow), "legacy") as it:
        for name in names:
            await it.client.session.subscribe_resource(uri(name))
        await anyio.sleep(60)
        assert {told for _, told in it.told} == {uri(name) for name in names}
        await it.client.session.subscribe_resource(uri("more"))


@both_eras
async def test_who_leaves_and_comes_back_at_once_is_told(world: World, workflow: Workflow, mode: str) -> None:
    world.add("a", at=20.0)
    async with subscriber(build_server(workflow), mode) as it:
        for _ in range(5):
            async with it.subscribed(uri("a")):
                pass
        async with it.subscribed(uri("a")):
            await anyio.sleep(60)
            assert len(it.told) == 2
    assert not workflow._watcher._watches


async def test_a_watch_that_was_left_is_not_joined_any_more(world: World, workflow: Workflow) -> None:
    """Between its cancelling and its end somebody else may come."""
    world.add("a")
    told: list[str] = []

    async def publish(uri: str) -> None:
        told.append(uri)

    streams = subscriptions._Streams(workflow, publish, None)
    streams._leave(uri("a"), streams._join(uri("a"), "a"))
    joined = streams._join(uri("a"), "a")
    await anyio.sleep(10)
    assert told == [uri("a")]
    streams._leave(uri("a"), joined)


@both_eras
async def test_a_watch_that_breaks_takes_nothing_down(
    workflow: Workflow, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(workflow, "watch", broken)
    async with subscriber(build_server(workflow), mode) as it, it.subscribed(uri("a")):
        await anyio.sleep(5)
        assert (await it.client.list_tools()).tools
    assert "a subscription to task a broke" in caplog.text
