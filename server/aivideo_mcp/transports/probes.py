"""What a load balancer asks: whether the process answers, and whether it is ready to serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from aivideo_mcp.transports.limits import RETRY_AFTER

_PATHS: Final = ("/healthz", "/readyz")
PROBES: Final = tuple(f"{method} {path} ".encode() for method in ("GET", "HEAD") for path in _PATHS)
"""How a probe begins on the wire."""


class Probes:
    """Answers /healthz and /readyz, to anybody under any name, since they tell nothing; passes on all else."""

    def __init__(self, app: ASGIApp, ready: Callable[[], bool]) -> None:
        self._app = app
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a probe, or pass the request on."""
        if scope["type"] != "http" or scope["path"] not in _PATHS:
            await self._app(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await PlainTextResponse("Method Not Allowed", 405, {"Allow": "GET, HEAD"})(scope, receive, send)
        elif scope["path"] == "/healthz" or self._ready():
            await JSONResponse({"status": "ok"})(scope, receive, send)
        else:
            await JSONResponse({"status": "ending"}, 503, RETRY_AFTER)(scope, receive, send)
