"""A client in a session with a server over a fake network, in either era of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client

from aivideo_mcp.app import build_server
from aivideo_mcp.workflow import Workflow
from tests.fakes import FakeNetwork

both_eras = pytest.mark.parametrize("mode", ["legacy", "auto"])


@asynccontextmanager
async def served(network: FakeNetwork, mode: str = "legacy", **settings: Any) -> AsyncIterator[tuple[Client, Workflow]]:
    """A client, and the workflow that it is served by."""
    async with network.workflow(**settings) as workflow, Client(build_server(workflow), mode=mode) as client:
        yield client, workflow


@asynccontextmanager
async def session(network: FakeNetwork, mode: str = "legacy", **settings: Any) -> AsyncIterator[Client]:
    """A client alone."""
    async with served(network, mode, **settings) as (client, _):
        yield client
