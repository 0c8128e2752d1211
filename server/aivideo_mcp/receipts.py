"""When an answer has left this server: a numbered note in it is looked for in what the transports have written.

A tool that returns has not delivered anything: its client may not be reading, and the process may be killed before a
byte has gone. So the outcome of a paid generation counts as delivered when the frame that holds it was written.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_NAME: Final = "aivideo-mcp/receipt"  # in the result's _meta
_SEEN: Final = re.compile(rf'"{_NAME}": ?"(\d+)"'.encode())  # a quotation in a text has its quotes escaped
_MOST: Final = 1000  # answers under way; those of calls that were cancelled never leave


class Receipts:
    """The answers that are on their way out.

    Args:
        left: Told of the task whose outcome has left.
    """

    def __init__(self, left: Callable[[str], None]) -> None:
        self._left = left
        self._numbers = itertools.count(1)
        self._under_way: OrderedDict[str, str] = OrderedDict()

    def attach(self, task_id: str) -> dict[str, object]:
        """What an answer's `_meta` has to hold for its leaving to be seen."""
        number = str(next(self._numbers))
        self._under_way[number] = task_id
        if len(self._under_way) > _MOST:
            self._under_way.popitem(last=False)
        return {_NAME: number}

    def written(self, frame: bytes) -> None:
        """Take notice of bytes that a transport has written."""
        if self._under_way:
            for number in _SEEN.findall(frame):
                if (task_id := self._under_way.pop(number.decode(), None)) is not None:
                    self._left(task_id)
