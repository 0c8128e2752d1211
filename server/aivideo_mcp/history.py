"""What became of the account's tasks: what the upstream says and what the ledger knows, together.

Whatever a whole task says is taken down on the way: states, charges and refunds are what caps count.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import AivideoError
from aivideo_mcp.ledger import Known, Ledger, noted, recalled
from aivideo_mcp.media import Shelf
from aivideo_mcp.tasks import Status, Task, read_time, written

logger = logging.getLogger(__name__)

_GLANCE: Final = 5.0  # seconds for a look at a task whose video is here already


@dataclass(frozen=True, slots=True)
class Record:
    """One task: as the upstream lists it, or else as it was last seen; with what the ledger knows of it."""

    task: Task
    known: Known | None
    listed: bool


class Histories:
    """The account's tasks, past and present.

    Args:
        upstream: Who is asked.
        ledger: What is known here.
        shelf: What is saved here.
    """

    def __init__(self, upstream: Upstream, ledger: Ledger, shelf: Shelf | None) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._shelf = shelf

    def now(self) -> float:
        """Unix seconds."""
        return self._ledger.now()

    async def spent(self) -> int | None:
        """Credits spent in the last 24 hours, refunds left out; None where the ledger cannot be read."""
        return await recalled(self._ledger.spent_today())

    async def task(self, task_id: str) -> Task:
        """One task as it stands, with its saved file."""
        task = await self._upstream.task(task_id)
        await self.learned(task)
        return await self._shelf.told(task) if self._shelf else task

    async def saved(self, task_id: str) -> Task | None:
        """The task, if its video is here: whole if the upstream tells it quickly, else as the ledger knows it."""
        known = await self.known(task_id)
        if self._shelf is None or known is None or known.file is None:
            return None
        task = _remembered(task_id, known).model_copy(update={"status": Status.COMPLETED})
        if (await self._shelf.told(task)).file is None:
            return None
        with anyio.move_on_after(_GLANCE):
            try:
                task = await self._upstream.task(task_id, tries=1)
            except AivideoError as failure:
                logger.info("task %s is told from the ledger: %s", task_id, failure.message)
        return await self._shelf.told(task)

    async def records(self) -> list[Record]:
        """All tasks that the upstream lists or the ledger knows, newest first."""
        listed = {entry.task.id: entry.task for entry in await self._upstream.tasks()}
        known = await recalled(self._ledger.known()) or {}
        await self.note(self._ledger.catch_up(listed.values(), known))
        files = {task_id: its.file for task_id, its in known.items() if its.file}
        there = await self._shelf.there(files) if self._shelf and files else {}
        tasks = listed | {task_id: _remembered(task_id, its) for task_id, its in known.items() if task_id not in listed}
        records = [
            Record(task.model_copy(update={"file": there.get(task_id)}), known.get(task_id), task_id in listed)
            for task_id, task in tasks.items()
        ]
        return sorted(records, key=_made, reverse=True)

    async def known(self, task_id: str) -> Known | None:
        """What the ledger knows of a task; None where it cannot be read either."""
        return await recalled(self._ledger.about(task_id))

    async def learned(self, task: Task) -> None:
        """Take down what a whole task says."""
        await self.note(self._ledger.learned(task))

    async def gone(self, task_id: str) -> None:
        """Take down that the upstream knows a task no more, and that its caller was told."""
        await self.note(self._ledger.gone(task_id))

    async def note(self, taking_down: Awaitable[None]) -> None:
        """Take something down that nobody is kept waiting or refused for."""
        try:
            await noted(taking_down)
        except Exception:  # a note is never worth a server
            logger.exception("taking down broke")


def _remembered(task_id: str, known: Known) -> Task:
    """A task as it was last seen."""
    return Task(
        id=task_id,
        model=known.model,
        status=known.status or Status.UNKNOWN,
        credits_charged=known.charged,
        credits_refunded=known.refunded,
        created_at=None if known.sent_at is None else written(datetime.fromtimestamp(known.sent_at, UTC)),
    )


def _made(record: Record) -> float:
    made = read_time(record.task.created_at)
    return made.timestamp() if made else (record.known and record.known.sent_at) or 0.0
