"""A stand-in for the network: answers from a script, and a memory of what was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx

from aivideo_mcp.client import Upstream
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.settings import Settings
from aivideo_mcp.workflow import Workflow, open_workflow

KEY = "ak_canary_0123456789"
BASE = "https://api.example.test"

Answer = httpx.Response | Exception | Callable[[httpx.Request], Awaitable[httpx.Response]]


class FakeNetwork(httpx.AsyncBaseTransport):
    """Answers each call by its name (account, quote, generate, tasks, task, status, cancel, file) from a list.

    The last answer of a list is given again and again. `requests` holds what came, in order.
    """

    def __init__(self, **answers: Answer | list[Answer]) -> None:
        self._answers = {name: given if isinstance(given, list) else [given] for name, given in answers.items()}
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = call_of(request)
        if call == "account" and call not in self._answers:  # before a create it is looked at; it says little here
            return httpx.Response(200, content=_streamed(b'{"ok": true, "currentBalance": 100}'))
        self.requests.append(request)
        script = self._answers[call]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, httpx.Response):
            answer = await answer(request)
        if isinstance(answer.stream, httpx.ByteStream):  # as from a wire: readable once, in order
            return httpx.Response(answer.status_code, headers=answer.headers, content=_streamed(answer.content))
        return answer

    def calls(self) -> list[str]:
        """The names of the calls that came, in order."""
        return [call_of(request) for request in self.requests]

    def upstream(self, **settings: Any) -> Upstream:
        """An Upstream over this network."""
        return Upstream(Settings(**{"api_key": KEY, "base_url": BASE, **settings}), transport=self)

    @asynccontextmanager
    async def workflow(self, **given: Any) -> AsyncIterator[Workflow]:
        """A workflow over this network, whose ledger does its work at once: virtual time knows no threads."""
        settings = Settings(**{"api_key": KEY, "base_url": BASE, **given})
        ledger = Ledger(settings, wall=lambda: _STARTED + anyio.current_time(), in_thread=at_once)
        upstream = Upstream(settings, transport=self, gate=ledger)
        upstream._exchange = upstream._open()  # here, since a clock that jumps does not wait for the thread that would
        async with open_workflow(settings, upstream, ledger) as workflow:
            if workflow.shelf:
                workflow.shelf._videos._in_thread = at_once
            yield workflow


_STARTED = 1_795_428_000.0  # 2026-11-23T10:00:00Z, when the tasks below are made


async def at_once(work: Callable[[], Any], /) -> Any:
    """Blocking work done where it stands."""
    await anyio.lowlevel.checkpoint()
    return work()


async def _streamed(content: bytes) -> AsyncIterator[bytes]:
    yield content


def call_of(request: httpx.Request) -> str:
    """Which of the API's calls a request is."""
    parts = request.url.raw_path.decode().partition("?")[0].removeprefix("/api/v1").strip("/").split("/")
    if parts[0] == "tasks":
        return {1: "tasks", 2: "task", 3: parts[-1]}[len(parts)]
    return parts[0] if parts[0] in ("account", "quote", "generate") else "file"


def reply(body: object, status: int = 200, **headers: str) -> httpx.Response:
    """A JSON answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=json.dumps(body).encode(), headers=named)


def page(text: str = "<!doctype html><html>Bad gateway</html>", status: int = 200) -> httpx.Response:
    """An HTML answer."""
    return httpx.Response(status, content=text.encode(), headers={"content-type": "text/html"})


def task(status: str, **fields: object) -> dict[str, object]:
    """A Task as the upstream writes it."""
    done = status == "COMPLETED"
    return {
        "id": "ck1",
        "createdAt": "2026-11-23T10:00:00.000Z",
        "model": "t2v",
        "input": {"prompt": "x"},
        "output": {"url": "https://files.example.test/ck1.mp4"} if done else None,
        "status": status,
        "creditsCharged": 15,
        "creditsRefunded": 0,
        "listValueCents": 15,
        "idempotencyKey": None,
        "completedAt": "2026-11-23T10:05:00.000Z" if done else None,
        **fields,
    }


SUBMITTED = {
    "status": "SUBMITTED",
    "taskId": "ck1",
    "creditsCharged": 15,
    "idempotentReplay": False,
    "responseUrl": "https://aivideomaker.ai/api/v1/tasks/ck1",
    "statusUrl": "https://aivideomaker.ai/api/v1/tasks/ck1/status",
    "cancelUrl": "https://aivideomaker.ai/api/v1/tasks/ck1/cancel",
}
T2V = {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 5}
