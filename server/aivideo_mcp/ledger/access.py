"""The way to the ledger's file: opened at first use, worked on in threads, opened anew where it is damaged or gone.

A fault of disk or database is told as the one failure that callers know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio
import anyio.to_thread

from aivideo_mcp.errors import LedgerUnavailable
from aivideo_mcp.ledger.presence import FileIdentity, Presence, identity, lock
from aivideo_mcp.settings import Settings

if TYPE_CHECKING:  # SQLAlchemy comes at first use, in a thread
    from aivideo_mcp.ledger.store import Store

T = TypeVar("T")

_FILE: Final = "ledger.sqlite3"
_ASIDE: Final = "ledger.corrupt-*.sqlite3"  # what `file` set aside
_THREADS: Final = 2  # at work at once: more would only wait for one another, and keep the event loop waiting


class InThread(Protocol):
    """How blocking work is run: in a worker thread, or at once in tests whose clock knows no threads."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """The work's result."""
        ...


class Access:
    """The open file, and this process among those that share it.

    Args:
        settings: Folder and account.
        in_thread: Runs what blocks off the event loop.
    """

    def __init__(self, settings: Settings, in_thread: InThread | None) -> None:
        self._settings = settings
        self._run_sync = in_thread or _Threads()
        self._opening = anyio.Lock()
        self._presence: Presence | None = None
        self.store: Store | None = None
        self.opened: Callable[[], None] | None = None

    @property
    def presence(self) -> Presence:
        """This process as the others see it; there once the file was opened."""
        assert self._presence is not None
        return self._presence

    async def exists(self) -> bool:
        """Whether there is a ledger; it is not made by this."""
        return await self._in_thread((self._settings.state_folder / _FILE).exists)

    def aside(self) -> tuple[str, ...]:
        """Names of files that were damaged and set aside. Blocks."""
        return tuple(sorted(file.name for file in self._settings.state_folder.glob(_ASIDE)))

    async def do(self, work: Callable[[Store], T]) -> T:
        """Work on the open ledger. Where the file is damaged or deleted, it is done on the one that follows it.

        Raises:
            LedgerUnavailable: The folder or the file cannot be used.
        """
        store = await self.open()

        def unless_deleted() -> T:
            if self._files() != store.files:  # what is written to a deleted file is lost, and nobody else sees it
                raise _Damaged("It was deleted.")
            return work(store)

        try:
            return await self._in_thread(unless_deleted)
        except _Damaged:
            if self.store is store:
                self.store = None
            with contextlib.suppress(LedgerUnavailable):
                await self._in_thread(store.close)
        store = await self.open()
        return await self._in_thread(lambda: work(store))

    async def open(self) -> Store:
        """The store, opened where it is not."""
        if self.store is None:
            async with self._opening:
                if self.store is None:
                    self.store = await self._in_thread(self._open)
                    opened, self.opened = self.opened, None
                    if opened:
                        opened()
        return self.store

    async def aclose(self) -> None:
        """Close the file and say by the lock's absence that this process works on nothing any more."""
        if self.store is not None:
            await self._run_sync(self.store.close)
        if self._presence is not None:
            self._presence.leave()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Work that blocks, off the event loop; a cancel waits for its end, so that no transaction is torn."""

        def told() -> T:
            with _told(self._settings.state_folder):
                return work()

        return await self._run_sync(told)

    def _open(self) -> Store:
        from aivideo_mcp.ledger.file import open_store  # noqa: PLC0415 - brings SQLAlchemy, 0.2 s

        folder = self._settings.state_folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True, mode=0o700)
        with lock(folder / "opening.lock"):
            presence = self._presence or Presence(folder)
            presence.enter()
            self._presence = presence
            store = open_store(folder / _FILE, self._settings.account)
            store.files = self._files()
            return store

    def _files(self) -> tuple[FileIdentity, FileIdentity] | None:
        """Which files are in use; None where one is missing."""
        try:
            return identity(self._settings.state_folder / _FILE), self.presence.seen()
        except OSError:
            return None


class _Threads:
    """Worker threads for the ledger alone."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, work: Callable[[], T], /) -> T:
        """The work's result."""
        self._limiter = self._limiter or anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


class _Damaged(LedgerUnavailable):
    """The file was sound when it was opened and is not any more."""


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Faults of disk and database as the one failure that callers are told of."""
    kind = LedgerUnavailable
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
    except Exception as fault:
        if not type(fault).__module__.startswith("sqlalchemy") and not isinstance(fault, OverflowError | UnicodeError):
            raise
        reason = str(getattr(fault, "orig", fault))
        kind = _Damaged if type(fault).__name__ == "DatabaseError" else LedgerUnavailable
    else:
        return
    raise kind(f"The ledger in {folder} cannot be used: {reason}.")
