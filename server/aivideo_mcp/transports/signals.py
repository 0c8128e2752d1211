"""When a server has to end, and how long that may take.

The first SIGTERM or SIGINT ends it in order, a second one at once; either way with exit code 0 and without a word.
cli sees to signals before anything else is imported, hence the imports inside.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

Closing = Callable[[], Awaitable[None]]
Written = Callable[[bytes], None]  # told of what has gone out

GRACE: Final = 2.2  # seconds for an orderly end
_LATEST: Final = 2.7  # seconds after which the process is gone in any order
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def leave_on_signal() -> None:
    """From here on a signal ends the process at once: nothing is there yet, or no longer, that wants an order."""
    for number in _ENDING:
        signal.signal(number, _leave)


async def until_signal() -> None:
    """Wait for SIGTERM or SIGINT; whichever comes after that ends the process at once, even if this was cancelled.

    The loop's handlers are replaced and never removed: removing them brings back Python's own, which kill the process
    or raise in the middle of its end.
    """
    import anyio  # noqa: PLC0415 - above

    if sys.platform == "win32":  # no handlers of the loop's there: Ctrl-C ends it at once
        await anyio.sleep_forever()

    import asyncio  # noqa: PLC0415 - above

    loop = asyncio.get_running_loop()
    came = anyio.Event()

    def first() -> None:
        second()
        came.set()

    def second() -> None:
        for number in _ENDING:
            loop.add_signal_handler(number, _leave)

    for number in _ENDING:
        loop.add_signal_handler(number, first)
    try:
        await came.wait()
    finally:
        second()


def end_in_time() -> None:
    """See to it that the process ends, whatever hangs: no thread that waits for a disk or a lock can be interrupted."""
    timer = threading.Timer(_LATEST, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _leave(*_: object) -> NoReturn:
    os._exit(0)
