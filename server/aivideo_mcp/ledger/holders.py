"""Which claims are at work on their intents: this process's own by what it let go, others' by whether they are there.

A holder's name is its process and a number that no claim had before.
"""

from __future__ import annotations

import itertools

from aivideo_mcp.ledger.access import Access
from aivideo_mcp.ledger.records import SWEEP, Intent


class Holders:
    """The claims of all processes.

    Args:
        access: Which knows this process; the file is to be open before anything here is asked but `let_go`.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._numbers = itertools.count()
        self._let_go: set[str] = set()

    def begin(self, *, sweep: bool = False) -> str:
        """The name of one more holder; of a sweep where no caller has the request at hand."""
        name = f"{self._access.presence.me}.{next(self._numbers)}"
        return f"{name}.{SWEEP}" if sweep else name

    def let_go(self, intent: Intent) -> None:
        """Count an intent's holder as one of those that work no more."""
        self._let_go.add(intent.holder)

    def is_at_work(self, intent: Intent) -> bool:
        """Whether an intent's holder is at work on it. Blocks."""
        process = intent.holder.partition(".")[0]
        if process == self._access.presence.me:
            return intent.holder not in self._let_go
        return bool(process) and self._access.presence.is_there(process)
