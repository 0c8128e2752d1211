"""What became of a create whose answer was lost: found among the account's tasks, by key or by likeness.

The upstream returns the idempotency key where it kept it. Elsewhere a task is the intent's when model and input are
alike, it was made about then, and no other intent has it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import AivideoError, SubmissionUncertain
from aivideo_mcp.ledger import Intent, Ledger, Rivals, noted
from aivideo_mcp.tasks import Listed, Status, Submission

logger = logging.getLogger(__name__)

_SKEW: Final = 120.0  # seconds by which the upstream's clock may be behind ours
_LATEST: Final = 3600.0  # seconds from the last sending to a task that may have come of it
LOOK: Final = 0.25  # seconds between two looks at what another call is sending


@dataclass(frozen=True, slots=True)
class Made:
    """The task that a request became, and whether it was there before this call."""

    submission: Submission
    joined: bool


@dataclass(frozen=True, slots=True)
class _Clocks:
    """What time it is, in Unix seconds, here and by how much more at the upstream: either may have been set wrong."""

    now: float
    ahead: float

    def may_be(self, entry: Listed, intent: Intent) -> bool:
        """Whether a task was made when an intent's could have been, by any reading: what fits none is paid again."""
        if entry.task.created_at is None:
            return True
        made = datetime.fromisoformat(entry.task.created_at).timestamp()
        first, last = intent.sent_at or 0.0, intent.last_sent_at or made
        if last > self.now + _SKEW:  # our clock was set back since
            return True
        return any(first - _SKEW <= made - ahead <= last + _LATEST for ahead in (0.0, self.ahead))


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
        self.timeout = timeout

    async def find(self, intent: Intent, lost: SubmissionUncertain, deadline: float) -> Made | None:
        """Look for the task of a create whose answer was lost; None when it shows none.

        A task that may as well be another create's is nobody's before that one has its answer, which is waited for. Of
        a model that declares the idempotency key nothing is guessed: sending it again tells which task it is.

        Args:
            intent: What was sent.
            lost: What is known of the loss.
            deadline: Until when, on the event loop's clock, to wait.

        Raises:
            SubmissionUncertain: The upstream or the ledger could not be asked, or a task may as well be another's.
        """
        try:
            while True:
                found, rivals = await self._match(intent)
                if rivals is None:
                    return found
                if not rivals.waiting or not await self._answered(intent, deadline):
                    raise later(lost, self.timeout)
        except SubmissionUncertain:
            raise
        except AivideoError as failure:
            raise later(lost, failure.retry_after or self.timeout) from None

    async def _answered(self, intent: Intent, deadline: float) -> bool:
        """Wait until no create that looks like an intent's waits for its answer; False when the deadline came first."""
        while (await self._ledger.rivals(intent)).waiting:
            if anyio.current_time() > deadline:
                return False
            await anyio.sleep(LOOK)  # they may be another process's
        return True

    async def _match(self, intent: Intent, *, untold: bool = False) -> tuple[Made | None, Rivals | None]:
        """The intent's task, or those which keep one that looks like it from being taken for it."""
        listed = await self._upstream.tasks(whole=True)  # what could not be read may be the one
        now, date = self._ledger.now(), self._upstream.date
        clocks = _Clocks(now, 0.0 if date is None else date.timestamp() - now)
        rivals = await self._ledger.rivals(intent)
        free = [entry for entry in listed if entry.task.id not in rivals.settled]
        likely: list[Listed] | None = [entry for entry in free if entry.idempotency_key == intent.key]
        if not likely and not self._upstream.replays(intent.model):
            likely = _fairly(intent, _alike(intent, free), rivals, clocks)
        if likely is None:
            return None, rivals
        for entry in likely:
            task = entry.task
            if await self._ledger.issued(intent, task.id, task.status, task.credits_charged, untold=untold):
                logger.info("task %s (%s) found again, %s credits", task.id, intent.model, task.credits_charged)
                return Made(submission_of(intent, task.id, task.state, task.credits_charged), joined=True), None
        return None, None

    async def find_all(self) -> None:
        """Look for the tasks of creates that an earlier process was killed in."""
        try:
            for intent in await self._ledger.lost():
                mine = await self._ledger.adopt(intent)
                if mine is not None:
                    try:
                        await self._ledger.unanswered(mine)
                        await self._match(mine, untold=True)
                    finally:
                        await self.let_go(mine)  # which is nothing where its task was found
        except AivideoError as failure:
            logger.info("tasks of lost creates could not be looked for: %s", failure.message)
        except Exception:  # nobody waits for this, and the server must not end by it
            logger.exception("looking for the tasks of lost creates broke")

    async def let_go(self, intent: Intent) -> None:
        """Leave an intent to the next call."""
        await noted(self._ledger.release(intent), f"intent {intent.number} could not be let go")


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


def _alike(intent: Intent, listed: list[Listed]) -> list[Listed]:
    """Listed tasks that may be an intent's by model and input, the oldest first."""
    alike = [
        entry
        for entry in reversed(listed)  # the list is newest first
        if entry.idempotency_key is None and entry.task.model == intent.model and intent.words.fits(entry.asked)
    ]
    # The upstream may keep pictures elsewhere, or not tell them, so that others are no proof; the same are.
    return [entry for entry in alike if _is_pictured(intent, entry)] or alike


def _fairly(intent: Intent, alike: list[Listed], rivals: Rivals, clocks: _Clocks) -> list[Listed] | None:
    """Of the tasks that may be an intent's those which it may take; None while that cannot be said."""
    alike = [entry for entry in alike if not any(_is_pictured(other, entry) for other in rivals.strangers)]
    mine = [entry for entry in alike if clocks.may_be(entry, intent)]
    if mine and (rivals.waiting or (rivals.strangers and not _is_pictured(intent, mine[0]))):
        return None
    twins = [intent, *rivals.twins]
    pairs = _paired(twins, alike, clocks)
    if len(pairs) == len(twins):
        return [pairs[intent.number]]
    # There is not one for each twin, so one of them has to be sent again, and why not this.
    return [entry for entry in mine if not any(clocks.may_be(entry, twin) for twin in rivals.twins)]


def _paired(intents: list[Intent], entries: list[Listed], clocks: _Clocks) -> dict[int, Listed]:
    """As many tasks as possible, each with an intent that it may have come of: the one that ends its wait first."""
    pairs: dict[int, Listed] = {}
    for entry in entries:
        free = [intent for intent in intents if intent.number not in pairs and clocks.may_be(entry, intent)]
        if free:
            pairs[min(free, key=lambda intent: (intent.last_sent_at or 0.0, intent.number)).number] = entry
    return pairs


def _is_pictured(intent: Intent, entry: Listed) -> bool:
    """Whether a task tells of pictures, and they are the intent's."""
    return intent.media.fits(entry.asked) and not intent.media.fits({})
