"""What is told of an account and of its tasks all at once."""

from __future__ import annotations

from aivideo_mcp.tasks.accounts import Account
from aivideo_mcp.tasks.answers import Answer


class Standing(Account):
    """The account, with the limits that are set here; `spentToday` is what the last 24 hours cost, refunds left out."""

    max_credits: int | None = None
    daily_credits: int | None = None
    spent_today: int | None = None
    confirm_above: int | None = None

    def lines(self) -> list[str]:
        """The plain values, and the models on one line."""
        served = self.supported_models
        return [*super().lines(), *([f"supportedModels: {', '.join(served)}"] if served is not None else [])]


class Past(Answer):
    """One task in a list of them.

    `prompt` is how it begins. `saved` is whether its video was saved here, `file` where it is if it is still there;
    `delivered` whether its outcome was handed to a caller, None where it was not created here; `listed` whether the
    upstream's list shows it, without which its state is as it was last seen.
    """

    id: str
    model: str | None
    status: str
    prompt: str | None
    created_at: str | None
    completed_at: str | None
    credits_charged: int | None
    credits_refunded: int | None
    video_url: str | None
    expires_at: str | None
    file: str | None
    saved: bool
    delivered: bool | None
    listed: bool

    def line(self) -> str:
        """The task on one line."""
        told = {
            "prompt": self.prompt and f'"{self.prompt}"',
            "created": self.created_at,
            "credits": self.credits_charged,
            "refunded": self.credits_refunded or None,
            "file": self.file,
            "videoUrl": self.video_url,
            "expires": self.expires_at if self.video_url else None,
        }
        known = [f"{name} {value}" for name, value in told.items() if value is not None]
        return ", ".join([f"{self.id}: {self.status} {self.model or ''}".rstrip(), *known])


class History(Answer):
    """Tasks, newest first; `leftOut` is how many more there are."""

    tasks: tuple[Past, ...]
    left_out: int

    def lines(self) -> list[str]:
        """A line for each task."""
        more = [f"{self.left_out} more are left out"] if self.left_out else []
        return [*(task.line() for task in self.tasks), *more]
