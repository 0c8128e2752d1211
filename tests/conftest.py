"""What all tests share: the event loop, and time that passes only when everybody waits."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio.testing

from tests.canary import captured_is_searched, files_are_searched, pytest_runtest_makereport
from tests.machine import machine

__all__ = [
    "captured_is_searched",
    "files_are_searched",
    "machine",
    "pytest_runtest_makereport",
]  # found by name

os.environ.pop("AIVIDEO_API_KEY", None)  # no test may ever spend somebody's credits
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a script, and for all that is started here
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a ledger of its own, in its own process and in those it starts."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def virtual_time() -> tuple[str, Mapping[str, object]]:
    """An `anyio_backend` whose clock jumps over every wait; modules that wait use it in the other's place."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0.02)}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder for videos that nobody has made yet."""
    return tmp_path / "videos"
