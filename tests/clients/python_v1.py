"""The Python SDK's v1 client, which langchain and the OpenAI agents are built on, over all three transports."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

COMMAND = os.environ["AIVIDEO_MCP"]
CLIP = {"model": "t2v", "aspectRatio": "16:9", "duration": 5}
PATIENCE = timedelta(seconds=2.5)  # a t2v clip takes 4.75 s in the sandbox
REQUEST_TIMEOUT = 408  # the code of the SDK's own error

Step = Callable[[str, float, Awaitable[Any]], Awaitable[Any]]


def stepper(transport: str) -> Step:
    """Each step is a row of the table; a failure is told and ends the process."""
    who = ["Python SDK v1", version("mcp"), transport]

    async def step(scenario: str, seconds: float, action: Awaitable[Any]) -> Any:
        result, began = "FAILED", time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                value = await action
            result = "passed"
        except Exception:
            print(f"FAILED: {', '.join(who)}: {scenario}", traceback.format_exc(), sep="\n", file=sys.stderr, flush=True)
        with Path(os.environ["RESULTS"]).open("a") as rows:
            print(*who, scenario, result, sep="\t", file=rows)
        if result == "FAILED":
            sys.exit(1)
        print(f"ok: {who[0]}, {transport}: {scenario}, {(time.monotonic() - began) * 1000:.0f} ms", flush=True)
        return value

    return step


@asynccontextmanager
async def serving(transport: str) -> AsyncIterator[tuple[ClientSession, Callable[[], str]]]:
    """A session with a server of its own, and what that wrote on stderr so far."""
    with tempfile.TemporaryDirectory() as state, tempfile.NamedTemporaryFile("w+") as log:
        environment = os.environ | {"AIVIDEO_STATE_DIR": state}

        def said() -> str:
            return Path(log.name).read_text()

        if transport == "stdio":
            server = StdioServerParameters(command=COMMAND, args=["serve", "--sandbox"], env=environment)
            async with stdio_client(server, errlog=log) as (read, write), ClientSession(read, write) as session:
                yield session, said
            return
        arguments = ["serve", "--sandbox", "--transport", transport, "--port", "0"]
        process = await asyncio.create_subprocess_exec(COMMAND, *arguments, env=environment, stderr=log)
        try:
            async with asyncio.timeout(15):
                while not (url := re.search(r"MCP at (\S+)", said())):
                    assert process.returncode is None, said()
                    await asyncio.sleep(0.05)
            connect = sse_client if transport == "sse" else streamablehttp_client
            async with connect(url[1]) as streams, ClientSession(*streams[:2]) as session:
                yield session, said
        finally:
            process.terminate()
            assert await process.wait() == 0


async def play(transport: str) -> None:
    """All that a client does."""
    step = stepper(transport)
    async with serving(transport) as (session, said):

        async def call(tool: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
            result = await session.call_tool(tool, arguments, **{"read_timeout_seconds": timedelta(seconds=20)} | options)
            assert result.isError is not result.structuredContent["ok"]
            return result.structuredContent

        async def charges() -> int:
            found = re.search(r"SANDBOX inside, at (http://127\.0\.0\.1:\d+)", said())
            assert found
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{found[1]}/sandbox/ledger")).json()["charges"]

        async def listing() -> None:
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert {"generate_video", "create_generation", "get_status", "get_task", "cancel_task"} <= {t.name for t in tools}
            assert all(tool.outputSchema["type"] == "object" for tool in tools)

        async def generate() -> None:
            told: list[tuple[float, str]] = []

            async def hear(progress: float, _: float | None, message: str | None) -> None:
                told.append((progress, message or ""))

            made = await call("generate_video", {**CLIP, "prompt": "a cat"}, progress_callback=hear)
            assert made["status"] == "COMPLETED"
            assert len(told) >= 2
            assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})
            assert made["taskId"] in told[0][1]
            async with httpx.AsyncClient() as http:
                clip = await http.get(made["data"]["videoUrl"])
            assert clip.content[4:8] == b"ftyp"

        async def refused() -> None:
            answer = await call("create_generation", {**CLIP, "prompt": "a dog", "duration": 7})
            assert answer["errorCode"] == "INVALID_PAYLOAD"

        async def cancel() -> None:
            for _ in range(3):  # the sandbox leaves a third of a second for it, which a busy machine may miss
                made = await call("create_generation", {**CLIP, "prompt": "a dog"})
                answer = await call("cancel_task", {"taskId": made["taskId"]})
                if answer["errorCode"] != "NOT_CANCELLABLE":
                    break
            assert answer["status"] == "CANCEL", answer

        async def impatient() -> None:
            before = await charges()
            arguments = {**CLIP, "prompt": "a bird"}
            for tries in range(5):
                try:
                    answer = await call("generate_video", arguments, read_timeout_seconds=PATIENCE)
                except McpError as failure:
                    assert failure.error.code == REQUEST_TIMEOUT, failure
                    assert await charges() == before + 1
                    continue
                assert tries, "it was quicker than the time-out"
                assert answer["status"] == "COMPLETED"
                assert await charges() == before + 1
                return
            raise AssertionError("no answer in five calls")

        async def abandoned() -> None:
            before = await charges()
            arguments = {**CLIP, "prompt": "a fox"}
            waiting = asyncio.create_task(call("generate_video", arguments))
            await asyncio.sleep(1.5)
            waiting.cancel()
            await asyncio.wait([waiting])
            answer = await call("generate_video", arguments)
            assert answer["status"] == "COMPLETED"
            assert await charges() == before + 1

        await step("connect, tools/list", 15, listing())
        await step("generate_video with progress, file is MP4", 20, generate())
        await step("bad duration is INVALID_PAYLOAD", 10, refused())
        await step("create_generation, cancel_task", 10, cancel())
        await step("time-out, the same call again: one charge", 30, impatient())
        await step("call abandoned, the same call again: one charge", 30, abandoned())
        assert "Traceback" not in said(), said()


async def main() -> None:
    """The transports side by side."""
    async with asyncio.TaskGroup() as group:
        for transport in ("stdio", "sse", "http"):
            group.create_task(play(transport))


asyncio.run(main())
