"""The proxies of docs/network.md, as they stand there, in front of a real server: TLS, streams, the largest calls."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from aivideo_mcp.contracts import MAX_IMAGE_BYTES
from tests.pictures import png_of_size
from tests.processes import environment, listening

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("named")]

NAME: Final = "mcp.example.com"
TOKEN: Final = "a-token-for-tests"
DOCUMENT: Final = (Path(__file__).parent.parent / "docs" / "network.md").read_text("utf-8")
CLIP: Final = {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 5}


def block(language: str) -> str:
    """What the document says to paste."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    return found[1]


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The same for this machine: ports and certificates, and nothing else."""
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Place:
    """Where a proxy is put: its folder with the certificate, its port, the port of the server behind it."""

    folder: Path
    port: int
    server: int


def nginx(place: Place) -> list[str]:
    site = replaced(
        block("nginx"),
        ("listen 443 ssl", f"listen 127.0.0.1:{place.port} ssl"),
        (f"/etc/ssl/{NAME}.pem", f"{place.folder}/cert.pem"),
        (f"/etc/ssl/{NAME}.key", f"{place.folder}/key.pem"),
        ("127.0.0.1:8000", f"127.0.0.1:{place.server}"),
    )
    temporary = " ".join(
        f"{kind}_temp_path {place.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (place.folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {place.folder}/pid; error_log stderr error;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}}}\n"
    )
    return ["nginx", "-p", str(place.folder), "-e", "stderr", "-c", str(place.folder / "nginx.conf")]


def caddy(place: Place) -> list[str]:
    site = replaced(
        block("caddyfile"),
        (f"{NAME} {{", f"{NAME} {{\n    tls {place.folder}/cert.pem {place.folder}/key.pem"),
        ("127.0.0.1:8000", f"127.0.0.1:{place.server}"),
    )
    (place.folder / "Caddyfile").write_text(
        f"{{\n    admin off\n    auto_https disable_redirects\n    https_port {place.port}\n"
        f"    default_bind 127.0.0.1\n    storage file_system {place.folder}\n}}\n{site}"
    )
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(place.folder / "Caddyfile")]


PROXIES: Final = [
    pytest.param(
        proxy, id=proxy.__name__, marks=pytest.mark.skipif(not shutil.which(proxy.__name__), reason="not here")
    )
    for proxy in (nginx, caddy)
]


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A certificate for the name in the test's folder, and what trusts it alone."""
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem -out cert.pem"
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run(["openssl", *command.split(), *subject], cwd=tmp_path, check=True, capture_output=True)
    return ssl.create_default_context(cafile=tmp_path / "cert.pem")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name leads to this machine."""
    real = socket.getaddrinfo

    def here(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host in (NAME, NAME.encode()) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)


@dataclass(frozen=True)
class Proxied:
    """A server behind a proxy, and how to reach it."""

    url: str
    trust: ssl.SSLContext

    def http(self, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
        """A client that carries the token."""
        headers = {"Authorization": f"Bearer {TOKEN}"} if headers is None else headers
        return httpx2.AsyncClient(verify=self.trust, headers=headers, timeout=60, trust_env=False)

    @asynccontextmanager
    async def session(self, way: str) -> AsyncIterator[Client]:
        """A session: /sse, or /mcp with the older or the newest protocol."""
        async with self.http() as http:
            server = (
                sse_client(f"{self.url}/sse", httpx_client_factory=lambda **_: self.http())
                if way == "sse"
                else streamable_http_client(f"{self.url}/mcp", http_client=http)
            )
            async with Client(server, mode="legacy" if way == "sse" else way) as client:  # type: ignore[arg-type]
                yield client


@pytest.fixture(params=PROXIES)
async def proxied(
    request: pytest.FixtureRequest, tmp_path: Path, certificate: ssl.SSLContext
) -> AsyncIterator[Proxied]:
    proxy: Callable[[Place], list[str]] = request.param
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"AIVIDEO_HTTP_TOKEN": TOKEN, "AIVIDEO_STATE_DIR": str(tmp_path / "state")}
    flags = ("--transport", "http", "--port", "0", "--allow-host", NAME, "--speed", "30")
    async with listening("serve", "--sandbox", *flags, env=env) as serving:
        found = re.search(r"127\.0\.0\.1:(\d+)/mcp", serving.url)
        assert found
        said = tmp_path / "said"
        with said.open("wb") as out:
            process = await anyio.open_process(
                proxy(Place(tmp_path, port, int(found[1]))),
                stdin=None,
                stdout=out,
                stderr=out,
                env=environment({"HOME": str(tmp_path)}),
            )
        try:
            with anyio.fail_after(60):
                while True:
                    assert process.returncode is None, said.read_text()
                    try:
                        await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                        break
                    except OSError:
                        await anyio.sleep(0.05)
            yield Proxied(f"https://{NAME}:{port}", certificate)
        finally:
            process.terminate()
            with anyio.move_on_after(10, shield=True) as ending:
                await process.wait()
            if ending.cancelled_caught:
                process.kill()
            await process.aclose()
        assert not ending.cancelled_caught, "a stream is still open whose client has gone"


@pytest.mark.parametrize("way", ["legacy", "2026-07-28", "sse"])
async def test_a_generation_reports_through_the_proxy_while_it_runs(proxied: Proxied, way: str) -> None:
    heard: list[float] = []

    async def hear(*_: object) -> None:
        heard.append(anyio.current_time())

    async with proxied.session(way) as client:
        assert len((await client.list_tools()).tools) == 10
        answer = await client.call_tool("generate_video", CLIP, progress_callback=hear)
    assert answer.structured_content
    assert answer.structured_content["status"] == "COMPLETED"
    assert heard[-1] - heard[0] > 1  # they came one by one, not all at the end


async def test_four_pictures_of_ten_megabytes_pass(proxied: Proxied) -> None:
    picture = base64.b64encode(png_of_size(MAX_IMAGE_BYTES)).decode()
    pictures = [f"data:image/png;base64,{picture}"] * 4
    async with proxied.session("legacy") as client:
        call = {"model": "minimax", "prompt": "a cat", "referenceImages": pictures}
        answer = await client.call_tool("quote_generation", call)
    assert answer.structured_content
    assert answer.structured_content["ok"], answer.structured_content


async def test_strangers_stay_out_and_nothing_secret_is_told(proxied: Proxied) -> None:
    async with proxied.http(headers={}) as stranger, proxied.http() as friend:
        refused = await stranger.post(f"{proxied.url}/mcp", json={})
        assert refused.status_code == 401
        assert "WWW-Authenticate" in refused.headers
        assert (await stranger.get(f"{proxied.url}/healthz")).status_code == 200
        assert (await friend.get(f"{proxied.url}/mcp", headers={"Origin": "https://evil.example"})).status_code == 403
