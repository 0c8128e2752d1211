"""The one envelope around every answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, SerializeAsAny
from pydantic.alias_generators import to_camel

from aivideo_mcp.errors import AivideoError
from aivideo_mcp.tasks.answers import Answer
from aivideo_mcp.tasks.generations import Status, Task


class Envelope(BaseModel):
    """What every tool answers, with all keys always present.

    `ok` tells whether the call did what was asked. `status` is the task's state, UNKNOWN where there is none.
    `data` is the tool's own answer. `retryAfter` is in seconds. `nextSteps` are things the caller can do now.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)

    ok: bool
    status: Status = Status.UNKNOWN
    task_id: str | None = None
    data: SerializeAsAny[Answer] | None = None
    error_code: str | None = None
    error_message: str | None = None
    retry_after: float | None = None
    next_steps: tuple[str, ...] = ()

    @classmethod
    def failure(cls, failure: AivideoError, *, status: Status = Status.UNKNOWN, data: Answer | None = None) -> Envelope:
        """The envelope of a failure; with the task's state and data where it has any."""
        return cls(
            ok=False,
            status=status,
            task_id=failure.task_id,
            data=data,
            error_code=failure.code,
            error_message=failure.message,
            retry_after=failure.retry_after,
            next_steps=failure.next_steps,
        )

    @property
    def outcome(self) -> bool:
        """Whether it tells how a generation ended, well or badly."""
        if self.status is Status.COMPLETED:
            return isinstance(self.data, Task) and (self.data.video_url or self.data.file) is not None
        return self.data is not None and self.status.terminal

    @property
    def text(self) -> str:
        """The same for reading: a headline, what is known, what to do next."""
        state = "" if self.status is Status.UNKNOWN else self.status
        head = f"{self.error_code}: {self.error_message}" if self.error_code else state
        task = f"task {self.task_id}" if self.task_id else ""
        lines = [" ".join(filter(None, (head, f"({task})" if head and task else task)))]
        lines += self.data.lines() if self.data else []
        lines += [f"retryAfter: {self.retry_after:g}"] if self.retry_after is not None else []
        lines += [f"Next: {step}" for step in self.next_steps]
        return "\n".join(filter(None, lines))
