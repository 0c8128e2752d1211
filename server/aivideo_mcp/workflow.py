"""create -> wait -> fetch -> save: what happens to a generation, told step by step.

Knows the upstream, the watcher and the video folder; knows nothing of MCP. A create, once begun, runs to its end
even when the caller leaves, so that an id which was paid for is not thrown away unread.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.abc import TaskGroup

from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import MODELS, Contract
from aivideo_mcp.errors import (
    AivideoError,
    AuthFailed,
    BudgetExceeded,
    ConfirmationRequired,
    DownloadFailed,
    NetworkError,
    NotCancellable,
    NotSent,
    RateLimited,
    SubmissionUncertain,
    TaskNotFound,
    UnknownError,
)
from aivideo_mcp.media import VideoFolder
from aivideo_mcp.reporting import Report, Tell
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Account, Sighting, Status, Submission, Task
from aivideo_mcp.watcher import Watcher

logger = logging.getLogger(__name__)

UNSEEN_WAIT: Final = 45.0  # seconds; several clients drop a call without progress at 60
_GRACE: Final = 2.0  # seconds that a create in flight gets when the server ends
_ACCOUNT_KEPT: Final = 600.0  # seconds for which the account's answer is believed


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller grants beside the request: a price cap, a key for repeating, seconds of patience."""

    max_credits: int | None = None
    idempotency_key: str | None = None
    max_wait: float | None = None


@dataclass(frozen=True, slots=True)
class Waited:
    """How a wait ended: with the task, ended or not, and with what went wrong while saving its file."""

    task: Task
    unsaved: str | None = None


