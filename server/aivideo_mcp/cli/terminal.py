"""Who sits at the terminal, asked for their yes to a price."""

from __future__ import annotations

import sys

import anyio.to_thread

from aivideo_mcp.console import ProgressLine, say
from aivideo_mcp.tools import Answered


class TerminalAsker:
    """Asks on stderr and reads the answer from stdin, where both are a terminal.

    Args:
        line: The progress line, which keeps still meanwhile.
    """

    earlier = None

    def __init__(self, line: ProgressLine) -> None:
        self._line = line

    async def ask(self, question: str) -> Answered:
        """Ask; anything but a yes is a no."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return Answered.UNASKED
        self._line.still = True
        say(f"{question} [y/N]")
        answer = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        self._line.still = False
        return Answered.YES if answer.strip().lower() in ("y", "yes") else Answered.NO

    def leave(self, question: str, code: str) -> None:
        """The code stands in the envelope."""
