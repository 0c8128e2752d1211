"""One generation: what was ordered, and a state that is read off the clock whenever somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from aivideo_mcp.sandbox.orders import Order

Status = Literal["SUBMITTED", "PROGRESS", "COMPLETED", "FAILED", "CANCEL"]

QUEUED_SECONDS: Final = 20.0  # sandbox seconds in SUBMITTED, the only state that can be cancelled
FILE_SECONDS: Final = 24 * 3600.0  # sandbox seconds that a file is kept
LEAST_FILE_SECONDS: Final = 600.0  # real seconds that a file is kept at any speed, so that it can be fetched
CLIP_NOTE: Final = "This is a sandbox clip, not a generated video."


@dataclass(slots=True)
class SandboxTask:
    """A generation that was paid for.

    Attributes:
        id: Opaque.
        order: What was asked for.
        speed: Sandbox seconds in one real second.
        created: When, in seconds of the sandbox's clock.
        created_wall: When, in Unix seconds.
        failure: Why it will end FAILED; None when it will end COMPLETED.
        idempotency_key: As it was sent and honoured.
        cancelled: Whether it was cancelled while SUBMITTED.
    """

    id: str
    order: Order
    speed: float
    created: float
    created_wall: float
    failure: str | None
    idempotency_key: str | None
    cancelled: bool = False

    def status(self, now: float) -> Status:
        """The state at a moment of the sandbox's clock."""
        if self.cancelled:
            return "CANCEL"
        age = (now - self.created) * self.speed
        if age < QUEUED_SECONDS:
            return "SUBMITTED"
        if age < self._sandbox_seconds:
            return "PROGRESS"
        return "FAILED" if self.failure else "COMPLETED"

    def refunded(self, now: float) -> int:
        """Credits given back by then: all of them once it FAILED or was cancelled."""
        return self.order.price if self.status(now) in ("FAILED", "CANCEL") else 0

    def has_file(self, now: float) -> bool:
        """Whether the clip can be fetched."""
        kept = max(FILE_SECONDS / self.speed, LEAST_FILE_SECONDS)
        return self.status(now) == "COMPLETED" and now < self.created + self._real_seconds + kept

    def shown(self, now: float, base_url: str) -> dict[str, object]:
        """The Task as the API answers it; `base_url` ends in a slash."""
        status = self.status(now)
        output: dict[str, str] | None = None
        if status == "COMPLETED":
            output = {"url": f"{base_url}files/{self.id}.mp4", "msg": CLIP_NOTE}
        elif status == "FAILED":
            output = {"msg": "The sandbox was asked for a failure.", "error": self.failure or ""}
        charged, refunded = self.order.price, self.refunded(now)
        return {
            "id": self.id,
            "createdAt": _iso(self.created_wall),
            "model": self.order.model,
            "input": self.order.input,
            "output": output,
            "status": status,
            "creditsCharged": charged,
            "creditsRefunded": refunded,
            "listValueCents": charged - refunded,  # one credit is one cent
            "idempotencyKey": self.idempotency_key,
            "completedAt": _iso(self.created_wall + self._real_seconds) if output else None,
        }

    @property
    def _sandbox_seconds(self) -> float:
        return self.order.minutes * 60

    @property
    def _real_seconds(self) -> float:
        return self._sandbox_seconds / self.speed


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
