"""The seven calls of AIVideoMaker's API, and which of them may be repeated.

account, quote, tasks, task and status change nothing and are repeated until they succeed or the tries are spent.
create and cancel are sent once.
"""

from __future__ import annotations

import json
from typing import Final, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread

from aivideo_mcp.client.connection import LARGE, Connection
from aivideo_mcp.contracts import Contract
from aivideo_mcp.errors import (
    BrokenAnswer,
    NetworkError,
    NotSent,
    PageNotFound,
    Redirected,
    SubmissionUncertain,
    TaskNotFound,
    UnknownError,
)
from aivideo_mcp.tasks import Account, Listed, Quote, Sighting, Status, Submission, Task, read_word

T = TypeVar("T")

_REPLAYED: Final = "minimax"  # the one model whose create declares the Idempotency-Key


class Upstream(Connection):
    """The upstream as an object; create it once, `aclose` it at the end.

    Every call raises AuthFailed without a key, and the AivideoError that a failed answer means.
    """

    async def account(self, *, tries: int | None = None) -> Account:
        """Balance and models served. Free."""
        return Account.read(await self._query("/account", tries=tries))

    async def quote(self, request: Contract) -> Quote:
        """The upstream's own price of a request. Free.

        Raises:
            BrokenAnswer: When the answer names no price.
        """
        path, content = f"/quote/{_segment(request.model)}", await _encoded(request)
        exchange = await self._connected()
        body = await exchange.repeat(lambda: self._once(exchange, "POST", path, content), self._tries)
        return _present(Quote.read(body, request.model), "price")

    async def create(self, request: Contract, idempotency_key: str, max_credits: int | None = None) -> Submission:
        """Create a task. Charges at once; sent exactly once.

        Raises:
            NotSent: The request never left.
            SubmissionUncertain: It left, and no answer tells whether it was taken.
        """
        headers = {"Idempotency-Key": idempotency_key}
        if max_credits is not None:
            headers["X-Max-Credits"] = str(max_credits)
        path, content = f"/generate/{_segment(request.model)}", await _encoded(request)
        exchange = await self._connected()
        try:
            body = await self._once(exchange, "POST", path, content, headers)
            return _present(Submission.read(body, request.model, idempotency_key), "task id")
        except NotSent:
            raise
        except TaskNotFound as wrong:  # no task was asked for
            raise UnknownError(wrong.message, next_steps=PageNotFound.advice) from None
        except (NetworkError, BrokenAnswer, Redirected) as lost:
            raise _uncertain(idempotency_key, lost.message) from None

    @staticmethod
    def replays(model: str) -> bool:
        """Whether a model's create declares the Idempotency-Key, so that repeating it cannot charge again."""
        return model == _REPLAYED

    async def tasks(self, *, tries: int | None = None, whole: bool = False) -> list[Listed]:
        """This key's tasks, newest first; entries that are no tasks are left out.

        Raises:
            BrokenAnswer: There is no list, or, where the whole is asked for, an entry that cannot be read.
        """
        entries = (await self._query("/tasks", tries=tries)).get("tasks")
        if not isinstance(entries, list):
            raise BrokenAnswer("The upstream's answer holds no list of tasks.")
        read = [Listed.read(entry, self._home) if isinstance(entry, dict) else None for entry in entries]
        if whole and None in read:
            raise BrokenAnswer("The upstream's list of tasks cannot be read to its end.")
        return [listed for listed in read if listed]

    async def task(self, task_id: str, *, tries: int | None = None) -> Task:
        """One task with its output.

        Raises:
            BrokenAnswer: When the answer is no task, or another one.
        """
        body = await self._query(f"/tasks/{_segment(task_id)}", tries=tries)
        task = _present(Task.read(body, self._home), "task")
        if task.id != task_id:
            raise BrokenAnswer("The upstream answered with another task than the one that was asked for.")
        return task

    async def status(self, task_id: str, *, tries: int | None = None) -> Sighting:
        """One task's state, and nothing else."""
        body = await self._query(f"/tasks/{_segment(task_id)}/status", tries=tries, state_alone=True)
        return Sighting(id=task_id, status=_present(read_word(body.get("status")), "status"))

    async def cancel(self, task_id: str) -> Status:
        """Ask for a cancel, once; the state that the answer names (CANCEL when it worked)."""
        exchange = await self._connected()
        body = await self._once(exchange, "PUT", f"/tasks/{_segment(task_id)}/cancel")
        return Status.read(body.get("status"))


def _segment(text: str) -> str:
    """A text as one path segment; dots alone would be taken for a way through the path."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


async def _encoded(request: Contract) -> bytes:
    """The request's wire body as JSON; large ones, which hold pictures, in a thread."""
    wire = request.wire()
    if sum(len(str(value)) for value in wire.values()) < LARGE:
        return json.dumps(wire).encode()
    return await anyio.to_thread.run_sync(lambda: json.dumps(wire).encode())


def _present(value: T | None, what: str) -> T:
    if value is None:
        raise BrokenAnswer(f"The upstream's answer holds no {what}.")
    return value


def _uncertain(key: str, why: str) -> SubmissionUncertain:
    return SubmissionUncertain(
        f"The create was sent, but its answer was lost: {why} The task may exist and may have been charged"
        f' (idempotency key "{key}").'
    )
