"""The sandbox as one ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response

from aivideo_mcp.sandbox.answers import answer_refusal
from aivideo_mcp.sandbox.bank import Bank
from aivideo_mcp.sandbox.disturbance import Disturbance
from aivideo_mcp.sandbox.faults import FaultPlan
from aivideo_mcp.sandbox.refusals import Refusal
from aivideo_mcp.sandbox.routes import Endpoints
from aivideo_mcp.sandbox.traffic import Traffic

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from aivideo_mcp.sandbox.options import SandboxOptions


def create_app(options: SandboxOptions) -> ASGIApp:
    """A sandbox with a state of its own.

    From the outside in: the mark that every answer carries, the faults, the key check, the endpoints.
    """
    bank = Bank(options)
    traffic = Traffic(options)
    plan = FaultPlan(options.faults)
    endpoints = Starlette(
        routes=Endpoints(options, bank, traffic, plan).routes,
        exception_handlers={Refusal: _refuse, HTTPException: _refuse_route},
    )
    endpoints.router.redirect_slashes = False  # the upstream knows no such redirect
    disturbed = Disturbance(_KeyCheck(endpoints, bank), plan, traffic, options.sleep)
    return _Mark(disturbed, f"speed={options.shown_speed}")


class _KeyCheck:
    """Refuses API requests without a valid key before anything else is looked at, the path included."""

    def __init__(self, app: ASGIApp, bank: Bank) -> None:
        self._app = app
        self._bank = bank

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/api/"):
            key = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"key"), None)
            try:
                self._bank.account(key)
            except Refusal as refusal:
                await answer_refusal(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Mark:
    """Tells in every answer's `Aivideo-Sandbox` header that it comes from a sandbox, and how fast its time runs."""

    def __init__(self, app: ASGIApp, text: str) -> None:
        self._app = app
        self._header = (b"aivideo-sandbox", text.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), self._header]}
            await send(message)

        await self._app(scope, receive, marked)


def _refuse(_request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return answer_refusal(refusal)


def _refuse_route(_request: Request, fault: Exception) -> Response:
    """No such path, or not with this method: the framework's own refusals in the upstream's envelope."""
    assert isinstance(fault, HTTPException)
    return answer_refusal(Refusal(fault.status_code, fault.detail, headers=fault.headers))
