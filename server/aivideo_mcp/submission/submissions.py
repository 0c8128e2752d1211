"""From a request to its task, with at most one charge for each intent, whatever gets lost on the way.

The intent is in the ledger before the create is sent, and its task is there before anybody waits. A create whose
answer is lost is looked for among the account's tasks before anything is sent again. Sent again it is with the same
idempotency key, and only where that cannot pay twice: at once for the model that declares the key, for the others
when a look made a request time-out later still shows nothing.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import anyio
import anyio.to_thread

from aivideo_mcp.accounts import Accounts
from aivideo_mcp.background import Background
from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import Contract
from aivideo_mcp.errors import (
    AivideoError,
    BudgetExceeded,
    ConfirmationRequired,
    IdempotencyConflict,
    InvalidModel,
    LedgerUnavailable,
    SubmissionUncertain,
)
from aivideo_mcp.ledger import OWN_KEY, Intent, Ledger, Role, Wanted
from aivideo_mcp.settings import Settings
from aivideo_mcp.submission.recovery import LOOK, Made, Recovery, later, submission_of
from aivideo_mcp.submission.spending import Bill, Spending, Terms
from aivideo_mcp.tasks import Status

logger = logging.getLogger(__name__)

_LEAST: Final = 10.0  # seconds that a create gets in any case: a wait of 0 is for the video, not for its id


@dataclass(frozen=True, slots=True)
class _Order:
    """A request on its way to its task: the intent that it is, what is granted, until when to seek a lost answer."""

    intent: Intent
    request: Contract
    terms: Terms
    deadline: float
    bill: Bill | None = None


class Submissions:
    """Creates tasks.

    Args:
        settings: Caps and time-outs.
        upstream: Where to create.
        ledger: What was created before.
        accounts: Which models are served.
        background: Where a create runs to its end even when its caller leaves.
        ready: Raises what makes a create pointless, such as a folder in which its video could not be saved.
    """

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        ledger: Ledger,
        accounts: Accounts,
        background: Background,
        *,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._ledger = ledger
        self._accounts = accounts
        self._background = background
        self._ready = ready
        self._spending = Spending(settings, upstream, ledger, accounts)
        self._recovery = Recovery(upstream, ledger, settings.timeout)
        self._swept = False

    async def submit(self, request: Contract, terms: Terms, *, fresh: bool, deadline: float) -> Made:
        """The task of a request: a new one, or the one that an earlier call with the same arguments is owed.

        Args:
            request: What to make.
            terms: What the caller grants.
            fresh: Whether a new one is meant even while one with the same arguments is under way.
            deadline: Until when, on the event loop's clock, a lost answer may be waited for.

        Raises:
            SubmissionUncertain: The answer was lost, and no look could tell what became of it.
            BudgetExceeded: The quote is above a cap. Nothing was sent.
            ConfirmationRequired: The user has to agree first. Nothing was sent.
            InvalidModel: The account does not serve the model. Nothing was sent.
            LedgerUnavailable: No record could be made. Nothing was sent.
            FolderUnusable: The video could not be saved. Nothing was sent.
            IdempotencyConflict: The key was used for other arguments.
        """
        if not self._swept:  # once in a process's life
            self._swept = True
            self._background.group.start_soon(self._recovery.find_all)
        wanted = await anyio.to_thread.run_sync(Wanted.of, request, terms.idempotency_key)
        while True:
            # From the claim on the call must not be torn: an intent that is ours and that nobody works on blocks all.
            work = functools.partial(self._claim, wanted, request, terms, fresh=fresh, deadline=deadline)
            made = await self._run_to_its_end(work, deadline)
            if isinstance(made, Made):
                return made
            while not (settled := await self._ledger.settled(made)):
                if anyio.current_time() > deadline:
                    raise SubmissionUncertain(
                        "Another call with the same arguments is creating this video and has no answer yet.",
                        next_steps=("Call again in a minute: you will join that generation and not pay again.",),
                    )
                await anyio.sleep(LOOK)
            # Who means a new one claims again: of several that waited for a lost one, one finishes it.
            if isinstance(settled, Intent) and settled.task_id is not None and not fresh:
                return _joined(settled, settled.task_id)

    async def code_for(self, request: Contract, price: int) -> str:
        """A code by which the user may agree, in the chat, to this price for this request."""
        wanted = await anyio.to_thread.run_sync(Wanted.of, request, None)
        return await self._spending.code_for(wanted.digest, price)

    async def _run_to_its_end(self, work: Callable[[], Awaitable[Made | Intent]], deadline: float) -> Made | Intent:
        """Do what a caller's leaving must not interrupt, nor the end of its patience."""
        outcome: Made | Intent | AivideoError = SubmissionUncertain(
            "The create was cut off inside this server; the task may exist and may have been charged."
        )

        async def run() -> None:
            nonlocal outcome
            try:
                outcome = await work()
            except AivideoError as failure:
                outcome = failure
            except Exception:
                logger.exception("create broke off")

        ended = self._background.start(run)
        with anyio.CancelScope(deadline=max(deadline, anyio.current_time() + _LEAST)):
            await ended.wait()
        if not ended.is_set():
            raise SubmissionUncertain(
                "The create has no answer yet; it goes on in this server.",
                next_steps=("Make the same call again in a minute: it joins that generation and pays nothing.",),
            )
        if isinstance(outcome, AivideoError):
            raise outcome
        return outcome

    async def _claim(
        self, wanted: Wanted, request: Contract, terms: Terms, *, fresh: bool, deadline: float
    ) -> Made | Intent:
        """The task of a request, or the intent that somebody else is bringing to its task."""
        intent, role = await self._ledger.claim(wanted, fresh=fresh)
        if role is Role.WAIT:
            return intent
        if role is Role.JOIN:
            assert intent.task_id is not None
            return _joined(intent, intent.task_id)
        order = _Order(intent, request, terms, deadline)
        try:
            return await (self._send(order) if role is Role.SEND else self._resume(order))
        except BaseException:
            await self._recovery.let_go(intent)
            raise

    async def _send(self, order: _Order) -> Made:
        """Send a create for the first time, within its cap."""
        try:
            if self._ready:
                await self._ready()
            order = await self._about_to_send(order)
            return await self._post(order)
        except SubmissionUncertain as lost:
            return await self._recover(order, lost, self._settings.timeout)
        except AivideoError as refusal:
            await self._drop(order.intent)
            raise _ours(refusal, order.intent) from None

    async def _resume(self, order: _Order) -> Made:
        """Go on with an intent whose answer an earlier call, or an earlier process, has lost."""
        lost = SubmissionUncertain(
            f'An earlier call with the same arguments lost its answer (idempotency key "{order.intent.key}").'
        )
        sent = order.intent.last_sent_at or 0.0
        return await self._recover(order, lost, max(0.0, sent + 2 * self._settings.timeout - self._ledger.now()))

    async def _about_to_send(self, order: _Order) -> _Order:
        """See that an order may be sent, once, and take down that it is."""
        bill = order.bill or await self._spending.approve(order.request, order.intent, order.terms)
        return replace(order, bill=bill, intent=await self._ledger.sending(order.intent, bill.price))

    async def _post(self, order: _Order) -> Made:
        ceiling = order.bill.ceiling if order.bill else None
        made = await self._upstream.create(order.request, order.intent.key, ceiling)
        logger.info("task %s (%s) created, %s credits", made.id, made.model, made.credits_charged)
        self._accounts.note_charge()
        try:
            if not await self._ledger.issued(order.intent, made.id, made.status, made.credits_charged):
                logger.warning("task %s was taken for another create's meanwhile", made.id)
                await self._drop(order.intent)
        except LedgerUnavailable as failure:
            logger.error("task %s could not be taken down: %s", made.id, failure.message)  # noqa: TRY400 - one line
            await self._recovery.let_go(order.intent)  # the next call finds the task among the account's
        return Made(made, joined=made.idempotent_replay)

    async def _recover(self, order: _Order, lost: SubmissionUncertain, settling: float) -> Made:
        """Find the task of a create whose answer was lost, or send it again where that is safe.

        Args:
            order: What was sent.
            lost: What is known of the loss.
            settling: Seconds until a look that shows nothing is believed, for models without the key.
        """
        await self._note(self._ledger.unanswered(order.intent))
        found = await self._recovery.find(order.intent, lost, order.deadline)
        if found is None and settling and not self._upstream.replays(order.request.model):
            if anyio.current_time() + settling > order.deadline:
                raise later(lost, settling)
            await anyio.sleep(settling)
            found = await self._recovery.find(order.intent, lost, order.deadline)
        if found is not None:
            return found
        logger.info("the create of intent %s left no task; it is sent again with its key", order.intent.number)
        try:
            order = await self._about_to_send(order)
        except (InvalidModel, BudgetExceeded, ConfirmationRequired) as refusal:
            refusal.message = f"{lost.message} No task of it is there. {refusal.message}"
            raise
        except AivideoError as failure:
            raise later(lost, failure.retry_after or self._settings.timeout) from None
        try:
            return await self._post(order)
        except SubmissionUncertain as again:
            await self._note(self._ledger.unanswered(order.intent))
            found = await self._recovery.find(order.intent, again, order.deadline)
            if found is None:
                raise later(again, self._settings.timeout) from None
            return found
        except AivideoError:  # the second sending was refused or never left; the first may still have been taken
            raise later(lost, self._settings.timeout) from None

    async def _drop(self, intent: Intent) -> None:
        await self._note(self._ledger.drop(intent))

    async def _note(self, taking_down: Awaitable[None]) -> None:
        """Take something down that the call goes on without."""
        try:
            await taking_down
        except LedgerUnavailable as failure:
            logger.error("%s", failure.message)  # noqa: TRY400 - one line


def _joined(intent: Intent, task_id: str) -> Made:
    return Made(submission_of(intent, task_id, Status.read(intent.status), intent.credits), joined=True)


def _ours(refusal: AivideoError, intent: Intent) -> AivideoError:
    """A conflict over a key that we made is our own mistake, and is called so."""
    if isinstance(refusal, IdempotencyConflict) and intent.key.startswith(OWN_KEY):
        return IdempotencyConflict(
            f"This server used one idempotency key for two requests, which is its own mistake. {refusal.message}",
            next_steps=("Report this as a bug of aivideo-mcp; calling again uses another key.",),
        )
    return refusal
