"""One watched task: what was seen of it, and who is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from aivideo_mcp.errors import AivideoError
from aivideo_mcp.tasks import Status, Task

_FILE_TRIES: Final = 3  # questions after COMPLETED for a file address that is not there yet


@dataclass(frozen=True, slots=True)
class News:
    """What one question brought: the task's state in the upstream's word, or the weather that hid it."""

    status: str | None
    weather: str | None = None


Notice = Callable[[News], Awaitable[None]]


@dataclass(eq=False)
class Watch:
    """One task, and those who wait for it."""

    task_id: str
    usual: tuple[float, float] | None
    started: float
    waiters: int = 0
    hurried: int = 0  # of the waiters
    news: News = News(None)
    status: str | None = None
    changed: anyio.Event = field(default_factory=anyio.Event)
    outcome: Task | AivideoError | None = None
    whole: bool = False  # whether to ask for the whole task: its state stands there beyond doubt
    files_missed: int = 0
    asked: float = float("-inf")  # when it was last asked for by its id

    def tell(self, news: News) -> None:
        """Wake those who wait with what a question brought."""
        self.news = news
        self._wake()

    def end(self, outcome: Task | AivideoError) -> None:
        """Wake those who wait with the end."""
        self.outcome = outcome
        self._wake()

    def settles(self, task: Task) -> bool:
        """Whether a task as it was read is the end, its file's address included if that comes in time."""
        if not task.state.terminal:
            return False
        if task.state is not Status.COMPLETED or task.video_url is not None:
            return True
        self.files_missed += 1
        return self.files_missed >= _FILE_TRIES

    def _wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()
