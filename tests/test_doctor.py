"""The doctor: what it finds, what it advises, and what it never does. The key is a canary in every run."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream

from aivideo_mcp.client import Upstream
from aivideo_mcp.doctor import Check, Report, State, examine
from aivideo_mcp.doctor.environment import base_url, cheapest, variables
from aivideo_mcp.doctor.folders import images, written
from aivideo_mcp.ledger import Ledger, Likeness, Wanted
from aivideo_mcp.settings import Settings, Survey
from tests.fakes import KEY, FakeNetwork, page, reply
from tests.processes import COMMAND, environment, listening

pytestmark = pytest.mark.anyio

ACCOUNT = {"currentBalance": 500, "supportedModels": ["t2v", "i2v"]}


async def command(*flags: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit code and the answer of a doctor whose key is a canary, and which keeps it to itself."""
    given = {"AIVIDEO_API_KEY": KEY, "AIVIDEO_TIMEOUT_MS": "2000", **(env or {})}
    with anyio.fail_after(60):
        done = await anyio.run_process([*COMMAND, "doctor", *flags], env=environment(given), check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "canary" not in out + err
    assert "Traceback" not in err
    assert "\x1b" not in out
    return done.returncode, out


async def document(env: dict[str, str] | None = None) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code and the findings by name."""
    code, out = await command("--json", env=env)
    told = json.loads(out)
    assert told.keys() == {"ok", "checks"}
    assert all(set(check) == {"name", "state", "finding", "advice"} for check in told["checks"])
    assert told["ok"] is (code == 0)
    assert told["ok"] is not any(check["state"] == "fail" for check in told["checks"])
    return code, {check["name"]: check for check in told["checks"]}


@contextlib.asynccontextmanager
async def serving(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives one answer to everything, or none; its address, and what it was sent."""
    heard: list[bytes] = []

    async def speak(stream: SocketStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                heard.append(await stream.receive())
                if answer is None:
                    await anyio.sleep_forever()
                await stream.send(answer or b"")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, speak)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django
        yield f"127.0.0.1:{port}", heard
        group.cancel_scope.cancel()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# As a person runs it


async def test_all_is_well_on_a_sandbox(tmp_path: Path) -> None:
    async with listening("sandbox", "--port", "0") as sandbox:
        env = {
            "AIVIDEO_BASE_URL": sandbox.url,
            "AIVIDEO_OUTPUT_DIR": str(tmp_path / "videos"),
            "AIVIDEO_IMAGE_DIRS": str(tmp_path),
            "AIVIDEO_STATE_DIR": str(tmp_path / "state"),
        }
        code, out = await command(env=env)
        async with httpx.AsyncClient(trust_env=False) as client:
            asked = (await client.get(f"{sandbox.url}/sandbox/ledger")).json()["calls"]
    assert code == 0, out
    assert asked == {"account": 1}
    assert list(tmp_path.iterdir()) == [], "looking changes nothing"
    *lines, summary = out.splitlines()
    assert all(line.startswith(("ok    ", "warn  ")) for line in lines)
    assert "answers, after" in out
    assert "a sandbox: no real videos, no real credits" in out
    assert "ok    key: set and accepted." in out
    assert "ok    balance: 10000 credits (USD 100.00)." in out
    assert "ok    models: 9 of the 9 that are known here are served." in out
    assert summary.endswith(" ok, 0 warn, 0 FAIL")


async def test_a_key_that_is_none_of_the_real_apis_is_a_warning() -> None:
    async with listening("sandbox", "--port", "0") as sandbox:
        code, found = await document({"AIVIDEO_BASE_URL": sandbox.url, "AIVIDEO_API_KEY": "sandbox"})
    assert (code, found["key"]["state"]) == (0, "warn")
    assert "set and accepted" in found["key"]["finding"]


async def test_what_the_ledger_owes_is_counted(tmp_path: Path) -> None:
    async with listening("sandbox", "--port", "0", "--speed", "600") as sandbox:
        env = {"AIVIDEO_BASE_URL": sandbox.url, "AIVIDEO_STATE_DIR": str(tmp_path)}
        settings = Settings(api_key=KEY, base_url=sandbox.url, state_dir=tmp_path)
        ledger = Ledger(settings)
        for number, status in enumerate(["PROGRESS", "COMPLETED", "FAILED", "lost", "in flight", "delivered", "gone"]):
            wanted = Wanted("t2v", str(number), Likeness.of({}, ()), Likeness.of({}, ()), None)
            intent = await ledger.sending((await ledger.claim(wanted, fresh=False))[0])
            if status == "lost":
                await ledger.release(intent)
            elif status != "in flight":
                await ledger.issued(intent, status, status, 15)
        await ledger.delivered("delivered")
        await ledger.gone("gone")
        (tmp_path / "ledger.corrupt-1.sqlite3").touch()
        code, found = await document(env)
        assert code == 0
        assert found["generations"]["finding"] == "1 open, 2 undelivered, 1 lost."
        assert found["ledger"]["finding"] == "opens; 1 other process with it open."
        assert "ledger.corrupt-1.sqlite3" in found["ledgers set aside"]["finding"]
        assert found["query budget"]["finding"] == "54 of 54 queries left this minute."
        await ledger.aclose()
        _, found = await document(env)
        assert found["generations"]["finding"] == "1 open, 2 undelivered, 2 lost.", "who was sending is gone"
        assert found["ledger"]["finding"] == "opens; 0 other processes with it open."
        assert found["query budget"]["finding"] == "53 of 54 queries left this minute.", "the doctor's own counts"


@pytest.mark.parametrize(
    ("answer", "finding", "advice"),
    [
        (http("200 OK", b"<!doctype html><html>Hi"), "an HTML page", "AIVIDEO_BASE_URL"),
        (http("404 Not Found", b"<html>"), "404", "AIVIDEO_BASE_URL"),
        (http("404 Not Found", b'{"status":"FAILED"}'), "404", "AIVIDEO_BASE_URL"),
        (http("302 Found", b"", f"Location: https://elsewhere.test/{KEY}"), "redirect", "AIVIDEO_BASE_URL"),
        (http("503 Service Unavailable", KEY.encode()), "503", "Wait some minutes"),
        (http("200 OK", b'{"status":"FAILED","error":{"message":"' + KEY.encode() + b'"}}'), "it says", "Wait"),
        (b"", "connection broke", "Wait some minutes"),
        (None, "no complete answer", "AIVIDEO_TIMEOUT_MS"),
    ],
)
async def test_an_upstream_that_is_none_is_told_by_its_fault(answer: bytes | None, finding: str, advice: str) -> None:
    async with serving(answer) as (address, heard):
        code, found = await document({"AIVIDEO_BASE_URL": f"http://{address}"})
    assert (code, found["upstream"]["state"]) == (1, "fail")
    assert finding in found["upstream"]["finding"]
    assert advice in found["upstream"]["advice"]
    assert len(heard) == 1, "asked once"
    assert "balance" not in found


async def test_a_key_that_is_refused_is_the_keys_fault() -> None:
    body = b'{"status":"FAILED","errorCode":"AUTH_FAILED","message":"unknown key ' + KEY.encode() + b'"}'
    async with serving(http("401 Unauthorized", body)) as (address, _):
        code, found = await document({"AIVIDEO_BASE_URL": f"http://{address}"})
    assert (code, found["upstream"]["state"], found["key"]["state"]) == (1, "ok", "fail")
    assert "AIVIDEO_API_KEY" in found["key"]["advice"]


async def test_without_a_key_the_upstream_is_found_all_the_same_and_no_key_is_sent() -> None:
    async with serving(http("401 Unauthorized", b"{}")) as (address, heard):
        code, found = await document({"AIVIDEO_BASE_URL": f"http://{address}", "AIVIDEO_API_KEY": ""})
    assert (code, found["upstream"]["state"]) == (1, "ok")
    assert "not set" in found["key"]["finding"]
    assert b"\r\nkey:" not in b"".join(heard).lower()


async def test_a_port_where_nobody_listens_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    for host in (address, address.replace("127.0.0.1", "localhost")):
        code, found = await document({"AIVIDEO_BASE_URL": f"http://{host}"})
        assert code == 1
        assert f"{host} refuses connections: nothing listens there." in found["upstream"]["finding"]


async def test_a_name_that_does_not_exist_is_dns() -> None:
    env = {"AIVIDEO_BASE_URL": "https://no-such-host.invalid", "HTTPS_PROXY": "", "https_proxy": "", "ALL_PROXY": ""}
    env["AIVIDEO_TIMEOUT_MS"] = "30000"
    code, found = await document(env)
    assert code == 1
    assert "the name no-such-host.invalid cannot be resolved (DNS)." in found["upstream"]["finding"]


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("HTTPS_PROXY", "me:secret-word:80", "no proxy's address"),
        ("ALL_PROXY", "socks5://127.0.0.1:9", "SOCKS"),
        ("SSL_CERT_FILE", "/nowhere/secret-word.pem", "certificates"),
    ],
)
async def test_a_proxy_or_certificates_that_cannot_be_used_are_told_by_their_variables(
    name: str, value: str, finding: str
) -> None:
    code, found = await document({"AIVIDEO_BASE_URL": "https://no-such-host.invalid", name: value})
    assert (code, found["upstream"]["state"]) == (1, "fail")
    assert finding in found["upstream"]["finding"]
    assert name in found["upstream"]["advice"]
    assert "secret-word" not in str(found)


