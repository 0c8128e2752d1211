"""One client over stdin and stdout, with signals.

The SDK's own reader drops what it cannot read, holds lines of any length, and its writer outlives a client that does
not read; so the pipes are served here.
"""

from __future__ import annotations

import functools
import io
import json
import os
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage
from pydantic_core import PydanticSerializationError

from aivideo_mcp.transports.frames import Frames
from aivideo_mcp.transports.limits import Limits
from aivideo_mcp.transports.signals import GRACE, Closing, Written, end_in_time, until_signal

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

_LAST_FRAMES: Final = 0.5  # seconds for calls to end and what they say to be read, once stdin has ended
_UNREAD: Final = 4_000  # answers that wait for the client to read; 40 MB of them while they are pings
_STALLED: Final = Limits().stalled

_Inbox = MemoryObjectSendStream[SessionMessage | Exception]
_Outbox = MemoryObjectReceiveStream[SessionMessage]


async def serve_stdio(server: MCPServer, closing: Closing, written: Written) -> None:
    """Serve one client over stdin and stdout until it leaves or a signal comes; `written` is told of each frame."""
    inside = server._lowlevel_server  # noqa: SLF001 - nothing public serves streams of one's own
    inbox, received = anyio.create_memory_object_stream[SessionMessage | Exception]()
    sent, outbox = anyio.create_memory_object_stream[SessionMessage]()
    pipes = _Pipes(inbox, sent.clone(), outbox, closing, written)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_end_on_signal, closing)
            group.start_soon(pipes.read)
            async with anyio.create_task_group() as writing:
                writing.start_soon(pipes.write)
                await inside.run(received, sent, inside.create_initialization_options())
            group.cancel_scope.cancel()
    finally:
        end_in_time()  # a mistake of ours too: the thread that reads would keep a silent process until the next line


class _Pipes:
    """stdin and stdout, taken for frames alone.

    Whatever else reads finds the end of a file, and what is printed, by a library perhaps, goes to stderr.

    Args:
        inbox: Takes what came in.
        refusals: Takes answers to what could not be passed on.
        outbox: Has what is to go out.
        closing: What has to be done before the process ends.
        written: Told of each frame that has gone out.
    """

    def __init__(
        self,
        inbox: _Inbox,
        refusals: MemoryObjectSendStream[SessionMessage],
        outbox: _Outbox,
        closing: Closing,
        written: Written,
    ) -> None:
        self._inbox = inbox
        self._refusals = refusals
        self._outbox = outbox
        self._closing = closing
        self._written = written
        self._taken = anyio.Event()
        self._threads = anyio.CapacityLimiter(2)  # of their own: all others may hang in a disk that does not answer
        self._in, self._out = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    async def read(self) -> None:
        """Pass on what comes in, until there is no more; then the server has a moment to end by itself."""
        frames = Frames(io.BufferedReader(_Waiting(self._in, closefd=False)))
        async with anyio.create_task_group() as refusing:
            async with self._inbox, self._refusals:
                while frame := await self._blocking(frames.next):
                    if frame.refused:
                        refusing.start_soon(_send, self._refusals.clone(), frame.message)
                    else:
                        await self._inbox.send(SessionMessage(frame.message))
                    await self._until_read()
            end_in_time()
            await anyio.sleep(_LAST_FRAMES)
            await _end(self._closing)

    async def _until_read(self) -> None:
        """Take in no more while too much waits to be read. Who takes nothing at all for long has left."""
        while self._outbox.statistics().tasks_waiting_send > _UNREAD:
            with anyio.move_on_after(_STALLED) as waiting:
                await self._taken.wait()
            if waiting.cancelled_caught:
                await _end(self._closing)

    async def write(self) -> None:
        """Write what is to go out; nobody else waits for a client that does not read."""
        async with self._outbox:
            async for item in self._outbox:
                frame = _encoded(item.message) + b"\n"
                try:
                    await self._blocking(functools.partial(_write, self._out, frame))
                except OSError:  # nobody will hear any more, and stdin is read in a thread that cannot be woken
                    await _end(self._closing)
                self._written(frame)
                self._taken.set()
                self._taken = anyio.Event()

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)


class _Waiting(io.FileIO):
    """What comes in, waited for even where the pipe does not wait: a wrapper that shares it may have set that."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:  # as FileIO's, which answers None where nothing is there yet
        while (number := super().readinto(buffer)) is None:
            _wait(self.fileno(), selectors.EVENT_READ)
        return number


def _encoded(message: JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode()
    except PydanticSerializationError:  # half a surrogate, which UTF-8 cannot write; a path may hold one
        told = message.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _write(wire: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        try:
            rest = rest[os.write(wire, rest) :]
        except BlockingIOError:  # as above
            _wait(wire, selectors.EVENT_WRITE)


def _wait(wire: int, event: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(wire, event)
        selector.select()


async def _send(stream: MemoryObjectSendStream[SessionMessage], message: JSONRPCMessage) -> None:
    async with stream:
        await stream.send(SessionMessage(message))


async def _end_on_signal(closing: Closing) -> None:
    await until_signal()
    await _end(closing)


async def _end(closing: Closing) -> NoReturn:
    """Leave in order. Threads that read or write a pipe cannot be woken, hence the hard exit."""
    end_in_time()
    try:
        with anyio.move_on_after(GRACE, shield=True):
            await closing()
    finally:
        os._exit(0)
