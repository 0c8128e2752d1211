"""The commands. stdout carries protocol frames or the answer and nothing else; all words for people go to stderr.

entry     the console script: logging, faults, exit codes
parser    what may be typed
notes     what is told at the start although it stops nothing
serving   `serve` and `sandbox`, which go on until they are told to end
streams   stdin, stdout and stderr, where there are none
oneshot   `run`, `forget`, `doctor` and `demo`, which do one thing and end

What is heavy is imported by the command that needs it: a client waits for the start.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(argv: list[str] | None = None) -> None:
    """The console script. Signals are seen to before anything else is imported, and the standard streams after them."""
    words = sys.argv[1:] if argv is None else argv
    serves = not words or words[0] in ("serve", "sandbox")
    try:
        if serves:
            from aivideo_mcp.transports.signals import leave_on_signal  # noqa: PLC0415 - above

            leave_on_signal()
        from aivideo_mcp.cli import entry, streams  # noqa: PLC0415 - above

        streams.open_closed()
        code = entry.main(words)
    except KeyboardInterrupt:
        code = 0 if serves else 130
    sys.exit(code)
