"""The commands. stdout carries protocol frames or the answer and nothing else; all words for people go to stderr.

entry     the console script: logging, faults, exit codes
parser    what may be typed
serving   `serve` and `sandbox`, which go on until they are told to end
oneshot   `run`, `forget`, `doctor` and `demo`, which do one thing and end

What is heavy is imported by the command that needs it: a client waits for the start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aivideo_mcp.transports.signals import leave_on_signal

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """The console script. Signals are seen to before anything else is imported."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("serve", "sandbox"):
        leave_on_signal()
    try:
        from aivideo_mcp.cli import entry  # noqa: PLC0415 - above

        code = entry.main(words)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