async def test_a_key_that_is_an_examples_text_is_told_as_such() -> None:
    _, found = await document({"AIVIDEO_BASE_URL": "https://no-such-host.invalid", "AIVIDEO_API_KEY": "your-api-key"})
    assert found["AIVIDEO_API_KEY"]["state"] == "warn"
    assert "an example's text" in found["AIVIDEO_API_KEY"]["finding"]
    assert "not set" in found["key"]["finding"]


async def test_https_to_what_speaks_plain_http_is_tls() -> None:
    async with serving(http("200 OK", b"{}")) as (address, heard):
        code, found = await document({"AIVIDEO_BASE_URL": f"https://{address}"})
    assert code == 1
    assert "(TLS)" in found["upstream"]["finding"]
    assert KEY.encode() not in b"".join(heard)


async def test_all_bad_variables_are_told_and_nobody_is_asked_with_them(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with serving(http("200 OK", b"{}")) as (address, heard):
        env = {
            "AIVIDEO_BASE_URL": f"http://{address}",
            "AIVIDEO_API_KEY": f"{KEY} {KEY}",
            "AIVIDEO_STATE_DIR": str(tmp_path / "file"),
            "AIVIDEO_OUTPUT_DIR": "videos",
            "AIVIDEO_MAX_CREDITS": "plenty",
            "AIVIDEO_MAX_CREDIT": "5",
        }
        code, found = await document(env)
    assert code == 2
    assert heard == []
    for name in env.keys() - {"AIVIDEO_BASE_URL", "AIVIDEO_MAX_CREDIT"}:
        assert found[name]["state"] == "fail"
    assert found["AIVIDEO_MAX_CREDITS"]["finding"] == "is not a whole number from 0 to 1000000."
    assert "100" in found["AIVIDEO_MAX_CREDITS"]["advice"]
    assert found["AIVIDEO_MAX_CREDIT"]["state"] == "warn"
    assert found["AIVIDEO_MAX_CREDIT"]["advice"] == "Did you mean AIVIDEO_MAX_CREDITS?"
    assert not {"state folder", "ledger", "output folder"} & found.keys(), "the default stands for none of them"


async def test_a_bad_base_url_sends_the_key_to_nobody_else() -> None:
    code, found = await document({"AIVIDEO_BASE_URL": f"https://user:{KEY}@aivideomaker.ai"})
    assert (code, found["AIVIDEO_BASE_URL"]["state"], found["upstream"]["finding"]) == (2, "fail", "not asked.")


async def test_the_key_in_a_wrong_place_is_struck_out(tmp_path: Path) -> None:
    async with serving(http("200 OK", json.dumps({"supportedModels": [KEY]}).encode())) as (address, _):
        env = {
            "AIVIDEO_BASE_URL": f"http://{address}/{KEY}",
            "AIVIDEO_OUTPUT_DIR": str(tmp_path / KEY),
            "AIVIDEO_USER_AGENT": KEY,
            "AIVIDEO_HTTP_TOKEN": f"token-{KEY}",
        }
        code, out = await command(env=env)
    assert code == 0, out
    assert "[secret]" in out


async def test_a_ledger_that_another_holds_does_not_hold_the_doctor(tmp_path: Path) -> None:
    """The command ends although a thread still waits for the file."""
    async with serving(http("200 OK", json.dumps(ACCOUNT).encode())) as (address, _):
        env = {"AIVIDEO_BASE_URL": f"http://{address}", "AIVIDEO_STATE_DIR": str(tmp_path)}
        ledger = Ledger(Settings(api_key=KEY, base_url=env["AIVIDEO_BASE_URL"], state_dir=tmp_path))
        await ledger.known()
        await ledger.aclose()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")
            code, found = await document(env)
    assert (code, found["ledger"]["state"], found["upstream"]["state"]) == (1, "fail", "ok")


async def test_a_ledger_that_is_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"no database at all" * 100)
    async with serving(http("200 OK", json.dumps(ACCOUNT).encode())) as (address, _):
        code, found = await document({"AIVIDEO_BASE_URL": f"http://{address}", "AIVIDEO_STATE_DIR": str(tmp_path)})
    assert (code, found["ledgers set aside"]["state"]) == (0, "warn")


