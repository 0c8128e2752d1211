"""What commands tell people on stderr: plain lines, and a line that moves on a terminal while a job runs."""

from __future__ import annotations

import contextlib
import itertools
import logging
import select
import shutil
import sys
from typing import TextIO

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"
_SURE = getattr(select, "PIPE_BUF", 4096) // 10  # characters that fit a pipe with room, as escapes of ten bytes each


def say(line: str) -> None:
    """Tell a person one line; nobody may be listening."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"aivideo-mcp: {line}\n")
        sys.stderr.flush()


class Log(logging.StreamHandler[TextIO]):
    """The log on stderr, which some clients never read: what their pipe has no room for is lost.

    Written all the same it would hold up the server, signals included, until somebody reads.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write as much of a record as is possible at once; a fault is nobody's who logs."""
        try:
            text = self.format(record) + self.terminator
            for start in range(0, len(text), _SURE):
                if not self._has_room():
                    break
                self.stream.write(text[start : start + _SURE])
                self.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)

    def _has_room(self) -> bool:
        return sys.platform == "win32" or self.stream.isatty() or bool(select.select([], [self.stream], [], 0)[1])


class ProgressLine:
    """Shows the latest message. There is no percentage, as the upstream tells none.

    Args:
        stream: Where to write; stderr unless told.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        encoding = (self._stream.encoding or "ascii").lower()
        self._frames = itertools.cycle(_FRAMES if encoding.startswith("utf") else _ASCII_FRAMES)
        self._message = ""
        self.still = False
        """Whether nothing is drawn, since somebody is typing."""

    async def tell(self, message: str) -> None:
        """Show a message."""
        self._message = message
        self._draw("\n" if not self._moving else "")

    def turn(self) -> None:
        """Move the mark on a terminal, to show that the wait goes on."""
        if self._moving and self._message:
            self._draw("")

    def close(self) -> None:
        """End the moving line."""
        if self._moving and self._message:
            self._stream.write("\n")
            self._stream.flush()

    def _draw(self, end: str) -> None:
        if self.still:
            return
        if self._moving:
            width = shutil.get_terminal_size().columns - 3
            self._stream.write(f"\r\x1b[2K{next(self._frames)} {self._message[:width]}{end}")
        else:
            self._stream.write(f"  {self._message}{end}")
        self._stream.flush()
