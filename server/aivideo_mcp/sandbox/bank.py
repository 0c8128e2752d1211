"""Accounts: what each API key owns, and the one place where credits are charged and given back."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from aivideo_mcp.sandbox.refusals import Refusal, invalid_payload
from aivideo_mcp.sandbox.tasks import SandboxTask

if TYPE_CHECKING:
    from aivideo_mcp.sandbox.options import SandboxOptions
    from aivideo_mcp.sandbox.orders import Order

_KEYS: Final = ("ak_", "sandbox")  # what an accepted key begins with
_IDEMPOTENCY_LENGTH: Final = range(8, 129)
_REJECTED_WORD: Final = "forbidden-content"
_FAILING_WORD: Final = "fail-please"


class Account:
    """One API key's balance and tasks.

    Attributes:
        tasks: By id, oldest first.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._replays: dict[str, SandboxTask] = {}
        self.tasks: dict[str, SandboxTask] = {}

    @property
    def balance(self) -> int:
        """Credits left now. Failures are refunded by the clock, so it is summed up rather than kept."""
        now = self._options.clock()
        return self._options.credits - sum(task.order.price - task.refunded(now) for task in self.tasks.values())

    def submit(
        self, order: Order, *, idempotency_key: str | None, max_credits: str | None, failing: bool
    ) -> tuple[SandboxTask, bool]:
        """Charge for an order and start it, or find the task that the same key started before.

        Args:
            order: What is asked for.
            idempotency_key: The Idempotency-Key header.
            max_credits: The X-Max-Credits header.
            failing: Whether a fault makes the task end FAILED.

        Returns:
            The task, and whether it is a replay, for which nothing was charged.

        Raises:
            Refusal: Before anything is charged: 400 for a malformed header, 409 for a key used with other
                data, 422 for rejected content or a price above the maximum, 402 for too few credits.
        """
        if self._options.idempotency == "minimax" and order.model != "minimax":
            idempotency_key = None
        if idempotency_key is not None and len(idempotency_key) not in _IDEMPOTENCY_LENGTH:
            raise invalid_payload("Idempotency-Key must have 8 to 128 characters")
        if max_credits is not None and re.fullmatch(r"[0-9]{1,18}", max_credits) is None:
            raise invalid_payload("X-Max-Credits must be an integer of at least 0")
        original = self._replays.get(idempotency_key or "")
        if original is not None:
            if (original.order.model, original.order.digest) != (order.model, order.digest):
                raise Refusal(409, "Idempotency-Key was used with different request data", "IDEMPOTENCY_CONFLICT")
            return original, True
        self._check_admissible(order, max_credits)
        task = self._start(order, idempotency_key, failing=failing)
        return task, False

    def task(self, task_id: str) -> SandboxTask:
        """One of this key's tasks.

        Raises:
            Refusal: 404, for another key's task too.
        """
        if task_id not in self.tasks:
            raise Refusal(404, "Task not found")
        return self.tasks[task_id]

    def cancel(self, task_id: str) -> SandboxTask:
        """Cancel a task that has not begun; its credits come back.

        Raises:
            Refusal: 404, or 409 when it has left SUBMITTED.
        """
        task = self.task(task_id)
        status = task.status(self._options.clock())
        if status != "SUBMITTED":
            raise Refusal(409, f"Only SUBMITTED tasks can be cancelled; this one is {status}")
        task.cancelled = True
        return task

    def _check_admissible(self, order: Order, max_credits: str | None) -> None:
        if _REJECTED_WORD in order.words:
            raise Refusal(422, "Content rejected by moderation")
        if max_credits is not None and order.price > int(max_credits):
            raise Refusal(
                422, f"Price {order.price} is above the approved maximum {int(max_credits)}", "BUDGET_EXCEEDED"
            )
        balance = self.balance
        if balance < order.price:
            raise Refusal(402, f"Current balance {balance} is below required {order.price}", "INSUFFICIENT_CREDITS")

    def _start(self, order: Order, idempotency_key: str | None, *, failing: bool) -> SandboxTask:
        asked = failing or _FAILING_WORD in order.words
        task = SandboxTask(
            # Unique across restarts: clients remember ids longer than a sandbox lives.
            id=f"sb_{secrets.token_hex(12)}",
            order=order,
            speed=self._options.speed,
            created=self._options.clock(),
            created_wall=self._options.wall(),
            failure="Sandbox failure: the generation was made to fail" if asked else None,
            idempotency_key=idempotency_key,
        )
        self.tasks[task.id] = task
        if idempotency_key is not None:
            self._replays[idempotency_key] = task
        return task


class Bank:
    """All accounts of a sandbox; a key's account is opened when it first appears."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._accounts: dict[str, Account] = {}

    def account(self, key: str | None) -> Account:
        """The account of an API key.

        Raises:
            Refusal: 401 AUTH_FAILED for a key that the sandbox does not take.
        """
        if key is None or not key.startswith(_KEYS):
            raise Refusal(401, "Missing or invalid API key; the sandbox takes any that begins with ak_", "AUTH_FAILED")
        return self._accounts.setdefault(key, Account(self._options))

    @property
    def tasks(self) -> dict[str, SandboxTask]:
        """Every account's tasks by id."""
        return {task.id: task for account in self._accounts.values() for task in account.tasks.values()}
