"""Clients that do what none should, against real servers over stdio: no crash, no hang, no growth, no silence."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import KEY, T2V
from tests.processes import COMMAND, ended, environment, greeted, heard, hello, speak, start

GENERATE = {
    "id": 2,
    "method": "tools/call",
    "params": {"name": "generate_video", "arguments": T2V, "_meta": {"progressToken": "p"}},
}
PING = b'{"jsonrpc": "2.0", "id": %d, "method": "ping"}\n'
Process = subprocess.Popen[bytes]


def send(process: Process, data: bytes) -> None:
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()


def close(process: Process, *names: str) -> None:
    for name in names:
        getattr(process, name).close()


def memory(process: Process) -> int:
    """The most that it ever had, in MiB."""
    return int(Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024


def test_after_each_bad_frame_the_next_request_is_answered() -> None:
    with greeted("--sandbox") as process:
        for number, bad in enumerate((b"oops", b"[]", b"\xff", b'{"id": 1.5, "method": "ping"}', b"[" * 10**6)):
            send(process, bad + b"\n" + PING % number)
            answers = [heard(process), heard(process)]
            assert sorted(answer["id"] is None for answer in answers) == [False, True]
            assert {answer["error"]["code"] for answer in answers if "error" in answer} <= {-32600, -32700}
        close(process, "stdin")
        ended(process)


def test_a_frame_of_a_quarter_gigabyte_is_refused_under_its_id_and_not_held() -> None:
    with greeted("--sandbox") as process:
        send(process, b'{"jsonrpc": "2.0", "method": "ping", "params": {"a": "')
        for _ in range(256):
            send(process, b"A" * 2**20)
        send(process, b'"}, "id": 5}\n')
        answer = heard(process)
        assert (answer["id"], answer["error"]["code"]) == (5, -32600)
        assert memory(process) < 400
        close(process, "stdin")
        ended(process)


def test_a_frame_may_come_in_any_pieces() -> None:
    with greeted("--sandbox") as process:
        frame = '{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": {"é": "😀"}}}\r\n'.encode()
        for cut in range(len(frame) + 1):
            send(process, frame[:cut])
            send(process, frame[cut:])
            assert heard(process) == {"jsonrpc": "2.0", "id": 1, "result": {}}
        close(process, "stdin")
        ended(process)


def test_floods_are_answered_whole_and_leave_nothing_behind() -> None:
    with greeted("--sandbox") as process:
        flood = b"".join(PING % number for number in range(5000))
        writing = threading.Thread(target=send, args=(process, flood))
        writing.start()
        writing.join(30)  # none of the answers has been read
        assert not writing.is_alive()
        assert {heard(process)["id"] for _ in range(5000)} == set(range(5000))
        before = memory(process)
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x" * 100}}
        speak(process, *({**cancel, "params": {"requestId": number % 7000}} for number in range(10_000)))
        send(process, PING % 5)
        assert heard(process)["id"] == 5
        assert memory(process) < before + 20
        close(process, "stdin")
        ended(process)


def test_a_client_that_never_reads_costs_little_and_holds_up_no_end() -> None:
    with greeted("--sandbox") as process:

        def flood() -> None:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                send(process, b"".join(PING % number for number in range(100_000)))

        before = memory(process)
        writing = threading.Thread(target=flood)
        writing.start()
        writing.join(8)
        assert memory(process) < before + 150
        process.send_signal(signal.SIGTERM)
        ended(process)
        writing.join()


def test_a_client_that_reads_nothing_and_closes_stdin_is_left_within_three_seconds() -> None:
    with greeted("--sandbox") as process:
        assert process.stdin
        speak(process, *({"id": number, "method": "tools/list"} for number in range(100)), {"id": 0, "method": "ping"})
        assert process.stdout
        assert select.select([process.stdout], [], [], 10)[0]
        close(process, "stdin")
        ended(process)


def test_pipes_that_do_not_wait_are_waited_for() -> None:
    """A wrapper in Node makes those so that it shares with the server it starts."""
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    for end in (their_in, their_out):
        os.set_blocking(end, False)
    process = subprocess.Popen(
        [*COMMAND, "serve", "--sandbox"], stdin=their_in, stdout=their_out, stderr=subprocess.PIPE, env=environment()
    )
    process.stdin, process.stdout = os.fdopen(our_out, "wb"), os.fdopen(our_in, "rb")
    with process:
        speak(process, *hello())
        assert heard(process)["result"]["serverInfo"]
        speak(process, *({"id": number, "method": "tools/list"} for number in range(50)))  # more than a pipe holds
        assert {heard(process)["id"] for _ in range(50)} == set(range(50))
        send(process, PING[:20])
        send(process, PING[20:] % 99)
        assert heard(process)["id"] == 99
        os.close(their_in)
        os.close(their_out)
        close(process, "stdin")
        ended(process)


def test_a_picture_folder_that_hangs_keeps_no_ping_from_being_answered(tmp_path: Path) -> None:
    hanging = (
        "import sys, time; from aivideo_mcp.pictures import PictureFolders; from aivideo_mcp.cli import main;"
        "PictureFolders.read = lambda *_: time.sleep(600); sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hanging, "serve", "--sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment({"AIVIDEO_IMAGE_DIRS": str(tmp_path)}),
    )
    with process:
        speak(process, *hello())
        assert heard(process)["id"] == 1
        made = {"name": "quote_generation", "arguments": {"model": "i2v", "image": f"{tmp_path}/a.png", "duration": 5}}
        speak(process, *({"id": number, "method": "tools/call", "params": made} for number in range(50)))
        send(process, PING % 99)
        assert process.stdout
        assert select.select([process.stdout], [], [], 60)[0]
        assert heard(process)["id"] == 99
        close(process, "stdin")
        ended(process)


def test_a_stderr_that_nobody_reads_holds_up_nothing() -> None:
    fcntl = pytest.importorskip("fcntl")
    with greeted("--sandbox") as process:
        fcntl.fcntl(process.stderr, 1031, 4096)  # F_SETPIPE_SZ
        for number in range(100):
            made = {"name": "create_generation", "arguments": {**T2V, "prompt": f"a cat {number}"}}
            speak(process, {"id": number, "method": "tools/call", "params": made})
            assert heard(process)["result"]["isError"] is False
        process.send_signal(signal.SIGTERM)
        ended(process)


LEAVING: dict[str, Callable[[Process], None]] = {
    "in the middle of a frame": lambda process: send(process, b'{"jsonrpc": "2.0", "id": 2, "meth'),
    "in a call": lambda process: speak(process, GENERATE),
    "after a create was charged": lambda process: (speak(process, GENERATE), heard(process))[0],
    "after the greeting": lambda _: None,
}


@pytest.mark.parametrize("ends", [("stdin",), ("stdout",), ("stdin", "stdout"), ("stdin", "stdout", "stderr")])
@pytest.mark.parametrize("when", LEAVING)
def test_a_client_may_leave_at_any_time_by_any_pipe(when: str, ends: tuple[str, ...]) -> None:
    with greeted("--sandbox") as process:
        LEAVING[when](process)
        close(process, *ends)
        if ends == ("stdout",):  # noticed at the next frame
            send(process, PING % 3)
        if "stderr" in ends:
            assert process.wait(60) == 0
        else:
            ended(process)


@pytest.mark.parametrize("missing", ["<&-", "</dev/null >&-", "</dev/null 2>&-", "<&- >&- 2>&-"])
def test_a_server_without_standard_streams_ends_as_without_a_client(missing: str) -> None:
    command = f'exec "{COMMAND[0]}" -m aivideo_mcp serve --sandbox {missing}'
    done = subprocess.run(["/bin/sh", "-c", command], env=environment(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_server_at_once(number: signal.Signals) -> None:
    env = {"AIVIDEO_API_KEY": KEY}  # the sandbox's takes its place; in no case may it be told
    with greeted("--sandbox", "--fault", "slow=9@generate", env=env) as process:
        speak(process, GENERATE)
        send(process, PING % 9)
        assert heard(process)["id"] == 9
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # there is a create to be waited for
        process.send_signal(number)
        ended(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_burst_of_signals_is_an_orderly_end(number: signal.Signals) -> None:
    with greeted("--sandbox") as process:
        for _ in range(100):
            process.send_signal(number)
        ended(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_is_a_quiet_end(number: signal.Signals) -> None:
    """Sent when a module was loaded that comes early, in the middle, late; none of them belongs to Python's start."""
    for module in (
        "aivideo_mcp.cli.entry",
        "aivideo_mcp.settings",
        "pydantic",
        "mcp",
        "aivideo_mcp.sandbox",
        "uvicorn",
    ):
        with start("serve", "--sandbox", env={"PYTHONVERBOSE": "1"}) as process:
            assert process.stderr
            while f"import '{module}'" not in process.stderr.readline().decode():
                assert process.poll() is None, module
            process.send_signal(number)
            ended(process)


def test_ctrl_c_during_the_start_of_a_command_that_ends_by_itself_is_quiet_and_no_success() -> None:
    command = ("run", "--model", "t2v", "--payload", json.dumps(T2V))
    for module in ("aivideo_mcp.cli.entry", "pydantic"):
        with start(*command, env={"PYTHONVERBOSE": "1"}) as process:
            assert process.stderr
            while f"import '{module}'" not in process.stderr.readline().decode():
                assert process.poll() is None, module
            process.send_signal(signal.SIGINT)
            said = process.stderr.read().decode()
            assert process.wait(60) == 130
            assert "Traceback" not in said
            assert process.stdout
            assert process.stdout.read() == b""