async def test_paths_that_no_encoding_can_write_are_told_all_the_same(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m\xc3\xa9")
    for encoding in ("ascii", "utf-8"):
        env = {"XDG_STATE_HOME": folder, "PYTHONIOENCODING": encoding, "AIVIDEO_BASE_URL": "http://127.0.0.1:9"}
        code, out = await command(env=env)
        assert code == 1
        assert r"\udcff\x1b[31m" in out


# Each finding


async def found(network: FakeNetwork, **settings: Any) -> dict[str, Check]:
    """What an examination over this network finds."""
    given = Settings(**{"api_key": KEY, "base_url": "https://api.example.test", **settings})

    def connect(settings: Settings, gate: Any) -> Upstream:
        return Upstream(settings, transport=network, gate=gate)

    report = await examine(Survey(given, frozenset(settings), {}), connect)
    assert "canary" not in str(report)
    return {check.name: check for check in report.checks}


@pytest.mark.parametrize(
    ("balance", "state"),
    [(0, State.WARN), (14, State.WARN), (15, State.OK), (None, State.WARN), (-1, State.WARN), ("many", State.WARN)],
)
async def test_a_balance_that_buys_nothing_is_a_warning(balance: object, state: State) -> None:
    assert cheapest() == 15
    checks = await found(FakeNetwork(account=reply({**ACCOUNT, "currentBalance": balance})))
    assert checks["balance"].state is state


async def test_models_that_are_missing_or_new_are_named() -> None:
    checks = await found(FakeNetwork(account=reply({**ACCOUNT, "supportedModels": ["t2v", "sora\x1b[31m", 7]})))
    models = checks["models"]
    assert models.state is State.WARN
    assert "1 of the 9" in models.finding
    assert "not served: i2v, lv," in models.finding
    assert "not known here: sora_31m." in models.finding
    many = [f"m{number}" for number in range(1000)]
    checks = await found(FakeNetwork(account=reply({**ACCOUNT, "supportedModels": many})))
    assert len(checks["models"].finding) < 500


async def test_an_account_that_tells_nothing_is_a_warning() -> None:
    checks = await found(FakeNetwork(account=reply({})))
    assert [checks[name].state for name in ("upstream", "key", "balance", "models")] == ["ok", "ok", "warn", "warn"]


async def test_a_rate_limit_is_no_fault_of_the_setup() -> None:
    network = FakeNetwork(account=reply({"errorCode": "RATE_LIMITED"}, 429, retry_after="7"))
    checks = await found(network)
    assert (checks["upstream"].state, checks["upstream"].advice) == (State.WARN, "Wait 7 s and look again.")
    assert network.calls() == ["account"]


async def test_a_budget_that_is_spent_is_not_overdrawn(tmp_path: Path) -> None:
    network = FakeNetwork(account=reply(ACCOUNT))
    settings = {"state_dir": tmp_path, "queries_per_minute": 1}
    ledger = Ledger(Settings(api_key=KEY, base_url="https://api.example.test", **settings))
    await ledger.admit(1.0, direct=True)
    checks = await found(network, **settings)
    assert (checks["upstream"].state, checks["query budget"].state) == (State.WARN, State.WARN)
    assert network.calls() == []
    await ledger.hush(100)
    assert "wants none for 100 s" in (await found(network, **settings))["query budget"].finding
    await ledger.aclose()


async def test_a_filter_that_forbids_is_told_with_what_may_help() -> None:
    checks = await found(FakeNetwork(account=page(status=403)))
    assert checks["key"].state is State.FAIL
    assert "AIVIDEO_USER_AGENT" in checks["key"].advice


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        (httpx.ConnectTimeout("late"), "could not be reached"),
        (httpx.ProxyError("407"), "the proxy does not let us through"),
        (httpx.ReadError("gone"), "broke before the answer"),
    ],
)
async def test_other_faults_of_the_network_are_told(fault: Exception, finding: str) -> None:
    network = FakeNetwork(account=fault)
    assert finding in (await found(network))["upstream"].finding
    assert len(network.requests) == 1


