"""create -> wait -> fetch -> save: what happens to a generation, told step by step.

Knows the submissions, the watcher and the video folder; knows nothing of MCP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
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
    NetworkError,
    NotCancellable,
    NotSent,
    RateLimited,
    TaskNotFound,
    UnknownError,
)
from aivideo_mcp.history import Histories
from aivideo_mcp.keeper import Keeper
from aivideo_mcp.ledger import Ledger
from aivideo_mcp.media import Shelf, VideoFolder
from aivideo_mcp.pictures import PictureFolders
from aivideo_mcp.reporting import Tell, harmless, told_meanwhile
from aivideo_mcp.settings import Settings
from aivideo_mcp.submission import Made, Submissions, Terms
from aivideo_mcp.tasks import Account, Quote, Sighting, Status, Task
from aivideo_mcp.waiting import Waited, Waits
from aivideo_mcp.watcher import Notice, Watcher

UNSEEN_WAIT: Final = 45.0  # seconds; several clients drop a call without progress at 60
_ONE_LOOK: Final = 3.0  # seconds; a wait for a task that is known by its id alone looks once at least
_GRACE: Final = 2.0  # seconds that creates in flight and notes get when the server ends


class Workflow:
    """What can be done with generations. Make one with `open_workflow`."""

    def __init__(self, settings: Settings, upstream: Upstream, ledger: Ledger, group: TaskGroup) -> None:
        self.settings = settings
        self.upstream = upstream
        self.pictures = PictureFolders(settings.image_dirs) if settings.image_dirs else None
        self._ledger = ledger
        self._background = Background(group)
        self.accounts = Accounts(upstream)
        self._watcher = Watcher(upstream, group, self._saw)
        self.shelf: Shelf | None = None
        self._keeper: Keeper | None = None
        if folder := settings.output_dir:
            self.shelf = Shelf(VideoFolder(folder, upstream, lambda: settings.state_folder, ledger.now), ledger)
        ready = self.shelf.check if self.shelf else None
        self._submissions = Submissions(settings, upstream, ledger, self.accounts, self._background, ready=ready)
        self.history = Histories(upstream, ledger, self.shelf)
        self._waits = Waits(upstream, self._watcher, self.history, self.shelf)
        if self.shelf:
            self._keeper = Keeper(ledger, self._watcher, self.shelf, self.history, group.start_soon)
            ledger.when_opened(self._keeper.begin)

    async def create(self, request: Contract, terms: Terms) -> Made:
        """Create a task under the caps that apply; charges at once. See `Submissions.submit` for what it raises."""
        deadline = anyio.current_time() + self._patience(Terms(), seen=False)
        made = await self._submissions.submit(request, terms, fresh=True, deadline=deadline)
        await self._keep(made)
        return made

    async def generate(self, request: Contract, terms: Terms, tell: Tell, *, seen: bool) -> Waited:
        """Create a task, or join the one that the same arguments are owed, and wait for its end.

        Args:
            request: What to make.
            terms: What the caller grants.
            tell: Gets a message as soon as the id is known, at each change, and every 10 s at least.
            seen: Whether the caller sees those messages, and so can wait long.
        """
        deadline = anyio.current_time() + self._patience(terms, seen=seen)
        tell = harmless(tell)
        creating = self._submissions.submit(request, terms, fresh=False, deadline=deadline)
        made = await told_meanwhile(creating, tell, "No task id yet: the create is under way. Do not repeat it")
        it = made.submission
        age = await self._keep(made)
        cost = f" for {it.credits_charged} credits" if it.credits_charged is not None else ""
        told = f"task {it.id} joined, which is paid for already" if made.joined else f"task {it.id} created{cost}"
        await tell(f"{it.status}: {told}. Keep this id.")
        # However it stands, the task has to be looked at: what it became is not in a create's answer.
        status = Status.PROGRESS if Status.read(it.status).terminal else it.status
        first = Task(id=it.id, model=it.model, status=status, credits_charged=it.credits_charged)
        return await self._waits.wait(first, deadline, tell, age=age, joined=made.joined)

    async def resume(self, task_id: str, terms: Terms, tell: Tell, *, seen: bool) -> Waited:
        """Go on waiting for a task that was created before.

        Raises:
            TaskNotFound: There is no such task for this key.
        """
        deadline = anyio.current_time() + max(self._patience(terms, seen=seen), _ONE_LOOK)
        tell = harmless(tell)
        await tell(f"Looking for task {task_id}.")
        model, age = await self._known(task_id)
        if self._keeper:
            self._keeper.follow(task_id, model, age)
        return await self._waits.wait(Task(id=task_id, model=model, status=Status.UNKNOWN), deadline, tell, age=age)

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

    async def download(self, task: Task, tell: Tell, *, seen: bool) -> Task:
        """Save a finished task's video; the task with its file.

        Args:
            task: As it was fetched.
            tell: Gets a message every 10 s at least.
            seen: Whether the caller sees those messages, and so can wait long.

        Raises:
            DownloadFailed: It could not be saved in this time; what came of it can be gone on with.
        """
        again = (f'Call download_video with taskId "{task.id}" again: it goes on where this ended.',)
        if self.shelf is None:
            raise DownloadFailed(
                "AIVIDEO_OUTPUT_DIR is not set, so this server saves no videos.",
                next_steps=(
                    "Open videoUrl directly, before expiresAt.",
                    "To save videos, ask the user to set AIVIDEO_OUTPUT_DIR to a folder and to restart the server.",
                ),
                task_id=task.id,
            )
        tell = harmless(tell)
        with anyio.move_on_after(self._patience(Terms(), seen=seen)):
            return await told_meanwhile(self.shelf.keep(task, tell), tell, f"Saving the video of task {task.id}")
        raise DownloadFailed("The download is not done yet; what came is kept.", next_steps=again, task_id=task.id)

    async def account(self) -> Account | None:
        """The account, at most 10 minutes old; None when it cannot be asked right now."""
        try:
            return (await self.accounts.current())[0]
        except AivideoError:
            return None

    def note_delivery(self, task_id: str) -> None:
        """Take down, without a wait, that a task's outcome was handed over: the next same call is a new generation."""
        self._background.start(lambda: self.delivered(task_id))

    async def delivered(self, task_id: str) -> None:
        """Take down that a task's outcome was handed over."""
        await self.history.note(self._ledger.delivered(task_id))

    async def aclose(self) -> None:
        """End in order: creates in flight get their answer, notes are taken, then pool and ledger are closed."""
        if self._keeper:
            await self._keeper.aclose()
        await self._background.settle(_GRACE)
        with anyio.CancelScope(shield=True):
            await self.upstream.aclose()
            await self._ledger.aclose()

    async def _keep(self, made: Made) -> float:
        """Have a task's video saved even when its caller leaves; the task's age in seconds."""
        model, age = await self._known(made.submission.id) if made.joined else (made.submission.model, 0.0)
        if self._keeper:
            self._keeper.follow(made.submission.id, model, age)
        return age

    async def _known(self, task_id: str) -> tuple[str | None, float]:
        """A task's model, and its age in seconds, as far as the ledger knows."""
        known = await self.history.known(task_id)
        if known is None:
            return None, 0.0
        return known.model, 0.0 if known.sent_at is None else max(0.0, self._ledger.now() - known.sent_at)

    async def _saw(self, task_id: str, status: str) -> None:
        await self.history.note(self._ledger.saw(task_id, status))

    def _patience(self, terms: Terms, *, seen: bool) -> float:
        longest = float(self.settings.max_wait_s)
        return terms.max_wait if terms.max_wait is not None else longest if seen else min(UNSEEN_WAIT, longest)


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
