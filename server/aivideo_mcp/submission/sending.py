"""From an intent to its task, with at most one charge, whatever gets lost on the way.

The sending is in the ledger before the create leaves. A create whose answer is lost is looked for among the account's
tasks before anything is sent again. Sent again it is with the same idempotency key, and only where that cannot pay
twice: at once for the model that declares the key, for the others when a look made a request time-out later still
shows nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio

from aivideo_mcp.accounts import Accounts
from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import Contract
from aivideo_mcp.errors import (
    AivideoError,
    BudgetExceeded,
    ConfirmationRequired,
    IdempotencyConflict,
    InvalidModel,
    SubmissionUncertain,
)
from aivideo_mcp.ledger import OWN_KEY, Intent, Ledger, noted
from aivideo_mcp.submission.recovery import Made, Recovery, later
from aivideo_mcp.submission.spending import Bill, Spending, Terms

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A request on its way to its task: the intent that it is, what is granted, until when to seek a lost answer."""

    intent: Intent
    request: Contract
    terms: Terms
    deadline: float
    bill: Bill | None = None


class Sending:
    """Sends creates, and sends them again where that is safe.

    Args:
        upstream: Where to create.
        ledger: Takes down what is sent and what came of it.
        accounts: Are told of charges.
        spending: Says whether a create may be sent.
        recovery: Finds the tasks of lost creates.
        ready: Raises what makes a create pointless, such as a folder in which its video could not be saved.
    """

    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        accounts: Accounts,
        spending: Spending,
        recovery: Recovery,
        *,
        ready: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._accounts = accounts
        self._spending = spending
        self._recovery = recovery
        self._ready = ready
        self._timeout = recovery.timeout

    async def send(self, order: Order) -> Made:
        """Send a create for the first time, within its cap."""
        try:
            if self._ready:
                await self._ready()
            order = await self._about_to_send(order)
            return await self._post(order)
        except SubmissionUncertain as lost:
            made = await self._recover(order, lost, self._timeout)
            self._accounts.note_charge()  # it was this call's, whichever of its sendings the upstream took
            return Made(made.submission.model_copy(update={"idempotent_replay": False}), joined=False)
        except AivideoError as refusal:
            await noted(self._ledger.drop(order.intent))
            raise _ours(refusal, order.intent) from None

    async def resume(self, order: Order) -> Made:
        """Go on with an intent whose answer an earlier call, or an earlier process, has lost."""
        lost = SubmissionUncertain(
            f'An earlier call with the same arguments lost its answer (idempotency key "{order.intent.key}").'
        )
        passed = max(0.0, self._ledger.now() - (order.intent.last_sent_at or 0.0))  # a clock may be set back
        return await self._recover(order, lost, max(0.0, 2 * self._timeout - passed))

    async def _about_to_send(self, order: Order) -> Order:
        """See that an order may be sent, once, and take down that it is."""
        bill = order.bill or await self._spending.approve(order.request, order.intent, order.terms)
        return replace(order, bill=bill, intent=await self._ledger.sending(order.intent, bill.price))

    async def _post(self, order: Order) -> Made:
        ceiling = order.bill.ceiling if order.bill else None
        made = await self._upstream.create(order.request, order.intent.key, ceiling)
        logger.info("task %s (%s) created, %s credits", made.id, made.model, made.credits_charged)
        self._accounts.note_charge()
        issuing = self._ledger.issued(order.intent, made.id, made.status, made.credits_charged)
        issued = await noted(issuing, f"task {made.id} could not be taken down")
        if issued is None:
            await self._recovery.let_go(order.intent)  # the next call finds the task among the account's
        elif not issued:
            logger.warning("task %s was taken for another create's meanwhile", made.id)
            await noted(self._ledger.drop(order.intent))
        return Made(made, joined=made.idempotent_replay)

    async def _recover(self, order: Order, lost: SubmissionUncertain, settling: float) -> Made:
        """Find the task of a create whose answer was lost, or send it again where that is safe.

        Args:
            order: What was sent.
            lost: What is known of the loss.
            settling: Seconds until a look that shows nothing is believed, for models without the key.
        """
        await noted(self._ledger.unanswered(order.intent))
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
            raise later(lost, failure.retry_after or self._timeout) from None
        try:
            return await self._post(order)
        except SubmissionUncertain as again:
            await noted(self._ledger.unanswered(order.intent))
            found = await self._recovery.find(order.intent, again, order.deadline)
            if found is None:
                raise later(again, self._timeout) from None
            return found
        except AivideoError:  # the second sending was refused or never left; the first may still have been taken
            raise later(lost, self._timeout) from None


def _ours(refusal: AivideoError, intent: Intent) -> AivideoError:
    """A conflict over a key that we made is our own mistake, and is called so."""
    if isinstance(refusal, IdempotencyConflict) and intent.key.startswith(OWN_KEY):
        return IdempotencyConflict(
            f"This server used one idempotency key for two requests, which is its own mistake. {refusal.message}",
            next_steps=("Report this as a bug of aivideo-mcp; calling again uses another key.",),
        )
    return refusal
