"""A file host as the network's `file` answers: it knows ranges and versions, and has bad days by script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx

from aivideo_mcp.media import VideoFolder, file_name
from aivideo_mcp.sandbox.clips import clip_for
from aivideo_mcp.tasks import Task
from tests.fakes import FakeNetwork, at_once, task

CLIP = clip_for("16:9").read_bytes()
OTHER_CLIP = clip_for("9:16").read_bytes()
NOON = (
    1_795_521_600.0  # 2026-11-24T12:00:00Z; the task's file expires at 10:05 of that day, and one hour later for sure
)
BEFORE = NOON - 7200.0  # 10:00:00Z

Day = Callable[["Host", httpx.Request], httpx.Response]


def finished(**fields: Any) -> Task:
    """A finished task, as it is read from the upstream."""
    read = Task.read(task("COMPLETED", **fields))
    assert read is not None
    return read


FINISHED = finished()
NAME = file_name(FINISHED)


@dataclass
class Host:
    """Serves one file; `days` are its answers until they are used up, then it behaves.

    `asked` holds Range and If-Range of each request, `sent` the number of bytes that went out for it.
    """

    days: list[Day] = field(default_factory=list)
    content: bytes = CLIP
    etag: str | None = '"one"'
    modified: str | None = None
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert "key" not in request.headers
        self.asked.append((request.headers.get("range"), request.headers.get("if-range")))
        self.sent.append(0)
        return (self.days.pop(0) if self.days else serve)(self, request)

    @property
    def ranges(self) -> list[str | None]:
        """The Range of each request."""
        return [given for given, _ in self.asked]

    @property
    def again(self) -> int:
        """How many bytes went out more often than once."""
        return sum(self.sent) - len(self.content)

    def folder(self, path: Path, **given: Any) -> VideoFolder:
        """A folder whose videos come from here, as a new process would make it."""
        state = path.parent / "state"
        upstream = FakeNetwork(file=self).upstream()
        upstream._exchange = upstream._open()  # here, since a clock that jumps does not wait for the thread that would
        return VideoFolder(path, upstream, lambda: state, **{"wall": lambda: BEFORE, "in_thread": at_once, **given})

    def stream(self, data: bytes, fault: Exception | None = None, piece: int = 1000) -> AsyncIterator[bytes]:
        """A body in pieces, counted, that may break off at its end."""
        number = len(self.sent) - 1

        async def body() -> AsyncIterator[bytes]:
            for at in range(0, len(data), piece):
                self.sent[number] += len(data[at : at + piece])
                yield data[at : at + piece]
            if fault:
                raise fault

        return body()


def serve(
    host: Host, request: httpx.Request, upto: int | None = None, fault: Exception | None = None
) -> httpx.Response:
    """The right answer; up to a byte of the file alone where one is given."""
    total, asked, condition = len(host.content), request.headers.get("range"), request.headers.get("if-range")
    versions = {name: value for name, value in (("ETag", host.etag), ("Last-Modified", host.modified)) if value}
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if condition not in (None, host.etag, host.modified):
        start, asked = 0, None
    if asked and start >= total:
        return httpx.Response(416, headers={"Content-Range": f"bytes */{total}"})
    told = {"Content-Length": str(total - start), **versions}
    if asked:
        told["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
    headers = encoded(told)
    return httpx.Response(206 if asked else 200, headers=headers, content=host.stream(host.content[start:upto], fault))


def encoded(headers: dict[str, str]) -> dict[bytes, bytes]:
    """Headers as they may come over the wire, which knows more than ASCII."""
    return {name.encode(): value.encode() for name, value in headers.items()}


def breaking(at: int, fault: Exception | None = None) -> Day:
    """A good answer that is cut at a byte of the file."""
    return lambda host, request: serve(host, request, at, fault or httpx.ReadError("reset"))


def raising(fault: Exception) -> Day:
    """No answer."""

    def day(_host: Host, _request: httpx.Request) -> httpx.Response:
        raise fault

    return day


def saying(status: int, content: bytes | None = None, **headers: str) -> Day:
    """Something else."""
    named = encoded({name.replace("_", "-"): value for name, value in headers.items()})
    return lambda host, _: httpx.Response(status, headers=named, content=host.stream(content or b""))


def other_version(day: Day = serve, content: bytes = OTHER_CLIP, etag: str | None = '"two"') -> Day:
    """The host's file becomes another before it answers."""

    def changed(host: Host, request: httpx.Request) -> httpx.Response:
        host.content, host.etag = content, etag
        return day(host, request)

    return changed


def hanging(
    after: bytes = b"", begun: anyio.Event | None = None
) -> Callable[[httpx.Request], Awaitable[httpx.Response]]:
    """An answer that stops and stays open."""

    async def answer(_: httpx.Request) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            yield after
            if begun:
                begun.set()
            await anyio.sleep_forever()

        return httpx.Response(200, content=body())

    return answer


def names(videos: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in videos.iterdir())
