"""When the upstream deletes a file, and what is said then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.tasks.reading import read_time


@dataclass(frozen=True, slots=True)
class Expiry:
    """A task's date of expiry against the wall clock.

    Attributes:
        date: ISO 8601, as the task has it; None where it is unknown, and so never passes.
        wall: Unix seconds.
    """

    date: str | None
    wall: Callable[[], float]

    def passed(self, seconds: float = 0.0) -> bool:
        """Whether the date was so many seconds ago at least."""
        at = read_time(self.date)
        return at is not None and self.wall() >= at.timestamp() + seconds

    def failure(self) -> DownloadFailed:
        """What is said when it has passed and the file is gone."""
        return DownloadFailed(
            f"The file expired on {self.date}: the upstream deletes files 24 hours after completion.",
            next_steps=("The video is gone upstream. Ask the user before generating it again: that is a new charge.",),
        )
