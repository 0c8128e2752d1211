"""The Python SDK's v1 client, which langchain and the OpenAI agents are built on, over all three transports."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import ElicitResult

COMMAND = os.environ["AIVIDEO_MCP"]
CLIP = {"model": "t2v", "aspectRatio": "16:9", "duration": 5}
DEAR = CLIP | {"duration": 8}
ASKING = {"AIVIDEO_CONFIRM_ABOVE": "15"}  # credits: exactly the price of CLIP
TOOLS = {"generate_video", "create_generation", "get_status", "get_task", "cancel_task"}
LONG = timedelta(seconds=20)
SHORT = timedelta(seconds=3.5)  # a t2v clip takes 4.75 s in the sandbox: less than two such calls
REQUEST_TIMEOUT = 408  # the code of the SDK's own error


class User:
    """Who is asked, and what they say: `action` with `content`."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.answer = ElicitResult(action="cancel")

    async def __call__(self, _: object, params: Any) -> ElicitResult:
        self.questions.append(params.message)
        return self.answer


@asynccontextmanager
async def playing(transport: str, settings: dict[str, str], user: User | None = None) -> AsyncIterator[Scenarios]:
    """A session with a server of its own; without a user it cannot ask."""
    with tempfile.TemporaryDirectory() as state, tempfile.NamedTemporaryFile("w+") as log:
        environment = os.environ | settings | {"AIVIDEO_STATE_DIR": state}
        asking = {"elicitation_callback": user} if user else {}
        if transport == "stdio":
            server = StdioServerParameters(command=COMMAND, args=["serve", "--sandbox"], env=environment)
            async with stdio_client(server, errlog=log) as streams, ClientSession(*streams, **asking) as session:
                yield Scenarios(transport, session, Path(log.name))
            return
        arguments = ["serve", "--sandbox", "--transport", transport, "--port", "0"]
        process = await asyncio.create_subprocess_exec(COMMAND, *arguments, env=environment, stderr=log)
        try:
            async with asyncio.timeout(15):
                while not (url := re.search(r"MCP at (\S+)", Path(log.name).read_text())):
                    assert process.returncode is None, Path(log.name).read_text()
                    await asyncio.sleep(0.05)
            connect = sse_client if transport == "sse" else streamablehttp_client
            async with connect(url[1]) as streams, ClientSession(*streams[:2], **asking) as session:
                yield Scenarios(transport, session, Path(log.name))
        finally:
            process.terminate()
            await process.wait()


