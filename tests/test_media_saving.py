"""What is kept and what is not, disks that refuse, what is told meanwhile, and several saves at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.media import fault_of, fetching, folder, places
from tests.fakes import FakeNetwork
from tests.filehost import CLIP, FINISHED, NAME, Host, breaking, hanging, names

pytestmark = pytest.mark.anyio

SIZE = len(CLIP)


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


def box(kind: bytes, content: bytes = b"", *, form: int = 32) -> bytes:
    if form == 64:
        return b"\0\0\0\1" + kind + (16 + len(content)).to_bytes(8) + content
    return (8 + len(content) if form else 0).to_bytes(4) + kind + content


FTYP = box(b"ftyp", b"isom\0\0\2\0")
WHOLE = {
    "a clip": CLIP,
    "long sizes": FTYP + box(b"mdat", b"x" * 90, form=64) + box(b"moov", b"y"),
    "an open end": FTYP + box(b"moov") + box(b"mdat", b"x" * 90, form=0),
    "fragments": FTYP + box(b"moov") + box(b"moof") + box(b"mdat"),
    "unknown boxes": FTYP + box(b"free") + box(b"\0\0\0\0") + box(b"moov") + box(b"mdat"),
}
NOT_WHOLE = {
    "nothing": b"",
    "a page": b"<!doctype html><html>" * 50,
    "an error": b'{"error": "gone"}',
    "a clip without its end": CLIP[:-1],
    "a clip's half": CLIP[: SIZE // 2],
    "a clip with a tail": CLIP + b"\0",
    "a clip with an empty box": CLIP + b"\0" * 7,
    "no film": FTYP + box(b"moov"),
    "no index": FTYP + box(b"mdat", b"x" * 50),
    "not at the beginning": box(b"free") + CLIP,
    "a box of size 2": FTYP + b"\0\0\0\2moov" + box(b"mdat"),
    "a long box of size 15": FTYP + b"\0\0\0\1moov" + (15).to_bytes(8) + box(b"mdat"),
    "a long box that is longer than the world": FTYP + b"\0\0\0\1mdat" + b"\xff" * 8,
    "half a long size": FTYP + box(b"moov") + b"\0\0\0\1mdat\0\0\0",
    "a box that reaches past the end": FTYP + box(b"moov") + b"\0\0\0\x20mdat1234",
    "boxes without an end": FTYP + box(b"free") * 100_001 + box(b"moov") + box(b"mdat"),
}


@pytest.mark.parametrize("what", WHOLE)
async def test_what_is_a_whole_mp4_is_kept(videos: Path, what: str) -> None:
    content = WHOLE[what]
    assert (await Host(content=content).folder(videos).save(FINISHED)).read_bytes() == content


@pytest.mark.parametrize("what", NOT_WHOLE)
async def test_what_is_no_whole_mp4_is_not_kept(videos: Path, what: str) -> None:
    with pytest.raises(DownloadFailed, match="cannot be used"):
        await Host(content=NOT_WHOLE[what]).folder(videos).save(FINISHED)
    assert names(videos) == []


@pytest.mark.parametrize("length", [-1, 0, 1, 7, 8, 15, 23, 24, 31, 32, 40, 5000, SIZE - 1])
def test_a_clip_cut_anywhere_is_seen_to_be_cut(length: int, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(CLIP[:length])
    with (tmp_path / "cut").open("rb") as file:
        assert fault_of(file, len(CLIP[:length]))


async def test_progress_is_told_at_the_start_and_every_two_seconds_at_most(videos: Path) -> None:
    content = FTYP + box(b"moov") + box(b"mdat", b"x" * 3_000_000)

    def slowly(_: Host, __: httpx.Request) -> httpx.Response:
        async def body() -> Any:
            for at in range(0, len(content), 100_000):
                await anyio.sleep(0.5)
                yield content[at : at + 100_000]

        return httpx.Response(200, headers={"Content-Length": str(len(content))}, content=body())

    told: list[tuple[float, str]] = []
    started = anyio.current_time()

    async def tell(message: str) -> None:
        told.append((anyio.current_time() - started, message))

    await Host([slowly], content=content).folder(videos).save(FINISHED, tell)
    assert told[0] == (0, "Saving the video: 0.0 MB; task ck1")
    assert told[1] == (2, "Saving the video: 0.4 of 3.0 MB; task ck1")
    assert [at for at, _ in told] == [0, 2, 4, 6, 8, 10, 12, 14]


async def test_a_host_that_drips_for_an_hour_is_left_and_what_came_is_kept(videos: Path) -> None:
    def dripping(_: Host, __: httpx.Request) -> httpx.Response:
        async def body() -> Any:
            for at in range(SIZE):
                await anyio.sleep(300)
                yield CLIP[at : at + 1]

        return httpx.Response(200, content=body())

    started = anyio.current_time()
    with pytest.raises(DownloadFailed, match="60 minutes"):
        await Host([dripping]).folder(videos).save(FINISHED)
    assert anyio.current_time() - started == folder.LONGEST


async def test_bytes_go_to_disk_in_large_pieces_and_not_to_memory(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    append = places.Partial.append
    monkeypatch.setattr(places.Partial, "append", lambda self, data: (written.append(len(data)), append(self, data))[1])
    content = FTYP + box(b"moov") + box(b"mdat", b"x" * 2_000_000)
    await Host(content=content).folder(videos).save(FINISHED)
    assert sum(written) == len(content)
    assert max(written) < fetching._BATCH + 1000
    assert len(written) == len(content) // fetching._BATCH + 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
async def test_a_disk_that_takes_no_more_is_one_clear_failure_and_what_it_took_is_kept(
    videos: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    append = places.Partial.append

    def full(self: places.Partial, data: bytes) -> None:
        append(self, bytes(data)[:300])
        raise OSError(number, os.strerror(number))

    host = Host()
    monkeypatch.setattr(places.Partial, "append", full)
    with pytest.raises(DownloadFailed, match=os.strerror(number)) as failure:
        await host.folder(videos).save(FINISHED)
    assert str(videos) in failure.value.message
    monkeypatch.setattr(places.Partial, "append", append)
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert host.ranges == [None, "bytes=300-"]


@pytest.mark.parametrize("step", ["mkdir", "open", "fsync", "link"])
async def test_a_folder_that_cannot_be_written_is_one_clear_failure(
    videos: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    videos.parent.joinpath("state").mkdir()
    host = Host()
    saving = host.folder(videos)
    with monkeypatch.context() as patched:
        if step == "mkdir":
            patched.setattr(Path, "mkdir", refuse)
        elif step == "link":
            patched.setattr(os, "link", refuse)
            patched.setattr(Path, "replace", refuse)
        else:
            patched.setattr(os, step, refuse)
        with pytest.raises(DownloadFailed, match="Permission denied"):
            await saving.save(FINISHED)
    assert not videos.exists() or NAME not in names(videos)


async def test_a_file_system_without_links_gets_the_file_too_and_overwrites_nothing(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    videos.mkdir()
    (videos / NAME).write_bytes(b"mine")
    saved = await Host().folder(videos).save(FINISHED)
    assert saved.read_bytes() == CLIP
    assert (videos / NAME).read_bytes() == b"mine"
    assert names(videos) == sorted([NAME, saved.name])


async def test_a_cancelled_save_leaves_its_turn_and_what_came(videos: Path) -> None:
    begun = anyio.Event()
    network = FakeNetwork(file=hanging(CLIP[:500], begun))
    async with anyio.create_task_group() as group:
        saving = Host().folder(videos)
        saving._upstream = network.upstream()
        saving._upstream._exchange = saving._upstream._open()
        group.start_soon(saving.save, FINISHED)
        await begun.wait()
        group.cancel_scope.cancel()
    with anyio.fail_after(60):
        assert (await Host().folder(videos).save(FINISHED)).read_bytes() == CLIP


async def test_two_saves_of_one_task_make_one_download(videos: Path) -> None:
    host = Host([breaking(100)])
    saving, saved, told = host.folder(videos), set(), []

    async def tell(message: str) -> None:
        told.append(message)

    async def save() -> None:
        saved.add(await saving.save(FINISHED, tell))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(save)
    assert saved == {videos / NAME}
    assert host.again == 0
    assert any("Another call" in message for message in told)


async def test_a_save_that_waits_for_another_can_be_cancelled_and_then_the_other_still_ends_well(videos: Path) -> None:
    host = Host([breaking(100)])
    async with anyio.create_task_group() as group:
        group.start_soon(host.folder(videos).save, FINISHED)
        await anyio.sleep(0.1)
        with anyio.move_on_after(0.1) as scope:
            await host.folder(videos).save(FINISHED)
        assert scope.cancelled_caught
    assert names(videos) == [NAME]
    assert host.again == 0


async def test_a_state_folder_that_cannot_be_used_is_said_to_be_the_fault(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(DownloadFailed, match="state folder"):
        await Host().folder(videos).save(FINISHED)
