"""The commands that serve until they are told to end: `serve` and `sandbox`."""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from aivideo_mcp.cli.notes import note_folders, note_key, note_token, note_variables
from aivideo_mcp.console import say
from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.settings import Settings, process_settings, process_survey
from aivideo_mcp.transports import leave_on_signal, until_signal

if TYPE_CHECKING:
    from aivideo_mcp.sandbox import RunningSandbox

SANDBOX_SPEED: Final = 60.0
HOST: Final = "127.0.0.1"
PORT: Final = 8000
_BY_HAND: Final = (
    "this waits for an MCP client on stdin, and nothing is to be typed here. Put the command into your client's "
    "configuration; `aivideo-mcp doctor` says whether all is right, Ctrl-C ends this."
)


def serve(arguments: argparse.Namespace) -> int:
    """Serve MCP; with --sandbox, over an upstream of its own."""
    gc.disable()  # what a start makes is kept: to look through it again and again is a tenth of the start
    from aivideo_mcp.app import build_server  # noqa: PLC0415 - brings mcp, 0.7 s that `run` does not need
    from aivideo_mcp.receipts import Receipts  # noqa: PLC0415 - the same
    from aivideo_mcp.workflow import open_workflow  # noqa: PLC0415 - the same

    if not arguments.sandbox and (arguments.fault or arguments.speed is not None or arguments.credits is not None):
        raise ConfigurationError(
            "--fault, --speed and --credits are for the sandbox. Example: serve --sandbox --speed 60"
        )

    async def serving() -> None:
        async with _settings(arguments) as settings:
            address = listener = None
            if arguments.transport != "stdio":
                from aivideo_mcp.transports import Address  # noqa: PLC0415 - for the network alone

                address = Address(
                    arguments.transport,
                    HOST if arguments.host is None else arguments.host,
                    PORT if arguments.port is None else arguments.port,
                    settings.http_token,
                    tuple(arguments.allow_host),
                    tuple(arguments.allow_origin),
                )
                listener = address.listen()
                note_token(settings.http_token)
            elif (arguments.host, arguments.port) != (None, None):
                say(f"--host and --port are of no effect over stdio. To listen: serve --transport http --port {PORT}")
            survey = process_survey()
            if settings.api_key is None:
                note_key(survey)
            note_variables(survey)
            async with open_workflow(settings) as workflow:
                workflow.start(lambda: note_folders(settings))
                receipts = Receipts(workflow.note_delivery)
                server = build_server(workflow, receipts, sandbox=arguments.sandbox)

                async def closing() -> None:
                    await workflow.aclose()
                    if arguments.sandbox and survey.settings.state_dir is None:
                        shutil.rmtree(settings.state_folder, ignore_errors=True)  # an exit by signal unwinds nothing

                if address and listener:
                    from aivideo_mcp.transports import serve_network  # noqa: PLC0415 - the same

                    say(f"MCP at {address.url(listener)}")
                    _settled()
                    await serve_network(server, address, listener, closing, receipts.written)
                else:
                    from aivideo_mcp.transports import serve_stdio  # noqa: PLC0415 - brings mcp

                    if sys.stdin.isatty():
                        say(_BY_HAND)
                    _settled()
                    await serve_stdio(server, closing, receipts.written)

    try:
        anyio.run(serving)
    finally:
        leave_on_signal()  # the loop took its handlers along
    return 0


def _settled() -> None:
    """What is there by now stays; looking through it for garbage would take 0.2 s in the middle of answering."""
    gc.freeze()
    gc.enable()


def sandbox(arguments: argparse.Namespace) -> int:
    """Serve the embedded upstream alone."""

    async def serving() -> None:
        async with _running_sandbox(arguments, port=arguments.port) as running:
            say(f"SANDBOX at {running.url}: no real videos, no real credits. Stop it with Ctrl-C.")
            say(f"Use it with AIVIDEO_BASE_URL={running.url} AIVIDEO_API_KEY={running.key}")
            await until_signal()

    try:
        anyio.run(serving)
    finally:
        leave_on_signal()  # the loop took its handlers along
    return 0


@asynccontextmanager
async def _settings(arguments: argparse.Namespace) -> AsyncIterator[Settings]:
    """The process's settings; with --sandbox those of a sandbox that runs as long as the context."""
    if not arguments.sandbox:
        yield process_settings()
        return
    process_settings()  # a bad variable is told before anything starts
    async with _running_sandbox(arguments) as running:
        speed = arguments.speed or SANDBOX_SPEED
        say(f"SANDBOX inside, at {running.url}: no real videos, no real credits, {speed:g} times faster")
        settings = process_settings(base_url=running.url, api_key=running.key)
        if settings.state_dir is not None:
            yield settings
            return
        with tempfile.TemporaryDirectory(
            prefix="aivideo-sandbox-", ignore_cleanup_errors=True
        ) as state:  # its tasks end with it, and so may these
            yield replace(settings, state_dir=Path(state))


@asynccontextmanager
async def _running_sandbox(arguments: argparse.Namespace, port: int = 0) -> AsyncIterator[RunningSandbox]:
    from aivideo_mcp.sandbox import SandboxOptions, running_sandbox  # noqa: PLC0415 - only where it is asked for

    try:
        given = {"speed": arguments.speed, "credits": arguments.credits}
        options = SandboxOptions(
            port=port,
            faults=tuple(arguments.fault),
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValueError as fault:
        raise ConfigurationError(f"the sandbox cannot be set up so: {fault}") from None
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(running_sandbox(options))
        except OSError as fault:
            from aivideo_mcp.transports.address import why_no_port  # noqa: PLC0415 - seldom needed

            raise ConfigurationError(f"--port {port} cannot be listened on: {why_no_port(fault)}") from None
        yield running
