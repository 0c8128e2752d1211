"""Which server processes are there: each holds a lock file for its life, and the system lets go of it at the end.

So a killed process is known to be gone at once, and none is taken for gone because its number was given out again.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # filelock comes with the ledger, in a thread
    from filelock import BaseFileLock

FileIdentity = tuple[int, int]
PATIENCE: Final = 10.0  # seconds to wait for another process's hold of a lock


def identity(file: Path) -> FileIdentity:
    """What tells a file from one that has come in its place."""
    found = file.stat()
    return found.st_dev, found.st_ino


def lock(file: Path, timeout: float = PATIENCE) -> BaseFileLock:
    """A lock between processes; `acquire` it, or use it as a context."""
    from filelock import FileLock  # noqa: PLC0415 - comes with the ledger

    return FileLock(file, timeout=timeout, thread_local=False, mode=0o600)


class Presence:
    """This process among those that share a state folder.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        self.me: Final = uuid.uuid4().hex
        self._folder = folder
        self._own: BaseFileLock | None = None

    def enter(self) -> None:
        """Show that this process is there, again where its file was deleted, and clear up after those that are not."""
        (self._folder / "alive").mkdir(exist_ok=True, mode=0o700)
        with self._probing():
            self.leave()
            self._own = lock(self._file(self.me))
            self._own.acquire(blocking=False)
            for file in (self._folder / "alive").iterdir():
                if file.name != self.me and not _is_held(file):
                    with contextlib.suppress(OSError):
                        file.unlink()

    def seen(self) -> FileIdentity:
        """What the others can see of this process.

        Raises:
            OSError: They cannot.
        """
        return identity(self._file(self.me))

    def leave(self) -> None:
        """Say that this process works on nothing any more."""
        if self._own is not None:
            self._own.release()

    def is_there(self, process: str) -> bool:
        """Whether another process is still there."""
        with self._probing():
            return _is_held(self._file(process))

    def others(self) -> int:
        """How many other processes are there."""
        with self._probing():
            files = [file for file in (self._folder / "alive").iterdir() if file.name != self.me]
            return sum(map(_is_held, files))

    def _file(self, process: str) -> Path:
        return self._folder / "alive" / process

    def _probing(self) -> BaseFileLock:
        """Held while locks of processes are taken or tried: to try a lock is to hold it for a moment.

        Nobody waits for the database while holding it, so that it may be asked for inside a transaction.
        """
        return lock(self._folder / "probing.lock")


def _is_held(file: Path) -> bool:
    from filelock import Timeout  # noqa: PLC0415 - loaded by now

    if not file.exists():
        return False
    tried = lock(file)
    try:
        tried.acquire(blocking=False)
    except Timeout:
        return True
    tried.release()
    return False
