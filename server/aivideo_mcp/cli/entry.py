"""The console script, once signals are seen to.

Exit codes: 0 success, 1 the envelope says `ok: false` or the doctor found a fault, 2 usage or configuration, 130 Ctrl-C
of what does one thing and ends.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aivideo_mcp.cli.parser import command_parser
from aivideo_mcp.console import Log, say
from aivideo_mcp.errors import ConfigurationError


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit code."""
    arguments = command_parser().parse_args(argv)
    logging.basicConfig(handlers=[Log()], level=logging.INFO, format="aivideo-mcp: %(message)s")
    for noisy in ("httpx", "httpcore", "mcp", "uvicorn", "sse_starlette"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    code = 0
    try:
        code = arguments.run(arguments)
    except* ConfigurationError as faults:
        for fault in _leaves(faults):
            say(str(fault))
        code = 2
    except* KeyboardInterrupt:
        say("stopped. A task that was created runs on, and the same command joins it without paying again.")
        code = 130
    return code


def _leaves(group: BaseExceptionGroup[ConfigurationError]) -> list[ConfigurationError]:
    """The single faults in a group, however deep the task groups that it came through."""
    found: list[ConfigurationError] = []
    for fault in group.exceptions:
        found += _leaves(fault) if isinstance(fault, BaseExceptionGroup) else [fault]
    return found
