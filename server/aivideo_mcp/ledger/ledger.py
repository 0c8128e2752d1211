"""The ledger as the rest of the house uses it: asynchronous, opened at first use, honest when it cannot be used."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from aivideo_mcp.errors import BudgetSpent, LedgerUnavailable
from aivideo_mcp.ledger.alone import OwnBudget
from aivideo_mcp.ledger.presence import FileIdentity, Presence, identity, lock
from aivideo_mcp.ledger.records import DAY, SWEEP, Intent, Known, Rivals, Role, Standing, Wanted
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Status

if TYPE_CHECKING:  # SQLAlchemy comes at first use, in a thread
    from aivideo_mcp.ledger.store import Store

logger = logging.getLogger(__name__)
T = TypeVar("T")


class InThread(Protocol):
    """How blocking work is run: in a worker thread, or at once in tests whose clock knows no threads."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """The work's result."""
        ...


_FILE: Final = "ledger.sqlite3"
_ASIDE: Final = "ledger.corrupt-*.sqlite3"  # what `file` set aside
_THREADS: Final = 2  # at work at once: more would only wait for one another, and keep the event loop waiting
_MINUTE: Final = 60.0
_RESERVE: Final = 0.1  # of the query budget is left to direct calls by the watcher


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
        self._run_sync = in_thread or _Threads()
        self._store: Store | None = None
        self._opening = anyio.Lock()
        self._presence: Presence | None = None
        self._claims = itertools.count()
        self._let_go: set[str] = set()
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(settings.base_url))
        self._alone = OwnBudget()
        self.opened: Callable[[], None] | None = None
        """Called when the ledger is used for the first time."""

    def now(self) -> float:
        """Unix seconds, by the clock that the ledger's times are from."""
        return self._wall()

    async def claim(self, wanted: Wanted, *, fresh: bool) -> tuple[Intent, Role]:
        """The intent that a call means, and what the call has to do about it; see `Store.claim`."""
        return await self._do(
            lambda store: store.claim(wanted, self._new_holder(), self._wall(), fresh=fresh, alive=self._is_at_work)
        )

    async def adopt(self, intent: Intent) -> Intent | None:
        """Take over a lost intent without a request at hand; None when somebody else is at work on it."""

        def take(store: Store) -> Intent | None:
            holder = f"{self._new_holder()}.{SWEEP}"
            taken = store.take(intent.number, holder, alive=self._is_at_work)
            return replace(intent, holder=holder) if taken else None

        return await self._do(take)

    async def sending(self, intent: Intent, price: int | None = None) -> Intent:
        """Take down that a create is about to be sent; the intent with that time.

        Args:
            intent: Whose create.
            price: Credits that it will cost, where they were asked for.

        Raises:
            BudgetExceeded: It would be more than may be spent in 24 hours, by all processes together.
        """
        now, daily = self._wall(), self._settings.daily_credits
        if not await self._do(lambda store: store.sending(intent, now, price, daily)):
            raise LedgerUnavailable("The record of this create was deleted before it was sent, so it was not sent.")
        return replace(
            intent, sent_at=intent.sent_at or now, last_sent_at=now, price=intent.price if price is None else price
        )

    async def spent_today(self) -> int:
        """Credits spent in the last 24 hours by all processes, refunds given back."""
        return await self._do(lambda store: store.spent(self._wall() - DAY))

    async def offer(self, code: str, request: str, price: int, seconds: float) -> None:
        """Take down a code by which the user may agree, for so long, to a price for a request (its digest)."""
        await self._do(lambda store: store.offer(code, request, price, self._wall(), self._wall() + seconds))

    async def redeem(self, code: str, request: str, price: int) -> bool:
        """Use up a code; False when it was not given for this request and a price as high as this."""
        return await self._do(lambda store: store.redeem(code, request, price, self._wall()))

    async def issued(
        self, intent: Intent, task_id: str, status: str, price: int | None, *, untold: bool = False
    ) -> bool:
        """Take down the task that a create became; False when another intent has it already.

        `untold` is for a task that was found with no caller to tell: the next call with its arguments is told.
        """
        return await self._do(lambda store: store.issued(intent, task_id, status, price, self._wall(), untold=untold))

    async def release(self, intent: Intent) -> None:
        """Let go of an intent whose answer is lost."""
        self._let_go.add(intent.holder)
        await self._do(lambda store: store.release(intent))

    async def drop(self, intent: Intent) -> None:
        """Forget an intent that was refused."""
        self._let_go.add(intent.holder)
        await self._do(lambda store: store.drop(intent))

    async def settled(self, intent: Intent) -> Intent | bool:
        """Whether somebody else's work on an intent has come to an end; the intent itself where it has its task."""

        def ended(store: Store) -> Intent | bool:
            now = store.intent(intent.number)
            if now is not None and now.task_id is not None:
                return now
            return now is None or not self._is_at_work(now)

        return await self._do(ended)

    async def lost(self) -> list[Intent]:
        """Intents that were sent and have no task yet."""
        return await self._do(lambda store: store.lost())

    async def unanswered(self, intent: Intent) -> None:
        """Take down that the answer of an intent's create is lost."""
        await self._do(lambda store: store.unanswered(intent, self._wall()))

    async def rivals(self, intent: Intent) -> Rivals:
        """What else a task on the upstream's list may belong to; see `Rivals`."""

        def look(store: Store) -> Rivals:
            settled, lost = store.settled_and_lost()
            alike = [
                other
                for other in lost
                if (other.model, other.words) == (intent.model, intent.words) and other.number != intent.number
            ]
            twins = [other for other in alike if other.digest == intent.digest]
            ahead = [
                other for other in alike if other.lost_at is None or (other in twins and other.number > intent.number)
            ]
            return Rivals(
                settled=frozenset(settled),
                twins=tuple(twins),
                strangers=tuple(other for other in alike if other not in twins),
                waiting=any(map(self._is_at_work, ahead)),
            )

        return await self._do(look)

    async def about(self, task_id: str) -> Known | None:
        """What is known of a task that was created here."""
        return await self._do(lambda store: store.about(task_id))

    async def known(self) -> dict[str, Known]:
        """What is known of all tasks that were created here, by their ids."""
        return await self._do(lambda store: store.known())

    async def standing(self) -> Standing | None:
        """How the ledger stands; None where there is none yet, which this does not change."""
        folder = self._settings.state_folder

        def look(store: Store) -> Standing:
            assert self._presence is not None
            ended = [Status.read(status).terminal for status in store.owed()]
            made, quiet = store.budget.spent(self._origin, _MINUTE, self._wall())
            return Standing(
                running=ended.count(False),
                undelivered=ended.count(True),
                lost=sum(not self._is_at_work(intent) for intent in store.lost()),
                processes=self._presence.others(),
                queries=max(0, self._settings.queries_per_minute - made),
                quiet=quiet,
                aside=tuple(sorted(file.name for file in folder.glob(_ASIDE))),
            )

        return await self._do(look) if await self._in_thread((folder / _FILE).exists) else None

    async def saw(self, task_id: str, status: str) -> None:
        """Take down a task's state."""
        await self._note(task_id, status=status, seen_at=self._wall())

    async def learned(self, task_id: str, status: str, charged: int | None, refunded: int | None) -> None:
        """Take down what a whole task says: its state, its charge where it is not known yet, its refund."""
        await self._do(lambda store: store.learned(task_id, status, charged, refunded, self._wall()))

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
        return await self._do(lambda store: store.forget(self._wall() - days * DAY, open_too=open_too))

    async def admit(self, speed: float, *, direct: bool) -> None:
        """Count one query against the budget of all processes.

        Args:
            speed: By how much the upstream is faster than real time, and its minute shorter.
            direct: Whether a caller waits for it; the watcher leaves a tenth of the budget to those.

        Raises:
            BudgetSpent: It is spent, or the upstream asked for quiet.
        """
        limit = max(1, int(self._settings.queries_per_minute * (1 if direct else 1 - _RESERVE)))
        window = _MINUTE / speed
        try:
            pause = await self._do(
                lambda store: store.budget.admit(self._origin, limit, window, self._wall, direct=direct)
            )
        except LedgerUnavailable:
            pause = self._alone.admit(limit, window, anyio.current_time())
        if pause:
            raise BudgetSpent(
                "The query budget of this machine is spent for now.", retry_after=math.ceil(pause * 100) / 100
            )

    async def hush(self, seconds: float) -> None:
        """Keep every process from asking for so long, as the upstream wished."""
        self._alone.hush(anyio.current_time() + seconds)
        with contextlib.suppress(LedgerUnavailable):
            await self._do(lambda store: store.budget.hush(self._origin, seconds, self._wall))

    async def aclose(self) -> None:
        """Close the file and say by the lock's absence that this process works on nothing any more."""
        if self._store is not None:
            await self._run_sync(self._store.close)
        if self._presence is not None:
            self._presence.leave()

    async def _note(self, task_id: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        await self._do(lambda store: store.note(task_id, **values))

    async def _do(self, work: Callable[[Store], T]) -> T:
        """Work on the open ledger. Where the file is damaged or deleted, it is done on the one that follows it."""
        store = await self._opened()

        def unless_deleted() -> T:
            if self._files() != store.files:  # what is written to a deleted file is lost, and nobody else sees it
                raise _Damaged("It was deleted.")
            return work(store)

        try:
            return await self._in_thread(unless_deleted)
        except _Damaged:
            if self._store is store:
                self._store = None
            with contextlib.suppress(LedgerUnavailable):
                await self._in_thread(store.close)
        store = await self._opened()
        return await self._in_thread(lambda: work(store))

    async def _opened(self) -> Store:
        if self._store is None:
            async with self._opening:
                if self._store is None:
                    self._store = await self._in_thread(self._open)
                    opened, self.opened = self.opened, None
                    if opened:
                        opened()
        return self._store

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Work that blocks, off the event loop; a cancel waits for its end, so that no transaction is torn."""

        def told() -> T:
            with _told(self._settings.state_folder):
                return work()

        return await self._run_sync(told)

    def _open(self) -> Store:
        from aivideo_mcp.ledger.file import open_store  # noqa: PLC0415 - brings SQLAlchemy, 0.2 s

        folder = self._settings.state_folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True, mode=0o700)
        with lock(folder / "opening.lock"):
            self._entered(folder)
            store = open_store(folder / _FILE, self._settings.account)
            store.files = self._files()
            return store

    def _entered(self, folder: Path) -> None:
        presence = self._presence or Presence(folder)
        presence.enter()
        self._presence = presence

    def _files(self) -> tuple[FileIdentity, FileIdentity] | None:
        """Which files are in use; None where one is missing."""
        assert self._presence is not None
        try:
            return identity(self._settings.state_folder / _FILE), self._presence.seen()
        except OSError:
            return None

    def _new_holder(self) -> str:
        assert self._presence is not None
        return f"{self._presence.me}.{next(self._claims)}"

    def _is_at_work(self, intent: Intent) -> bool:
        """Whether an intent's holder is at work on it."""
        assert self._presence is not None
        process = intent.holder.partition(".")[0]
        if process == self._presence.me:
            return intent.holder not in self._let_go
        return bool(process) and self._presence.is_there(process)


class _Threads:
    """Worker threads for the ledger alone."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, work: Callable[[], T], /) -> T:
        """The work's result."""
        self._limiter = self._limiter or anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


class _Damaged(LedgerUnavailable):
    """The file was sound when it was opened and is not any more."""


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Faults of disk and database as the one failure that callers are told of."""
    kind = LedgerUnavailable
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
    except Exception as fault:
        if not type(fault).__module__.startswith("sqlalchemy") and not isinstance(fault, OverflowError | UnicodeError):
            raise
        reason = str(getattr(fault, "orig", fault))
        kind = _Damaged if type(fault).__name__ == "DatabaseError" else LedgerUnavailable
    else:
        return
    raise kind(f"The ledger in {folder} cannot be used: {reason}.")