async def test_a_certificate_that_is_not_trusted_is_told_with_its_reason() -> None:
    cause = ssl.SSLCertVerificationError()
    cause.verify_message = "certificate has expired"
    fault = httpx.ConnectError("tls")
    fault.__cause__ = cause
    checks = await found(FakeNetwork(account=fault))
    assert "certificate has expired" in checks["upstream"].finding
    assert "clock" in checks["upstream"].advice


async def test_a_connection_that_never_comes_is_a_time_out() -> None:
    fault = httpx.ConnectTimeout("late")
    fault.__cause__ = TimeoutError()
    checks = await found(FakeNetwork(account=fault), timeout_ms=1500)
    assert "within 1.5 s (time-out)" in checks["upstream"].finding


@pytest.mark.parametrize(
    ("settings", "spending", "consent"),
    [
        ({}, "ok", "ok"),
        ({"max_credits": 100}, "ok", "ok"),
        ({"max_credits": 14}, "warn", "ok"),
        ({"daily_credits": 0}, "warn", "ok"),
        ({"confirm_above": 50}, "ok", "ok"),
        ({"max_credits": 100, "confirm_above": 100}, "ok", "warn"),
        ({"max_credits": 100, "daily_credits": 500, "confirm_above": 50}, "ok", "ok"),
    ],
)
async def test_caps_that_forbid_all_or_are_never_reached_are_warned_of(
    settings: dict[str, int], spending: str, consent: str
) -> None:
    checks = await found(FakeNetwork(account=reply(ACCOUNT)), **settings)
    assert (checks["spending caps"].state, checks["consent"].state) == (spending, consent)
    assert all(str(value) in checks["spending caps"].finding + checks["consent"].finding for value in settings.values())


