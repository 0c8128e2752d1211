"""The API key: where it goes, and all the places where it must not turn up."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from mcp import Client
from mcp.shared import _otel

from aivideo_mcp.app import build_server
from aivideo_mcp.cli.parser import command_parser
from aivideo_mcp.client.exchange import Reply
from aivideo_mcp.client.judging import judge
from aivideo_mcp.demo import run_demo
from aivideo_mcp.errors import AivideoError, ConfigurationError
from aivideo_mcp.settings import Settings, read_settings
from aivideo_mcp.tasks import Envelope
from aivideo_mcp.tools import TOOLS, Call
from tests.canary import files_with_key, holds_key
from tests.fakes import BASE, KEY, SUBMITTED, T2V, FakeNetwork, reply, task
from tests.processes import hello, speak, start

pytestmark = pytest.mark.anyio

ODD_KEY = 'ak_"&+/=<canary>_0123456789~?\\'
ECHOES: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "inside of words": lambda key: f"xx{key}yy",
    "in a header's form": lambda key: f"key: {key}",
    "in capitals": str.upper,
    "percent-encoded": lambda key: quote(key, safe=""),
    "each letter percent-encoded": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "in an address": lambda key: f"https://api.example.test/x?key={quote(key)}",
    "in a page": html.escape,
    "hex": lambda key: key.encode().hex(),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of credentials": lambda key: base64.b64encode(f"u:{key}".encode()).decode(),
    "base64 of more": lambda key: base64.b64encode(f"u:1{key}:tail".encode()).decode(),
    "base64 for addresses": lambda key: base64.urlsafe_b64encode(f"key={key}".encode()).decode(),
    "JSON in JSON": lambda key: json.dumps({"headers": {"key": key}}),
}
ENCODERS: dict[str, Callable[[Any], str]] = {
    "json": json.dumps,
    "escaped": lambda body: json.dumps(body).replace(KEY, "".join(f"\\u{ord(c):04x}" for c in KEY)),
    "half escaped": lambda body: json.dumps(body).replace("canary", "c\\u0061nary"),
    "slashes escaped": lambda body: json.dumps(body).replace("/", "\\/"),
}


def holds(text: str, key: str) -> bool:
    """Whether a text gives a key away, to somebody who tries the usual encodings."""
    plain = text.replace("\\\\", "\\").replace('\\"', '"')
    return any(form(key).lower() in reading.lower() for form in ECHOES.values() for reading in (text, plain))


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


@pytest.mark.parametrize("key", [KEY, ODD_KEY])
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("echo", ECHOES)
def test_an_echo_of_the_key_is_struck_out_of_whatever_is_said(echo: str, encoder: str, key: str) -> None:
    told = ECHOES[echo](key)
    for body, status in (
        ({"status": "FAILED", "message": told}, 401),
        ({"status": "FAILED", "error": {"message": told}}, 500),
        ({"id": "ck1", "status": told, "model": told, "output": {"url": told, "msg": told, told: told}}, 200),
    ):
        answer = Reply(status, {"location": told}, ENCODERS[encoder](body).encode())
        try:
            shown = json.dumps(judge(answer, now=datetime.now(UTC), secret=key), ensure_ascii=False)
        except AivideoError as failure:
            shown = Envelope.failure(failure).text
        assert not holds(shown, key), shown


ANSWERS: dict[str, httpx.Response] = {
    "refusal": reply({"status": "FAILED", "errorCode": "AUTH_FAILED", "message": f"key {KEY} is disabled"}, 401),
    "redirect": httpx.Response(302, headers={"location": f"https://evil.example/?key={KEY}"}, content=KEY.encode()),
    "headers": reply({"status": "FAILED"}, 429, retry_after=KEY, x_key=KEY, set_cookie=f"key={KEY}"),
    "page": httpx.Response(502, content=f"<html>{KEY}</html>".encode(), headers={"content-type": f"text/html; {KEY}"}),
    "packing": httpx.Response(200, content=KEY.encode(), headers={"content-encoding": KEY}),
    "task": reply(
        {
            **task("COMPLETED", input={"prompt": KEY}, output={"url": f"https://x.example/?k={KEY}", "msg": KEY}),
            "model": KEY,
            "taskId": "ck1",
        }
    ),
    "failed task": reply({**task("FAILED", output={"error": {"message": KEY}}), "taskId": "ck1"}),
    "key as id": reply({**SUBMITTED, **task("PROGRESS"), "taskId": KEY, "id": KEY}),
    "account": reply({"ok": True, "supportedModels": [KEY], "currentBalance": KEY, "sandbox": KEY}),
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_no_answer_progress_log_or_file_repeats_the_key(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def tell(message: str) -> None:
        told.append(message)

    calls = ("account", "quote", "generate", "tasks", "task", "status", "cancel", "file")
    answer = ANSWERS[what]
    network = FakeNetwork(
        **{call: httpx.Response(answer.status_code, headers=answer.headers, content=answer.content) for call in calls}
    )
    with caplog.at_level(logging.DEBUG):
        async with network.workflow(
            state_dir=tmp_path, output_dir=tmp_path / "videos", max_wait_s=3, max_retries=1
        ) as workflow:
            for tool in TOOLS:
                arguments = T2V if "generat" in tool.name else {} if tool.name == "list_models" else {"taskId": "ck1"}
                envelope = await tool.call(workflow, Call(arguments, tell, seen=True))
                assert not holds_key(envelope.text)
                assert not holds_key(envelope.model_dump_json(by_alias=True))
    assert not any(map(holds_key, told))
    assert not holds_key(_own(caplog))
    assert files_with_key(tmp_path) == []


def _own(caplog: pytest.LogCaptureFixture) -> str:
    """The log as the commands show it: the libraries' own from a warning on."""
    noisy = ("httpx", "httpcore", "mcp", "uvicorn", "sse_starlette")
    records = [r for r in caplog.records if r.levelno >= logging.WARNING or r.name.split(".")[0] not in noisy]
    return "\n".join(logging.Formatter().format(record) for record in records)


