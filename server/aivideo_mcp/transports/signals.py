"""When a transport has to end, and how long that may take."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

Closing = Callable[[], Awaitable[None]]
Written = Callable[[bytes], None]  # told of what has gone out

GRACE: Final = 2.2  # seconds for an orderly end
_LATEST: Final = 2.7  # seconds after which the process is gone in any order


async def until_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    if sys.platform == "win32":  # no signal receiver there: Ctrl-C raises, a kill is a kill
        await anyio.sleep_forever()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


def end_in_time() -> None:
    """See to it that the process ends, whatever hangs: no thread that waits for a disk or a lock can be interrupted."""
    timer = threading.Timer(_LATEST, os._exit, (0,))
    timer.daemon = True
    timer.start()
