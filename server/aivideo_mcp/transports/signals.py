"""When a transport has to end, and how long that may take."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

Closing = Callable[[], Awaitable[None]]
Written = Callable[[bytes], None]  # told of what has gone out

GRACE: Final = 2.2  # seconds for an orderly end


async def until_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    if sys.platform == "win32":  # no signal receiver there: Ctrl-C raises, a kill is a kill
        await anyio.sleep_forever()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return
