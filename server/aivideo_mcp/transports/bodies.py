"""How large a body may be, how slowly it may come, and how much of all of them may be in memory."""

from __future__ import annotations

import gc
import math
from typing import Final
from weakref import WeakSet

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aivideo_mcp.transports.limits import RETRY_AFTER, Limits, parts

_CLOSE: Final = {"Connection": "close"}
_SWEEP: Final = 1  # second between two of them


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
            held = _Held()
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
            held.parts += parts(message.get("body", b""))
            if held.parts > limits.body_parts:
                raise HTTPException(413, f"A request has at most {limits.body_parts} members and entries.")
            if not self._memory.takes(held):
                held.size = 0
                raise HTTPException(503, "Too many large requests at once.", RETRY_AFTER)
            return message

        return receive_counted


class _Memory:
    """The bytes of all bodies that are held."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.bodies
        self._free = limits.body_free
        self._large = WeakSet[_Held]()
        self._swept = -math.inf

    @property
    def taken(self) -> int:
        """What is counted of them; a sum, since bodies are let go of in any thread."""
        return sum(held.size - self._free for held in self._large)

    def takes(self, held: _Held) -> bool:
        """Whether there is room for what is held by now."""
        if held.size <= self._free:
            return True
        self._large.add(held)
        if self.taken > self._most and anyio.current_time() - self._swept > _SWEEP:
            self._swept = anyio.current_time()
            gc.collect()  # the SDK's requests refer to themselves, which keeps their bodies until somebody sweeps
        return self.taken <= self._most


class _Held:
    """The body of one request, in memory for as long as this is."""

    def __init__(self) -> None:
        self.size = 0
        self.parts = 0
