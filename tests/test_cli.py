"""The commands as a person types them: stdout, stderr, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import select
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from aivideo_mcp.cli import serving
from aivideo_mcp.console import Log, ProgressLine
from aivideo_mcp.tools import TOOLS
from tests.pictures import PNG
from tests.processes import COMMAND, environment, listening, start, tools_of

pytestmark = pytest.mark.anyio

PAYLOAD = '{"prompt": "a cat", "aspectRatio": "9:16", "duration": "5"}'


async def run(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    with anyio.fail_after(60):
        done = await anyio.run_process([*COMMAND, *arguments], env=environment(env), check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@contextlib.asynccontextmanager
async def sandbox(*flags: str) -> Any:
    async with listening("sandbox", "--port", "0", *flags) as serving:
        yield {"AIVIDEO_BASE_URL": serving.url, "AIVIDEO_API_KEY": "sandbox"}


async def test_the_skills_four_commands_work() -> None:
    async with sandbox("--speed", "600") as env:
        code, out, err = await run("run", "--model", "t2v", "--payload", PAYLOAD, env=env)
        made = json.loads(out)
        assert (code, made["ok"], made["status"]) == (0, True, "COMPLETED")
        assert made["taskId"] in err
        assert "PROGRESS" in err
        for action, status in (("getStatus", "COMPLETED"), ("getTask", "COMPLETED")):
            code, out, _ = await run("run", "--action", action, "--taskId", made["taskId"], env=env)
            assert (code, json.loads(out)["status"]) == (0, status)
        code, out, _ = await run("run", "--action", "cancelTask", "--taskId", made["taskId"], env=env)
        assert (code, json.loads(out)["errorCode"]) == (1, "NOT_CANCELLABLE")


async def test_run_takes_a_local_picture_inside_the_folders_that_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    async with sandbox("--speed", "600") as env:
        env["AIVIDEO_IMAGE_DIRS"] = str(tmp_path)
        for picture, expected in ((tmp_path / "cat.png", (0, None)), (tmp_path.parent, (1, "INVALID_PAYLOAD"))):
            payload = json.dumps({"image": str(picture), "duration": 5})
            code, out, _ = await run("run", "--model", "i2v", "--payload", payload, env=env)
            assert (code, json.loads(out)["errorCode"]) == expected


async def test_a_failed_generation_exits_with_one() -> None:
    async with sandbox("--speed", "600", "--fault", "failed") as env:
        code, out, _ = await run("run", "--model", "t2v", "--payload", PAYLOAD, env=env)
    assert (code, json.loads(out)["errorCode"]) == (1, "GENERATION_FAILED")


async def test_run_without_a_key_is_an_envelope_and_exit_one() -> None:
    code, out, _ = await run("run", "--model", "t2v", "--payload", PAYLOAD)
    assert (code, json.loads(out)["errorCode"]) == (1, "AUTH_FAILED")


async def test_a_payload_that_is_no_json_is_an_envelope_and_exit_one() -> None:
    code, out, _ = await run("run", "--model", "t2v", "--payload", "{cat}")
    assert (code, json.loads(out)["errorCode"]) == (1, "INVALID_PAYLOAD")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--model", "t2v"),
        ("run", "--payload", "{}"),
        ("run", "--action", "getTask"),
        ("run", "--taskId", "ck1"),
        ("run", "--model", "t2v", "--payload", "{}", "--action", "getTask", "--taskId", "ck1"),
        ("run", "--action", "getEverything", "--taskId", "ck1"),
        ("serve", "--transport", "carrier-pigeon"),
        ("serve", "--port", "70000"),
        ("serve", "--sandbox", "--speed", "0"),
        ("serve", "--sandbox", "--fault", "meteor"),
        ("sandbox", "--port", "x"),
        ("sandbox", "--credits", "-1"),
        ("fly",),
    ],
)
async def test_wrong_usage_is_told_on_stderr_and_exits_with_two(arguments: tuple[str, ...]) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


async def test_wrong_usage_is_one_line_that_names_the_commands_own_help() -> None:
    for arguments in (("serve", "--port", "abc"), ("serve", "--sandbx"), ("serve", "http")):
        _, _, err = await run(*arguments)
        assert re.fullmatch(rf"aivideo-mcp: .*{arguments[-1]}.*\. See aivideo-mcp serve --help\n", err), err


def end_at_once(env: dict[str, str], *arguments: str) -> str:
    """What a server says whose client leaves at once; it starts, and ends in order."""
    with start(*arguments, env=env) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.decode()


def test_a_server_says_at_its_start_which_folders_it_cannot_use_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = end_at_once(
        {
            "AIVIDEO_API_KEY": "ak_x",
            "AIVIDEO_STATE_DIR": str(tmp_path / "file" / "state"),
            "AIVIDEO_OUTPUT_DIR": str(tmp_path / "file" / "videos"),
            "AIVIDEO_IMAGE_DIRS": str(tmp_path / "nowhere"),
        }
    )
    state, output, images = said.splitlines()
    assert f"{tmp_path}/file/state cannot be made" in state
    assert state.endswith("or set AIVIDEO_STATE_DIR to another folder")
    assert f"AIVIDEO_OUTPUT_DIR {tmp_path}/file/videos cannot be made" in output
    assert str(tmp_path / "nowhere") in images
    assert "AIVIDEO_IMAGE_DIRS" in images
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_server_whose_folders_are_right_says_nothing_of_them(tmp_path: Path) -> None:
    assert end_at_once({"AIVIDEO_API_KEY": "ak_x", "AIVIDEO_OUTPUT_DIR": str(tmp_path / "new")}) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_server_says_of_a_key_that_is_an_examples_and_of_names_that_are_misspelt() -> None:
    key, name = end_at_once({"AIVIDEO_API_KEY": "your-api-key", "AIVIDEO_OUTPUT_DIRECTORY": "/videos"}).splitlines()
    assert "AIVIDEO_API_KEY still holds an example's text" in key
    assert name.endswith("did you mean AIVIDEO_OUTPUT_DIR?")


def test_a_port_without_a_transport_that_listens_is_told() -> None:
    assert "serve --transport http" in end_at_once({"AIVIDEO_API_KEY": "ak_x"}, "serve", "--port", "9000")


async def test_run_says_which_name_is_misspelt() -> None:
    code, _, err = await run("run", "--action", "getTask", "--taskId", "ck1", env={"AIVIDEO_KEY": "ak_x"})
    assert code == 1
    assert "did you mean AIVIDEO_API_KEY?" in err


async def test_a_folder_that_cannot_be_made_ends_the_demo_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, out, err = await run("demo", "--output", str(tmp_path / "file" / "below"))
    assert (code, out) == (2, "")
    assert re.fullmatch(r"aivideo-mcp: --output \S+ cannot be made: .*\n", err)


async def test_a_bad_variable_is_one_line_and_exit_two() -> None:
    for command in ((), ("serve", "--sandbox"), ("run", "--action", "getTask", "--taskId", "ck1")):
        code, out, err = await run(*command, env={"AIVIDEO_TIMEOUT_MS": "soon"})
        assert (code, out) == (2, "")
        assert re.fullmatch(r"aivideo-mcp: AIVIDEO_TIMEOUT_MS is not .* Example: AIVIDEO_TIMEOUT_MS=30000\n", err)


async def test_a_taken_sandbox_port_is_one_line_and_exit_two() -> None:
    async with listening("sandbox", "--port", "0") as serving:
        port = serving.url.rpartition(":")[2]
        code, _, err = await run("sandbox", "--port", port)
    assert code == 2
    assert re.fullmatch(rf"aivideo-mcp: --port {port} cannot be listened on: another program has it.* --port 0\n", err)
    assert "Traceback" not in err


async def test_a_fault_beside_the_sandbox_is_not_told_as_one_of_its_port() -> None:
    arguments = argparse.Namespace(speed=None, credits=None, fault=[])
    with pytest.raises(FileNotFoundError):
        async with serving._running_sandbox(arguments):
            raise FileNotFoundError("No usable temporary directory")


def test_a_long_line_of_the_log_waits_for_no_reader() -> None:
    """A pipe that has room takes a page; the rest of a traceback would wait."""
    reading, writing = os.pipe()
    with open(reading, "rb", 0) as pipe, open(writing, "w") as stderr:  # noqa: PTH123 - both are numbers
        logger = logging.Logger("test")  # noqa: LOG001 - one that no other test has
        logger.addHandler(Log(stderr))
        for _ in range(100):
            logger.error("x" * 999)
        pipe.read(2 * select.PIPE_BUF)
        thread = threading.Thread(target=logger.error, args=("y" * 100_000,), daemon=True)
        thread.start()
        thread.join(60)
        stuck = thread.is_alive()
        while stuck and thread.is_alive():
            pipe.read(select.PIPE_BUF)
        os.set_blocking(reading, False)
        assert not stuck
        assert b"y" * 1000 in b"".join(iter(lambda: pipe.read(2**20), None))


def test_a_log_that_cannot_be_written_is_no_fault_of_who_logs(capsys: pytest.CaptureFixture[str]) -> None:
    with open(os.devnull, "w") as stderr:  # noqa: PTH123 - a device
        log = Log(stderr)
    logger = logging.Logger("test")  # noqa: LOG001 - one that no other test has
    logger.addHandler(log)
    logger.error("a task was paid for")
    assert "a task was paid for" in capsys.readouterr().err


def test_who_starts_it_by_hand_is_told_that_it_waits_for_a_client() -> None:
    ours, theirs = os.openpty()
    with open(theirs) as terminal, open(ours):  # noqa: PTH123 - both are numbers
        process = subprocess.Popen(COMMAND, stdin=terminal, stdout=-1, stderr=-1, env=environment())
        assert process.stderr
        said = process.stderr.readline() + process.stderr.readline()
        process.kill()
        out, _ = process.communicate(timeout=60)
    assert b"waits for an MCP client" in said
    assert out == b""


def test_a_mistyped_command_is_told_by_what_it_is() -> None:
    done = subprocess.run([*COMMAND, "srve"], capture_output=True, env=environment(), check=False)
    assert b"argument COMMAND: invalid choice: 'srve'" in done.stderr


def test_without_a_key_the_server_says_so_and_lists_its_tools() -> None:
    with start() as process:
        assert len(tools_of(process)) == len(TOOLS)
        assert process.stderr
        assert b"AIVIDEO_API_KEY is not set" in process.stderr.read()


async def test_the_same_run_makes_another_video_once_the_first_was_printed() -> None:
    async with sandbox("--speed", "600", "--fault", "failed:3") as env:
        ends = [await run("run", "--model", "t2v", "--payload", PAYLOAD, env=env) for _ in range(4)]
    answers = [json.loads(out) for _, out, _ in ends]
    assert [answer["status"] for answer in answers] == ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED"]
    assert len({answer["taskId"] for answer in answers}) == 4


async def test_an_interrupted_run_has_told_the_task_id_and_leaves_the_task_alone() -> None:
    async with sandbox("--speed", "1") as env:
        process = subprocess.Popen(
            [*COMMAND, "run", "--model", "t2v", "--payload", PAYLOAD],
            env=environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        said = b""
        while b"Keep this id" not in said:
            said += await anyio.to_thread.run_sync(process.stderr.readline)
        process.send_signal(signal.SIGINT)
        out, err = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 130
        assert out == b""
        assert b"runs on" in err
        assert b"Traceback" not in err
        task_id = re.search(rb"task (\S+) created", said)
        assert task_id
        code, answer, _ = await run("run", "--action", "getStatus", "--taskId", task_id[1].decode(), env=env)
    assert (code, json.loads(answer)["status"]) == (0, "SUBMITTED")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
async def test_the_sandbox_says_what_it_is_and_ends_on_a_signal(end: signal.Signals) -> None:
    async with listening("sandbox", "--port", "0") as serving:
        serving.process.send_signal(end)
        with anyio.fail_after(60):
            assert await serving.process.wait() == 0
        assert "no real videos, no real credits" in serving.stderr()
        assert f"AIVIDEO_BASE_URL={serving.url} AIVIDEO_API_KEY=sandbox" in serving.stderr()
        assert "Traceback" not in serving.stderr()


def picture_size(mp4: bytes) -> tuple[int, int]:
    """Width and height as the first avc1 sample entry gives them."""
    at = mp4.index(b"avc1", mp4.index(b"stsd"))
    width, height = struct.unpack(">HH", mp4[at + 28 : at + 32])
    return width, height


async def test_the_demo_makes_two_playable_files_and_prints_where(tmp_path: Path) -> None:
    code, out, err = await run("demo", "--output", str(tmp_path / "new"), "--speed", "600")
    assert code == 0, err
    paths = [Path(line.removeprefix("saved: ")) for line in out.splitlines() if line.startswith("saved: ")]
    assert [path.parent for path in paths] == [tmp_path / "new"] * 2
    (tall_width, tall_height), (wide_width, wide_height) = [picture_size(path.read_bytes()) for path in paths]
    assert (tall_width * 16, wide_width * 9) == (tall_height * 9, wide_height * 16)
    assert "SANDBOX" in out
    assert "PROGRESS" in err
    assert out.count("read back byte for byte") == 2
    assert "account before: 10000 credits, 0 spent" in out
    assert "account after: 9970 credits, 30 spent" in out


async def test_the_demo_says_when_it_could_not_save(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, err = await run("demo", "--output", str(tmp_path / "file"))
    assert (code, err) == (
        2,
        "aivideo-mcp: AIVIDEO_OUTPUT_DIR is not a folder. Example: AIVIDEO_OUTPUT_DIR=/home/me/Videos\n",
    )
    code, out, err = await run("demo", "--output", str(tmp_path / "file" / "below"), "--speed", "6000")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot be made: Not a directory" in err


def test_help_and_version_name_the_command() -> None:
    for flag, expected in (("--help", "serve"), ("--version", "aivideo-mcp ")):
        done = subprocess.run([*COMMAND, flag], capture_output=True, check=True, text=True, env=environment())
        assert expected in done.stdout


class Screen:
    """A stream that says whether it is a terminal."""

    def __init__(self, *, terminal: bool, encoding: str | None = "utf-8") -> None:
        self.text = ""
        self.encoding = encoding
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


async def test_progress_moves_on_one_line_of_a_terminal() -> None:
    screen = Screen(terminal=True)
    line = ProgressLine(screen)
    line.turn()
    assert screen.text == ""
    await line.tell("PROGRESS: 3 s")
    line.turn()
    line.close()
    assert screen.text.count("PROGRESS: 3 s") == 2
    assert screen.text.count("\n") == 1


async def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    screen = Screen(terminal=False, encoding=None)
    line = ProgressLine(screen)
    await line.tell("PROGRESS: 3 s")
    line.turn()
    line.close()
    assert screen.text == "  PROGRESS: 3 s\n"


def test_nothing_heavy_is_imported_and_no_environment_read_before_it_is_needed() -> None:
    """The HTTP client comes with the first upstream call; importing reads no variable and builds no contract."""
    script = """
