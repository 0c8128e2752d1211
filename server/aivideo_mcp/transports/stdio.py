"""One client over stdin and stdout, with signals."""

from __future__ import annotations

import os
import sys
from typing import Self, TextIO, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared._context_streams import ContextReceiveStream
from mcp.shared.message import SessionMessage

from aivideo_mcp.transports.signals import GRACE, Closing, Written, end_in_time, until_signal


async def serve_stdio(server: MCPServer, closing: Closing, written: Written) -> None:
    """Serve one client over stdin and stdout until stdin ends or a signal comes; `written` is told of each frame."""
    inside = server._lowlevel_server  # noqa: SLF001 - `run_stdio_async` does this, and lets nobody see what it wrote
    out = cast("anyio.AsyncFile[str]", _Out(_take_stdout(), written))
    async with anyio.create_task_group() as group:
        group.start_soon(_end_on_signal, closing)
        async with stdio_server(stdout=out) as (received, sent):
            heard = _In(received._inner)  # noqa: SLF001 - the SDK ends its calls at the end of stdin, and tells nobody
            await inside.run(heard, sent, inside.create_initialization_options())
        group.cancel_scope.cancel()


def _take_stdout() -> TextIO:
    """The way out for frames alone: whatever else is printed, by a library perhaps, goes to stderr."""
    wire = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(wire, "w", encoding="utf-8")


class _In(ContextReceiveStream[SessionMessage | Exception]):
    """Messages as the SDK reads them; from their end on the process has so long to end."""

    async def __aenter__(self) -> Self:
        """Itself, as the SDK's protocol wants it typed."""
        return self

    async def receive(self) -> SessionMessage | Exception:
        """The next message."""
        try:
            return await super().receive()
        except anyio.EndOfStream:
            end_in_time()
            raise


class _Out:
    """stdout as the SDK writes to it: a frame, then a flush, in a thread that a client which does not read holds up."""

    def __init__(self, wire: TextIO, written: Written) -> None:
        self._file = anyio.wrap_file(wire)
        self._written = written
        self._frame = ""

    async def write(self, frame: str) -> None:
        """Write a frame."""
        await self._file.write(frame)
        self._frame = frame

    async def flush(self) -> None:
        """See the frame off."""
        await self._file.flush()
        self._written(self._frame.encode())


async def _end_on_signal(closing: Closing) -> None:
    """Leave in order when a signal comes. stdin is read in a thread that cannot be woken, hence the hard exit."""
    await until_signal()
    end_in_time()
    with anyio.move_on_after(GRACE, shield=True):
        await closing()
    sys.stderr.flush()
    os._exit(0)
