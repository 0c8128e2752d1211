"""Addresses from the upstream: what is shown, what is fetched, and what is connected to."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpcore
import httpx
import pytest
from anyio.abc import SocketStream

from aivideo_mcp.client.downloads import MOST_REDIRECTS
from aivideo_mcp.client.exchange import Exchange
from aivideo_mcp.client.fence import FencedNetwork
from aivideo_mcp.errors import DownloadFailed, NetworkError, UnsafeAddress
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import is_public, origin_of
from aivideo_mcp.tasks.addresses import fault_of, read_url
from aivideo_mcp.tools import TOOLS, Call
from tests.fakes import BASE, KEY, SUBMITTED, T2V, FakeNetwork, reply, task
from tests.filehost import Day, Host, finished, saying

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
NOT_PUBLIC = """
    0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.8.8.8 169.254.169.254 172.16.0.1 172.31.255.255
    192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 233.252.0.1 239.1.1.1
    240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:10.0.0.1 ::10.0.0.1
    64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 2002:7f00:1:: 2002:a00:1::1
    2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1
    ff02::1 ff0e::1 100::1 5f00::1
""".split()  # noqa: SIM905 - a quoted list would be three times as long
READABLE = """
    https://static.img2video.ai/a/b.mp4?X-Sig=a%2Bb&n=1~2#t=1 https://files.example.com:8443/x HTTPS://Files.Example.COM/x
    https://8.8.8.8/x https://[2606:4700::1111]/x https://files.example.com./x https://xn--r8jz45g.example/x
    https://a_b.example.com/x https://files.example.com/x@y https://127.0.0.1.nip.io/x https://1.example.com/