import os, sys
read = []
class Watched(dict):
    def __getitem__(self, name): read.append(name); return super().__getitem__(name)
    def get(self, name, default=None): read.append(name); return super().get(name, default)
real, os.environ = os.environ, Watched(os.environ)
import aivideo_mcp.cli, aivideo_mcp.transports, aivideo_mcp.sandbox, aivideo_mcp.demo
from aivideo_mcp.app import build_server
os.environ = real
import anyio
from aivideo_mcp.settings import Settings
from aivideo_mcp.workflow import open_workflow
from aivideo_mcp.contracts import MODELS
assert not any(kind.__pydantic_complete__ for kind in MODELS.values()), "a contract was built at import"
async def main():
    async with open_workflow(Settings(api_key="ak_1", base_url="http://127.0.0.1:9", max_retries=0)) as workflow:
        server = build_server(workflow)
        await server.list_tools()
        early = {"httpx", "tenacity", "puremagic", "jsonschema"} & set(sys.modules)
        assert not early, early
        assert "httpx" not in sys.modules
        try:
            await workflow.upstream.status("ck1")
        except Exception as expected:
            assert type(expected).__name__ == "NotSent", expected
        assert "httpx" in sys.modules
anyio.run(main)
assert not [name for name in read if name.startswith("AIVIDEO")], read
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=environment())


def test_python_itself_says_that_httpx_is_not_loaded_for_a_list_of_tools() -> None:
    with start(python=("-X", "importtime")) as process:
        assert process.stderr
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
        reader.start()
        assert tools_of(process)
        reader.join()
    lines = said[0].decode().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "aivideo_mcp.client.upstream" in loaded
    assert "httpx" not in loaded
