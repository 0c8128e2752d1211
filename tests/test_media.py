"""Videos on disk: every byte right wherever the download breaks, or nothing under the video's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.media import fetching
from tests.filehost import (
    BEFORE,
    CLIP,
    FINISHED,
    NAME,
    NOON,
    OTHER_CLIP,
    Day,
    Host,
    breaking,
    finished,
    names,
    other_version,
    raising,
    saying,
    serve,
)

pytestmark = pytest.mark.anyio

SIZE = len(CLIP)


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


def part(start: int, end: int, total: object, content: bytes, **headers: str) -> Day:
    return saying(206, content, content_range=f"bytes {start}-{end}/{total}", **headers)


BREAKS: dict[str, tuple[list[Day], list[str | None], int]] = {
    # what happens: (the host's days, the ranges asked, bytes that came more than once)
    "headers only": ([breaking(0)], [None, None], 0),
    "after the first byte": ([breaking(1)], [None, "bytes=1-"], 0),
    "inside the first header": ([breaking(7)], [None, "bytes=7-"], 0),
    "inside a chunk": ([breaking(1777)], [None, "bytes=1777-"], 0),
    "between two chunks": ([breaking(4000)], [None, "bytes=4000-"], 0),
    "before the last byte": ([breaking(SIZE - 1)], [None, f"bytes={SIZE - 1}-"], 0),
    "after the last byte": ([breaking(SIZE)], [None, f"bytes={SIZE}-"], 0),
    "a silence": ([breaking(5000, httpx.ReadTimeout("silence"))], [None, "bytes=5000-"], 0),
    "a protocol error": ([breaking(5000, httpx.RemoteProtocolError("eof"))], [None, "bytes=5000-"], 0),
    "an end that looks orderly": (
        [lambda host, request: serve(host, request, 3000)],
        [None, "bytes=3000-"],
        0,
    ),
    "no connection at first": ([raising(httpx.ConnectError("no"))], [None, None], 0),
    "no connection in the middle": (
        [breaking(100), raising(httpx.ConnectTimeout("no"))],
        [None, "bytes=100-", "bytes=100-"],
        0,
    ),
    "a break in the rest": ([breaking(100), breaking(9000)], [None, "bytes=100-", "bytes=9000-"], 0),
    "a break before the rest": ([breaking(100), breaking(100)], [None, "bytes=100-", "bytes=100-"], 0),
    "five hundred and three in the middle": ([breaking(100), saying(503)], [None, "bytes=100-", "bytes=100-"], 0),
    "too many requests": ([saying(429, retry_after="1")], [None, None], 0),
    "a rest that is shorter than asked": (
        [breaking(100), part(100, 199, SIZE, CLIP[100:200])],
        [None, "bytes=100-", "bytes=200-"],
        0,
    ),
    "a rest without a total": ([breaking(100), part(100, SIZE - 1, "*", CLIP[100:])], [None, "bytes=100-"], 0),
    "a beginning sent as a part": ([part(0, SIZE - 1, SIZE, CLIP)], [None], 0),
    "a host that knows no parts": ([breaking(2000), saying(200, CLIP)], [None, "bytes=2000-"], 2000),
    "a part from elsewhere": (
        [breaking(2000), part(1000, SIZE - 1, SIZE, CLIP[1000:])],
        [None, "bytes=2000-", None],
        2000,
    ),
    "a part that begins too late": (
        [breaking(2000), part(2001, SIZE - 1, SIZE, CLIP[2001:])],
        [None, "bytes=2000-", None],
        2000,
    ),
    "a part that does not say which": ([breaking(2000), saying(206, CLIP)], [None, "bytes=2000-", None], 2000),
    "a part of nonsense": (
        [breaking(2000), saying(206, CLIP, content_range="bytes ²-9/x")],
        [None, "bytes=2000-", None],
        2000,
    ),
    "another total": (
        [breaking(2000), part(2000, SIZE, SIZE + 1, CLIP[2000:] + b"x")],
        [None, "bytes=2000-", None],
        2000,
    ),
    "a refused part without a total": ([breaking(2000), saying(416)], [None, "bytes=2000-", None], 2000),
    "a refused part with another total": (
        [breaking(2000), saying(416, content_range="bytes */5")],
        [None, "bytes=2000-", None],
        2000,
    ),
}


@pytest.mark.parametrize("what", BREAKS)
async def test_a_download_that_breaks_is_gone_on_with_to_the_right_bytes(videos: Path, what: str) -> None:
    days, ranges, again = BREAKS[what]
    host = Host(list(days))
    saved = await host.folder(videos).save(FINISHED)
    assert saved.read_bytes() == CLIP
    assert (host.ranges, host.again) == (ranges, again)
    assert names(videos) == [NAME]


@pytest.mark.parametrize(
    ("day", "conditions"),
    [
        (other_version(), [None, '"one"']),
        (other_version(lambda host, request: serve(host, _unconditional(request))), [None, '"one"', None]),
    ],
)
async def test_a_file_that_changes_at_its_host_is_fetched_anew(videos: Path, day: Day, conditions: list[Any]) -> None:
    """The second host does not know If-Range and sends a part of the new version."""
    host = Host([breaking(2000), day])
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == OTHER_CLIP
    assert [condition for _, condition in host.asked] == conditions


def _unconditional(request: httpx.Request) -> httpx.Request:
    return httpx.Request("GET", request.url, headers={"Range": request.headers["range"]})


@pytest.mark.parametrize(
    ("etag", "modified", "condition"),
    [
        ('"one"', "Mon, 23 Nov 2026 10:05:00 GMT", '"one"'),
        ('W/"one"', "Mon, 23 Nov 2026 10:05:00 GMT", "Mon, 23 Nov 2026 10:05:00 GMT"),
        ('W/"one"', None, None),
        (None, None, None),
        ('"ö"', None, None),
        ('"' + "x" * 300 + '"', None, None),
        ("no quotes", None, None),
    ],
)
async def test_the_rest_is_asked_for_with_what_the_host_calls_the_version(
    videos: Path, etag: str | None, modified: str | None, condition: str | None
) -> None:
    host = Host([breaking(10)], etag=etag, modified=modified)
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert host.asked[1] == ("bytes=10-", condition)


async def test_what_the_first_answer_told_is_kept_when_the_rest_comes_without_it(videos: Path) -> None:
    host = Host([breaking(100), part(100, SIZE - 1, "*", CLIP[100:200])])
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert host.asked[1:] == [("bytes=100-", '"one"'), ("bytes=200-", '"one"')]


async def test_a_save_gives_up_after_a_handful_of_tries_and_a_later_process_goes_on(videos: Path) -> None:
    host = Host([breaking(at) for at in range(1000, 10_000, 1000)])
    started = anyio.current_time()
    with pytest.raises(DownloadFailed, match="broke off") as failure:
        await host.folder(videos).save(FINISHED)
    assert len(host.asked) == 1 + len(fetching.PAUSES)
    assert anyio.current_time() - started == sum(fetching.PAUSES)
    assert failure.value.task_id == "ck1"
    assert "5,000 bytes" in failure.value.next_steps[0]
    assert names(videos) == [f".{NAME}.part"]
    host.days.clear()
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert host.asked[-1] == ("bytes=5000-", None), "what the first process knew of the version is not known here"
    assert host.again == 0
    assert names(videos) == [NAME]


async def test_the_same_process_goes_on_with_the_version_it_knew(videos: Path) -> None:
    host = Host([breaking(1000)] * 5)
    saving = host.folder(videos)
    with pytest.raises(DownloadFailed):
        await saving.save(FINISHED)
    await saving.save(FINISHED)
    assert host.asked[-1] == ("bytes=1000-", '"one"')


async def test_a_partial_that_was_whole_but_had_no_name_yet_costs_one_question(videos: Path) -> None:
    videos.mkdir()
    (videos / f".{NAME}.part").write_bytes(CLIP)
    host = Host()
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert (host.ranges, host.sent) == ([f"bytes={SIZE}-"], [0])


@pytest.mark.parametrize("left", [b"<html>" * 100, CLIP[:100] + b"\0" * 5000, CLIP + b"longer", OTHER_CLIP])
async def test_garbage_that_another_process_left_does_not_cost_the_video(videos: Path, left: bytes) -> None:
    videos.mkdir()
    (videos / f".{NAME}.part").write_bytes(left)
    assert (await Host().folder(videos).save(FINISHED)).read_bytes() in (CLIP, left)
    assert names(videos) == [NAME]


async def test_a_body_of_unknown_length_is_checked_by_its_boxes(videos: Path) -> None:
    host = Host([saying(200, CLIP[:-9]), saying(200, CLIP)])
    with pytest.raises(DownloadFailed, match="cut-off"):
        await host.folder(videos).save(FINISHED)
    assert names(videos) == []
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP


async def test_a_video_that_is_announced_larger_than_any_real_one_is_not_begun(videos: Path) -> None:
    host = Host([saying(200, CLIP, content_length="2147483649")])
    with pytest.raises(DownloadFailed, match="larger than 2,147,483,648 bytes"):
        await host.folder(videos).save(FINISHED)
    assert host.sent == [0]
    assert names(videos) == []


async def test_bytes_packed_by_the_host_are_refused(videos: Path) -> None:
    with pytest.raises(DownloadFailed, match="compressed"):
        await Host([saying(200, CLIP, content_encoding="gzip")]).folder(videos).save(FINISHED)


async def test_redirects_are_followed_with_the_range_and_without_the_key(videos: Path) -> None:
    def elsewhere(_: Host, __: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "https://other.example.test/files/x"})

    host = Host([breaking(100), elsewhere])
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert host.ranges == [None, "bytes=100-", "bytes=100-"]


@pytest.mark.parametrize("location", ["ftp://files.example.test/x", "http://[", "https://files.example.test/round"])
async def test_an_address_that_leads_nowhere_is_one_clear_failure(videos: Path, location: str) -> None:
    answer = httpx.Response(302, headers={"Location": location})
    with pytest.raises(DownloadFailed):
        await Host([lambda *_: answer] * 200).folder(videos).save(FINISHED)
    assert names(videos) == []


@pytest.mark.parametrize(
    ("status", "now", "told", "open_it"),
    [
        (404, BEFORE, "The file host answered 404.", True),
        (403, BEFORE, "The file host answered 403.", True),
        (404, BEFORE + 301, "expired on 2026-11-24T10:05:00Z", False),
        (403, BEFORE + 301, "expired on 2026-11-24T10:05:00Z", False),
        (410, BEFORE + 301, "expired on 2026-11-24T10:05:00Z", False),
        (401, BEFORE + 301, "The file host answered 401.", True),
        (304, BEFORE, "The file host answered 304.", True),
    ],
)
async def test_a_file_that_is_gone_is_told_apart_from_one_that_is_refused(
    videos: Path, status: int, now: float, told: str, open_it: bool
) -> None:
    host = Host([breaking(100), saying(status, b"packed", content_encoding="gzip")])
    with pytest.raises(DownloadFailed, match=told) as failure:
        await host.folder(videos, wall=lambda: now).save(FINISHED)
    assert ("videoUrl" in " ".join(failure.value.next_steps)) is open_it
    assert names(videos) == ([f".{NAME}.part"] if open_it else [])
    assert len(host.asked) == 2


async def test_a_file_that_is_long_gone_is_not_asked_for(videos: Path) -> None:
    videos.mkdir()
    (videos / f".{NAME}.part").write_bytes(CLIP[:100])
    host = Host()
    with pytest.raises(DownloadFailed, match="expired") as failure:
        await host.folder(videos, wall=lambda: NOON).save(FINISHED)
    assert "videoUrl" not in " ".join(failure.value.next_steps)
    assert host.asked == []
    assert names(videos) == []


async def test_an_expired_video_that_was_saved_is_still_there(videos: Path) -> None:
    saved = await Host().folder(videos).save(FINISHED)
    host = Host()
    assert await host.folder(videos, wall=lambda: NOON).save(FINISHED) == saved
    assert host.asked == []


async def test_a_date_within_the_last_hour_is_not_believed_before_the_host(videos: Path) -> None:
    assert await Host().folder(videos, wall=lambda: NOON - 3600).save(FINISHED)
    with pytest.raises(DownloadFailed, match="404"):
        await Host([saying(404)]).folder(videos).save(finished(id="ck2", completedAt=None))


async def test_a_task_without_a_file_cannot_be_saved(videos: Path) -> None:
    with pytest.raises(DownloadFailed, match="names no file"):
        await Host().folder(videos).save(finished(output={}))
