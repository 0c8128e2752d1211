"""What may be typed: the commands, their flags, and what a flag's text may be."""

from __future__ import annotations

import argparse
from typing import Any, Final, NoReturn

from aivideo_mcp import __version__
from aivideo_mcp.cli import oneshot, serving


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and each command of its own flags."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as argparse has them
        """What was typed; nothing may be left over, here already, since the whole does not know whose it was."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """One line, and exit code 2."""
        self.exit(2, f"aivideo-mcp: {message}. See {self.prog} --help\n")


def command_parser() -> argparse.ArgumentParser:
    """The commands and their flags; `run` of what was parsed is the command itself."""
    parser = _Parser(
        prog="aivideo-mcp", description="MCP server for AIVideoMaker. Without a command: serve over stdio."
    )
    parser.add_argument("--version", action="version", version=f"aivideo-mcp {__version__}")
    parser.set_defaults(
        run=serving.serve,
        transport="stdio",
        host=None,
        port=None,
        allow_host=[],
        allow_origin=[],
        **{"sandbox": False, **_SANDBOX_OFF},
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve MCP over stdio, SSE or streamable HTTP")
    serve.add_argument("--transport", choices=("stdio", "sse", "http"), default="stdio")
    serve.add_argument("--host", help=f"{serving.HOST} unless told; beyond loopback AIVIDEO_HTTP_TOKEN must be set")
    serve.add_argument("--port", type=_port, help=f"{serving.PORT} unless told; 0 takes any free one")
    serve.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a proxy's name for us; may be repeated"
    )
    serve.add_argument(
        "--allow-origin", action="append", default=[], metavar="URL", help="a web page that may call; may be repeated"
    )
    serve.add_argument("--sandbox", action="store_true", help="start the embedded upstream inside; needs no key")
    _add_sandbox_flags(serve)
    serve.set_defaults(run=serving.serve)

    run = commands.add_parser("run", help="make one video, or ask about one task; prints one JSON envelope")
    run.add_argument("--model", help="with --payload: the model, such as t2v")
    run.add_argument("--payload", help="the request's fields as a JSON object")
    run.add_argument("--maxCredits", help="with --payload: refuse what is dearer")
    run.add_argument("--idempotencyKey", help="with --payload: 8 to 128 characters; the same key never pays twice")
    run.add_argument("--confirmationCode", help="with --payload: the code by which you agree to a price")
    run.add_argument("--action", choices=tuple(oneshot.ACTIONS), help="with --taskId: look, fetch or cancel")
    run.add_argument("--taskId", dest="task_id", help="the task's id")
    run.set_defaults(run=oneshot.run)

    forget = commands.add_parser("forget", help="delete this account's records from the ledger")
    forget.add_argument("--days", type=_days, default=0.0, help="keep what is younger than this (0)")
    forget.add_argument(
        "--all", action="store_true", help="also what was never delivered: calling again then pays again"
    )
    forget.set_defaults(run=oneshot.forget)

    sandbox = commands.add_parser("sandbox", help="serve the embedded upstream alone, over HTTP")
    sandbox.add_argument("--port", type=_port, default=8787, help="0 takes any free one")
    _add_sandbox_flags(sandbox)
    sandbox.set_defaults(run=serving.sandbox)

    doctor = commands.add_parser(
        "doctor", help="say what of key, service and folders is right, what is wrong, what to do"
    )
    doctor.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    doctor.set_defaults(run=oneshot.doctor)

    demo = commands.add_parser("demo", help="make two videos on the sandbox through a real MCP client")
    demo.add_argument("--output", default="aivideo-demo", help="folder for the videos")
    demo.add_argument("--speed", type=_positive, default=serving.SANDBOX_SPEED, help="how much faster than real time")
    demo.set_defaults(run=oneshot.demo)
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
