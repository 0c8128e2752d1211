"""The server as clients meet it: real processes, real transports, the sandbox behind them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from aivideo_mcp.tools import TOOLS
from tests.fakes import KEY, T2V
from tests.pictures import JPEG, PNG, WEBP, data_uri, png_of_size
from tests.processes import (
    COMMAND,
    connected,
    ended,
    environment,
    greeted,
    heard,
    hello,
    listening,
    speak,
    start,
    waited_for,
)

pytestmark = pytest.mark.anyio

TRANSPORTS = ["stdio", "sse", "http"]


async def call(client: Client, name: str, arguments: dict[str, Any], **other: Any) -> dict[str, Any]:
    with anyio.fail_after(60):
        result = await client.call_tool(name, arguments, **other)
    assert result.structured_content is not None
    return result.structured_content


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_outcome_counts_as_delivered_once_its_frame_was_written(
    transport: str, mode: str, tmp_path: Path
) -> None:
    def delivered() -> list[str]:
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as file:
            return [row[0] for row in file.execute("SELECT task_id FROM generations WHERE delivered_at IS NOT NULL")]

    async with connected(transport, "--speed", "600", mode=mode, env={"AIVIDEO_STATE_DIR": str(tmp_path)}) as client:
        made = await call(client, "create_generation", T2V)
        await call(client, "get_status", {"taskId": made["taskId"]})
        assert delivered() == []
        await call(client, "generate_video", T2V)
        with anyio.fail_after(60):
            while delivered() != [made["taskId"]]:
                await anyio.sleep(0.02)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_five_tools_do_their_work_with_real_pictures(transport: str) -> None:
    told: list[tuple[float, str]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        told.append((progress, message or ""))

    async with connected(transport, "--speed", "600") as client:
        video = await call(client, "generate_video", T2V, progress_callback=listen)
        assert (video["ok"], video["status"]) == (True, "COMPLETED")
        assert video["taskId"] in told[0][1]
        assert [done for done, _ in told] == sorted({done for done, _ in told})
        assert any("PROGRESS" in message for _, message in told)
        assert video["data"]["output"]["msg"]
        async with httpx.AsyncClient() as web:
            file = await web.get(video["data"]["videoUrl"])
        assert file.content[4:8] == b"ftyp"

        for model, kind, content in (("i2v", "png", PNG), ("lv", "jpeg", JPEG), ("i2v_v3", "webp", WEBP)):
            wanted = {"prompts": ["a", "b"]} if model == "lv" else {"prompt": "a", "duration": 5}
            picture = data_uri(kind, content)
            made = await call(client, "create_generation", {"model": model, "image": picture, **wanted})
            assert made["ok"], made
            seen = await call(client, "get_status", {"taskId": made["taskId"]})
            assert seen["status"] in ("SUBMITTED", "PROGRESS")
            waited = await call(client, "generate_video", {"taskId": made["taskId"], "maxWaitSeconds": 30})
            assert (waited["ok"], waited["status"]) == (True, "COMPLETED")
            task = await call(client, "get_task", {"taskId": made["taskId"]})
            assert task["data"]["videoUrl"] == waited["data"]["videoUrl"]
            late = await call(client, "cancel_task", {"taskId": made["taskId"]})
            assert (late["ok"], late["errorCode"]) == (False, "NOT_CANCELLABLE")

    async with connected(transport, "--speed", "1") as client:
        made = await call(client, "create_generation", T2V)
        gone = await call(client, "cancel_task", {"taskId": made["taskId"]})
        assert (gone["ok"], gone["status"]) == (True, "CANCEL")
        task = await call(client, "get_task", {"taskId": made["taskId"]})
        assert task["data"]["creditsRefunded"] == task["data"]["creditsCharged"] == 15


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_ten_megabyte_picture_passes(transport: str) -> None:
    picture = data_uri("png", png_of_size(10 * 1024 * 1024))
    async with connected(transport) as client:
        made = await call(client, "create_generation", {"model": "i2v", "image": picture, "duration": 5})
        refused = await call(client, "create_generation", {"model": "i2v", "image": picture + "AAAA", "duration": 5})
    assert made["ok"], made
    assert refused["errorCode"] == "INVALID_PAYLOAD"


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_newest_protocol_is_spoken_too(transport: str) -> None:
    async with connected(transport, "--speed", "600", mode="2026-07-28") as client:
        assert client.protocol_version == "2026-07-28"
        told: list[str] = []

        async def listen(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the SDK's
            told.append(message or "")

        assert (await call(client, "generate_video", T2V, progress_callback=listen))["status"] == "COMPLETED"
        assert len(told) > 1


async def test_older_clients_find_sse_beside_streamable_http() -> None:
    async with listening("serve", "--sandbox", "--transport", "http", "--port", "0") as serving:
        async with Client(sse_client(serving.url.removesuffix("/mcp") + "/sse"), mode="legacy") as client:
            assert len((await client.list_tools()).tools) == len(TOOLS)


GENERATE = {
    "id": 2,
    "method": "tools/call",
    "params": {"name": "generate_video", "arguments": T2V, "_meta": {"progressToken": "p"}},
}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_each_older_protocol_version_is_answered_in_kind_and_stdout_holds_frames_only(version: str) -> None:
    with start("serve", "--sandbox", "--speed", "600") as process:
        speak(process, *hello(version), GENERATE)
        assert process.stdout
        frames = [json.loads(process.stdout.readline())]
        while frames[-1].get("id") != 2:
            frames.append(json.loads(process.stdout.readline()))
        assert frames[0]["result"]["protocolVersion"] == version
        assert frames[-1]["result"]["isError"] is False
        assert {frame.get("method") for frame in frames[1:-1]} == {"notifications/progress"}
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(60) == 0
        process.stderr.close()


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("end", ["eof", "SIGTERM", "SIGINT"])
def test_stdio_ends_in_order_with_a_clean_stderr(end: str, busy: bool) -> None:
    with start("serve", "--sandbox", "--speed", "1") as process:
        speak(process, *hello("2025-06-18"), *([GENERATE] if busy else []))
        assert process.stdout
        for _ in range(1 + busy):
            process.stdout.readline()
        if end == "eof":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[end])
        assert process.wait(60) == 0
        said = process.stderr.read().decode()
        assert "Traceback" not in said
        assert ("created" in said) is busy


@pytest.mark.parametrize("transport", ["sse", "http"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
async def test_network_transports_end_in_order_even_with_a_call_open(transport: str, end: signal.Signals) -> None:
    async with listening("serve", "--sandbox", "--speed", "1", "--transport", transport, "--port", "0") as serving:
        async with waited_for(serving, transport, T2V):
            serving.process.send_signal(end)
            with anyio.fail_after(60):
                assert await serving.process.wait() == 0
        assert "Traceback" not in serving.stderr()
        assert "ERROR" not in serving.stderr()


def test_an_answer_that_holds_no_whole_text_is_sent_and_the_server_goes_on(tmp_path: Path) -> None:
    state = tmp_path / os.fsdecode(b"\xff")
    state.touch()  # a file: the ledger in it cannot be used, and the answer says where
    env = {"AIVIDEO_API_KEY": KEY, "AIVIDEO_BASE_URL": "http://127.0.0.1:9", "XDG_STATE_HOME": str(state)}
    with greeted(env=env) as process:
        speak(process, {"id": 2, "method": "tools/call", "params": {"name": "create_generation", "arguments": T2V}})
        answer = heard(process)
        assert answer["id"] == 2
        assert "?/aivideo-mcp cannot be used" in answer["result"]["structuredContent"]["errorMessage"]
        speak(process, {"id": 3, "method": "ping"})
        assert heard(process)["id"] == 3
        assert process.stdin
        process.stdin.close()
        ended(process)


def test_a_server_that_breaks_is_gone_although_its_client_says_nothing_more() -> None:
    breaking = "from aivideo_mcp import cli, receipts; receipts.Receipts.written = None; cli.main(['serve'])"
    pipe = subprocess.PIPE
    command = [COMMAND[0], "-c", breaking]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment()) as process:
        try:
            speak(process, hello()[0])
            process.wait(60)
        finally:
            process.kill()
        assert process.stderr
        assert b"TypeError" in process.stderr.read()


async def test_a_client_that_cancels_stops_the_polling_and_the_task_lives() -> None:
    async with listening("sandbox", "--port", "0", "--speed", "1") as sandbox:
        env = {"AIVIDEO_BASE_URL": sandbox.url, "AIVIDEO_API_KEY": "sandbox"}
        async with listening("serve", "--transport", "http", "--port", "0", env=env) as serving:
            async with Client(serving.url, mode="legacy") as client, httpx.AsyncClient(base_url=sandbox.url) as web:
                with pytest.raises(Exception, match=r"(?i)timed? ?out"):
                    await client.call_tool("generate_video", T2V, read_timeout_seconds=1)
                (task,) = (await web.get("/api/v1/tasks", headers={"key": "sandbox"})).json()["tasks"]
                assert task["status"] in ("SUBMITTED", "PROGRESS")
                asked = (await web.get("/sandbox/ledger")).json()["calls"].get("status", 0)
                envelope = await call(client, "generate_video", {"taskId": task["id"], "maxWaitSeconds": 0})
                assert (envelope["ok"], envelope["taskId"]) == (True, task["id"])
                assert (await web.get("/sandbox/ledger")).json()["calls"].get("status", 0) <= asked + 1


async def test_a_public_address_needs_a_token_and_then_asks_for_it() -> None:
    refused = await anyio.run_process(
        [*COMMAND, "serve", "--sandbox", "--transport", "http", "--host", "0.0.0.0", "--port", "0"],  # noqa: S104 - refused
        env=environment(),
        check=False,
    )
    assert refused.returncode == 2
    assert b"AIVIDEO_HTTP_TOKEN" in refused.stderr
    assert b"Traceback" not in refused.stderr

    flags = ("serve", "--sandbox", "--transport", "http", "--port", "0")
    async with listening(*flags, env={"AIVIDEO_HTTP_TOKEN": "open-sesame"}) as serving, httpx.AsyncClient() as web:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open-sesame"}):
            answer = await web.post(serving.url, headers=headers, json={})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        answer = await web.post(serving.url, headers={"Authorization": "Bearer open-sesame"}, json={})
        assert answer.status_code != 401


async def test_a_page_in_a_browser_cannot_reach_the_local_server() -> None:
    async with listening("serve", "--sandbox", "--transport", "http", "--port", "0") as serving:
        async with httpx.AsyncClient() as web:
            foreign = await web.post(serving.url, json={}, headers={"Origin": "https://evil.test"})
            rebound = await web.post(serving.url, json={}, headers={"Host": "evil.test"})
    assert (foreign.status_code, rebound.status_code) == (403, 421)


async def test_a_taken_port_is_one_clear_line() -> None:
    async with listening("serve", "--sandbox", "--transport", "http", "--port", "0") as serving:
        port = serving.url.rpartition(":")[2].removesuffix("/mcp")
        second = await anyio.run_process(
            [*COMMAND, "serve", "--sandbox", "--transport", "http", "--port", port], env=environment(), check=False
        )
    assert second.returncode == 2
    assert f"--port {port} cannot be listened on" in second.stderr.decode()
    assert "Traceback" not in second.stderr.decode()
