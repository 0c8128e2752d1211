"""Saving with real processes and the real sandbox: killed in the middle, two at once, connections that break.

The process is this file, run as a program: it saves one task's video, and prints the path.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import Process, SocketStream

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.media import VideoFolder, fetching
from aivideo_mcp.sandbox import SandboxOptions, running_sandbox
from aivideo_mcp.sandbox.clips import clip_for
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Task, origin_of
from tests.fakes import KEY, T2V, task
from tests.processes import environment

pytestmark = pytest.mark.anyio

FTYP = b"\0\0\0\x10ftypisom\0\0\2\0"
LARGE = FTYP + b"\0\0\0\x08moov" + (8 + 1_000_000).to_bytes(4) + b"mdat" + bytes(range(250)) * 4000


async def save(body: dict[str, Any], folder: Path) -> Path:
    home = origin_of(body["output"]["url"]) or ""
    read = Task.read(body, home)
    assert read is not None
    upstream = Upstream(Settings(api_key=KEY, base_url=home, timeout_ms=5000))
    try:
        saving = VideoFolder(folder, upstream, lambda: folder.parent / "state", wall=lambda: 0.0)
        return await saving.save(read)
    finally:
        await upstream.aclose()


async def start(body: dict[str, Any], folder: Path) -> Process:
    command = [sys.executable, __file__, json.dumps(body), str(folder)]
    found = environment({"PYTHONPATH": str(Path(__file__).parents[1])})  # where the imports above come from
    return await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None, env=found)


async def printed(process: Process) -> Path:
    assert process.stdout
    text = b"".join([part async for part in process.stdout])
    assert await process.wait() == 0
    return Path(text.decode().strip())


async def test_a_process_killed_in_the_middle_leaves_what_the_next_one_goes_on_with(tmp_path: Path) -> None:
    asked: list[str | None] = []
    folder = tmp_path / "videos"

    async def serve(stream: SocketStream) -> None:
        async with stream:
            request = (await stream.receive()).decode()
            headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if line)
            asked.append(given := {k.lower(): v for k, v in headers.items()}.get("range"))
            if given is None:
                await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:700_000])
                await anyio.sleep_forever()
            begin = int(given.removeprefix("bytes=").removesuffix("-"))
            part = b"Content-Range: bytes %d-%d/%d\r\n" % (begin, len(LARGE) - 1, len(LARGE))
            length = b"Content-Length: %d\r\n\r\n" % (len(LARGE) - begin)
            await stream.send(b"HTTP/1.1 206 Partial Content\r\n" + part + length + LARGE[begin:])

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - this is no database
        body = task("COMPLETED", output={"url": f"http://127.0.0.1:{port}/ck1.mp4"})
        with anyio.fail_after(60):
            process = await start(body, folder)
            partial = folder / ".2026-11-23_t2v_x_ck1.mp4.part"
            while not partial.exists() or partial.stat().st_size < 2 * fetching._BATCH:
                await anyio.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await process.aclose()
            left = partial.stat().st_size
            assert list(folder.iterdir()) == [partial]
            saved = await save(body, folder)
        group.cancel_scope.cancel()
    assert saved.read_bytes() == LARGE
    assert asked == [None, f"bytes={left}-"]
    assert list(folder.iterdir()) == [saved]


async def test_two_processes_saving_one_task_make_one_download(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    async with running_sandbox(SandboxOptions(speed=1e6, faults=("slow=1@file",))) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url, headers={"key": sandbox.key}) as http:
            body = await _made(http)
            with anyio.fail_after(60):
                processes = [await start(body, folder) for _ in range(2)]
                saved = {await printed(process) for process in processes}
                for process in processes:
                    await process.aclose()
            calls = (await http.get("/sandbox/ledger")).json()["calls"]
    assert [path.read_bytes() for path in saved] == [clip_for("16:9").read_bytes()]
    assert list(folder.iterdir()) == list(saved)
    assert calls["file"] == 1


async def test_a_file_host_that_cuts_every_answer_in_half_costs_tries_and_no_byte_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0, 0, 0))
    folder, clip = tmp_path / "videos", clip_for("16:9").read_bytes()
    async with running_sandbox(SandboxOptions(speed=1e6, faults=("truncated@file",))) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url, headers={"key": sandbox.key}) as http:
            body = await _made(http)
            with pytest.raises(DownloadFailed, match="broke off"):
                await save(body, folder)
            (partial,) = folder.iterdir()
            assert 0.9 < partial.stat().st_size / len(clip) < 1
            await http.post("/sandbox/faults", json={"faults": ["reset@file:2"]})
            saved = await save(body, folder)
    assert saved.read_bytes() == clip


async def test_the_sandbox_knows_versions_of_its_files() -> None:
    async with running_sandbox(SandboxOptions(speed=1e6)) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url, headers={"key": sandbox.key}) as http:
            url = (await _made(http))["output"]["url"]
            whole = await http.get(url)
            rest = await http.get(url, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
            other = await http.get(url, headers={"Range": "bytes=100-", "If-Range": '"another"'})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert (other.status_code, other.content) == (200, whole.content)


async def _made(http: httpx.AsyncClient) -> dict[str, Any]:
    """A finished task of the sandbox, as its API shows it."""
    body = {name: value for name, value in T2V.items() if name != "model"} | {"duration": "5"}
    task_id = (await http.post("/api/v1/generate/t2v", json=body)).json()["taskId"]
    with anyio.fail_after(60):
        while (made := (await http.get(f"/api/v1/tasks/{task_id}")).json())["status"] != "COMPLETED":
            await anyio.lowlevel.checkpoint()
    shown: dict[str, Any] = made
    return shown


if __name__ == "__main__":
    print(asyncio.run(save(json.loads(sys.argv[1]), Path(sys.argv[2]))))  # noqa: T201 - what the test reads