async def test_the_key_goes_to_the_base_url_s_origin_alone(tmp_path: Path) -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED),
        quote=reply({"credits": 15}),
        status=reply({"status": "COMPLETED"}),
        task=reply(task("COMPLETED")),
        tasks=reply({"tasks": []}),
        file=[
            httpx.Response(302, headers={"location": f"{BASE}/api/elsewhere"}),
            httpx.Response(404),
        ],
    )
    async with network.workflow(output_dir=tmp_path / "videos") as workflow:
        tool = next(tool for tool in TOOLS if tool.name == "generate_video")
        await tool.call(workflow, Call(T2V, _untold, seen=True))
    asked = {str(request.url.host) for request in network.requests}
    assert asked == {"api.example.test", "files.example.test"}
    for request in network.requests:
        sent = [value for name, value in request.headers.multi_items() if holds_key(value)]
        assert not holds_key(str(request.url))
        assert not holds_key(request.content if request.method != "GET" else b"")
        assert len(sent) == (request.url.path.startswith("/api/v1/"))


async def _untold(_: str) -> None:
    pass


# --- What a mistake of ours would show -------------------------------------------------------------------------------


def inside() -> Iterator[object]:
    """The objects that know the key, as they would turn up in a log, a traceback or a debugger's dump."""
    settings = Settings(api_key=KEY, base_url=BASE, http_token=f"token-{KEY}")
    yield settings
    upstream = FakeNetwork().upstream(http_token=KEY)
    exchange = upstream._open()
    yield from (upstream, exchange, exchange._http, exchange._downloads, exchange._http.headers)
    request = httpx.Request("GET", f"{BASE}/api/v1/account", headers={"Accept": "x"})
    yield from (request, httpx.Response(200, request=request))


@pytest.mark.parametrize("show", [repr, str, ascii, "{}".format, lambda it: f"{[it]!r}", lambda it: f"{{1: {it!r}}}"])
def test_what_knows_the_key_does_not_show_it(show: Callable[[object], str]) -> None:
    for it in inside():
        assert not holds_key(show(it)), type(it)


def test_the_request_itself_does_not_show_its_headers() -> None:
    request = httpx.Request("GET", BASE, headers={"key": KEY})
    assert not holds_key(f"{request!r} {request} {httpx.Response(200, request=request)!r}")


