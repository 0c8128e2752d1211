"""How large a body may be, how slowly it may come, and how much of all of them may be in memory."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aivideo_mcp.transports.limits import RETRY_AFTER, Limits

_CLOSE: Final = {"Connection": "close"}


class Bodies:
    """Counts bodies while they come, by their length if it is told and by their bytes in any case.

    The application reads a body whole and keeps it for as long as it answers, and over SSE, where a call is answered
    elsewhere, as long as the call runs. So a body counts until the last that knows its request has let go of it.
    A refusal in the middle is raised where the application reads, and Starlette makes a response of it.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._memory = _Memory(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it by its headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = int(headers.get(b"content-length", 0))  # digits: the parser refuses anything else
        if scope["method"] != "POST":
            if length or b"transfer-encoding" in headers:
                await PlainTextResponse("Only a POST has a body here.", 400, _CLOSE)(scope, receive, send)
                return
            await self._app(scope, receive, send)
        elif length > self._limits.body:
            await PlainTextResponse(self._too_large, 413)(scope, receive, send)
        else:
            held = _Held(self._memory)
            await self._app({**scope, "aivideo.body": held}, self._counted(receive, held), send)

    @property
    def _too_large(self) -> str:
        return f"A request has at most {self._limits.body} bytes."

    def _counted(self, receive: Receive, held: _Held) -> Receive:
        limits = self._limits
        end = anyio.current_time() + limits.body_whole
        complete = False

        async def receive_counted() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            with anyio.move_on_after(min(limits.body_pause, end - anyio.current_time())) as waiting:
                message = await receive()
            if waiting.cancelled_caught:
                raise HTTPException(408, "The body came too slowly.", _CLOSE)
            if message["type"] == "http.disconnect":
                raise HTTPException(400, "The body never came.")  # nobody hears; the log stays quiet
            complete = not message.get("more_body", False)
            held.size += len(message.get("body", b""))
            if held.size > limits.body:
                raise HTTPException(413, self._too_large)
            if not self._memory.takes(held):
                raise HTTPException(503, "Too many large requests at once.", RETRY_AFTER)
            return message

        return receive_counted


class _Memory:
    """The bytes of all bodies that are held."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.bodies
        self._free = limits.body_free
        self.taken = 0

    def takes(self, held: _Held) -> bool:
        """Count what is held by now, if there is room."""
        more = max(held.size - self._free, 0) - held.counted
        if self.taken + more > self._most:
            return False
        held.counted += more
        self.taken += more
        return True


class _Held:
    """The body of one request, counted for as long as anybody has this."""

    def __init__(self, memory: _Memory) -> None:
        self._memory = memory
        self.size = self.counted = 0

    def __del__(self) -> None:
        self._memory.taken -= self.counted