class Workflow:
    """What can be done with generations. Make one with `open_workflow`."""

    def __init__(self, settings: Settings, upstream: Upstream, background: TaskGroup) -> None:
        self.settings = settings
        self.upstream = upstream
        self._watcher = Watcher(upstream)
        self._videos = VideoFolder(settings.output_dir, upstream) if settings.output_dir else None
        self._background = background
        self._creating: set[anyio.Event] = set()
        self._account: tuple[float, Account] | None = None

    async def create(self, request: Contract, terms: Terms) -> Submission:
        """Create a task under the caps that apply; charges at once, sent once.

        Raises:
            BudgetExceeded: The quote is above a cap. Nothing was sent.
            SubmissionUncertain: The answer was lost.
        """
        cap = self._cap(terms)
        if cap is not None:
            quote = await self.upstream.quote(request)
            if quote.credits > cap:
                raise BudgetExceeded(
                    f"{request.model} as asked costs {quote.credits} credits; the cap is {cap}. Nothing was sent."
                )
        key = terms.idempotency_key or f"aivideo-mcp-{uuid.uuid4()}"
        return await self._run_to_its_end(lambda: self.upstream.create(request, key, cap))

    async def generate(self, request: Contract, terms: Terms, tell: Tell, *, seen: bool) -> Waited:
        """Create a task and wait for its end.

        Args:
            request: What to make.
            terms: What the caller grants.
            tell: Gets a message as soon as the id is known, at each change, and every 10 s at least.
            seen: Whether the caller sees those messages, and so can wait long.
        """
        started = anyio.current_time()
        made = await self.create(request, terms)
        cost = f" for {made.credits_charged} credits" if made.credits_charged is not None else ""
        await tell(f"{made.status}: task {made.id} created{cost}. Keep this id.")
        first = Task(id=made.id, model=made.model, status=made.status, credits_charged=made.credits_charged)
        return await self._wait(first, started + self._patience(terms, seen=seen), tell)

    async def resume(self, task_id: str, terms: Terms, tell: Tell, *, seen: bool) -> Waited:
        """Go on waiting for a task that was created before.

        Raises:
            TaskNotFound: There is no such task for this key.
        """
        started = anyio.current_time()
        await tell(f"Looking for task {task_id}.")
        first = await self.upstream.task(task_id)
        return await self._wait(first, started + self._patience(terms, seen=seen), tell)

    async def cancel(self, task_id: str) -> Sighting:
        """Cancel a task that has not started. A refusal or a lost answer is cleared up by looking.

        Raises:
            NotCancellable: It has started, or ended.
            NetworkError: It is still SUBMITTED and the cancel was not confirmed.
        """
        try:
            status: str = await self.upstream.cancel(task_id)
        except (AuthFailed, RateLimited, TaskNotFound, NotSent):
            raise
        except AivideoError:  # refused, lost or unclear: the state tells which
            status = Status.UNKNOWN
        if status != Status.CANCEL:
            status = (await self.upstream.status(task_id)).status
        if status == Status.CANCEL:
            return Sighting(id=task_id, status=status)
        if status == Status.SUBMITTED:
            raise NetworkError("The cancel was not confirmed; the task is still SUBMITTED.", task_id=task_id)
        raise NotCancellable(
            f"The task is {status}; only a task that is still SUBMITTED can be cancelled.",
            task_id=task_id,
            next_steps=("Call get_task for its result, or generate_video with this taskId to wait for it.",),
        )

    async def account(self) -> Account | None:
        """The account, at most 10 minutes old; None when it cannot be asked right now."""
        now = anyio.current_time()
        if self._account is None or now - self._account[0] > _ACCOUNT_KEPT:
            try:
                self._account = (now, await self.upstream.account())
            except AivideoError:
                return None
        return self._account[1]

    async def aclose(self) -> None:
        """Wait, not for long, until creates in flight have their answer; then close the pool."""
        with anyio.move_on_after(_GRACE, shield=True):
            for ended in tuple(self._creating):
                await ended.wait()
        with anyio.CancelScope(shield=True):
            await self.upstream.aclose()

    def _cap(self, terms: Terms) -> int | None:
        if self.settings.daily_credits is not None or self.settings.confirm_above is not None:
            raise ConfirmationRequired(
                "AIVIDEO_DAILY_CREDITS or AIVIDEO_CONFIRM_ABOVE is set, and this version cannot keep to it yet, so it"
                " creates nothing.",
                next_steps=("Ask the user to unset the variable; AIVIDEO_MAX_CREDITS and maxCredits are enforced.",),
            )
        caps = [cap for cap in (terms.max_credits, self.settings.max_credits) if cap is not None]
        return min(caps, default=None)

    def _patience(self, terms: Terms, *, seen: bool) -> float:
        longest = float(self.settings.max_wait_s)
        return terms.max_wait if terms.max_wait is not None else longest if seen else min(UNSEEN_WAIT, longest)

    async def _run_to_its_end(self, create: Callable[[], Awaitable[Submission]]) -> Submission:
        """Make a paid call that a caller's leaving does not interrupt; its id is on stderr in any case."""
        outcome: Submission | AivideoError = SubmissionUncertain(
            "The create was cut off inside this server; the task may exist and may have been charged."
        )
        ended = anyio.Event()

        async def run() -> None:
            nonlocal outcome
            self._creating.add(ended)
            try:
                outcome = await create()
                logger.info("task %s (%s) created, %s credits", outcome.id, outcome.model, outcome.credits_charged)
            except AivideoError as failure:
                outcome = failure
            except Exception:
                logger.exception("create broke off")
            finally:
                self._creating.discard(ended)
                ended.set()

        self._background.start_soon(run)
        await ended.wait()
        if isinstance(outcome, AivideoError):
            raise outcome
        return outcome

    async def _wait(self, task: Task, deadline: float, tell: Tell) -> Waited:
        """Watch until the task has ended and is saved, or the deadline (on the event loop's clock) has come."""
        report = Report(task, tell, self.upstream)
        contract = MODELS.get(task.model or "")
        waited = Waited(task)
        failure: AivideoError | None = None

        async def watch() -> None:
            nonlocal waited, failure
            try:
                with anyio.CancelScope(deadline=deadline):
                    if not waited.task.state.terminal:
                        ended = await self._watcher.until_ended(
                            task.id, contract.usual if contract else None, report.notice
                        )
                        waited = Waited(ended)
                    waited = await self._saved(waited.task)
            except AivideoError as fault:
                failure = fault
            except Exception:  # the id was paid for, so it must reach the caller even through our own mistake
                logger.exception("waiting for task %s broke", task.id)
                failure = UnknownError("This server made a mistake while waiting; the task runs on.")
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(report.beat)
            await watch()
        if failure:
            failure.task_id = task.id
            failure.next_steps = (*failure.next_steps, f'Call get_task with taskId "{task.id}" later.')
            raise failure
        if not waited.task.state.terminal:
            waited = Waited(task.model_copy(update={"status": report.status}))
        return waited

    async def _saved(self, task: Task) -> Waited:
        if self._videos is None or task.state is not Status.COMPLETED:
            return Waited(task)
        try:
            return Waited(task.model_copy(update={"file": str(await self._videos.save(task))}))
        except DownloadFailed as failure:
            return Waited(task, unsaved=failure.message)


@asynccontextmanager
async def open_workflow(settings: Settings, upstream: Upstream | None = None) -> AsyncIterator[Workflow]:
    """A workflow with its connection pool, open as long as the context is."""
    upstream = upstream or Upstream(settings)
    async with anyio.create_task_group() as background:
        workflow = Workflow(settings, upstream, background)
        try:
            yield workflow
        finally:
            await workflow.aclose()
            background.cancel_scope.cancel()
