"""The whole suite as one test that the API key stays where it belongs.

Tests use KEY of tests/fakes.py. What each test leaves on stdout, stderr and in the log, and every file that is under
the session's temporary folder at its end (ledgers, videos, halves of videos, locks, child processes' files), is
searched for it, plain and in the encodings in which it could slip through; a find fails the run. `tests/conftest.py`
brings it in, so it is at work when a single file is run, too.
"""

from __future__ import annotations

import base64
import io
import os
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes import KEY

ALLOWED: Final[Mapping[str, str]] = {
    # a part of a path below the temporary folder: why the key may be there
}
_CHUNK: Final = 1024 * 1024
_SECRET: Final = KEY.removeprefix("ak_").encode()


def _encodings(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.decode().encode("utf-16-le")
    yield "".join(f"%{byte:02X}" for byte in secret).encode()
    for before in range(3):  # base64 knows three ways to write it, by what stands in front
        whole = base64.b64encode(b"\0" * before + secret)
        yield whole[(0, 2, 3)[before] : -4]


_NEEDLES: Final = tuple(_encodings(_SECRET))
_LONGEST: Final = max(map(len, _NEEDLES))


def holds_key(text: str | bytes) -> bool:
    """Whether the key is in a text, in whichever encoding."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return any(needle in data for needle in _NEEDLES)


def files_with_key(folder: Path) -> list[str]:
    """The files below a folder that hold the key or are named after it, but for those that may."""
    found = []
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            inside = str(path.relative_to(folder))
            if not any(part in inside for part in ALLOWED) and (holds_key(inside) or _content_holds_key(path)):
                found.append(inside)
    return found


def _content_holds_key(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb", buffering=0) as file:
            kept = b""
            while chunk := _next(file):
                if holds_key(kept + chunk):
                    return True
                kept = chunk[-_LONGEST:]
    except OSError:  # not ours to read, and so not written by us
        return False
    return False


def _next(file: io.FileIO) -> bytes:
    """The next piece of a file; its holes are passed over, since some tests have files of a terabyte of nothing."""
    if hasattr(os, "SEEK_DATA"):
        try:
            file.seek(file.tell(), os.SEEK_DATA)
        except OSError:  # there is no more
            return b""
    return file.read(_CHUNK)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    leaks = sorted({name for name, text in report.sections if holds_key(text)} | item.stash.get(_READ, set()))
    if leaks and report.passed:
        report.outcome = "failed"
        report.longrepr = f"the API key is in: {', '.join(leaks)}"
    return report


class Searched(io.BufferedReader):
    """A process's pipe that a test reads by hand."""

    @staticmethod
    def found() -> None:
        """The key is in it."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line, searched."""
        return self._searched(super().readline(size))

    def read(self, size: int | None = -1, /) -> bytes:
        """What there is, searched."""
        return self._searched(super().read(size))

    def _searched(self, said: bytes) -> bytes:
        if holds_key(said):
            self.found()
        return said


_READ: Final = pytest.StashKey[set[str]]()


@pytest.fixture(autouse=True)
def captured_is_searched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test takes out of the capture, or hears from a process, is in no section of its report."""
    read, communicate = pytest.CaptureFixture.readouterr, subprocess.Popen.communicate

    def searched(self: pytest.CaptureFixture[Any]) -> Any:
        taken = read(self)
        if any(map(holds_key, taken)):
            request.node.stash.setdefault(_READ, set()).add("what was read from the capture")
        return taken

    def heard(self: subprocess.Popen[Any], *given: Any, **named: Any) -> Any:
        said = communicate(self, *given, **named)
        if any(holds_key(text) for text in said if text):
            request.node.stash.setdefault(_READ, set()).add("what a process said")
        return said

    monkeypatch.setattr(pytest.CaptureFixture, "readouterr", searched)
    monkeypatch.setattr(subprocess.Popen, "communicate", heard)
    monkeypatch.setattr(
        Searched, "found", staticmethod(lambda: request.node.stash.setdefault(_READ, set()).add("a process's pipe"))
    )


@pytest.fixture(autouse=True, scope="session")
def files_are_searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the session, whatever was written, by child processes too."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "tmp").mkdir()
    earlier, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TMPDIR", str(folder / "tmp"))
        yield
    tempfile.tempdir = earlier
    leaks = files_with_key(folder)
    assert not leaks, f"the API key is in these files below {folder}: {leaks}"
