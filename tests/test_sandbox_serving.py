"""The sandbox on a real port: connections that break, and a server that comes and goes in time."""

import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest
from test_sandbox_twin import BODIES

from aivideo_mcp.sandbox import RunningSandbox, SandboxOptions, running_sandbox

pytestmark = pytest.mark.anyio


def client(sandbox: RunningSandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=sandbox.url, headers={"key": sandbox.key}, timeout=60)


async def charges(http: httpx.AsyncClient) -> int:
    return int((await http.get("/sandbox/ledger")).json()["charges"])


async def test_a_video_is_made_over_real_http() -> None:
    async with running_sandbox(SandboxOptions(speed=1e6)) as sandbox, client(sandbox) as http:
        task_id = (await http.post("/api/v1/generate/t2v", json=BODIES["t2v"])).json()["taskId"]
        with anyio.fail_after(60):
            while (task := (await http.get(f"/api/v1/tasks/{task_id}")).json())["status"] != "COMPLETED":
                await anyio.lowlevel.checkpoint()
        assert task["output"]["url"].startswith(f"{sandbox.url}/files/")
        async with httpx.AsyncClient() as stranger:
            video = await stranger.get(task["output"]["url"], headers={"Range": "bytes=0-11"})
        assert (video.status_code, video.content[4:8]) == (206, b"ftyp")


async def test_the_address_is_loopback_and_the_port_a_free_one() -> None:
    async with running_sandbox(SandboxOptions()) as sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert not sandbox.url.endswith(":0")


async def test_a_taken_port_is_an_os_error_before_anything_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = SandboxOptions(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            async with running_sandbox(options):
                pytest.fail("was served")


async def test_a_port_can_be_taken_again_at_once() -> None:
    async with running_sandbox(SandboxOptions()) as sandbox, client(sandbox) as http:
        await http.get("/")
        port = int(sandbox.url.rpartition(":")[2])
    async with running_sandbox(SandboxOptions(port=port)) as sandbox, client(sandbox) as http:
        assert (await http.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("kind", "charged", "error", "words"),
    [
        ("lost", 1, httpx.RemoteProtocolError, "without sending a response"),
        ("reset", 0, httpx.ReadError, None),
        ("truncated", 1, httpx.RemoteProtocolError, "incomplete|without sending complete message body"),
    ],
)
async def test_a_broken_connection_is_truly_broken_and_not_logged(
    kind: str, charged: int, error: type[Exception], words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    options = SandboxOptions(faults=(f"{kind}@generate",))
    async with running_sandbox(options) as sandbox, client(sandbox) as http:
        with anyio.fail_after(60), pytest.raises(error, match=words):
            await http.post("/api/v1/generate/t2v", json=BODIES["t2v"])
        assert await charges(http) == charged
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_a_large_body_is_reset_while_it_is_sent() -> None:
    options = SandboxOptions(faults=("reset@generate",))
    async with running_sandbox(options) as sandbox, client(sandbox) as http:
        with anyio.fail_after(60), pytest.raises(httpx.TransportError):
            await http.post("/api/v1/generate/t2v", content=b" " * 20_000_000)
        assert await charges(http) == 0


async def test_a_truncated_file_announces_its_full_length() -> None:
    options = SandboxOptions(speed=1e6, faults=("truncated@file",))
    async with running_sandbox(options) as sandbox, client(sandbox) as http:
        task_id = (await http.post("/api/v1/generate/t2v", json=BODIES["t2v"])).json()["taskId"]
        received = b""
        with anyio.fail_after(60), pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 - the error ends the stream
            async with http.stream("GET", f"/files/{task_id}.mp4") as answer:
                length = int(answer.headers["content-length"])
                async for part in answer.aiter_raw():
                    received += part
        assert len(received) == length // 2


async def test_leaving_ends_open_connections_and_slow_answers_at_once(caplog: pytest.LogCaptureFixture) -> None:
    started = anyio.Event()

    async def sleep(_seconds: float) -> None:
        started.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        async with running_sandbox(SandboxOptions(faults=("slow@account",), sleep=sleep)) as sandbox:

            async def wait_in_vain() -> None:
                async with client(sandbox) as http:
                    await http.get("/")  # leaves a connection that is kept alive
                    with pytest.raises(httpx.TransportError):
                        await http.get("/api/v1/account")

            tasks.start_soon(wait_in_vain)
            with anyio.fail_after(60):
                await started.wait()
    assert caplog.records == [record for record in caplog.records if record.levelno < logging.WARNING]


async def test_a_cancelled_block_stops_the_server() -> None:
    with anyio.move_on_after(5) as scope:
        async with running_sandbox(SandboxOptions()) as sandbox, client(sandbox) as http:
            await http.get("/")
            scope.cancel()
            await anyio.sleep_forever()
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(sandbox.url)


async def test_an_error_in_the_block_comes_out_as_it_was_raised() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with running_sandbox(SandboxOptions()):
            raise LookupError("mine")


async def test_signal_handlers_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with running_sandbox(SandboxOptions()):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_nothing_is_written_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    async with running_sandbox(SandboxOptions(faults=("500@account",))) as sandbox, client(sandbox) as http:
        await http.get("/api/v1/account")
    assert capfd.readouterr().out == ""


def test_importing_the_sandbox_loads_no_server(tmp_path: Path) -> None:
    """`serve` without --sandbox imports the options and must start fast."""
    script = (
        "import sys, aivideo_mcp.sandbox;"
        "print([name for name in ('uvicorn', 'starlette', 'jsonschema', 'pydantic') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.strip() == "[]"
