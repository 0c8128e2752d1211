"""stdin, stdout and stderr of a process that was started without them.

Python leaves them None, and the next file that is opened takes their numbers: what is printed would go into the ledger.
"""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Have each of them there, empty or swallowing what is not."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            setattr(sys, name, os.fdopen(nothing, "w" if number else "r", encoding="utf-8"))
