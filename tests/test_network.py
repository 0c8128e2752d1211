"""Who is let in by the network transports: names, pages, tokens; and what everybody may ask."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.transports import Address
from aivideo_mcp.transports.address import why_no_port
from aivideo_mcp.transports.gates import site
from tests.processes import COMMAND, environment, listening
from tests.web import HELLO, MCP, Served, ask, request, served, wire

pytestmark = pytest.mark.anyio
TOKEN = "open-sesame"
ALL = "0.0.0.0"  # noqa: S104 - nothing is bound to it
APP = "https://app.example.com"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Authorization: Bearer open-sesame"], 400),
        (["Authorization: bearer open-sesame"], 400),
        (["authorization: BEARER   open-sesame  "], 400),
        ([], 401),
        (["Authorization:"], 401),
        (["Authorization: Bearer"], 401),
        (["Authorization: Bearer "], 401),
        (["Authorization: Basic open-sesame"], 401),
        (["Authorization: open-sesame"], 401),
        (["Authorization: Beareropen-sesame"], 401),
        (["Authorization: Bearer open-sesam"], 401),
        (["Authorization: Bearer open-sesame2"], 401),
        (["Authorization: Bearer Open-Sesame"], 401),
        (["Authorization: Bearer open-sesame, Bearer open-sesame"], 401),
        (["Authorization: Bearer open-sesamé"], 401),
        (["Authorization: Bearer open-sesame", "Authorization: Bearer open-sesame"], 401),
        (["Authorization: Bearer wrong", "Authorization: Bearer open-sesame"], 401),
        (["X-Authorization: Bearer open-sesame"], 401),
    ],
)
async def test_only_one_right_token_opens_and_a_refusal_says_how_to_ask(lines: list[str], status: int) -> None:
    async with served(token=TOKEN) as here:
        answer = await ask(here.port, "POST", "/mcp", *lines, body=b"no json")
    assert answer.status == status
    assert answer.headers.get("www-authenticate", "").startswith("Bearer realm=") is (status == 401)
    assert b"sesam" not in answer.body


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.7", "http://localhost", "127.0.0.300", "[::1]"])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_host_that_is_not_this_machines_is_told_before_a_token_is_asked_for(host: str, token: str | None) -> None:
    with pytest.raises(ConfigurationError, match="is no address of this machine. Example: --host 127.0.0.1"):
        Address("http", host, 0, token).listen()


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EADDRINUSE, "another program has it"), (errno.EACCES, "below 1024"), (errno.ENOBUFS, "--port 0")],
)
def test_a_port_that_cannot_be_had_is_told_with_what_to_do(number: int, told: str) -> None:
    assert told in why_no_port(OSError(number, os.strerror(number)))


async def test_every_path_but_the_probes_asks_for_the_token() -> None:
    async with served(token=TOKEN) as here:
        for path in ("/mcp", "/mcp/", "/sse", "/messages/", "/", "/nowhere", "/healthz/", "//healthz", "/Healthz"):
            for method in ("GET", "POST", "DELETE", "OPTIONS", "TRACE", "PUT"):
                assert (await ask(here.port, method, path)).status == 401, (method, path)


async def test_the_token_is_compared_in_constant_time_whatever_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        lengths.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    async with served(token=TOKEN) as here:
        for given in ("", "x", "open-sesame", "y" * 5000):
            await ask(here.port, "GET", "/sse-not", f"Authorization: Bearer {given}")
    assert lengths == [(hashlib.sha256().digest_size,) * 2] * 4


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 404),
        ("LOCALHOST:1", 404),
        ("127.0.0.1:8000", 404),
        ("[::1]:8000", 404),
        ("[0:0:0:0:0:0:0:1]", 404),
        ("", 421),
        ("evil.test", 421),
        ("evil.test:8000", 421),
        ("localhost.evil.test", 421),
        ("127.0.0.1.evil.test:8000", 421),
        ("127.0.0.1:8000.evil.test", 421),
        ("localhost:@evil.test", 421),
        ("evil.test@localhost", 421),
        ("localhost,evil.test", 421),
        (ALL, 421),
        ("[::ffff:127.0.0.1]", 421),
        ("[localhost]", 421),
    ],
)
async def test_on_loopback_only_its_own_names_are_answered_on_every_path(host: str, status: int) -> None:
    async with served() as here:
        assert (await ask(here.port, "GET", "/nowhere", host=host)).status == status


async def test_a_name_that_is_not_ours_is_refused_on_the_sse_paths_too_without_a_traceback() -> None:
    async with served() as here:  # which hears of whatever is logged
        for path in ("/sse", "/messages/?session_id=1", "/mcp"):
            assert (await ask(here.port, "GET", path, host="evil.test")).status == 421
            assert (await ask(here.port, "GET", path, "Origin: http://evil.test")).status == 403


@pytest.mark.parametrize(
    ("host", "line", "status"),
    [
        ("localhost:8000", "Origin: http://localhost:8000", 404),
        ("localhost", "Origin: http://localhost", 404),
        ("localhost:80", "Origin: http://localhost", 404),
        ("mcp.example.com", "Origin: https://mcp.example.com", 404),
        ("127.0.0.1:8000", "Origin: https://mcp.example.com", 404),
        ("localhost:8000", f"Origin: {APP}", 404),
        ("localhost:8000", "Sec-Fetch-Site: same-origin", 404),
        ("localhost:8000", "Sec-Fetch-Site: none", 404),
        ("localhost:8000", "Origin: http://localhost:3000", 403),
        ("localhost:8000", "Origin: https://mcp.example.com:3000", 403),
        ("localhost:8000", "Origin: null", 403),
        ("localhost:8000", "Origin: ", 403),
        ("localhost:8000", "Origin: https://evil.test", 403),
        ("localhost:8000", f"Origin: {APP}:444", 403),
        ("localhost:8000", f"Origin: {APP}.evil.test", 403),
        ("localhost:8000", f"Origin: {APP}/", 403),
        ("localhost:8000", "Origin: http://app.example.com", 403),
        ("localhost:8000", f"Origin: {APP}\r\nOrigin: https://evil.test", 403),
        ("localhost:8000", "Sec-Fetch-Site: cross-site", 403),
        ("localhost:8000", "Sec-Fetch-Site: same-site", 403),
    ],
)
async def test_a_page_may_call_its_own_host_or_must_be_allowed(host: str, line: str, status: int) -> None:
    async with served(token=TOKEN, hosts=("mcp.example.com",), origins=(APP,)) as here:
        answer = await ask(here.port, "GET", "/nowhere", line, f"Authorization: Bearer {TOKEN}", host=host)
        assert answer.status == status


@pytest.mark.parametrize(
    ("bound", "host", "reached", "status"),
    [
        ("192.168.1.5", "192.168.1.5:8000", "192.168.1.5", None),
        ("192.168.1.5", "localhost:8000", "192.168.1.5", 421),
        ("192.168.1.5", "evil.test", "192.168.1.5", 421),
        ("box.lan", "BOX.lan:8000", "192.168.1.5", None),
        ("box.lan", "192.168.1.5", "192.168.1.5", 421),
        (ALL, "192.168.1.5:8000", "192.168.1.5", None),
        (ALL, "192.168.1.6:8000", "192.168.1.5", 421),
        (ALL, "localhost:8000", "127.0.0.1", None),
        (ALL, "evil.test:8000", "192.168.1.5", 421),
        (ALL, "0.0.0.0:8000", "127.0.0.1", 421),
        ("::", "[fe80::1]:8000", "fe80::1", None),
        ("fe80::1", "[FE80:0::1]:8000", "fe80::1", None),
        (ALL, "mcp.example.com", "10.0.0.1", None),
    ],
)
def test_beyond_loopback_only_the_hosts_own_names_are_answered(
    bound: str, host: str, reached: str, status: int | None
) -> None:
    refusal = site(Address("http", bound, 8000, TOKEN, ("mcp.example.com",)))
    scope = {"type": "http", "headers": [(b"host", host.encode())], "server": (reached, 8000)}
    answer = refusal(scope)
    assert (answer and answer.status_code) == status


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--allow-host", "mcp.example.com"), "AIVIDEO_HTTP_TOKEN"),
        (
            ("--allow-host", "https://mcp.example.com"),
            "--allow-host 'https://mcp.example.com' is not the name of a host",
        ),
        (("--allow-host", "localhost:80"), "is not the name of a host"),
        (("--allow-host", "*"), "is not the name of a host"),
        (("--allow-origin", "*"), "is not an origin"),
        (("--allow-origin", "null"), "is not an origin"),
        (("--allow-origin", "app.example.com"), "is not an origin"),
        (("--allow-origin", "https://app.example.com/"), "is not an origin"),
    ],
)
def test_what_is_allowed_has_to_make_sense_and_a_name_for_others_needs_a_token(
    flags: tuple[str, str], complaint: str
) -> None:
    flag, value = flags
    allowed = {"allowed_hosts" if flag == "--allow-host" else "allowed_origins": (value,)}
    with pytest.raises(ConfigurationError, match=re.escape(complaint)):
        Address("http", "127.0.0.1", 0, None, **allowed).listen()


async def test_a_bad_flag_is_one_clear_line() -> None:
    command = [*COMMAND, "serve", "--sandbox", "--transport", "http", "--port", "0", "--allow-origin", "*"]
    refused = await anyio.run_process(command, env=environment(), check=False)
    assert refused.returncode == 2
    assert b"--allow-origin '*' is not an origin" in refused.stderr
    assert b"Traceback" not in refused.stderr


def test_a_name_of_this_machine_needs_no_token() -> None:
    Address("http", "127.0.0.1", 0, None, ("localhost",)).listen().close()
    with pytest.raises(ConfigurationError):
        Address("http", "", 0, None).listen()


PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type,mcp-session-id")


async def test_an_allowed_page_gets_its_preflight_answered_without_a_token_and_no_other() -> None:
    async with served(token=TOKEN, origins=(APP, "http://localhost:6274")) as here:
        for page in (APP, "http://localhost:6274"):
            answer = await ask(here.port, "OPTIONS", "/mcp", f"Origin: {page}", *PREFLIGHT)
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
            assert "origin" in answer.headers["vary"].lower()
            assert {"authorization", "mcp-protocol-version", "last-event-id"} <= {
                name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")
            }
            assert "DELETE" in answer.headers["access-control-allow-methods"]
            assert "access-control-allow-credentials" not in answer.headers
        foreign = await ask(here.port, "OPTIONS", "/mcp", "Origin: https://evil.test", *PREFLIGHT)
        assert foreign.status == 403
        assert not [name for name in foreign.headers if name.startswith("access-control")]
        refused = await ask(here.port, "POST", "/mcp", f"Origin: {APP}", body=HELLO)
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, APP)
        lines = (f"Origin: {APP}", f"Authorization: Bearer {TOKEN}")
        answer = await ask(here.port, "POST", "/mcp", *lines, body=HELLO)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, APP)
        assert answer.headers["access-control-expose-headers"] == "Mcp-Session-Id"


async def test_without_the_flag_no_page_elsewhere_learns_anything() -> None:
    async with served() as here:
        for page in (f"http://localhost:{here.port}", "http://localhost:1", APP):
            answer = await ask(
                here.port, "OPTIONS", "/mcp", f"Origin: {page}", *PREFLIGHT, host=f"localhost:{here.port}"
            )
            assert answer.status in (403, 405)
            assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_probes_answer_anybody_and_tell_nothing() -> None:
    async with served(token=TOKEN) as here:
        for path in ("/healthz", "/readyz"):
            answer = await ask(here.port, "GET", path, host="10.0.0.9")
            assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
            async with wire(here.port, request("HEAD", path) + request("GET", path)) as line:
                head = await line.stream.receive()
                assert head.startswith(b"HTTP/1.1 200")
            assert (await ask(here.port, "POST", path, body=b"{}")).status == 405
        assert set(answer.headers) == {
            *("date", "x-content-type-options", "cross-origin-resource-policy", "content-length", "content-type")
        }


async def test_a_server_that_ends_is_alive_but_not_ready_and_turns_requests_away() -> None:
    async with served() as here:
        here.streams.end()
        alive, ready, call = [await ask(here.port, "GET", path) for path in ("/healthz", "/readyz", "/sse")]
    assert (alive.status, ready.status, call.status) == (200, 503, 503)
    assert "retry-after" in ready.headers
    assert "retry-after" in call.headers


async def test_unknown_paths_are_plain_and_no_banner_is_shown() -> None:
    async with served() as here:
        for path in ("/", "/docs", "/mcp/x", "/.env", "/sse/", "/messages", "/%2e%2e/", "http://evil.test/mcp"):
            answer = await ask(here.port, "GET", path)
            assert (answer.status, answer.body) == (404, b"Not Found"), path
            assert "server" not in answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await ask(here.port, "POST", "/mcp/", body=HELLO)).status == 200


async def proxied(here: Served, token: str, **headers: str) -> None:
    """A whole session of either kind, as a proxy would bring it."""
    given = {"Authorization": f"Bearer {token}", **headers}
    async with httpx.AsyncClient(headers=given) as web:
        answer = await web.post(f"{here.url}/mcp", content=HELLO, headers=MCP)
        assert answer.status_code == 200, answer.text
    async with Client(sse_client(f"{here.url}/sse", headers=given), mode="legacy") as client:
        assert (await client.list_tools()).tools


@pytest.mark.parametrize("host", ["mcp.example.com", "127.0.0.1:8000"])
async def test_a_proxy_may_keep_the_host_or_rewrite_it(host: str) -> None:
    async with served(token=TOKEN, hosts=("mcp.example.com",)) as here:
        await proxied(
            here,
            TOKEN,
            **{
                "Host": host,
                "X-Forwarded-For": "9.9.9.9",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "evil.test",
            },
        )


async def test_a_proxy_in_front_of_a_server_without_a_token_is_refused() -> None:
    async with served() as here:
        for line in ("X-Forwarded-For: 9.9.9.9", "Forwarded: for=9.9.9.9", "X-Forwarded-Host: mcp.example.com"):
            answer = await ask(here.port, "POST", "/mcp", line, body=HELLO)
            assert answer.status == 403
            assert b"AIVIDEO_HTTP_TOKEN" in answer.body


async def test_the_token_is_in_no_log_and_the_flags_reach_the_server() -> None:
    flags = (
        "serve",
        "--sandbox",
        "--transport",
        "http",
        "--port",
        "0",
        "--allow-host",
        "a.example",
        "--allow-origin",
        APP,
    )
    async with listening(*flags, env={"AIVIDEO_HTTP_TOKEN": TOKEN}) as serving:
        port = int(serving.url.split(":")[2].partition("/")[0])
        sent = f"Authorization: Bearer {TOKEN}"
        assert (await ask(port, "POST", "/mcp", sent, body=HELLO, host="a.example")).status == 200
        assert (await ask(port, "POST", "/mcp", sent, body=HELLO, host="b.example")).status == 421
        assert (await ask(port, "OPTIONS", "/mcp", f"Origin: {APP}", *PREFLIGHT, host="a.example")).status == 200
        await ask(port, "POST", "/messages/?session_id=zz", sent, body=b"{secret")
        async with wire(port, f"GET /{TOKEN} nonsense\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()) as line:
            assert (await line.answer()).status == 400
        serving.process.terminate()
        with anyio.fail_after(60):
            await serving.process.wait()
        assert "sesame" not in serving.stderr()
        assert "Traceback" not in serving.stderr()


async def test_a_token_that_can_be_guessed_is_told_and_a_long_one_is_not() -> None:
    flags = ("serve", "--sandbox", "--transport", "http", "--port", "0")
    for token, told in (("a", True), ("a" * 16, False)):
        async with listening(*flags, env={"AIVIDEO_HTTP_TOKEN": token}) as serving:
            assert ("can be guessed" in serving.stderr()) is told
