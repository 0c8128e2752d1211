"""Local pictures: a file inside the folders of `AIVIDEO_IMAGE_DIRS` becomes a data URI, and nothing else is read.

The real path decides, symlinks resolved. The file is reached from its folder without following a link again, and what
was opened is looked at, not what a name meant a moment ago. A path outside is not told whether there is anything.
"""

from __future__ import annotations

import functools
import ntpath
import operator
import os
import posixpath
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from aivideo_mcp.contracts import MAX_IMAGE_BYTES, picture_uri, too_large

_LONGEST: Final = 4096  # characters of a path
_FILE_URL: Final = re.compile(r"file:(//(?P<host>[^/?#]*)|(?!//))(?P<path>/[^?#]*)", re.IGNORECASE)
_NETWORK: Final = re.compile(r"[/\\]{2}")
_DEVICE: Final = re.compile(  # of Windows: CON, nul.png, COM1; and a second stream of a file, a.png:b
    r"(^|[/\\])(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.[^/\\]*)?([/\\]|$)|:", re.IGNORECASE
)


def _flags(*names: str) -> int:
    """What the platform has of these flags for `os.open`."""
    return functools.reduce(operator.or_, (getattr(os, name, 0) for name in names))


_WINDOWS: Final = os.name == "nt"
_WALKS: Final = os.open in os.supports_dir_fd
_DIRECTORY: Final = _flags("O_PATH", "O_DIRECTORY", "O_NOFOLLOW")
_FILE: Final = _flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY")  # a FIFO keeps nobody waiting


@dataclass(frozen=True, slots=True)
class PictureFolders:
    """The folders that local pictures may be read from.

    Attributes:
        folders: Absolute; they need not exist yet.
        roots: What clients' roots leave of them: a file must also lie in one folder of each group.
    """

    folders: tuple[Path, ...]
    roots: tuple[tuple[Path, ...], ...] = ()

    def read(self, text: str) -> str:
        """The data URI of the picture that an absolute path or a `file://` URL names. Blocks.

        Raises:
            ValueError: With a text that follows the field's name, and never holds the path or the content.
        """
        path = Path(os.path.realpath(local_path(text)))
        folder = self._around(path)
        try:
            return picture_uri(_content(folder, path))
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError("is not there: its folder has no such file") from None
        except OSError as fault:
            raise ValueError(f"cannot be read: {fault.strerror or 'disk error'}") from None

    def narrowed(self, roots: Iterable[str]) -> PictureFolders:
        """These folders as far as they lie in a client's roots (`file://` URIs); unchanged where it offers none."""
        offered = list(roots)
        within = []
        for root in offered:
            with suppress(ValueError):  # what cannot be read allows nothing
                within.append(Path(local_path(root)))
        return replace(self, roots=(*self.roots, tuple(within))) if offered else self

    def _around(self, path: Path) -> Path:
        """The folder, resolved, that a resolved path lies in."""
        around = next((folder for folder in map(_real, self.folders) if path.is_relative_to(folder)), None)
        if around is None or not all(any(path.is_relative_to(_real(r)) for r in group) for group in self.roots):
            roots = " and the client's roots" if self.roots else ""
            raise ValueError(f"is outside the folders of AIVIDEO_IMAGE_DIRS{roots}; only files inside are read")
        return around


def local_path(text: str, *, windows: bool = _WINDOWS) -> str:
    """The absolute path that a path or a `file://` URL means; `..` is taken by the letter, before any link.

    Raises:
        ValueError: It is none, or one that is never opened.
    """
    flavour = ntpath if windows else posixpath
    if len(text) > _LONGEST:
        raise ValueError(f"is neither URL nor data URI, and too long for a path: {len(text):,} characters")
    path = _path_of_url(text, windows=windows) if text[:5].lower() == "file:" else text
    if _NETWORK.match(path):
        raise ValueError("is a network path; only files on this machine are read")
    drive, rest = flavour.splitdrive(path)
    if not flavour.isabs(path) or (windows and not drive):
        raise ValueError(
            "is neither a public http(s) URL nor a data:image/...;base64 URI, and no absolute path or file:// URL "
            "either; relative paths and ~ are not taken"
        )
    if "\0" in path or (windows and _DEVICE.search(rest)):
        raise ValueError("is a path that no file can have")
    try:
        path.encode()
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError("is a path with half of a character, or one that this machine cannot write") from None
    normal: str = flavour.normpath(path)
    return normal


def _path_of_url(url: str, *, windows: bool) -> str:
    parts = _FILE_URL.fullmatch(url)
    if parts is None:
        raise ValueError("is not a file URL that can be read; write file:///folder/picture.png, with %3F for ?")
    if (parts["host"] or "").lower() not in ("", "localhost"):
        raise ValueError("is a file URL of another machine; only files on this machine are read")
    try:
        path = unquote(parts["path"], errors="strict")
    except UnicodeDecodeError:
        raise ValueError("is a file URL whose %-signs are not UTF-8") from None
    return path[1:] if windows and re.match("/[A-Za-z]:", path) else path


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _content(folder: Path, path: Path) -> bytes:
    """The whole of the file at a resolved path inside a resolved folder.

    Raises:
        ValueError: It is no regular file, too large, or was changed meanwhile.
        OSError: The disk, the permissions or a link that was put in the way meanwhile.
    """
    with os.fdopen(_opened(folder, path), "rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > MAX_IMAGE_BYTES:
            raise too_large(before.st_size)
        content = file.read(MAX_IMAGE_BYTES + 1)
        after = os.fstat(file.fileno())
    if len(content) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise ValueError("changed while it was read; call again when it is finished")
    return content


def _opened(folder: Path, path: Path) -> int:
    """A descriptor of the regular file at this path, reached from the folder step by step where that can be done."""
    if path == folder:
        raise ValueError("is a folder, not a picture")
    if not _WALKS:
        descriptor = _checked(str(path), None)
        if os.path.realpath(path) != str(path):
            os.close(descriptor)
            raise ValueError("was replaced while it was opened")
        return descriptor
    *steps, name = path.relative_to(folder).parts
    at = os.open(folder, _DIRECTORY)
    try:
        for step in steps:
            below = os.open(step, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return _checked(name, at)
    finally:
        os.close(at)


def _checked(name: str, at: int | None) -> int:
    """A descriptor of the regular file that a name stands for, and of no other."""
    expected = os.stat(name, dir_fd=at, follow_symlinks=False)
    if not stat.S_ISREG(expected.st_mode):  # opening a device can set it going
        raise ValueError("is not a regular file")
    descriptor = os.open(name, _FILE, dir_fd=at)
    if not os.path.samestat(expected, os.fstat(descriptor)):
        os.close(descriptor)
        raise ValueError("was replaced while it was opened")
    return descriptor
