"""A generation: the states of a task, a task as the upstream tells it, a create that it accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from pydantic import Field as Declared
from pydantic.json_schema import SkipJsonSchema

from aivideo_mcp.tasks.addresses import read_url
from aivideo_mcp.tasks.answers import Answer
from aivideo_mcp.tasks.reading import (
    expiry,
    quoted,
    read_count,
    read_id,
    read_prompt,
    read_reason,
    read_time,
    read_word,
    written,
)


class Status(StrEnum):
    """The upstream's states, in its own words; UNKNOWN for any word that is none of them."""

    SUBMITTED = "SUBMITTED"
    PROGRESS = "PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCEL = "CANCEL"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def read(cls, word: object) -> Status:
        """The state that a word from the upstream names."""
        return next((status for status in cls if status.value == word), cls.UNKNOWN)

    @property
    def terminal(self) -> bool:
        """Whether the task will not change any more."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCEL)


class Output(Answer):
    """The upstream's `output`, as far as it could be read."""

    url: str | None = None
    msg: str | None = None
    error: str | None = None


class Task(Answer):
    """One generation as the upstream knows it.

    `status` is the upstream's own word, also when it is one we do not know; times are ISO 8601 in UTC;
    `expiresAt` is when the upstream deletes the file; `file` is the saved copy's path. `prompt` is how the prompt
    begins, `file_size` the file's bytes; they are no part of any answer.
    """

    id: str
    model: str | None = None
    status: str
    video_url: str | None = None
    expires_at: str | None = None
    credits_charged: int | None = None
    credits_refunded: int | None = None
    created_at: str | None = None
    completed_at: str | None = None
    file: str | None = None
    output: Output | None = None
    prompt: SkipJsonSchema[str | None] = Declared(default=None, exclude=True)
    file_size: SkipJsonSchema[int | None] = Declared(default=None, exclude=True)

    def lines(self) -> list[str]:
        """The plain values, and the reason of a failure."""
        return [*super().lines(), *([self.reason] if self.state is Status.FAILED else [])]

    @property
    def state(self) -> Status:
        """The status as one of the known states."""
        return Status.read(self.status)

    @property
    def reason(self) -> str:
        """Why it failed, as the upstream tells it, quoted as the data it is."""
        told = self.output and (self.output.error or self.output.msg)
        return f'the upstream says: "{told}"' if told else "the upstream gives no reason"

    @classmethod
    def read(cls, body: Mapping[str, Any], home: str | None = None) -> Self | None:
        """The task in an answer; None when it has no id or no status, and so is no task.

        Args:
            body: The answer.
            home: The origin whose addresses are shown whatever they are; those of others, if they may be fetched.
        """
        task_id = read_id(body, "id", "taskId")
        if task_id is None or not isinstance(body.get("status"), str):
            return None
        output = _read_output(body.get("output"), home)
        completed = read_time(body.get("completedAt"))
        status = read_word(body["status"]) or Status.UNKNOWN
        finished = Status.read(status) is Status.COMPLETED
        return cls(
            id=task_id,
            model=read_word(body.get("model")),
            status=status,
            video_url=output.url if output and finished else None,
            expires_at=written(expiry(completed)) if finished else None,
            credits_charged=read_count(body.get("creditsCharged")),
            credits_refunded=read_count(body.get("creditsRefunded")),
            created_at=written(read_time(body.get("createdAt"))),
            completed_at=written(completed),
            output=output,
            prompt=read_prompt(body.get("input")),
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A task in the upstream's list, with what else tells whose it is."""

    task: Task
    idempotency_key: str | None
    asked: Mapping[str, Any]

    @classmethod
    def read(cls, body: Mapping[str, Any], home: str | None = None) -> Listed | None:
        """The entry; None when it is no task. `home` as for a task."""
        task, key, asked = Task.read(body, home), body.get("idempotencyKey"), body.get("input")
        if task is None:
            return None
        return cls(task, key if isinstance(key, str) else None, asked if isinstance(asked, dict) else {})


class Sighting(Answer):
    """A task's state, seen just now, in the upstream's own word."""

    id: str
    status: str


class Submission(Answer):
    """A task that the upstream accepted; `idempotencyKey` is the one to repeat the call with."""

    id: str
    model: str
    status: str
    credits_charged: int | None = None
    idempotency_key: str
    idempotent_replay: bool = False

    @classmethod
    def read(cls, body: Mapping[str, Any], model: str, key: str) -> Self | None:
        """The submission in an answer; None when it holds no task id."""
        task_id = read_id(body, "taskId", "id")
        if task_id is None:
            return None
        return cls(
            id=task_id,
            model=model,
            status=read_word(body.get("status")) or Status.SUBMITTED,
            credits_charged=read_count(body.get("creditsCharged")),
            idempotency_key=key,
            idempotent_replay=body.get("idempotentReplay") is True,
        )


def _read_output(value: object, home: str | None) -> Output | None:
    if not isinstance(value, Mapping):
        return None
    return Output(
        url=read_url(value.get("url"), home) or read_url(value.get("videoUrl"), home),  # the older name
        msg=quoted(value.get("msg")),
        error=read_reason(value.get("error")),
    )
