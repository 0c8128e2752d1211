"""Each request gets one response, that ends; and all of them can be ended."""

from __future__ import annotations

import anyio
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aivideo_mcp.transports.limits import RETRY_AFTER
from aivideo_mcp.transports.signals import Written


class Streams:
    """Sees to it that a request gets one response, that this response ends, and that all of them can be ended.

    Left to itself, a server that stops leaves traces in its log: streams without their last message, uvicorn's
    cancelled tasks with their tracebacks, and the empty second response of the SDK's SSE endpoint.
    """

    def __init__(self, app: ASGIApp, written: Written) -> None:
        self._app = app
        self._written = written
        self._open: set[anyio.CancelScope] = set()
        self.ending = False
        """Whether new requests are turned away."""

    def end(self) -> None:
        """End every request that is being answered, and answer no other."""
        self.ending = True
        for scope in self._open:
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the first response back, to its end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = ended = False

        async def send_first(message: Message) -> None:
            nonlocal started, ended
            starts = message["type"] == "http.response.start"
            if ended or (started and starts):
                return
            started = started or starts
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)
            self._written(message.get("body", b""))

        if not self.ending:
            with anyio.CancelScope() as request:
                self._open.add(request)
                try:
                    await self._app(scope, receive, send_first)
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                    if not ended:  # else the SDK has said 202, and the SSE session ended before it took the message
                        raise
                finally:
                    self._open.discard(request)
        if not started:
            await PlainTextResponse("The server is ending.", 503, RETRY_AFTER)(scope, receive, send)
        elif not ended:
            await send({"type": "http.response.body", "body": b""})
