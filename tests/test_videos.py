"""Saved videos: saved on demand, linked from results, read back byte for byte, and never from elsewhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import anyio
import httpx
import jsonschema
import pytest
from mcp import Client, MCPError
from mcp_types import INVALID_PARAMS, BlobResourceContents, CallToolResult, ResourceLink

from aivideo_mcp.media import shelf
from tests.fakes import SUBMITTED, T2V, FakeNetwork, page, reply, task
from tests.filehost import CLIP, Host, hanging, saying
from tests.sessions import both_eras, served

pytestmark = pytest.mark.anyio
DONE = reply({"status": "COMPLETED"})
NAME = "2026-11-23_t2v_x_ck1.mp4"
URI = "aivideo://videos/ck1"


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


def finished(file: Any = None, **fields: object) -> FakeNetwork:
    return FakeNetwork(
        generate=reply(SUBMITTED),
        status=DONE,
        task=reply(task("COMPLETED", **fields)),
        file=file or httpx.Response(200, content=CLIP),
    )


async def result(client: Client, name: str = "download_video", **arguments: Any) -> CallToolResult:
    answered = await client.call_tool(name, arguments or {"taskId": "ck1"})
    (tool,) = [tool for tool in (await client.list_tools()).tools if tool.name == name]
    jsonschema.validate(answered.structured_content, tool.output_schema)
    assert answered.structured_content["nextSteps"]
    assert answered.is_error is not answered.structured_content["ok"]
    return answered


async def call(client: Client, name: str = "download_video", **arguments: Any) -> dict[str, Any]:
    return dict((await result(client, name, **arguments)).structured_content)


async def refused(client: Client, uri: str = URI) -> Any:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    return caught.value.error


# Saving


@both_eras
async def test_a_finished_video_is_saved_and_its_path_told(mode: str, tmp_path: Path) -> None:
    told: list[str] = []

    async def listen(_done: float, _total: float | None, message: str) -> None:
        told.append(message)

    async with served(finished(), mode, output_dir=tmp_path) as (client, _):
        answered = await client.call_tool("download_video", {"taskId": "ck1"}, progress_callback=listen)
    envelope = answered.structured_content
    assert (envelope["ok"], envelope["status"], envelope["taskId"]) == (True, "COMPLETED", "ck1")
    assert envelope["data"]["file"] == str(tmp_path / NAME)
    assert not any("download_video" in step for step in envelope["nextSteps"])  # it is saved already
    assert envelope["data"]["videoUrl"]
    assert (tmp_path / NAME).read_bytes() == CLIP
    assert any("Saving the video" in message for message in told)


async def test_without_a_folder_it_says_how_to_set_one_and_gives_the_address() -> None:
    async with served(finished()) as (client, _):
        envelope = await call(client)
    assert (envelope["ok"], envelope["errorCode"], envelope["status"]) == (False, "DOWNLOAD_FAILED", "COMPLETED")
    assert envelope["data"]["videoUrl"] == "https://files.example.test/ck1.mp4"
    assert "AIVIDEO_OUTPUT_DIR" in envelope["nextSteps"][-1]
    assert "videoUrl" in envelope["nextSteps"][0]


@pytest.mark.parametrize("state", ["SUBMITTED", "PROGRESS", "RENDERING"])
async def test_a_video_that_is_not_finished_is_to_be_waited_for(state: str, tmp_path: Path) -> None:
    network = FakeNetwork(task=reply(task(state)))
    async with served(network, output_dir=tmp_path) as (client, _):
        envelope = await call(client)
    assert envelope["errorCode"] == "DOWNLOAD_FAILED"
    assert 'generate_video with taskId "ck1"' in envelope["nextSteps"][0]
    assert envelope["data"]["status"] == state


@pytest.mark.parametrize(("state", "code"), [("FAILED", "GENERATION_FAILED"), ("CANCEL", "TASK_CANCELLED")])
async def test_a_task_without_a_video_says_why(state: str, code: str, tmp_path: Path) -> None:
    network = FakeNetwork(task=reply(task(state, output={"error": "no face"})))
    async with served(network, output_dir=tmp_path) as (client, _):
        envelope = await call(client)
    assert (envelope["ok"], envelope["status"], envelope["errorCode"]) == (False, state, code)
    assert envelope["data"]["id"] == "ck1"


async def test_an_unknown_task_is_not_found(tmp_path: Path) -> None:
    async with served(FakeNetwork(task=reply({}, 404)), output_dir=tmp_path) as (client, _):
        assert (await call(client))["errorCode"] == "TASK_NOT_FOUND"


async def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    network = finished()
    async with served(network, output_dir=tmp_path) as (client, _):
        await call(client, "generate_video", **T2V)
        envelope = await call(client)
    assert envelope["data"]["file"] == str(tmp_path / NAME)
    assert network.calls().count("file") == 1


@pytest.mark.parametrize("answer", [reply({}, 404), page(status=502), httpx.ConnectError("no net"), "hang"])
async def test_a_saved_video_is_told_when_the_upstream_tells_nothing_any_more(answer: Any, tmp_path: Path) -> None:
    network = finished()
    async with served(network, output_dir=tmp_path) as (client, _):
        await call(client, "generate_video", **T2V)
        network._answers["task"] = [hanging() if answer == "hang" else answer]
        began = anyio.current_time()
        envelope = await call(client)
        assert anyio.current_time() - began < 10
    assert (envelope["ok"], envelope["status"]) == (True, "COMPLETED")
    assert (envelope["data"]["file"], envelope["data"]["model"]) == (str(tmp_path / NAME), "t2v")


async def test_a_saved_file_that_was_deleted_is_fetched_anew(tmp_path: Path) -> None:
    network = finished()
    async with served(network, output_dir=tmp_path) as (client, _):
        await call(client, "generate_video", **T2V)
        (tmp_path / NAME).unlink()
        assert (await call(client))["data"]["file"] == str(tmp_path / NAME)
    assert network.calls().count("file") == 2


async def test_an_expired_video_is_gone_and_paying_again_is_the_user_s_choice(tmp_path: Path) -> None:
    async with served(finished(Host(days=[saying(404)] * 9)), output_dir=tmp_path) as (client, _):
        await anyio.sleep(24 * 3600 + 400)
        envelope = await call(client)
    assert envelope["errorCode"] == "DOWNLOAD_FAILED"
    assert "expired" in envelope["errorMessage"]
    assert "new charge" in envelope["nextSteps"][0]


async def test_a_slow_download_ends_before_clients_give_up_and_can_be_gone_on_with(tmp_path: Path) -> None:
    network = finished([hanging(CLIP[:5000]), httpx.Response(200, content=CLIP)])
    async with served(network, output_dir=tmp_path) as (client, _):
        began = anyio.current_time()
        envelope = await call(client)
        assert anyio.current_time() - began < 50
        assert envelope["errorCode"] == "DOWNLOAD_FAILED"
        assert "download_video" in envelope["nextSteps"][0]
        assert (await call(client))["ok"]


@pytest.mark.parametrize("host", [Host(days=[saying(404)] * 9), Host(days=[saying(200, b"no film")] * 9)])
async def test_a_failed_save_after_a_generation_gives_its_own_steps(host: Host, tmp_path: Path) -> None:
    async with served(finished(host), output_dir=tmp_path) as (client, _):
        made = await call(client, "generate_video", **T2V)
        saved = await call(client)
    assert made["ok"]
    assert made["nextSteps"][0].startswith("The video could not be saved: The file")
    assert made["nextSteps"][1 : 1 + len(saved["nextSteps"])] == saved["nextSteps"]


async def test_a_saved_video_was_handed_over(tmp_path: Path) -> None:
    network = finished()
    async with served(network, output_dir=tmp_path) as (client, workflow):
        await call(client, "create_generation", **T2V)
        await call(client)
        await anyio.sleep(1)
        known = await workflow._ledger.about("ck1")
        assert known is not None
        assert known.delivered_at is not None


async def test_what_was_not_finished_was_not_handed_over() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED), task=reply(task("PROGRESS")))
    async with served(network) as (client, workflow):
        await call(client, "create_generation", **T2V)
        await call(client)
        await anyio.sleep(1)
        known = await workflow._ledger.about("ck1")
        assert known is not None
        assert known.delivered_at is None


# Linking and reading


@both_eras
@pytest.mark.parametrize("task_id", ["ck1", "tv_1;2:a+b"])
async def test_a_client_reads_the_linked_video_byte_for_byte(mode: str, task_id: str, tmp_path: Path) -> None:
    network = finished(id=task_id)
    network._answers["generate"] = [reply({**SUBMITTED, "taskId": task_id})]
    async with served(network, mode, output_dir=tmp_path) as (client, _):
        made = await result(client, "generate_video", **T2V)
        later = [await result(client, name, taskId=task_id) for name in ("get_task", "download_video")]
        for answered in (made, *later):
            text, link = answered.content
            assert text.type == "text"
            assert isinstance(link, ResourceLink)
            assert link.name == Path(answered.structured_content["data"]["file"]).name
            assert (link.mime_type, link.size) == ("video/mp4", len(CLIP))
            assert base64.b64encode(CLIP[:300]).decode()[:200] not in str(answered)
            (content,) = (await client.read_resource(link.uri)).contents
            assert isinstance(content, BlobResourceContents)
            assert content.mime_type == "video/mp4"
            assert base64.b64decode(content.blob) == CLIP


async def test_a_result_without_a_file_has_no_link() -> None:
    async with served(finished()) as (client, _):
        assert len((await result(client, "generate_video", **T2V)).content) == 1


async def test_a_link_outlives_the_server(tmp_path: Path) -> None:
    async with served(finished(), output_dir=tmp_path) as (client, _):
        await call(client, "generate_video", **T2V)
    async with served(FakeNetwork(status=reply({}, 404)), output_dir=tmp_path) as (client, _):
        (content,) = (await client.read_resource(URI)).contents
    assert base64.b64decode(content.blob) == CLIP


@both_eras
async def test_what_is_not_saved_cannot_be_read(mode: str, tmp_path: Path) -> None:
    async with served(FakeNetwork(), mode, output_dir=tmp_path) as (client, _):
        fault = await refused(client)
        assert fault.code == INVALID_PARAMS
        assert "download_video" in str(fault.data)
    async with served(FakeNetwork(), mode) as (client, _):
        assert "AIVIDEO_OUTPUT_DIR" in (await refused(client)).message


@pytest.mark.parametrize("task_id", ["..%2F..%2Fetc%2Fpasswd", "a%2Fb", "..", "%00", "x" * 201])
async def test_what_is_no_task_id_reads_nothing(task_id: str, tmp_path: Path) -> None:
    async with served(FakeNetwork(), output_dir=tmp_path) as (client, _):
        assert (await refused(client, f"aivideo://videos/{task_id}")).code == INVALID_PARAMS


async def test_a_video_that_the_ledger_does_not_know_is_not_read(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CLIP)
    async with served(finished(), output_dir=tmp_path) as (client, _):
        await refused(client)


@pytest.mark.parametrize("way", ["link", "elsewhere", "through a folder", "dots", "no video", "fifo", "empty", "nul"])
async def test_nothing_is_read_from_outside_of_the_folder(way: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "videos"
    outside.mkdir()
    secret = outside / "secret.mp4"
    secret.write_bytes(CLIP)
    async with served(finished(), output_dir=folder) as (client, workflow):
        await call(client, "generate_video", **T2V)
        saved = folder / NAME
        saved.unlink()
        noted: str | None = None
        match way:
            case "link":
                saved.symlink_to(secret)
            case "elsewhere":
                noted = str(secret)
            case "through a folder":
                (folder / "deep").symlink_to(outside)
                noted = str(folder / "deep" / "secret.mp4")
            case "dots":
                noted = f"{folder}/../outside/secret.mp4"
            case "no video":
                saved.write_bytes(b"root:x:0:0")
            case "fifo":
                os.mkfifo(saved)
            case "empty":
                saved.touch()
            case _:
                noted = f"{folder}/a\0b.mp4"
        if noted:
            await workflow._ledger.saved("ck1", Path(noted))
        assert (await refused(client)).code == INVALID_PARAMS
        listed = await call(client, "get_task", taskId="ck1")
        assert listed["data"]["file"] is None


async def test_a_video_that_is_too_large_to_be_read_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shelf.MOST_READ == 64 * 1024**2
    monkeypatch.setattr(shelf, "MOST_READ", len(CLIP) - 1)
    async with served(finished(), output_dir=tmp_path) as (client, _):
        made = await result(client, "generate_video", **T2V)
        assert made.content[1].size == len(CLIP)
        fault = await refused(client)
    assert f"{len(CLIP) - 1:,}" in fault.message
    assert str(tmp_path / NAME) in str(fault.data)


async def test_ids_of_videos_are_completed(tmp_path: Path) -> None:
    from mcp_types import ResourceTemplateReference  # noqa: PLC0415 - here alone

    network = FakeNetwork(tasks=reply({"tasks": [task("COMPLETED"), task("COMPLETED", id="tv2")]}))
    async with served(network, output_dir=tmp_path) as (client, _):
        reference = ResourceTemplateReference(type="ref/resource", uri="aivideo://videos/{taskId}")
        completed = await client.complete(reference, {"name": "taskId", "value": "ck"})
    assert completed.completion.values == ["ck1"]