""".split()  # noqa: SIM905 - a quoted list would be three times as long
REFUSED = {
    # an address: what is said of it
    "http://files.example.com/x": "not https",
    "http://127.0.0.1/x": "not https",
    "ftp://files.example.com/x": "plain",
    "file:///etc/passwd": "plain",
    "https://user:pass@files.example.com/x": "credentials",
    "https://user@files.example.com/x": "credentials",
    "https://files.example.com@127.0.0.1/x": "credentials",
    "https://:@files.example.com/x": "credentials",
    "https://localhost/x": "private",
    "https://LOCALHOST./x": "private",
    "https://files.localhost/x": "private",
    "https://intranet/x": "private",
    "https://printer.local/x": "private",
    "https://metadata.google.internal/x": "private",
    "https://router.lan/x": "private",
    "https://router.home.arpa/x": "private",
    "https://127.0.0.1./x": "private",
    "https://127.1/x": "private",
    "https://2130706433/x": "private",
    "https://0x7f000001/x": "private",
    "https://0x7f.0.0.1/x": "private",
    "https://127.0.0.0x1/x": "private",
    "https://017700000001/x": "private",
    "https://0177.0.0.1/x": "private",
    "https://134744072/x": "private",  # 8.8.8.8, in a form that not all read alike
    "https://1.2.3.4.5/x": "private",
    "https://0x/x": "private",
    "https://a..example/x": "private",
    "https://.example/x": "private",
    "https://[::1]/x": "private",
    "https://[::ffff:127.0.0.1]/x": "private",
    "https://[::ffff:7f00:1]/x": "private",
    "https://[64:ff9b::7f00:1]/x": "private",
    "https://[2002:7f00:1::]/x": "private",
    "https://[:]/x": "private",
    "https://[fe80::1%25eth0]/x": "plain",
    "https://[::1/x": "plain",
    "https://①②⑦.0.0.1/x": "plain",
    "https://\uff11\uff12\uff17.0.0.1/x": "plain",
    "https://127。0。0。1/x": "plain",
    "https://ⓛocalhost/x": "plain",
    "https://例え.example/x": "plain",
    "https://%31%32%37.0.0.1/x": "plain",
    "https://files.example.com\\@127.0.0.1/x": "credentials",
    "https:\\\\127.0.0.1/x": "plain",
    "https:///127.0.0.1/x": "plain",
    "https:127.0.0.1/x": "plain",
    "//127.0.0.1/x": "plain",
    "https://files.example.com:0/x": "plain",
    "https://files.example.com:65536/x": "plain",
    "https://files.example.com:x/x": "plain",
    "https://files.example.com /x": "plain",
    "https://files.example.com\n/x": "plain",
    " https://files.example.com/x": "plain",
    "https://": "plain",
    "": "plain",
}


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", PUBLIC, "2606:4700::1111", "64:ff9b::8.8.8.8", "2a00:1450::200e"])
def test_an_address_that_is_public_is_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [a for a in NOT_PUBLIC if "%" not in a])
def test_no_literal_address_that_is_not_public_is_shown(address: str) -> None:
    url = f"https://[{address}]/x" if ":" in address else f"https://{address}/x"
    assert fault_of(url) == "points to a private address"


@pytest.mark.parametrize("url", READABLE)
def test_a_public_address_is_shown_as_it_is(url: str) -> None:
    assert read_url(url) == url


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_is_not_safe_is_neither_shown_nor_fetched(url: str) -> None:
    assert read_url(url) is None
    assert REFUSED[url] in (fault_of(url) or "")


@pytest.mark.parametrize(
    ("rest", "shown"),
    [
        ('/a"b', "/a%22b"),
        ("/a`b", "/a%60b"),
        ("/<script>", "/%3Cscript%3E"),
        ("/a\\b", "/a%5Cb"),
        ("/ünï", "/%C3%BCn%C3%AF"),
        ("/“x”", "/%E2%80%9Cx%E2%80%9D"),
        ("/a|{b}^", "/a%7C%7Bb%7D%5E"),
        ("/%zz", "/%zz"),
    ],
)
def test_signs_that_have_no_place_in_an_address_are_encoded(rest: str, shown: str) -> None:
    assert read_url(f"https://files.example.com{rest}") == f"https://files.example.com{shown}"


@pytest.mark.parametrize(
    ("url", "home", "allowed"),
    [
        ("http://127.0.0.1:8787/files/x", "http://127.0.0.1:8787", True),
        ("http://localhost/x", "http://localhost:80/", True),
        ("https://LOCALHOST/x", "https://localhost:443", True),
        ("http://[::1]:1/x", "http://[::1]:1", True),
        ("https://intranet/x", "https://intranet", True),
        ("http://127.0.0.1:8788/x", "http://127.0.0.1:8787", False),
        ("https://127.0.0.1:8787/x", "http://127.0.0.1:8787", False),
        ("http://localhost:8787/x", "http://127.0.0.1:8787", False),
        ("http://a@127.0.0.1:8787/x", "http://127.0.0.1:8787", False),
        ("http://127.0.0.1:8787@evil.example/x", "http://127.0.0.1:8787", False),
        ("http://127.0.0.1:8787.evil.example/x", "http://127.0.0.1:8787", False),
    ],
)
def test_the_base_url_s_own_origin_is_allowed_and_no_neighbour_of_it(url: str, home: str, allowed: bool) -> None:
    assert (fault_of(url, origin_of(home)) is None) is allowed


async def test_a_task_s_address_is_judged_by_where_the_upstream_is() -> None:
    body = task("COMPLETED", output={"url": "http://127.0.0.1:8787/files/ck1.mp4"})
    network = FakeNetwork(task=reply(body), tasks=reply({"tasks": [body]}))
    near, far = network.upstream(base_url="http://127.0.0.1:8787"), network.upstream()
    assert (await near.task("ck1")).video_url == "http://127.0.0.1:8787/files/ck1.mp4"
    assert [listed.task.video_url for listed in await near.tasks()] == ["http://127.0.0.1:8787/files/ck1.mp4"]
    assert (await far.task("ck1")).video_url is None
    assert [listed.task.video_url for listed in await far.tasks()] == [None]


async def test_a_caller_is_not_told_to_open_an_address_that_is_not_safe() -> None:
    body = task("COMPLETED", output={"url": "https://u:p@192.168.0.1/ck1.mp4"})
    async with FakeNetwork(task=reply(body)).workflow() as workflow:
        tool = next(tool for tool in TOOLS if tool.name == "get_task")
        envelope = await tool.call(workflow, Call({"taskId": "ck1"}, _untold, seen=False))
    assert "192.168.0.1" not in envelope.model_dump_json()
    assert "no file that is safe to fetch" in envelope.text
    assert "videoUrl" not in envelope.text


async def _untold(_: str) -> None:
    pass


# --- Redirects ------------------------------------------------------------------------------------------------------


def leading(location: str, status: int = 302) -> Day:
    return saying(status, b"x", location=location)


@pytest.mark.parametrize(
    "location",
    [
        "http://files.example.test/x",
        "https://u:p@files.example.test/x",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "//10.0.0.1/x",
        "https://[::1]/x",
        "https://0x7f000001/x",
        f"{BASE.replace('https', 'http')}/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_to_where_nothing_is_fetched_from_is_not_followed(tmp_path: Path, location: str) -> None:
    host = Host([leading(location)])
    with pytest.raises(DownloadFailed) as failure:
        await host.folder(tmp_path / "videos").save(finished())
    assert len(host.asked) == 1
    if "script" not in location:
        assert isinstance(failure.value, UnsafeAddress)
        assert not any(step.startswith("Open") for step in failure.value.next_steps)


@pytest.mark.parametrize(
    "location", ["https://xn--.example/x", "https://xn--.com", "https://a%00b.example/", "http://["]
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_redirect_to_nonsense_is_one_clear_failure(
    tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aivideo_mcp.media.fetching.PAUSES", ())
    with pytest.raises(DownloadFailed):
        await Host([leading(location)]).folder(tmp_path / "videos").save(finished())


@pytest.mark.parametrize("hops", [MOST_REDIRECTS, MOST_REDIRECTS + 1])
async def test_a_handful_of_redirects_is_followed(tmp_path: Path, hops: int) -> None:
    host = Host([leading(f"https://files{n}.example.test/x", 301 + n % 2) for n in range(hops)])
    folder = host.folder(tmp_path / "videos")
    if hops <= MOST_REDIRECTS:
        assert await folder.save(finished())
    else:
        with pytest.raises(DownloadFailed, match="more than 5 times"):
            await folder.save(finished())


async def test_what_a_redirect_says_without_end_is_not_read(tmp_path: Path) -> None:
    def endless(host: Host, _: httpx.Request) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 2**20
                host.sent[-1] += 2**20
                await anyio.lowlevel.checkpoint()

        return httpx.Response(302, headers={"Location": "https://other.example.test/x"}, content=body())

    host = Host([endless])
    with anyio.fail_after(60):
        assert await host.folder(tmp_path / "videos").save(finished())
    assert host.sent[0] == 0


# --- Connections ----------------------------------------------------------------------------------------------------


class Wire(httpcore.AsyncNetworkBackend):
    """Notes what is connected to; `dead` are addresses where nobody answers."""

    def __init__(self, *dead: str) -> None:
        self.dead = dead
        self.tried: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        self.tried.append((host, port))
        if host in self.dead:
            with anyio.move_on_after(timeout):
                await anyio.sleep_forever()
            raise httpcore.ConnectTimeout
        return httpcore.AsyncMockStream([])


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names lead to these, one answer after the other; what was asked for."""
    asked: list[str] = []
    script = list(answers)

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[object, ...]]:
        asked.append(host)
        found = script.pop(0) if len(script) > 1 else script[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_into_a_private_network_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolving(monkeypatch, [address])
    wire = Wire()
    with pytest.raises(UnsafeAddress, match="private address"):
        await FencedNetwork(("127.0.0.1", 8787), wire).connect_tcp("files.example.com", 443, 5)
    assert wire.tried == []


async def test_what_is_connected_to_is_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere at its second resolution gains nothing: there is none."""
    asked = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    wire = Wire()
    await FencedNetwork(("", 0), wire).connect_tcp("rebind.example.com", 443, 5)
    assert (asked, wire.tried) == (["rebind.example.com"], [(PUBLIC, 443)])


async def test_of_a_name_with_both_kinds_of_addresses_only_the_public_ones_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["127.0.0.1", "8.8.8.8", "10.0.0.1", PUBLIC, "::1"])
    wire = Wire("8.8.8.8", PUBLIC)
    with pytest.raises(httpcore.ConnectTimeout):
        await FencedNetwork(("", 0), wire).connect_tcp("files.example.com", 443, 0.05)
    assert wire.tried == [("8.8.8.8", 443)]


async def test_another_address_is_tried_where_the_first_is_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = Wire("2606:4700::1")
    resolving(monkeypatch, ["2606:4700::1", PUBLIC])
    monkeypatch.setattr("aivideo_mcp.client.fence._NEXT", 0.01)
    await FencedNetwork(("", 0), wire).connect_tcp("files.example.com", 443, 24)
    assert wire.tried == [("2606:4700::1", 443), (PUBLIC, 443)]


async def test_the_base_url_s_own_place_is_connected_to_whatever_it_is() -> None:
    wire = Wire()
    network = FencedNetwork(("localhost", 8787), wire)
    await network.connect_tcp("localhost", 8787, 5)
    assert wire.tried == [("localhost", 8787)]
    with pytest.raises(UnsafeAddress):
        await network.connect_tcp("localhost", 8788, 5)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example", "a..b", "\udc80.example"])
async def test_a_name_that_leads_nowhere_is_no_connection(host: str) -> None:
    with pytest.raises(httpcore.ConnectError):
        await FencedNetwork(("", 0)).connect_tcp(host, 443, 20)


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on this machine: its port, and what it was sent."""
    heard: list[bytes] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            heard.append(await stream.receive())
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with server, anyio.create_task_group() as group:
        group.start_soon(server.serve, serve)
        yield server.extra(anyio.abc.SocketAttribute.local_port), heard  # noqa: S610 - anyio's
        group.cancel_scope.cancel()


def exchange(**given: Any) -> Exchange:
    return Exchange(Settings(**{"api_key": KEY, "base_url": BASE, "timeout_ms": 5000, **given}))


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


async def fenced_off() -> None:
    """A download from a host that resolves to this machine is refused, and the listener here hears nothing of it."""
    async with listener() as (port, heard):
        fetching = exchange()
        with pytest.raises(UnsafeAddress, match="private address"):
            async with fetching.download(f"https://files.example.com:{port}/x"):
                pass
        await fetching.aclose()
        assert heard == []


@pytest.mark.usefixtures("no_proxy")
async def test_a_download_really_goes_through_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over real sockets, since it is httpx's inside that has to be set right: nothing may reach the listener."""
    resolving(monkeypatch, ["127.0.0.1"])
    await fenced_off()


@pytest.mark.usefixtures("no_proxy")
async def test_hosts_that_the_environment_excepts_from_its_proxy_are_fenced_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "files.example.com")
    await fenced_off()


