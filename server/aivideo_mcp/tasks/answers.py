"""What is answered: the states of a task, a task as read from the upstream, and the one envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, SerializeAsAny
from pydantic import Field as Declared
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from aivideo_mcp.errors import AivideoError
from aivideo_mcp.tasks.addresses import read_url
from aivideo_mcp.tasks.reading import (
    MAX_COUNT,
    expiry,
    quoted,
    read_count,
    read_id,
    read_limit,
    read_prompt,
    read_reason,
    read_time,
    read_word,
    written,
)

USD_PER_CREDIT: Final = 0.01
_MOST_MODELS: Final = 100


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


class Answer(BaseModel):
    """Base of what tools answer in `data`: frozen, camelCase outside."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)

    def lines(self) -> list[str]:
        """What a reader wants of it, a line each: every plain value that is known."""
        known = self.model_dump(by_alias=True, exclude_none=True, exclude={"id", "status"})
        return [f"{name}: {value}" for name, value in known.items() if isinstance(value, str | int | float)]


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


Limit = int | Literal["unlimited"] | None


class Account(Answer):
    """Balance and limits of the API key's account; None where the upstream does not tell."""

    current_balance: int | None = None
    supported_models: tuple[str, ...] | None = None
    sandbox: bool = False
    daily_credit_limit: Limit = None
    generation_requests_per_minute: Limit = None
    credit_warning_at: Limit = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The account in an answer."""
        models = body.get("supportedModels")
        known = tuple(filter(None, map(read_word, models[:_MOST_MODELS]))) if isinstance(models, list) else None
        return cls(
            current_balance=read_count(body.get("currentBalance")),
            supported_models=known,
            sandbox=body.get("sandbox") is True,
            daily_credit_limit=read_limit(body, "dailyCreditLimit"),
            generation_requests_per_minute=read_limit(body, "generationRequestsPerMinute"),
            credit_warning_at=read_limit(body, "creditWarningAt"),
        )


class Quote(Answer):
    """What a request would cost, in credits and US dollars, and whether the balance covers it; None where unknown.

    `estimate` marks a figure of this server's own table, which stands in where the upstream cannot be asked.
    """

    model: str
    credits: int | None
    usd: float | None
    current_balance: int | None = None
    affordable: bool | None = None
    estimate: bool = False

    @classmethod
    def of(cls, model: str, price: int | None, balance: int | None, *, estimate: bool = False) -> Self:
        """The quote that these figures make."""
        return cls(
            model=model,
            credits=price,
            usd=None if price is None else round(price * USD_PER_CREDIT, 2),
            current_balance=balance,
            affordable=None if price is None or balance is None else balance >= price,
            estimate=estimate,
        )

    @classmethod
    def read(cls, body: Mapping[str, Any], model: str) -> Self | None:
        """The quote in an answer; None when it names no price."""
        price = read_count(body.get("credits"))
        if price is None:
            return None
        quote = cls.of(model, price, read_count(body.get("currentBalance")))
        usd: object = body.get("listPriceUsd")
        affordable = body.get("affordable")
        if isinstance(usd, int | float) and not isinstance(usd, bool) and 0 <= usd <= MAX_COUNT:  # no infinity, no NaN
            quote = quote.model_copy(update={"usd": usd})
        return quote.model_copy(update={"affordable": affordable}) if isinstance(affordable, bool) else quote


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


class Field(Answer):
    """One field of a model, as callers write it; `allowed` in words, None where any value of the type will do."""

    name: str
    type: str
    required: bool
    allowed: str | None
    default: str | None


class Model(Answer):
    """One model of the whitelist; `served` tells whether the account offers it, None where it was not asked."""

    model: str
    summary: str
    fields: tuple[Field, ...]
    rules: tuple[str, ...]
    price: str
    usual_minutes: tuple[float, float] | None
    served: bool | None = None

    def lines(self) -> list[str]:
        """Headline, then a line for each field."""
        usual = f"; usually {self.usual_minutes[0]:g} to {self.usual_minutes[1]:g} min" if self.usual_minutes else ""
        served = {True: "", False: " (NOT SERVED to this account)", None: ""}[self.served]
        fields = [
            f"  {field.name}{'!' if field.required else ''}: {field.type}"
            + (f", {field.allowed}" if field.allowed else "")
            + (f" (default {field.default})" if field.default else "")
            for field in self.fields
        ]
        return [f"{self.model}{served}: {self.summary}; {self.price}{usual}", *fields, *(f"  {r}" for r in self.rules)]


class Catalogue(Answer):
    """The models that can be asked for; `!` marks required fields in the text form."""

    models: tuple[Model, ...]

    def lines(self) -> list[str]:
        """All models, one after the other."""
        return [line for model in self.models for line in model.lines()]


class Sighting(Answer):
    """A task's state, seen just now, in the upstream's own word."""

    id: str
    status: str


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
        lines += [f"Next: {step}" for step in self.next_steps]
        return "\n".join(filter(None, lines))


def _read_output(value: object, home: str | None) -> Output | None:
    if not isinstance(value, Mapping):
        return None
    return Output(
        url=read_url(value.get("url"), home) or read_url(value.get("videoUrl"), home),  # the older name
        msg=quoted(value.get("msg")),
        error=read_reason(value.get("error")),
    )
