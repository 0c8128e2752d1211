"""What became of a create whose answer was lost: found among the account's tasks, by key or by likeness.

The upstream returns the idempotency key where it kept it. Elsewhere a task is the intent's when model and input are
alike, it was made about then, and no other intent has it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import AivideoError, LedgerUnavailable, SubmissionUncertain
from aivideo_mcp.ledger import Intent, Ledger, likeness
from aivideo_mcp.tasks import Listed, Status, Submission

logger = logging.getLogger(__name__)

_SKEW: Final = 120.0  # seconds by which the upstream's clock may be behind ours


@dataclass(frozen=True, slots=True)
class Made:
    """The task that a request became, and whether it was there before this call."""

    submission: Submission
    joined: bool


class Recovery:
    """Looks for the tasks of lost creates.

    Args:
        upstream: Where they may be.
        ledger: Which intents have their task already.
        timeout: Seconds of one request, after which trying again makes sense.
    """

    def __init__(self, upstream: Upstream, ledger: Ledger, timeout: float) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._timeout = timeout

    async def find(self, intent: Intent, lost: SubmissionUncertain) -> Made | None:
        """Look for the task of a create whose answer was lost.

        Raises:
            SubmissionUncertain: The upstream, or the ledger, could not be asked.
        """
        try:
            return await self._match(intent)
        except AivideoError as failure:
            raise later(lost, failure.retry_after or self._timeout) from None

    async def _match(self, intent: Intent, *, untold: bool = False) -> Made | None:
        listed = await self._upstream.tasks(whole=True)  # what could not be read may be the one
        known = await self._ledger.task_ids()
        for entry in _likely(intent, [entry for entry in listed if entry.task.id not in known]):
            task = entry.task
            if await self._ledger.issued(intent, task.id, task.status, task.credits_charged, untold=untold):
                logger.info("task %s (%s) found again, %s credits", task.id, intent.model, task.credits_charged)
                return Made(submission_of(intent, task.id, task.state, task.credits_charged), joined=True)
        return None

    async def find_all(self) -> None:
        """Look for the tasks of creates that an earlier process was killed in."""
        try:
            for intent in await self._ledger.lost():
                mine = await self._ledger.adopt(intent)
                if mine is not None:
                    try:
                        await self._match(mine, untold=True)
                    finally:
                        await self.let_go(mine)  # which is nothing where its task was found
        except AivideoError as failure:
            logger.info("tasks of lost creates could not be looked for: %s", failure.message)
        except Exception:  # nobody waits for this, and the server must not end by it
            logger.exception("looking for the tasks of lost creates broke")

    async def let_go(self, intent: Intent) -> None:
        """Leave an intent to the next call."""
        try:
            await self._ledger.release(intent)
        except LedgerUnavailable as failure:
            logger.error("intent %s could not be let go: %s", intent.number, failure.message)  # noqa: TRY400 - one line


def later(lost: SubmissionUncertain, seconds: float) -> SubmissionUncertain:
    """The same uncertainty, with when to try again; by then the same call finishes what this one began."""
    return SubmissionUncertain(
        f"{lost.message} It is taken down as open, and no task of it was found so far.",
        retry_after=round(seconds, 1),
        next_steps=(
            "Make the same call again after retryAfter: it looks for the task first, and pays only if there is none.",
        ),
    )


def submission_of(intent: Intent, task_id: str, state: Status, price: int | None) -> Submission:
    """A task that an intent has, as a create would have answered it."""
    return Submission(
        id=task_id,
        model=intent.model,
        status=Status.SUBMITTED if state is Status.UNKNOWN else state,
        credits_charged=price,
        idempotency_key=intent.key,
        idempotent_replay=True,
    )


def _likely(intent: Intent, listed: list[Listed]) -> list[Listed]:
    """Listed tasks that may be an intent's: by key where there are any, else by model, input and time."""
    by_key = [entry for entry in listed if entry.idempotency_key == intent.key]
    if by_key:
        return by_key
    alike = [
        entry
        for entry in listed
        if entry.idempotency_key is None
        and entry.task.model == intent.model
        and likeness(_named(entry.asked, intent), intent.compared) == intent.likeness
        and _made_since(entry.task.created_at, (intent.sent_at or 0.0) - _SKEW)
    ]
    return alike[::-1]  # the list is newest first; the oldest is the nearest to the sending


def _named(asked: Mapping[str, Any], intent: Intent) -> dict[str, Any]:
    return {name: asked.get(name) for name in intent.compared}


def _made_since(created_at: str | None, earliest: float) -> bool:
    return created_at is None or datetime.fromisoformat(created_at).timestamp() >= earliest
