"""Saved videos: whole or not at all, inside the folder, never over another file."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from aivideo_mcp import media
from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.media import VideoFolder, file_name
from aivideo_mcp.tasks import Task
from tests.fakes import FakeNetwork, task

pytestmark = pytest.mark.anyio

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00" + b"moov" * 64
FINISHED = Task.read(task("COMPLETED"))
assert FINISHED is not None


async def test_bytes_that_are_no_mp4_are_not_kept(tmp_path: Path) -> None:
    network = FakeNetwork(file=httpx.Response(200, content=b"<html>" * 50))
    with pytest.raises(DownloadFailed, match="not an MP4"):
        await VideoFolder(tmp_path, network.upstream()).save(FINISHED)
    assert list(tmp_path.iterdir()) == []


async def test_a_download_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    async def broken(_: httpx.Request) -> httpx.Response:
        async def body() -> object:
            yield MP4
            raise httpx.ReadError("reset")

        return httpx.Response(200, content=body())

    with pytest.raises(DownloadFailed, match="broke off"):
        await VideoFolder(tmp_path, FakeNetwork(file=broken).upstream()).save(FINISHED)
    assert list(tmp_path.iterdir()) == []


async def test_a_video_larger_than_any_real_one_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_VIDEO", 100)
    network = FakeNetwork(file=httpx.Response(200, content=MP4))
    with pytest.raises(DownloadFailed, match="larger than 100 bytes"):
        await VideoFolder(tmp_path, network.upstream()).save(FINISHED)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_there_already_is_kept_and_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / file_name(FINISHED)).write_bytes(b"mine")
    network = FakeNetwork()
    saved = await VideoFolder(tmp_path, network.upstream()).save(FINISHED)
    assert saved.read_bytes() == b"mine"
    assert network.requests == []


async def test_a_file_that_appears_during_the_download_is_not_overwritten(tmp_path: Path) -> None:
    async def racing(_: httpx.Request) -> httpx.Response:
        (tmp_path / file_name(FINISHED)).write_bytes(b"theirs")
        return httpx.Response(200, content=MP4)

    saved = await VideoFolder(tmp_path, FakeNetwork(file=racing).upstream()).save(FINISHED)
    assert saved.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [saved]


async def test_a_file_system_without_links_gets_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    network = FakeNetwork(file=httpx.Response(200, content=MP4))
    assert (await VideoFolder(tmp_path, network.upstream()).save(FINISHED)).read_bytes() == MP4


async def test_a_folder_that_cannot_be_made_is_one_clear_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadFailed, match="could not be written"):
        await VideoFolder(tmp_path / "file" / "sub", FakeNetwork().upstream()).save(FINISHED)


async def test_a_task_without_a_file_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="names no file"):
        await VideoFolder(tmp_path, FakeNetwork().upstream()).save(FINISHED.model_copy(update={"video_url": None}))


@pytest.mark.parametrize(
    "task_id", ["../../etc/passwd", "a\\b", "C:evil", "con", "x" * 500, "tv_1:2", ".hidden", "a\x00b"]
)
def test_a_file_name_stays_one_plain_name_whatever_the_task_is_called(task_id: str) -> None:
    name = file_name(FINISHED.model_copy(update={"id": task_id, "model": "../m", "created_at": "../../../.."}))
    assert Path(name).name == name
    assert len(name) < 160
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert name.count(".") == 1
