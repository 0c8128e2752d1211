"""An output folder that takes no file is told before anything is paid for; what breaks later costs no video."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest

from aivideo_mcp.contracts import read_request
from aivideo_mcp.errors import DownloadFailed, FolderUnusable
from aivideo_mcp.media import fault_of_folder
from aivideo_mcp.submission import Terms
from aivideo_mcp.tasks import Envelope
from aivideo_mcp.workflow import Waited, Workflow
from tests.fakes import SUBMITTED, T2V, FakeNetwork, reply, task

pytestmark = pytest.mark.anyio
REQUEST = read_request(T2V)


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def silent(_: str) -> None:
    return


async def generate(workflow: Workflow) -> Waited:
    return await workflow.generate(REQUEST, Terms(), silent, seen=True)


def network() -> FakeNetwork:
    done = reply(task("COMPLETED"))
    return FakeNetwork(generate=reply(SUBMITTED), status=reply({"status": "COMPLETED"}), task=done, file=reply({}, 404))


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, told: str) -> None:
    def refused(**_: Any) -> None:
        raise OSError(number, told)

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)


@pytest.mark.parametrize("fresh", [True, False])
async def test_nothing_is_sent_where_the_video_could_not_be_saved(tmp_path: Path, *, fresh: bool) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "videos"
    its = network()
    async with its.workflow(output_dir=folder) as workflow:
        with pytest.raises(FolderUnusable) as caught:
            await (workflow.create(REQUEST, Terms()) if fresh else generate(workflow))
    envelope = Envelope.failure(caught.value)
    assert (envelope.ok, envelope.error_code) == (False, "DOWNLOAD_FAILED")
    assert f"AIVIDEO_OUTPUT_DIR {folder} cannot be made" in (envelope.error_message or "")
    assert "Nothing was sent or charged" in (envelope.error_message or "")
    assert "AIVIDEO_OUTPUT_DIR" in envelope.next_steps[0]
    assert its.calls() == []


@pytest.mark.parametrize(("number", "told"), [(errno.EACCES, "Permission denied"), (errno.ENOSPC, "No space left")])
async def test_once_the_folder_is_mended_the_same_call_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    its = network()
    async with its.workflow(output_dir=tmp_path) as workflow:
        with monkeypatch.context() as patched:
            refuse(patched, number, told)
            with pytest.raises(FolderUnusable, match=told):
                await workflow.create(REQUEST, Terms())
        assert not (await workflow.create(REQUEST, Terms())).joined
    assert its.calls().count("generate") == 1


async def test_who_joins_a_generation_that_is_paid_for_gets_its_address_whatever_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = network()
    async with its.workflow(output_dir=tmp_path) as workflow:
        await workflow.create(REQUEST, Terms())
        refuse(monkeypatch, errno.EACCES, "Permission denied")
        waited = await generate(workflow)
    assert waited.joined
    assert waited.task.video_url == "https://files.example.test/ck1.mp4"
    assert isinstance(waited.unsaved, DownloadFailed)
    assert its.calls().count("generate") == 1


async def test_a_folder_that_breaks_after_the_charge_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    its = network()
    async with its.workflow(output_dir=folder) as workflow:
        await workflow.create(REQUEST, Terms())
        folder.touch()
        waited = await generate(workflow)
    assert waited.task.video_url
    assert waited.unsaved
    assert str(folder) in waited.unsaved.message
    assert "Open videoUrl" in waited.unsaved.next_steps[0]
    assert "AIVIDEO_OUTPUT_DIR" in waited.unsaved.next_steps[1]


async def test_without_an_output_folder_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EACCES, "Permission denied")
    its = network()
    async with its.workflow() as workflow:
        await workflow.create(REQUEST, Terms())
    assert its.calls().count("generate") == 1


def test_a_look_leaves_nothing_behind_and_makes_nothing(tmp_path: Path) -> None:
    assert fault_of_folder(tmp_path) is None
    assert fault_of_folder(tmp_path / "a" / "b") is None
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_nowhere_takes_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "cannot be written to" in (fault_of_folder(tmp_path / "link") or "")