def test_a_bad_key_is_refused_without_being_shown() -> None:
    for bad in (f"{KEY} {KEY}", f"{KEY}\n", f"{KEY}é", f"\u202e{KEY}"):
        with pytest.raises(ConfigurationError) as fault:
            read_settings({"AIVIDEO_API_KEY": f" {bad}x"})
        assert not holds_key("".join(traceback.format_exception(fault.value)))


@pytest.mark.parametrize("key", [f"{KEY}\r\nX: y", f"{KEY}\0", f"{KEY}é", f" {KEY}"])
async def test_a_key_that_no_header_can_carry_is_not_in_the_failure(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Settings refuse such a key; an object that was made by hand does not, and neither httpx nor h11 are shy."""
    server = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = server.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - anyio's
    async with server:
        from aivideo_mcp.workflow import open_workflow  # noqa: PLC0415 - the fakes' is on virtual time

        settings = Settings(api_key=key, base_url=f"http://127.0.0.1:{port}", max_retries=0, timeout_ms=300)
        async with open_workflow(settings) as workflow:
            tool = next(tool for tool in TOOLS if tool.name == "get_status")
            envelope = await tool.call(workflow, Call({"taskId": "ck1"}, _untold, seen=False))
    assert not envelope.ok
    assert not holds_key(envelope.text)
    assert not holds_key(_own(caplog))


async def test_a_mistake_in_the_middle_of_a_request_shows_no_key(caplog: pytest.LogCaptureFixture) -> None:
    class Mistake(Exception):
        pass

    async def broken(request: httpx.Request) -> httpx.Response:
        raise Mistake(f"{request!r}")

    async with FakeNetwork(status=broken).workflow() as workflow:
        tool = next(tool for tool in TOOLS if tool.name == "get_status")
        envelope = await tool.call(workflow, Call({"taskId": "ck1"}, _untold, seen=False))
    assert "log on stderr" in (envelope.error_message or "")
    assert "Mistake" in _own(caplog)
    assert not holds_key(_own(caplog))


def test_settings_cannot_be_written_down_by_mistake() -> None:
    """What does not show the key in its repr would still put it into a file."""
    settings = Settings(api_key=KEY)
    with pytest.raises(TypeError):
        json.dumps(settings)
    with pytest.raises(TypeError):
        vars(settings)


# --- Traces ----------------------------------------------------------------------------------------------------------


class Tracer:
    """Takes down what the SDK would export, names, attributes and events alike."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    @contextmanager
    def start_as_current_span(self, name: str, **given: Any) -> Iterator[Tracer]:
        self.taken += [name, repr(given)]
        yield self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values, **named: self.taken.append(f"{name} {values!r} {named!r}")


async def test_traces_hold_neither_key_nor_arguments_nor_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = Tracer()
    monkeypatch.setattr(_otel, "_tracer", tracer)
    answer = ANSWERS["refusal"]
    async with FakeNetwork(generate=answer, account=answer, task=answer, tasks=answer).workflow() as workflow:
        async with Client(build_server(workflow)) as client:
            await client.call_tool("create_generation", {**T2V, "prompt": f"a secret cat {KEY}"})
            for uri in ("aivideo://tasks/ck1", f"aivideo://tasks/{KEY}"):
                with pytest.raises(Exception, match="AUTH_FAILED|TASK|PAYLOAD|INVALID"):
                    await client.read_resource(uri)
    taken = "\n".join(tracer.taken)
    assert "create_generation" in taken
    assert "secret cat" not in taken
    server_side = taken.replace(f"aivideo://tasks/{KEY}", "")  # the caller's own words
    assert not holds_key(server_side)


# --- Processes -------------------------------------------------------------------------------------------------------


def test_no_command_takes_the_key_as_an_argument() -> None:
    """Everybody on the machine can read a command line."""
    parser = command_parser()
    subparsers = next(a for a in parser._actions if isinstance(a.choices, dict))
    assert isinstance(subparsers.choices, dict)
    flags = {flag for sub in (parser, *subparsers.choices.values()) for a in sub._actions for flag in a.option_strings}
    assert {flag for flag in flags if "key" in flag.lower() or "token" in flag.lower()} == {"--idempotencyKey"}


async def test_the_demo_starts_its_server_without_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Started(Exception):
        pass

    def started(parameters: Any, **_: Any) -> None:
        raise Started(parameters.model_dump_json())

    monkeypatch.setenv("AIVIDEO_API_KEY", KEY)
    monkeypatch.setattr("aivideo_mcp.demo.stdio_client", started)
    with pytest.raises(Started) as begun:
        await run_demo(tmp_path, 60)
    assert "--sandbox" in str(begun.value)
    assert not holds_key(str(begun.value))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("end", [signal.SIGABRT, signal.SIGTERM])
def test_a_process_that_crashes_or_ends_dumps_no_key(end: signal.Signals) -> None:
    env = {"AIVIDEO_API_KEY": KEY, "AIVIDEO_BASE_URL": "http://127.0.0.1:9", "AIVIDEO_MAX_RETRIES": "0"}
    process = start("serve", env=env, python=("-X", "faulthandler"))
    assert process.stdout
    speak(
        process,
        *hello(),
        {"id": 2, "method": "tools/call", "params": {"name": "get_status", "arguments": {"taskId": "ck1"}}},
    )
    answers = [process.stdout.readline() for _ in range(2)]
    if Path("/proc/self/cmdline").exists():
        assert not holds_key(Path(f"/proc/{process.pid}/cmdline").read_bytes())
    process.send_signal(end)
    out, err = process.communicate(timeout=60)
    assert (b"Fatal Python error" in err) is (end is signal.SIGABRT)
    assert b"NETWORK_ERROR" in b"".join(answers)
    assert not holds_key(b"".join((*answers, out, err)))


def test_an_exception_that_nobody_expected_shows_no_key() -> None:
    """The interpreter's own last words: a traceback shows source lines and messages, and no values."""
    code = """
import aivideo_mcp.cli.oneshot as oneshot, sys
from aivideo_mcp.cli import main
async def broken(name, given, settings):
    raise RuntimeError(f"{name} {settings}")
oneshot._call = broken
main(["run", "--action", "getTask", "--taskId", "ck1"])
"""
    env = {**os.environ, "AIVIDEO_API_KEY": KEY, "PYTHONDEVMODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=60, check=False)
    assert b"RuntimeError" in done.stderr
    assert not holds_key(done.stdout + done.stderr)


# --- The canary itself -----------------------------------------------------------------------------------------------

LEAKS = {
    "stdout": f"print({KEY!r})",
    "stderr": f"import sys; print({KEY!r}, file=sys.stderr)",
    "log": f"import logging; logging.warning({KEY!r})",
    "capture": f"print({KEY!r}); capsys.readouterr()",
    "base64": f"print({base64.b64encode(b'u:' + KEY.encode()).decode()!r})",
    "process": f"import subprocess, sys; subprocess.run(['echo', {KEY!r}], capture_output=True)",
    "pipe": f"import tests.processes as p\n    p.COMMAND = ['echo', {KEY!r}]\n    "
    "with p.start() as child: child.stdout.readline()",
    "nothing": "print('fine')",
    "file": f"(tmp_path / 'left').write_text({KEY!r})",
}


def test_the_canary_sings() -> None:
    """Else a silent suite would say nothing; in a folder that is gone before this session's files are searched."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"def test_{name}(capsys, tmp_path):\n    {code}\n" for name, code in LEAKS.items()]
        Path(folder, "test_leaks.py").write_text("\n".join(lines))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.canary",
            "-q",
            "--basetemp",
            f"{folder}/base",
            "-c",
            os.devnull,
        ]
        root = Path(__file__).parent.parent
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "server")))}
        with Path(folder, "said").open("w+b") as said_in:  # a pipe would be searched here as well
            done = subprocess.run(command, env=env, cwd=folder, stdout=said_in, timeout=60, check=False)
            said_in.seek(0)
            said = said_in.read().decode()
    assert done.returncode == 1, said
    failed = {line.split("::test_")[1].split(" ")[0] for line in said.splitlines() if line.startswith("FAILED")}
    assert failed == LEAKS.keys() - {"file", "nothing"}
    assert "ERROR" in said
    assert "left" in said
