"""One save of a task at a time, over all processes that share a state folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.ledger import InThread

if TYPE_CHECKING:  # it comes with the first save, in a thread
    from filelock import BaseFileLock

_POLL: Final = 0.2  # seconds
_DIGITS: Final = 3  # hexadecimal, of a lock's name: 4096 empty files are the most there can be


@asynccontextmanager
async def turn(
    state_folder: Callable[[], Path], what: str, waiting: Callable[[], Awaitable[None]], in_thread: InThread
) -> AsyncIterator[None]:
    """Hold the turn for something, however the body ends; a process that dies gives it back too.

    The lock's name is a digest: two things that share one wait for each other, which harms nobody.

    Args:
        state_folder: Where locks are, in `saving`.
        what: What only one may do at a time.
        waiting: Called again and again while somebody else has the turn.
        in_thread: Runs what blocks.

    Raises:
        DownloadFailed: The state folder cannot be used.
    """
    lock: BaseFileLock | None = None
    try:
        try:
            lock = await in_thread(lambda: _lock(state_folder(), what))
            while not await in_thread(lambda: _taken(lock)):
                await waiting()
                await anyio.sleep(_POLL)
        except OSError as fault:
            why = fault.strerror or "disk error"
            raise DownloadFailed(f"The video was not saved, since the state folder cannot be used: {why}.") from None
        yield
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release()


def _lock(folder: Path, what: str) -> BaseFileLock:
    from filelock import FileLock  # noqa: PLC0415 - 20 ms, at the first save

    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True, mode=0o700)
    (folder / "saving").mkdir(exist_ok=True, mode=0o700)
    name = hashlib.sha256(what.encode()).hexdigest()[:_DIGITS]
    return FileLock(folder / "saving" / name, thread_local=False, mode=0o600)


def _taken(lock: BaseFileLock) -> bool:
    from filelock import Timeout  # noqa: PLC0415 - loaded by now

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
