"""Faults carried out: an ASGI middleware that spoils answers and connections as the plan in force says.

It must see the server's own `receive`, through which the connection can be closed, so it stands outside of
every middleware that wraps it.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from aivideo_mcp.sandbox.answers import answer_refusal
from aivideo_mcp.sandbox.refusals import Refusal, rate_limited
from aivideo_mcp.sandbox.traffic import call_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from aivideo_mcp.sandbox.faults import Fault, FaultPlan
    from aivideo_mcp.sandbox.traffic import Traffic

_ELSEWHERE: Final = "http://127.0.0.1:9/elsewhere"  # the discard port: following it fails, and leaks nothing
_PAGES: Final = {
    "502": (502, "502 Bad Gateway"),
    "503": (503, "503 Service Unavailable"),
    "504": (504, "504 Gateway Timeout"),
    "html": (200, "AI Video Maker"),
}


class Disturbance:
    """Counts every API request, and lets the faults strike those that they match.

    `slow` and `failed` go together with any other fault; of the rest the first that strikes is carried out.
    """

    def __init__(
        self, app: ASGIApp, plan: FaultPlan, traffic: Traffic, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._app = app
        self._plan = plan
        self._traffic = traffic
        self._sleep = sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, disturbed or not."""
        call = call_at(scope["path"])
        if call is None:
            await self._app(scope, receive, send)
            return
        self._traffic.record(call)
        spoiling: Fault | None = None
        for fault in self._plan.strike(call):
            if fault.kind == "slow":
                send = self._held_back(send, fault.seconds)
            elif fault.kind == "failed":
                scope.setdefault("state", {})["failing"] = True
            else:
                spoiling = spoiling or fault
        if spoiling is None:
            await self._app(scope, receive, send)
        else:
            await self._spoil(spoiling.kind, scope, receive, send)

    async def _spoil(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        if kind == "reset":
            await _hang_up(receive, "abort", linger=False)
        elif kind == "lost":
            await self._app(scope, receive, _Recording())
            await _hang_up(receive, "abort")
        elif kind == "truncated":
            answer = _Recording()
            await self._app(scope, receive, answer)
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
            await _hang_up(receive, "close")
        else:
            await _answer(kind)(scope, receive, send)

    def _held_back(self, send: Send, seconds: float) -> Send:
        async def late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._sleep(seconds)
            await send(message)

        return late


class _Recording:
    """A `send` that keeps the answer instead of sending it."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")


async def _hang_up(receive: Receive, how: str, *, linger: bool = True) -> None:
    """Close the connection under the server, and return once the server has noticed.

    Args:
        receive: The server's own; uvicorn's is a method of the object that holds the transport.
        how: `abort` drops what was not sent yet, `close` sends it first.
        linger: False makes the kernel answer with a reset rather than an orderly end.

    Raises:
        ConnectionResetError: Under servers whose transport cannot be reached.
    """
    transport: Any = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox was asked to break this connection")
    if not linger:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    getattr(transport, how)()
    while (await receive())["type"] != "http.disconnect":
        pass


def _answer(kind: str) -> Response:
    """The answer of a fault that replaces the true one; nothing is processed."""
    if kind in _PAGES:
        status, title = _PAGES[kind]
        page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        return Response(page, status, media_type="text/html")
    if kind == "redirect":
        return Response(status_code=302, headers={"Location": _ELSEWHERE})
    if kind == "429":
        return answer_refusal(rate_limited(1))
    if kind == "500":
        return answer_refusal(Refusal(500, "Internal server error"))
    if kind == "failed-200":
        return answer_refusal(Refusal(200, "The service is busy, please try again"))
    assert kind == "empty"
    return Response()
