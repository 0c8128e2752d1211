"""The ledger as the rest of the house uses it: asynchronous, opened at first use, honest when it cannot be used."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from aivideo_mcp.errors import BudgetSpent, LedgerUnavailable
from aivideo_mcp.ledger.records import SWEEP, Intent, Role, Wanted
from aivideo_mcp.settings import Settings

if TYPE_CHECKING:  # SQLAlchemy and filelock come at first use, in a thread
    from filelock import BaseFileLock

    from aivideo_mcp.ledger.store import Store

logger = logging.getLogger(__name__)
T = TypeVar("T")


class InThread(Protocol):
    """How blocking work is run: in a worker thread, or at once in tests whose clock knows no threads."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """The work's result."""
        ...


_FILE: Final = "ledger.sqlite3"
_PATIENCE: Final = 10.0  # seconds to wait for another process's hold of a lock
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
        in_thread: InThread = anyio.to_thread.run_sync,
    ) -> None:
        self._settings = settings
        self._wall = wall
        self._run_sync = in_thread
        self._store: Store | None = None
        self._opening = anyio.Lock()
        self._me = uuid.uuid4().hex
        self._claims = itertools.count()
        self._let_go: set[str] = set()
        self._own_lock: BaseFileLock | None = None
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(settings.base_url))
        self._alone = _OwnBudget()

    def now(self) -> float:
        """Unix seconds, by the clock that the ledger's times are from."""
        return self._wall()

    async def claim(self, wanted: Wanted, *, fresh: bool) -> tuple[Intent, Role]:
        """The intent that a call means, and what the call has to do about it; see `Store.claim`."""
        store = await self._opened()
        holder = self._new_holder()
        return await self._in_thread(lambda: store.claim(wanted, holder, self._wall(), fresh=fresh, alive=self._alive))

    async def adopt(self, intent: Intent) -> Intent | None:
        """Take over a lost intent without a request at hand; None when somebody else is at work on it."""
        store, holder = await self._opened(), f"{self._new_holder()}.{SWEEP}"
        taken = await self._in_thread(lambda: store.take(intent.number, holder, alive=self._alive))
        return replace(intent, holder=holder) if taken else None

    async def sending(self, intent: Intent) -> Intent:
        """Take down that a create is about to be sent; the intent with that time."""
        now = self._wall()
        store = await self._opened()
        if not await self._in_thread(lambda: store.sending(intent, now)):
            raise LedgerUnavailable("The record of this create was deleted before it was sent, so it was not sent.")
        return replace(intent, sent_at=intent.sent_at or now, last_sent_at=now)

    async def issued(
        self, intent: Intent, task_id: str, status: str, price: int | None, *, untold: bool = False
    ) -> bool:
        """Take down the task that a create became; False when another intent has it already.

        `untold` is for a task that was found with no caller to tell: the next call with its arguments is told.
        """
        store = await self._opened()
        return await self._in_thread(lambda: store.issued(intent, task_id, status, price, self._wall(), untold=untold))

    async def release(self, intent: Intent) -> None:
        """Let go of an intent whose answer is lost."""
        self._let_go.add(intent.holder)
        store = await self._opened()
        await self._in_thread(lambda: store.release(intent))

    async def drop(self, intent: Intent) -> None:
        """Forget an intent that was refused."""
        self._let_go.add(intent.holder)
        store = await self._opened()
        await self._in_thread(lambda: store.drop(intent))

    async def settled(self, intent: Intent) -> Intent | bool:
        """Whether somebody else's work on an intent has come to an end; the intent itself where it has its task."""
        store = await self._opened()

        def ended() -> Intent | bool:
            now = store.intent(intent.number)
            if now is not None and now.task_id is not None:
                return now
            return now is None or not self._alive(now)

        return await self._in_thread(ended)

    async def lost(self) -> list[Intent]:
        """Intents that were sent and have no task yet."""
        store = await self._opened()
        return await self._in_thread(store.lost)

    async def task_ids(self) -> set[str]:
        """Every task that has its intent."""
        store = await self._opened()
        return await self._in_thread(store.task_ids)

    async def model(self, task_id: str) -> str | None:
        """The model of a task that was created here."""
        store = await self._opened()
        return await self._in_thread(lambda: store.model(task_id))

    async def saw(self, task_id: str, status: str) -> None:
        """Take down a task's state."""
        await self._note(task_id, status=status, seen_at=self._wall())

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
        store = await self._opened()
        return await self._in_thread(lambda: store.forget(self._wall() - days * 86_400, open_too=open_too))

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
            store = await self._opened()
            pause = await self._in_thread(lambda: store.admit(self._origin, limit, window, self._wall, direct=direct))
        except LedgerUnavailable:
            pause = self._alone.admit(limit, window, self._wall())
        if pause:
            raise BudgetSpent(
                "The query budget of this machine is spent for now.", retry_after=math.ceil(pause * 100) / 100
            )

    async def hush(self, seconds: float) -> None:
        """Keep every process from asking for so long, as the upstream wished."""
        self._alone.hush(self._wall() + seconds)
        with contextlib.suppress(LedgerUnavailable):
            store = await self._opened()
            await self._in_thread(lambda: store.hush(self._origin, seconds, self._wall))

    async def aclose(self) -> None:
        """Close the file and say by the lock's absence that this process works on nothing any more."""
        if self._store is not None:
            await self._run_sync(self._store.close)
        if self._own_lock is not None:
            self._own_lock.release()

    async def _note(self, task_id: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        store = await self._opened()
        await self._in_thread(lambda: store.note(task_id, **values))

    async def _opened(self) -> Store:
        if self._store is None:
            async with self._opening:
                if self._store is None:
                    self._store = await self._in_thread(self._open)
        return self._store

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Work that blocks, off the event loop; a cancel waits for its end, so that no transaction is torn."""

        def told() -> T:
            with _told(self._settings.state_folder):
                return work()

        return await self._run_sync(told)

    def _open(self) -> Store:
        from filelock import FileLock  # noqa: PLC0415 - comes with the ledger

        folder = self._settings.state_folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / "alive").mkdir(exist_ok=True, mode=0o700)
        with FileLock(folder / "opening.lock", timeout=_PATIENCE, mode=0o600):
            with _probing(folder):
                self._own_lock = FileLock(folder / "alive" / self._me, thread_local=False, mode=0o600)
                self._own_lock.acquire(blocking=False)
                _sweep(folder / "alive", self._me)
            return _open_store(folder / _FILE, self._settings.account)

    def _new_holder(self) -> str:
        return f"{self._me}.{next(self._claims)}"

    def _alive(self, intent: Intent) -> bool:
        """Whether an intent's holder is at work on it: its process holds a lock that ends with it, however it ends."""
        process = intent.holder.partition(".")[0]
        if process == self._me:
            return intent.holder not in self._let_go
        if not process:
            return False
        with _probing(self._settings.state_folder):
            return _is_held(self._settings.state_folder / "alive" / process)


class _OwnBudget:
    """What one process grants itself when it cannot share: the same window, in memory."""

    def __init__(self) -> None:
        self._made: deque[float] = deque()
        self._quiet_until = 0.0

    def admit(self, limit: int, window: float, now: float) -> float:
        """0 when a query may be made, else seconds until it may."""
        if now < self._quiet_until:
            return self._quiet_until - now
        while self._made and not now - window < self._made[0] <= now:
            self._made.popleft()
        if len(self._made) >= limit:
            return self._made[-limit] + window - now
        self._made.append(now)
        return 0.0

    def hush(self, until: float) -> None:
        """No query before that time."""
        self._quiet_until = max(until, self._quiet_until)


def _probing(folder: Path) -> BaseFileLock:
    """Held while locks of processes are taken or tried: to try a lock is to hold it for a moment.

    Nobody waits for the database while holding it, so that it may be asked for inside a transaction.
    """
    from filelock import FileLock  # noqa: PLC0415 - loaded by now

    return FileLock(folder / "probing.lock", timeout=_PATIENCE, thread_local=False, mode=0o600)


def _is_held(file: Path) -> bool:
    from filelock import FileLock, Timeout  # noqa: PLC0415 - loaded by now

    if not file.exists():
        return False
    lock = FileLock(file, thread_local=False, mode=0o600)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _sweep(folder: Path, keep: str) -> None:
    """Remove the locks of processes that have ended."""
    for file in folder.iterdir():
        if file.name != keep and not _is_held(file):
            with contextlib.suppress(OSError):
                file.unlink()


def _open_store(file: Path, account: str) -> Store:
    from sqlalchemy.exc import DatabaseError, OperationalError  # noqa: PLC0415 - 0.2 s, at first use

    from aivideo_mcp.ledger.store import NotOurs, Store  # noqa: PLC0415 - the same

    file.touch(mode=0o600)
    try:
        return Store(file, account)
    except OperationalError:
        raise
    except (DatabaseError, NotOurs) as fault:
        aside = file.with_name(f"{file.stem}.corrupt-{time.time_ns()}{file.suffix}")
        file.rename(aside)
        for tail in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + tail).rename(aside.with_name(aside.name + tail))
        reason = getattr(fault, "orig", fault)
        logger.error("the ledger could not be used (%s) and was set aside as %s; a new one begins", reason, aside)  # noqa: TRY400 - the reason is in the line
        file.touch(mode=0o600)
        return Store(file, account)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Faults of disk and database as the one failure that callers are told of."""
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault)
    except Exception as fault:
        if not type(fault).__module__.startswith("sqlalchemy") and not isinstance(fault, OverflowError | UnicodeError):
            raise
        reason = str(getattr(fault, "orig", fault))
    else:
        return
    raise LedgerUnavailable(f"The ledger in {folder} cannot be used: {reason}.")
