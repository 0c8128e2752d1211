"""create -> wait -> fetch -> save: what happens to a generation, told step by step.

Knows the submissions, the watcher and the video folder; knows nothing of MCP.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from aivideo_mcp.accounts import Accounts
from aivideo_mcp.background import Background
from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import MODELS, Contract
from aivideo_mcp.errors import (
    AivideoError,
    AuthFailed,
    DownloadFailed,
    LedgerUnavailable,
    NetworkError,
    NotCancellable,
    NotSent,
    RateLimited,
    TaskNotFound,
    UnknownError,
    UnsafeAddress,
)
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.media import VideoFolder
from aivideo_mcp.pictures import PictureFolders
from aivideo_mcp.reporting import Report, Tell, told_meanwhile
from aivideo_mcp.settings import Settings
from aivideo_mcp.submission import Made, Submissions, Terms
from aivideo_mcp.tasks import Account, Quote, Sighting, Status, Task
from aivideo_mcp.watcher import Notice, Watcher

logger = logging.getLogger(__name__)

UNSEEN_WAIT: Final = 45.0  # seconds; several clients drop a call without progress at 60
_ONE_LOOK: Final = 3.0  # seconds; a wait for a task that is known by its id alone looks once at least
_GRACE: Final = 2.0  # seconds that creates in flight and notes get when the server ends


@dataclass(frozen=True, slots=True)
class Waited:
    """How a wait ended.

    Attributes:
        task: The task, ended or not.
        joined: Whether an earlier call had created it.
        fetched: Whether the whole of the ended task was fetched.
        unsaved: What kept its file from disk.
        unsafe: Whether that is an address which nobody should fetch from.
    """

    task: Task
    joined: bool = False
    fetched: bool = False
    unsaved: str | None = None
    unsafe: bool = False


class Workflow:
    """What can be done with generations. Make one with `open_workflow`."""

    def __init__(self, settings: Settings, upstream: Upstream, ledger: Ledger, group: TaskGroup) -> None:
        self.settings = settings
        self.upstream = upstream
        self.pictures = PictureFolders(settings.image_dirs) if settings.image_dirs else None
        self._ledger = ledger
        self._background = Background(group)
        self.accounts = Accounts(upstream)
        self._submissions = Submissions(settings, upstream, ledger, self.accounts, self._background)
        self._watcher = Watcher(upstream, group, self._saw)
        folder = settings.output_dir
        self._videos = VideoFolder(folder, upstream, lambda: settings.state_folder, ledger.now) if folder else None

    async def create(self, request: Contract, terms: Terms) -> Made:
        """Create a task under the caps that apply; charges at once. See `Submissions.submit` for what it raises."""
        deadline = anyio.current_time() + self._patience(Terms(), seen=False)
        return await self._submissions.submit(request, terms, fresh=True, deadline=deadline)

    async def generate(self, request: Contract, terms: Terms, tell: Tell, *, seen: bool) -> Waited:
        """Create a task, or join the one that the same arguments are owed, and wait for its end.

        Args:
            request: What to make.
            terms: What the caller grants.
            tell: Gets a message as soon as the id is known, at each change, and every 10 s at least.
            seen: Whether the caller sees those messages, and so can wait long.
        """
        deadline = anyio.current_time() + self._patience(terms, seen=seen)
        tell = _harmless(tell)
        creating = self._submissions.submit(request, terms, fresh=False, deadline=deadline)
        made = await told_meanwhile(creating, tell, "No task id yet: the create is under way. Do not repeat it")
        it = made.submission
        cost = f" for {it.credits_charged} credits" if it.credits_charged is not None else ""
        told = f"task {it.id} joined, which is paid for already" if made.joined else f"task {it.id} created{cost}"
        await tell(f"{it.status}: {told}. Keep this id.")
        # However it stands, the task has to be looked at: what it became is not in a create's answer.
        status = Status.PROGRESS if Status.read(it.status).terminal else it.status
        first = Task(id=it.id, model=it.model, status=status, credits_charged=it.credits_charged)
        age = (await self._known(it.id))[1] if made.joined else 0.0
        return await self._wait(first, deadline, tell, age=age, joined=made.joined)

    async def resume(self, task_id: str, terms: Terms, tell: Tell, *, seen: bool) -> Waited:
        """Go on waiting for a task that was created before.

        Raises:
            TaskNotFound: There is no such task for this key.
        """
        deadline = anyio.current_time() + max(self._patience(terms, seen=seen), _ONE_LOOK)
        tell = _harmless(tell)
        await tell(f"Looking for task {task_id}.")
        model, age = await self._known(task_id)
        return await self._wait(Task(id=task_id, model=model, status=Status.UNKNOWN), deadline, tell, age=age)

    async def code_for(self, request: Contract, price: int) -> str:
        """A code by which the user may agree, in the chat, to this price for this request."""
        return await self._submissions.code_for(request, price)

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

    async def watch(self, task_id: str, notice: Notice) -> Task:
        """Wait for a task's end among all who wait for one; cancel it to leave.

        Raises:
            TaskNotFound: There is no such task for this key.
            AuthFailed: The key is not accepted.
        """
        model, age = await self._known(task_id)
        contract = MODELS.get(model or "")
        return await self._watcher.until_ended(task_id, contract.usual if contract else None, notice, age)

    def start(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begin work that outlives its call, must not raise, and is cancelled when the workflow closes."""
        self._background.group.start_soon(work)

    async def quote(self, request: Contract) -> tuple[Quote, str | None]:
        """What a request would cost; where the upstream cannot say, by our own table, and why."""
        try:
            return await self.upstream.quote(request), None
        except (NetworkError, UnknownError, RateLimited) as failure:
            account = self.accounts.kept
            balance = account.current_balance if account else None
            return Quote.of(request.model, request.estimate(), balance, estimate=True), failure.message

    async def account(self) -> Account | None:
        """The account, at most 10 minutes old; None when it cannot be asked right now."""
        try:
            return await self.accounts.current()
        except AivideoError:
            return None

    def note_delivery(self, task_id: str) -> None:
        """Take down, without a wait, that a task's outcome was handed over: the next same call is a new generation."""
        self._background.start(lambda: self.delivered(task_id))

    async def delivered(self, task_id: str) -> None:
        """Take down that a task's outcome was handed over."""
        await self._note(self._ledger.delivered(task_id))

    async def aclose(self) -> None:
        """End in order: creates in flight get their answer, notes are taken, then pool and ledger are closed."""
        await self._background.settle(_GRACE)
        with anyio.CancelScope(shield=True):
            await self.upstream.aclose()
            await self._ledger.aclose()

    async def _known(self, task_id: str) -> tuple[str | None, float]:
        """A task's model, and its age in seconds, as far as the ledger knows."""
        try:
            known = await self._ledger.about(task_id)
        except LedgerUnavailable:
            known = None
        if known is None:
            return None, 0.0
        return known.model, 0.0 if known.sent_at is None else max(0.0, self._ledger.now() - known.sent_at)

    async def _saw(self, task_id: str, status: str) -> None:
        await self._note(self._ledger.saw(task_id, status))

    async def _note(self, taking_down: Awaitable[None]) -> None:
        """Take something down that nobody is kept waiting or refused for."""
        try:
            await taking_down
        except LedgerUnavailable as failure:
            logger.error("%s", failure.message)  # noqa: TRY400 - one line is enough
        except Exception:  # a note is never worth a server
            logger.exception("taking down broke")

    def _patience(self, terms: Terms, *, seen: bool) -> float:
        longest = float(self.settings.max_wait_s)
        return terms.max_wait if terms.max_wait is not None else longest if seen else min(UNSEEN_WAIT, longest)

    async def _wait(self, task: Task, deadline: float, tell: Tell, *, age: float, joined: bool = False) -> Waited:
        """Watch until the task has ended and is saved, or the deadline (on the event loop's clock) has come."""
        report = Report(task, tell, self.upstream, age)
        contract = MODELS.get(task.model or "")
        waited = Waited(task, joined)
        failure: AivideoError | None = None

        async def watch() -> None:
            nonlocal waited, failure
            try:
                with anyio.CancelScope(deadline=deadline):
                    usual = contract.usual if contract else None
                    ended = await self._watcher.until_ended(task.id, usual, report.notice, age)
                    unsaved = "The wait ended first." if self._videos and ended.video_url else None
                    waited = Waited(ended, joined, fetched=True, unsaved=unsaved)
                    waited = await self._saved(waited, tell)
            except AivideoError as fault:
                failure = fault
                if isinstance(fault, TaskNotFound):
                    await self._note(self._ledger.gone(task.id))
            except Exception:  # the id was paid for, so it must reach the caller even through our own mistake
                logger.exception("waiting for task %s broke", task.id)
                failure = UnknownError("This server made a mistake while waiting; the task runs on.")
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(report.beat)
            await watch()
        if failure:
            failure.task_id = task.id
            failure.next_steps = (f'Call get_task with taskId "{task.id}" later; do not create it again.',)
            raise failure
        if not waited.task.state.terminal:
            waited = Waited(task.model_copy(update={"status": report.status}), joined)
        return waited

    async def _saved(self, waited: Waited, tell: Tell) -> Waited:
        task = waited.task
        if self._videos is None or task.video_url is None:
            return waited
        try:
            file = await self._videos.save(task, tell)
        except DownloadFailed as failure:
            return replace(waited, unsaved=failure.message, unsafe=isinstance(failure, UnsafeAddress))
        await self._note(self._ledger.saved(task.id, file))
        return replace(waited, task=task.model_copy(update={"file": str(file)}), unsaved=None)


def _harmless(tell: Tell) -> Tell:
    """A teller whose failure costs no video: stderr may be full, a client may have gone."""

    async def told(message: str) -> None:
        try:
            await tell(message)
        except Exception:
            logger.exception("a progress message could not be delivered")

    return told


@asynccontextmanager
async def open_workflow(
    settings: Settings, upstream: Upstream | None = None, ledger: Ledger | None = None
) -> AsyncIterator[Workflow]:
    """A workflow with its connection pool and its ledger, open as long as the context is."""
    ledger = ledger or Ledger(settings)
    upstream = upstream or Upstream(settings, gate=ledger)
    async with anyio.create_task_group() as background:
        workflow = Workflow(settings, upstream, ledger, background)
        try:
            yield workflow
        finally:
            await workflow.aclose()
            background.cancel_scope.cancel()
