"""How soon a server is gone, with a generation that somebody waits for: the promise is three seconds."""

from __future__ import annotations

import signal
import time

import pytest

from tests.fakes import T2V
from tests.processes import ended, hello, listening, speak, start, waited_for
from tests.test_hostile_clients import GENERATE

pytestmark = pytest.mark.anyio

PROMISE = 3.0


def tell(capsys: pytest.CaptureFixture[str], what: str, seconds: float) -> None:
    with capsys.disabled():
        print(f"\n{what}: gone after {seconds:.2f} s", end="")  # noqa: T201 - the figure
    assert seconds < PROMISE


@pytest.mark.parametrize("end", ["eof", "SIGTERM", "SIGINT"])
def test_over_stdio(end: str, capsys: pytest.CaptureFixture[str]) -> None:
    with start("serve", "--sandbox", "--speed", "1", "--fault", "slow=9@status") as process:
        speak(process, *hello(), GENERATE)
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.stdout.readline()
        began = time.monotonic()
        if end == "eof":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[end])
        ended(process)
        tell(capsys, f"stdio, {end}", time.monotonic() - began)


@pytest.mark.parametrize("transport", ["sse", "http"])
@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT"])
async def test_over_the_network(transport: str, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with listening("serve", "--sandbox", "--speed", "1", "--transport", transport, "--port", "0") as serving:
        async with waited_for(serving, transport, T2V):
            began = time.monotonic()
            serving.process.send_signal(signal.Signals[end])
            assert await serving.process.wait() == 0
            tell(capsys, f"{transport}, {end}", time.monotonic() - began)