@pytest.mark.parametrize("url", ["https://x.test/api", "https://x.test/api/v1"])
def test_a_base_url_with_the_apis_path_is_told_what_it_should_be(url: str) -> None:
    check = base_url(Survey(Settings(base_url=url), frozenset(), {}))
    assert check
    assert (check.state, check.advice) == (State.WARN, "Use https://x.test.")


def test_secrets_are_told_to_be_set_and_nothing_else() -> None:
    survey = Survey(Settings(api_key=KEY, http_token="t0ken"), frozenset({"api_key", "http_token"}), {})
    assert [check.finding for check in variables(survey)] == ["set, and never shown."] * 2


def test_a_folder_that_cannot_be_made_or_is_nearly_full_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert written("f", tmp_path / "file" / "below", 0, "AIVIDEO_STATE_DIR").state is State.FAIL
    assert written("f", tmp_path, 0, "AIVIDEO_STATE_DIR").state is State.OK
    assert written("f", tmp_path, 10**18, "AIVIDEO_STATE_DIR").state is State.WARN
    assert "made when it is needed" in written("f", tmp_path / "a" / "b", 0, "AIVIDEO_STATE_DIR").finding
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_whose_space_nobody_knows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(_: Path) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("shutil.disk_usage", stale)
    check = written("f", tmp_path, 0, "AIVIDEO_STATE_DIR")
    assert (check.state, "Stale file handle" in check.finding) == (State.FAIL, True)


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that not even root can write to")
def test_a_folder_that_cannot_be_written_to_is_a_failure() -> None:
    check = written("f", Path("/proc"), 0, "AIVIDEO_STATE_DIR")
    assert check.state is State.FAIL
    assert "AIVIDEO_STATE_DIR" in check.advice


def test_image_folders_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    checks = images((tmp_path, tmp_path / "missing", tmp_path / "file"))
    assert [check.state for check in checks] == [State.OK, State.WARN, State.FAIL]


def test_what_is_told_is_one_line_each() -> None:
    check = Check("a\nb", State.OK, "c\rd\u2028\x1b[2J", "e\t")
    (line, _) = Report.of([check], [None, "short"], unusable=False, hanging=False).lines()
    assert line == r"ok    a\nb: c\rd\u2028\x1b[2J e\t"


def test_nothing_of_mcp_is_loaded() -> None:
    heavy = "{'mcp', 'httpx', 'sqlalchemy'}"
    script = f"import sys, aivideo_mcp.cli, aivideo_mcp.doctor; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, env=environment())
