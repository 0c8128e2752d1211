"""The ledger as the rest of the house uses it: asynchronous, and with the one clock that its times are from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aivideo_mcp.errors import LedgerUnavailable
from aivideo_mcp.ledger.access import Access, InThread
from aivideo_mcp.ledger.gate import QueryGate
from aivideo_mcp.ledger.holders import Holders
from aivideo_mcp.ledger.records import DAY, Intent, Known, Rivals, Role, Standing, Wanted
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Status, Task

if TYPE_CHECKING:  # SQLAlchemy comes at first use, in a thread
    from aivideo_mcp.ledger.store import Store


class Ledger:
    """What was asked, paid for and delivered, in `AIVIDEO_STATE_DIR`; shared by all servers on this machine.

    Every method raises LedgerUnavailable when the folder or the file cannot be used.

    Args:
        settings: Folder, account, query budget.
        wall: Unix seconds.
        in_thread: Runs what blocks off the event loop.
    """

    def __init__(
        self,
        settings: Settings,
        wall: Callable[[], float] = time.time,
        in_thread: InThread | None = None,
    ) -> None:
        self._settings = settings
        self._wall = wall
        self._access = Access(settings, in_thread)
        self._holders = Holders(self._access)
        self._gate = QueryGate(settings, self._access, self.now)

    def when_opened(self, begin: Callable[[], None]) -> None:
        """Have something begun when the ledger is used for the first time."""
        self._access.opened = begin

    def now(self) -> float:
        """Unix seconds, by the clock that the ledger's times are from."""
        return self._wall()

    async def claim(self, wanted: Wanted, *, fresh: bool) -> tuple[Intent, Role]:
        """The intent that a call means, and what the call has to do about it; see `Intents.claim`."""
        return await self._access.do(
            lambda store: store.intents.claim(
                wanted, self._holders.begin(), self._wall(), fresh=fresh, alive=self._holders.is_at_work
            )
        )

    async def adopt(self, intent: Intent) -> Intent | None:
        """Take over a lost intent without a request at hand; None when somebody else is at work on it."""

        def take(store: Store) -> Intent | None:
            holder = self._holders.begin(sweep=True)
            taken = store.intents.take(intent.number, holder, alive=self._holders.is_at_work)
            return replace(intent, holder=holder) if taken else None

        return await self._access.do(take)

    async def sending(self, intent: Intent, price: int | None = None) -> Intent:
        """Take down that a create is about to be sent; the intent with that time.

        Args:
            intent: Whose create.
            price: Credits that it will cost, where they were asked for.

        Raises:
            BudgetExceeded: It would be more than may be spent in 24 hours, by all processes together.
        """
        now, daily = self._wall(), self._settings.daily_credits
        if not await self._access.do(lambda store: store.intents.sending(intent, now, price, daily)):
            raise LedgerUnavailable("The record of this create was deleted before it was sent, so it was not sent.")
        return replace(
            intent, sent_at=intent.sent_at or now, last_sent_at=now, price=intent.price if price is None else price
        )

    async def spent_today(self) -> int:
        """Credits spent in the last 24 hours by all processes, refunds given back."""
        return await self._access.do(lambda store: store.purse.spent(self._wall() - DAY))

    async def offer(self, code: str, request: str, price: int, seconds: float) -> None:
        """Take down a code by which the user may agree, for so long, to a price for a request (its digest)."""
        await self._access.do(
            lambda store: store.purse.offer(code, request, price, self._wall(), self._wall() + seconds)
        )

    async def redeem(self, code: str, request: str, price: int) -> bool:
        """Use up a code; False when it was not given for this request and a price as high as this."""
        return await self._access.do(lambda store: store.purse.redeem(code, request, price, self._wall()))

    async def issued(
        self, intent: Intent, task_id: str, status: str, price: int | None, *, untold: bool = False
    ) -> bool:
        """Take down the task that a create became; False when another intent has it already.

        `untold` is for a task that was found with no caller to tell: the next call with its arguments is told.
        """
        return await self._access.do(
            lambda store: store.intents.issued(intent, task_id, status, price, self._wall(), untold=untold)
        )

    async def release(self, intent: Intent) -> None:
        """Let go of an intent whose answer is lost."""
        self._holders.let_go(intent)
        await self._access.do(lambda store: store.intents.release(intent))

    async def drop(self, intent: Intent) -> None:
        """Forget an intent that was refused."""
        self._holders.let_go(intent)
        await self._access.do(lambda store: store.intents.drop(intent))

    async def settled(self, intent: Intent) -> Intent | bool:
        """Whether somebody else's work on an intent has come to an end; the intent itself where it has its task."""

        def ended(store: Store) -> Intent | bool:
            now = store.intents.intent(intent.number)
            if now is not None and now.task_id is not None:
                return now
            return now is None or not self._holders.is_at_work(now)

        return await self._access.do(ended)

    async def lost(self) -> list[Intent]:
        """Intents that were sent and have no task yet."""
        return await self._access.do(lambda store: store.intents.lost())

    async def unanswered(self, intent: Intent) -> None:
        """Take down that the answer of an intent's create is lost."""
        await self._access.do(lambda store: store.intents.unanswered(intent, self._wall()))

    async def rivals(self, intent: Intent) -> Rivals:
        """What else a task on the upstream's list may belong to; see `Rivals`."""

        def look(store: Store) -> Rivals:
            return Rivals.of(intent, *store.intents.settled_and_lost(), self._holders.is_at_work)

        return await self._access.do(look)

    async def about(self, task_id: str) -> Known | None:
        """What is known of a task that was created here."""
        return await self._access.do(lambda store: store.outcomes.about(task_id))

    async def known(self) -> dict[str, Known]:
        """What is known of all tasks that were created here, by their ids."""
        return await self._access.do(lambda store: store.outcomes.known())

    async def standing(self) -> Standing | None:
        """How the ledger stands; None where there is none yet, which this does not change."""

        def look(store: Store) -> Standing:
            ended = [Status.read(status).terminal for status in store.outcomes.owed()]
            queries, quiet = self._gate.left(store)
            return Standing(
                running=ended.count(False),
                undelivered=ended.count(True),
                lost=sum(not self._holders.is_at_work(intent) for intent in store.intents.lost()),
                processes=self._access.presence.others(),
                queries=queries,
                quiet=quiet,
                aside=self._access.aside(),
            )

        return await self._access.do(look) if await self._access.exists() else None

    async def saw(self, task_id: str, status: str) -> None:
        """Take down a task's state."""
        await self._note(task_id, status=status, seen_at=self._wall())

    async def learned(self, task: Task) -> None:
        """Take down what a whole task says: its state, its charge where it is not known yet, its refund."""
        await self._access.do(lambda store: store.outcomes.learned(task, self._wall()))

    async def catch_up(self, tasks: Iterable[Task], known: Mapping[str, Known]) -> None:
        """Take down what whole tasks say and is not known of those that were created here."""
        for task in tasks:
            its = known.get(task.id)
            if its is not None and its.lacks(task):  # each note is a transaction
                await self.learned(task)

    async def saved(self, task_id: str, file: Path) -> None:
        """Take down where a video was saved."""
        await self._note(task_id, file=str(file))

    async def delivered(self, task_id: str) -> None:
        """Take down that a task's outcome was handed over."""
        await self._note(task_id, delivered_at=self._wall())

    async def gone(self, task_id: str) -> None:
        """Take down that the upstream knows a task no more."""
        await self._note(task_id, gone_at=self._wall())

    async def forget(self, days: float, *, open_too: bool) -> int:
        """Delete what is older than so many days; the number of rows.

        Args:
            days: 0 for everything.
            open_too: Whether generations go that were never delivered, so that calling again pays again.
        """
        return await self._access.do(lambda store: store.forget(self._wall() - days * DAY, open_too=open_too))

    async def admit(self, speed: float, *, direct: bool) -> None:
        """Count one query against the budget of all processes; see `QueryGate.admit`."""
        await self._gate.admit(speed, direct=direct)

    async def hush(self, seconds: float) -> None:
        """Keep every process from asking for so long, as the upstream wished."""
        await self._gate.hush(seconds)

    async def aclose(self) -> None:
        """Close the file and say by the lock's absence that this process works on nothing any more."""
        await self._access.aclose()

    async def _note(self, task_id: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        await self._access.do(lambda store: store.outcomes.note(task_id, **values))