@dataclass
class Scenarios:
    """What a client does; `log` is what the server writes on stderr."""

    transport: str
    session: ClientSession
    log: Path

    async def play(self) -> None:
        """All of it."""
        await self.step("connect, tools/list", 15, self.listing)
        await self.step("generate_video with progress, file is MP4", 20, self.generate)
        await self.step("bad duration is INVALID_PAYLOAD", 10, self.refused)
        await self.step("create_generation, cancel_task", 10, self.cancel)
        await self.step("time-out, the same call again: one charge", 30, self.impatient)
        await self.step("call abandoned, the same call again: one charge", 30, self.abandoned)
        await self.step("quiet on stderr", 1, self.quiet)

    async def play_asking(self, user: User) -> None:
        """What a client does that can ask its user."""
        await self.step("connect as a host that asks", 15, self.listing)
        yes, no = (ElicitResult(action="accept", content={"confirm": said}) for said in (True, False))
        for way, answer in {"declined": ElicitResult(action="decline"), "answered with no": no}.items():
            user.answer = answer
            await self.step(f"{way}: refused, no charge", 10, lambda: self.asked(user, "CONFIRMATION_DECLINED"))
        user.answer = yes
        await self.step("accepted: asked once, one charge of that price", 10, lambda: self.asked(user, None))
        user.answer = ElicitResult(action="cancel")
        await self.step("cancelled: a code, good for one charge", 10, self.agree_in_the_chat)
        await self.step("quiet on stderr", 1, self.quiet)

    async def play_mute(self) -> None:
        """What a client does that cannot ask."""
        await self.step("connect as a host that cannot ask", 15, self.listing)
        await self.step("a code, good for one charge", 10, self.agree_in_the_chat)
        await self.step("quiet on stderr", 1, self.quiet)

    async def step(self, scenario: str, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """One row of the table; a failure is told and ends the process."""
        who = ["Python SDK v1", version("mcp"), self.transport]
        failed, began = "", time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await action()
        except Exception:  # noqa: BLE001 - whatever it is
            failed = traceback.format_exc()
        with Path(os.environ["RESULTS"]).open("a") as rows:
            rows.write("\t".join([*who, scenario, "FAILED" if failed else "passed"]) + "\n")
        if failed:
            sys.stderr.write(f"FAILED: {', '.join(who)}: {scenario}\n{failed}")
            sys.exit(1)
        took = (time.monotonic() - began) * 1000
        sys.stdout.write(f"ok: {who[0]}, {self.transport}: {scenario}, {took:.0f} ms\n")
        sys.stdout.flush()

    async def call(
        self, tool: str, arguments: dict[str, Any], patience: timedelta = LONG, **options: Any
    ) -> dict[str, Any] | None:
        """The envelope; None after a time-out."""
        try:
            result = await self.session.call_tool(tool, arguments, read_timeout_seconds=patience, **options)
        except McpError as failure:
            if failure.error.code != REQUEST_TIMEOUT:
                raise
            return None
        assert result.isError is not result.structuredContent["ok"]
        return result.structuredContent

    async def charges(self) -> int:
        """What the sandbox has charged; the server's stderr names its address."""
        found = re.search(r"SANDBOX inside, at (http://127\.0\.0\.1:\d+)", self.log.read_text())
        assert found
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{found[1]}/sandbox/ledger")).json()["charges"]

    async def listing(self) -> None:
        await self.session.initialize()
        tools = (await self.session.list_tools()).tools
        assert {tool.name for tool in tools} >= TOOLS
        assert all(tool.outputSchema["type"] == "object" for tool in tools)

    async def generate(self) -> None:
        told: list[tuple[float, str]] = []

        async def hear(progress: float, _: float | None, message: str | None) -> None:
            told.append((progress, message or ""))

        made = await self.call("generate_video", {**CLIP, "prompt": "a cat"}, progress_callback=hear)
        assert made["status"] == "COMPLETED"
        assert len(told) >= 2
        assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})
        assert made["taskId"] in told[0][1]
        async with httpx.AsyncClient() as http:
            clip = await http.get(made["data"]["videoUrl"])
        assert clip.content[4:8] == b"ftyp"

    async def refused(self) -> None:
        answer = await self.call("create_generation", {**CLIP, "prompt": "a dog", "duration": 7})
        assert answer["errorCode"] == "INVALID_PAYLOAD"

    async def cancel(self) -> None:
        for _ in range(3):  # the sandbox leaves a third of a second for it, which a busy machine may miss
            made = await self.call("create_generation", {**CLIP, "prompt": "a dog"})
            answer = await self.call("cancel_task", {"taskId": made["taskId"]})
            if answer["errorCode"] != "NOT_CANCELLABLE":
                break
        assert answer["status"] == "CANCEL", answer

    async def impatient(self) -> None:
        before = await self.charges()
        arguments = {**CLIP, "prompt": "a bird"}
        assert await self.call("generate_video", arguments, SHORT) is None
        for _ in range(5):
            answer = await self.call("generate_video", arguments, SHORT)
            assert await self.charges() == before + 1
            if answer:
                assert answer["status"] == "COMPLETED"
                return
        raise AssertionError("no answer in five calls")

    async def abandoned(self) -> None:
        before = await self.charges()
        arguments = {**CLIP, "prompt": "a fox"}
        waiting = asyncio.create_task(self.call("generate_video", arguments))
        await asyncio.sleep(1.5)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (await self.call("generate_video", arguments))["status"] == "COMPLETED"
        assert await self.charges() == before + 1

    async def asked(self, user: User, refused: str | None) -> None:
        before, count = await self.charges(), len(user.questions)
        answer = await self.call("create_generation", DEAR | {"prompt": "a cat"})
        assert answer["errorCode"] == refused, answer
        (question,) = user.questions[count:]
        assert await self.charges() == before + (refused is None)
        if refused is None:
            assert question.startswith(f"Spend {answer['data']['creditsCharged']} credits "), question

    async def agree_in_the_chat(self) -> None:
        before = await self.charges()
        arguments = DEAR | {"prompt": "a dog"}
        code = code_in(await self.call("create_generation", arguments))
        assert await self.charges() == before
        assert (await self.call("create_generation", {**arguments, "confirmationCode": code}))["ok"]
        assert code_in(await self.call("create_generation", {**arguments, "confirmationCode": code})) != code
        assert await self.charges() == before + 1

    async def quiet(self) -> None:
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


def code_in(answer: dict[str, Any]) -> str:
    """The code of an answer that asks for the user's yes."""
    assert answer["errorCode"] == "CONFIRMATION_REQUIRED", answer
    found = re.search(r'confirmationCode "(\w+)"', " ".join(answer["nextSteps"]))
    assert found
    return found[1]


async def main() -> None:
    """The transports side by side; SIGTERM ends them in order."""
    this = asyncio.current_task()
    assert this
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)

    async def one(transport: str) -> None:
        async with playing(transport, {}) as scenarios:
            await scenarios.play()
        async with playing(transport, ASKING, user := User()) as scenarios:
            await scenarios.play_asking(user)
        async with playing(transport, ASKING) as scenarios:
            await scenarios.play_mute()

    async with asyncio.TaskGroup() as group:
        for transport in ("stdio", "sse", "http"):
            group.create_task(one(transport))


asyncio.run(main())
