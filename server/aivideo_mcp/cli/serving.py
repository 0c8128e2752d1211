"""The commands. stdout carries protocol frames or the answer and nothing else; all words for people go to stderr.

Exit codes: 0 success, 1 the envelope says `ok: false`, 2 usage or configuration.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from aivideo_mcp import __version__
from aivideo_mcp.errors import ConfigurationError, LedgerUnavailable
from aivideo_mcp.settings import VARIABLES, Settings, process_settings, read_settings, strange_variables

if TYPE_CHECKING:
    from aivideo_mcp.sandbox import RunningSandbox

SANDBOX_SPEED: Final = 60.0
_ACTIONS: Final = {"getStatus": "get_status", "getTask": "get_task", "cancelTask": "cancel_task"}
_NO_KEY: Final = (
    "AIVIDEO_API_KEY is not set: tools are listed, but every call that needs the API answers AUTH_FAILED. "
    "Set it in the client's configuration, or start with --sandbox to try without a key."
)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="aivideo-mcp: %(message)s")
    for noisy in ("httpx", "httpcore", "mcp", "uvicorn", "sse_starlette"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    code = 0
    try:
        code = arguments.run(arguments)
    except* ConfigurationError as faults:
        for fault in _leaves(faults):
            _say(str(fault))
        code = 2
    except* KeyboardInterrupt:
        _say("stopped. A task that was created runs on, and the same command joins it without paying again.")
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aivideo-mcp", description="MCP server for AIVideoMaker. Without a command: serve over stdio."
    )
    parser.add_argument("--version", action="version", version=f"aivideo-mcp {__version__}")
    parser.set_defaults(run=_serve, transport="stdio", host="127.0.0.1", port=8000, sandbox=False, **_SANDBOX_OFF)
    commands = parser.add_subparsers(title="commands", metavar="")

    serve = commands.add_parser("serve", help="serve MCP over stdio, SSE or streamable HTTP")
    serve.add_argument("--transport", choices=("stdio", "sse", "http"), default="stdio")
    serve.add_argument("--host", default="127.0.0.1", help="beyond loopback AIVIDEO_HTTP_TOKEN must be set")
    serve.add_argument("--port", type=_port, default=8000, help="0 takes any free one")
    serve.add_argument("--sandbox", action="store_true", help="start the embedded upstream inside; needs no key")
    _add_sandbox_flags(serve)
    serve.set_defaults(run=_serve)

    run = commands.add_parser("run", help="make one video, or ask about one task; prints one JSON envelope")
    run.add_argument("--model", help="with --payload: the model, such as t2v")
    run.add_argument("--payload", help="the request's fields as a JSON object")
    run.add_argument("--action", choices=tuple(_ACTIONS), help="with --taskId: look, fetch or cancel")
    run.add_argument("--taskId", dest="task_id", help="the task's id")
    run.set_defaults(run=_run)

    forget = commands.add_parser("forget", help="delete this account's records from the ledger")
    forget.add_argument("--days", type=_days, default=0.0, help="keep what is younger than this (0)")
    forget.add_argument(
        "--all", action="store_true", help="also what was never delivered: calling again then pays again"
    )
    forget.set_defaults(run=_forget)

    sandbox = commands.add_parser("sandbox", help="serve the embedded upstream alone, over HTTP")
    sandbox.add_argument("--port", type=_port, default=8787, help="0 takes any free one")
    _add_sandbox_flags(sandbox)
    sandbox.set_defaults(run=_sandbox)

    demo = commands.add_parser("demo", help="make two videos on the sandbox through a real MCP client")
    demo.add_argument("--output", default="aivideo-demo", help="folder for the videos")
    demo.add_argument("--speed", type=_positive, default=SANDBOX_SPEED, help="how much faster than real time")
    demo.set_defaults(run=_demo)
    return parser


_SANDBOX_OFF: Final[dict[str, Any]] = {"speed": None, "fault": [], "credits": None}


def _add_sandbox_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speed", type=_positive, default=None, help="sandbox: how much faster than real time (60)")
    parser.add_argument("--credits", type=int, default=None, help="sandbox: balance at the start (10000)")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[@CALL][:N]",
        help="sandbox: play a bad day, such as 429:3, html@status or lost@generate; may be repeated",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):  # noqa: PLR2004 - the range of TCP ports
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _days(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 36_500:  # noqa: PLR2004 - a century
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, such as 30")
    return number


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1_000_000:  # noqa: PLR2004 - beyond it nothing can be watched
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number, such as 60")
    return number


def _serve(arguments: argparse.Namespace) -> int:
    from aivideo_mcp.app import build_server  # noqa: PLC0415 - brings mcp, 0.7 s that `run` does not need
    from aivideo_mcp.receipts import Receipts  # noqa: PLC0415 - the same
    from aivideo_mcp.transports import Address, serve_network, serve_stdio  # noqa: PLC0415 - the same
    from aivideo_mcp.workflow import open_workflow  # noqa: PLC0415 - the same

    if not arguments.sandbox and (arguments.fault or arguments.speed is not None or arguments.credits is not None):
        raise ConfigurationError(
            "--fault, --speed and --credits are for the sandbox. Example: serve --sandbox --speed 60"
        )

    async def serve() -> None:
        async with _settings(arguments) as settings:
            address = listener = None
            if arguments.transport != "stdio":
                address = Address(arguments.transport, arguments.host, arguments.port, settings.http_token)
                listener = address.listen()
            if settings.api_key is None:
                _say(_NO_KEY)
            for name in strange_variables():
                _say(f"{name} is no variable of this version and has no effect; see the README for those that are")
            async with open_workflow(settings) as workflow:
                receipts = Receipts(workflow.note_delivery)
                server = build_server(workflow, receipts, sandbox=arguments.sandbox)

                async def closing() -> None:
                    await workflow.aclose()
                    if arguments.sandbox and process_settings().state_dir is None:
                        shutil.rmtree(settings.state_folder, ignore_errors=True)  # an exit by signal unwinds nothing

                if address and listener:
                    _say(f"MCP at {address.url(listener)}")
                    await serve_network(server, address, listener, closing, receipts.written)
                else:
                    await serve_stdio(server, closing, receipts.written)

    anyio.run(serve)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    making = arguments.model is not None or arguments.payload is not None
    asking = arguments.action is not None or arguments.task_id is not None
    if making == asking or (making and None in (arguments.model, arguments.payload)):
        raise ConfigurationError(
            "run takes --model M --payload JSON, or --action getStatus|getTask|cancelTask --taskId ID. Example: "
            """aivideo-mcp run --model t2v --payload '{"prompt": "a cat", "aspectRatio": "16:9", "duration": 5}'"""
        )
    if asking and None in (arguments.action, arguments.task_id):
        raise ConfigurationError("--action and --taskId belong together. Example: --action getTask --taskId ck12ab")
    settings = process_settings()
    tool = "generate_video" if making else _ACTIONS[arguments.action]
    given = {"model": arguments.model, "payload": arguments.payload} if making else {"taskId": arguments.task_id}
    return 0 if anyio.run(_call, tool, given, settings) else 1


async def _call(name: str, given: dict[str, Any], settings: Settings) -> bool:
    """One tool call without MCP, progress on stderr, the envelope on stdout; whether it is ok."""
    from aivideo_mcp.console import ProgressLine  # noqa: PLC0415 - only this command shows progress
    from aivideo_mcp.tools import TOOLS, Call  # noqa: PLC0415 - the contracts, which serve imports with mcp
    from aivideo_mcp.workflow import open_workflow  # noqa: PLC0415 - the same

    tool = next(tool for tool in TOOLS if tool.name == name)
    line = ProgressLine()
    async with open_workflow(settings) as workflow, anyio.create_task_group() as group:

        async def turn() -> None:
            while True:
                await anyio.sleep(0.1)
                line.turn()

        group.start_soon(turn)
        envelope = await tool.call(workflow, Call(given, line.tell, seen=True))
        group.cancel_scope.cancel()
        line.close()
        print(json.dumps(envelope.model_dump(mode="json", by_alias=True), indent=2), flush=True)
        if tool.hands_over and envelope.outcome and envelope.task_id:
            await workflow.delivered(envelope.task_id)
    return envelope.ok


def _forget(arguments: argparse.Namespace) -> int:
    from aivideo_mcp.ledger import Ledger  # noqa: PLC0415 - only where it is asked for

    async def forget() -> int:
        ledger = Ledger(process_settings())
        try:
            return await ledger.forget(arguments.days, open_too=arguments.all)
        finally:
            await ledger.aclose()

    try:
        number = anyio.run(forget)
    except LedgerUnavailable as failure:
        raise ConfigurationError(f"{failure.message} Example: AIVIDEO_STATE_DIR=/home/me/aivideo-state") from None
    _say(f"{number} record{'' if number == 1 else 's'} deleted")
    return 0


def _sandbox(arguments: argparse.Namespace) -> int:
    async def serve() -> None:
        async with _running_sandbox(arguments, port=arguments.port) as sandbox:
            _say(f"SANDBOX at {sandbox.url}: no real videos, no real credits. Stop it with Ctrl-C.")
            _say(f"Use it with AIVIDEO_BASE_URL={sandbox.url} AIVIDEO_API_KEY={sandbox.key}")
            await until_signal()

    from aivideo_mcp.transports import until_signal  # noqa: PLC0415 - brings mcp

    anyio.run(serve)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from aivideo_mcp.demo import run_demo  # noqa: PLC0415 - brings the MCP client

    folder = Path(arguments.output).absolute()
    read_settings({VARIABLES["output_dir"].name: str(folder)})  # tells here what the server would tell its log
    return anyio.run(run_demo, folder, arguments.speed)


@asynccontextmanager
async def _settings(arguments: argparse.Namespace) -> AsyncIterator[Settings]:
    """The process's settings; with --sandbox those of a sandbox that runs as long as the context."""
    if not arguments.sandbox:
        yield process_settings()
        return
    process_settings()  # a bad variable is told before anything starts
    async with _running_sandbox(arguments) as sandbox:
        speed = arguments.speed or SANDBOX_SPEED
        _say(f"SANDBOX inside, at {sandbox.url}: no real videos, no real credits, {speed:g} times faster")
        settings = process_settings(base_url=sandbox.url, api_key=sandbox.key)
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
    try:
        async with running_sandbox(options) as sandbox:
            yield sandbox
    except OSError as fault:
        raise ConfigurationError(f"port {port} cannot be used: {fault.strerror}. Example: --port 0") from None


def _say(line: str) -> None:
    print(f"aivideo-mcp: {line}", file=sys.stderr, flush=True)


def _leaves(group: BaseExceptionGroup[ConfigurationError]) -> list[ConfigurationError]:
    """The single faults in a group, however deep the task groups that it came through."""
    found: list[ConfigurationError] = []
    for fault in group.exceptions:
        found += _leaves(fault) if isinstance(fault, BaseExceptionGroup) else [fault]
    return found
