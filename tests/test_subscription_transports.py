"""Subscriptions over real transports: the notification arrives, and a session that ends leaves nobody asking."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
import uvicorn
from mcp import Client
from mcp.client.sse import sse_client
from mcp_types import ResourceUpdatedNotification
from test_watcher import World

from aivideo_mcp.app import build_server
from aivideo_mcp.transports import Address, Streams
from aivideo_mcp.transports.network import _network_app
from aivideo_mcp.workflow import Workflow
from tests.fakes import T2V
from tests.processes import connected, hello, speak, start

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning"),
]
URI = "aivideo://tasks/a"
LISTEN = {
    "notifications": {"resourceSubscriptions": [URI]},
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
    },
}


@pytest.mark.parametrize("transport", ["stdio", "sse", "http"])
async def test_the_older_protocols_are_told_over_every_transport(transport: str) -> None:
    ended = anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.append(str(message.params.uri))
            (content,) = (await client.read_resource(told[-1])).contents
            if json.loads(content.text)["videoUrl"]:
                ended.set()

    told: list[str] = []
    async with connected(transport, "--speed", "100") as client:
        client.session._message_handler = hear
        made = await client.call_tool("create_generation", T2V)
        uri = f"aivideo://tasks/{made.structured_content['taskId']}"
        await client.session.subscribe_resource(uri)
        with anyio.fail_after(60):
            await ended.wait()
    assert set(told) == {uri}


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_newest_protocol_is_told_over_every_transport(transport: str) -> None:
    async with connected(transport, "--speed", "100", mode="2026-07-28") as client:
        made = await client.call_tool("create_generation", T2V)
        uri = f"aivideo://tasks/{made.structured_content['taskId']}"
        with anyio.fail_after(60):
            async with client.listen(resource_subscriptions=[uri]) as stream:
                async for event in stream:
                    assert event.uri == uri
                    (content,) = (await client.read_resource(uri)).contents
                    if json.loads(content.text)["videoUrl"]:
                        break


@asynccontextmanager
async def over_http(workflow: Workflow) -> AsyncIterator[str]:
    """The network transports in this process, so that a test can look at who waits; gives the address."""
    address = Address("http", "127.0.0.1", 0, None)
    app = Streams(_network_app(build_server(workflow), address), lambda _: None)
    web = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1))
    listener = address.listen()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: web._serve([listener]))
        await until(lambda: web.started)
        yield address.url(listener)
        app.end()
        web.should_exit = True


async def until(met: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not met():
            await anyio.sleep(0.01)


@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_a_session_that_ends_over_the_network_leaves_nobody_asking(transport: str) -> None:
    world = World()
    world.add("a")
    async with world.network.workflow() as workflow, over_http(workflow) as url:
        server = sse_client(url.removesuffix("/mcp") + "/sse") if transport == "sse" else url
        async with Client(server, mode="legacy") as client:
            await client.session.subscribe_resource(URI)
            await until(lambda: "a" in workflow._watcher._watches)
        await until(lambda: not workflow._watcher._watches)


async def test_a_listening_stream_that_is_dropped_leaves_nobody_asking() -> None:
    world = World()
    world.add("a")
    async with world.network.workflow() as workflow, over_http(workflow) as url:
        async with Client(url, mode="2026-07-28") as client:
            async with client.listen(resource_subscriptions=[URI]):
                await until(lambda: "a" in workflow._watcher._watches)
            await until(lambda: not workflow._watcher._watches)
            with anyio.move_on_after(0.3):
                async with client.listen(resource_subscriptions=[URI]) as stream:
                    await until(lambda: "a" in workflow._watcher._watches)
                    await anext(stream)
                    await anyio.sleep_forever()
        await until(lambda: not workflow._watcher._watches)


async def test_a_client_that_hangs_up_without_a_word_leaves_nobody_asking() -> None:
    """A listening POST whose connection is closed in the middle."""
    world = World()
    world.add("a")
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": LISTEN}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "subscriptions/listen",
    }
    async with world.network.workflow() as workflow, over_http(workflow) as url:
        async with httpx.AsyncClient() as web, web.stream("POST", url, json=body, headers=headers) as stream:
            assert stream.status_code == 200
            await until(lambda: "a" in workflow._watcher._watches)
        await until(lambda: not workflow._watcher._watches)


OPENINGS = {
    "subscribe": (*hello(), {"id": 2, "method": "resources/subscribe", "params": {"uri": URI}}),
    "listen": ({"id": 2, "method": "subscriptions/listen", "params": LISTEN},),
}


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("end", ["eof", "SIGTERM"])
def test_a_server_over_stdio_with_a_subscriber_ends_in_order(opening: str, end: str) -> None:
    with start("serve", "--sandbox", "--speed", "1") as process:
        speak(process, *OPENINGS[opening])
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for _ in OPENINGS[opening][::2]:
            frame = json.loads(process.stdout.readline())
            assert "error" not in frame
        if end == "eof":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[end])
        assert process.wait(60) == 0
        said = process.stderr.read().decode()
    assert "Traceback" not in said
    assert "ERROR" not in said