@pytest.mark.usefixtures("no_proxy")
async def test_behind_a_proxy_the_name_is_the_proxy_s_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listener() as (port, heard):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        fetching = exchange()
        with pytest.raises(NetworkError):
            async with fetching.download("https://files.example.com/x"):
                pass
        with pytest.raises(UnsafeAddress):
            async with fetching.download("https://10.0.0.1/x"):
                pass
        await fetching.aclose()
    assert [line.split(b"\r\n")[0] for line in heard] == [b"CONNECT files.example.com:443 HTTP/1.1"]


async def test_a_sandbox_s_file_is_fetched_from_this_machine_without_the_key() -> None:
    async with listener() as (port, heard):
        fetching = exchange(base_url=f"http://localhost:{port}")
        async with fetching.download(f"http://localhost:{port}/files/x") as body:
            assert b"".join([chunk async for chunk in body.chunks]) == b"ok"
        with pytest.raises(UnsafeAddress):
            async with fetching.download(f"http://127.0.0.1:{port}/files/x"):
                pass
        await fetching.aclose()
    assert len(heard) == 1
    assert KEY.encode() not in heard[0]


@pytest.mark.usefixtures("no_proxy")
async def test_tls_and_host_keep_the_name_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address was checked, the certificate has to be the name's."""
    names: list[str | None] = []
    resolving(monkeypatch, [PUBLIC])

    class Secure(httpcore.AsyncMockStream):
        async def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, **_: Any) -> Any:
            assert ssl_context.check_hostname
            assert ssl_context.verify_mode is ssl.CERT_REQUIRED
            names.append(server_hostname)
            return self

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
            sent.append(buffer)

    sent: list[bytes] = []

    async def connect(_: object, host: str, *_a: Any, **_k: Any) -> Secure:
        assert host == PUBLIC
        return Secure([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    fetching = exchange()
    async with fetching.download("https://files.example.com/x") as body:
        assert b"".join([chunk async for chunk in body.chunks]) == b"ok"
    await fetching.aclose()
    assert names == ["files.example.com"]
    assert b"\r\nHost: files.example.com\r\n" in b"".join(sent)
    assert KEY.encode() not in b"".join(sent)


async def test_a_video_whose_name_leads_home_is_not_saved_and_nobody_is_told_to_open_it(tmp_path: Path) -> None:
    inside = UnsafeAddress("The file's address points to a private address, which is not fetched from.")
    network = FakeNetwork(
        generate=reply(SUBMITTED), status=reply({"status": "COMPLETED"}), task=reply(task("COMPLETED")), file=inside
    )
    async with network.workflow(output_dir=tmp_path / "videos") as workflow:
        tool = next(tool for tool in TOOLS if tool.name == "generate_video")
        envelope = await tool.call(workflow, Call(T2V, _untold, seen=True))
    steps = " ".join(envelope.next_steps)
    assert envelope.ok
    assert "private address" in steps
    assert "Do not open" in steps
    assert "Download it from" not in steps
    assert "Give the user" not in steps
