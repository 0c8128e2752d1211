"""The folder as a fence: nothing here follows a link, writes to what is no plain file, or takes a name that is taken.

Everything blocks and runs in worker threads. Paths are a resolved folder and one plain name.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.media.boxes import fault_of
from aivideo_mcp.media.names import copies, is_partial, partial_name

_STALE: Final = 2 * 24 * 3600.0  # seconds; by then the upstream has deleted the file
# What a platform lacks of these is looked for before and after opening.
_SAFELY: Final = sum(getattr(os, f"O_{name}", 0) for name in ("NOFOLLOW", "NONBLOCK", "NOCTTY", "CLOEXEC", "BINARY"))


def open_folder(folder: Path, now: float) -> Path:
    """The folder's own path, made where it is missing, and rid of partial files that nobody went on with.

    Args:
        folder: As it was set; it may be a link itself.
        now: Unix seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(os.path.realpath(folder, strict=True))
    with os.scandir(root) as entries:
        for entry in entries:
            if is_partial(entry.name):
                with contextlib.suppress(OSError):
                    its = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(its.st_mode) and its.st_mtime < now - _STALE:
                        Path(entry.path).unlink()
    return root


def choose(root: Path, name: str) -> tuple[Path, bool]:
    """The first place for a file of this name: where it is whole already (True), or may be written (False).

    Raises:
        DownloadFailed: All names are taken.
    """
    for target in _targets(root, name):
        if _is_whole(target):
            return target, True
        if not os.path.lexists(target) and _may_grow(partial_of(target)):
            return target, False
    raise DownloadFailed(f'In the output folder all names for this video are taken by other files ("{name}").')


def partial_of(target: Path) -> Path:
    """The path at which a file grows before it gets its name."""
    return target.with_name(partial_name(target.name))


class Partial:
    """A file that is not whole yet, open for writing at its end.

    Attributes:
        path: Where it is.
        size: Bytes that are in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        there = os.path.lexists(path)
        descriptor = os.open(path, os.O_RDWR | _SAFELY | (0 if there else os.O_CREAT | os.O_EXCL), 0o666)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self.size = self._file.seek(0, os.SEEK_END)
        if not self._in_place():
            self._file.close()
            raise DownloadFailed("Another program put something in the way of the download.")

    def append(self, data: bytes | bytearray) -> None:
        """Add bytes at the end; what could be written counts even where an OSError ends it."""
        rest = memoryview(data)
        self._file.seek(self.size)
        while rest:
            written = self._file.write(rest)
            self.size += written
            rest = rest[written:]

    def restart(self) -> None:
        """Make it empty."""
        self._file.truncate(0)
        self.size = 0

    def fault(self) -> str | None:
        """What keeps it from being a whole MP4."""
        return fault_of(self._file, self.size)

    def place(self, name: str) -> Path:
        """Give it its name, or another where that was taken meanwhile; the path of the whole file."""
        os.fsync(self._file.fileno())
        if not self._in_place():
            raise DownloadFailed("Another program put something in the place of the download.")
        for target in _targets(self.path.parent, name):
            if _is_whole(target):
                self.discard()
                return target
            with contextlib.suppress(FileExistsError):
                self._rename(target)
                return target
        raise DownloadFailed("In the output folder all names for this video are taken by other files.")

    def discard(self) -> None:
        """Remove it: nothing of it is of use."""
        self.size = 0
        self.close()

    def close(self) -> None:
        """Close it; an empty one is removed."""
        if not self._file.closed:
            in_place = self._in_place()
            self._file.close()
            if self.size == 0 and in_place:
                with contextlib.suppress(OSError):
                    self.path.unlink()

    def _rename(self, target: Path) -> None:
        """Raises FileExistsError rather than overwrite."""
        try:
            os.link(self.path, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without links: take the name with an empty file of ours, and put ours over it
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o666))
            self._file.close()
            try:
                self.path.replace(target)
            except BaseException:
                target.unlink()
                raise
        else:
            self._file.close()
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _in_place(self) -> bool:
        """Whether what is open is the one plain file under its path, in the folder itself."""
        try:
            there = os.lstat(self.path)
            inside = Path(os.path.realpath(self.path.parent, strict=True)) == self.path.parent
        except OSError:
            return False
        return inside and _is_plain(there) and os.path.samestat(there, os.fstat(self._file.fileno()))


def _targets(root: Path, name: str) -> list[Path]:
    return [root / copy for copy in copies(name) if Path(copy).name == copy]


def read_video(folder: Path, target: Path, most: int) -> tuple[int, bytes]:
    """The size of a whole video in the folder itself, and its content, which is empty where there is more than `most`.

    Raises:
        FileNotFoundError: There is none, or it is a link or elsewhere.
        OSError: It cannot be read.
    """
    root = Path(os.path.realpath(folder, strict=True))
    if Path(os.path.realpath(target.parent, strict=True)) != root:
        raise FileNotFoundError
    with _opened(root / target.name) as file:
        size = os.fstat(file.fileno()).st_size
        if fault_of(file, size):
            raise FileNotFoundError
        file.seek(0)
        return size, file.read(size) if size <= most else b""


@contextlib.contextmanager
def _opened(target: Path) -> Iterator[BinaryIO]:
    """A regular file, not a link to one, open for reading.

    Raises:
        FileNotFoundError: There is something else, or nothing.
    """
    if not stat.S_ISREG(os.lstat(target).st_mode):  # a device or FIFO is not even opened
        raise FileNotFoundError
    with os.fdopen(os.open(target, os.O_RDONLY | _SAFELY), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileNotFoundError
        yield file


def _is_whole(target: Path) -> bool:
    """Whether there is a whole video, not a link to one."""
    try:
        with _opened(target) as file:
            return fault_of(file, os.fstat(file.fileno()).st_size) is None
    except OSError:
        return False


def _may_grow(partial: Path) -> bool:
    try:
        return _is_plain(os.lstat(partial))
    except FileNotFoundError:
        return True


def _is_plain(its: os.stat_result) -> bool:
    """A regular file with one name: a second one may be outside of the folder."""
    return stat.S_ISREG(its.st_mode) and its.st_nlink == 1
