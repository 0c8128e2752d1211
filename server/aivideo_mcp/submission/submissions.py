"""From a request to its intent, which is sent, joined or waited for.

The intent is in the ledger before the create is sent, and its task is there before anybody waits.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.to_thread

from aivideo_mcp.accounts import Accounts
from aivideo_mcp.background import Background
from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import Contract
from aivideo_mcp.errors import AivideoError, SubmissionUncertain
from aivideo_mcp.ledger import Intent, Ledger, Role, Wanted
from aivideo_mcp.settings import Settings
from aivideo_mcp.submission.recovery import LOOK, Made, Recovery, submission_of
from aivideo_mcp.submission.sending import Order, Sending
from aivideo_mcp.submission.spending import Spending, Terms
from aivideo_mcp.tasks import Status

logger = logging.getLogger(__name__)

_LEAST: Final = 10.0  # seconds that a create gets in any case: a wait of 0 is for the video, not for its id


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
        self._ledger = ledger
        self._background = background
        self._spending = Spending(settings, upstream, ledger, accounts)
        self._recovery = Recovery(upstream, ledger, settings.timeout)
        self._sending = Sending(upstream, ledger, accounts, self._spending, self._recovery, ready=ready)
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
        order = Order(intent, request, terms, deadline)
        try:
            return await (self._sending.send(order) if role is Role.SEND else self._sending.resume(order))
        except BaseException:
            await self._recovery.let_go(intent)
            raise


def _joined(intent: Intent, task_id: str) -> Made:
    return Made(submission_of(intent, task_id, Status.read(intent.status), intent.credits), joined=True)
