"""What each tool does: arguments in, one envelope out.

Handlers raise what goes wrong and catch nothing; arguments arrive as the caller wrote them and are checked here,
so that every fault is one clear error and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import anyio.to_thread

from aivideo_mcp.contracts import MODELS, Contract, model_named, read_request
from aivideo_mcp.errors import (
    AivideoError,
    GenerationFailed,
    InvalidPayload,
    TaskCancelled,
    UnknownError,
    UnsafeAddress,
)
from aivideo_mcp.schemas import describe_model
from aivideo_mcp.submission import Terms
from aivideo_mcp.tasks import Catalogue, Envelope, Model, Sighting, Status, Task, check_task_id
from aivideo_mcp.tools.arguments import TERMS, alone, read_terms, split
from aivideo_mcp.tools.call import Call
from aivideo_mcp.tools.consent import agreed
from aivideo_mcp.waiting import Waited
from aivideo_mcp.workflow import Workflow

_LARGE: Final = 64 * 1024  # characters from which on arguments are checked in a thread: they hold pictures


async def create(workflow: Workflow, call: Call) -> Envelope:
    """Start a generation; return its task id at once."""
    options, fields = split(call.arguments, *TERMS)
    terms = read_terms(options)
    request = await _request(workflow, call, fields)
    it = await agreed(workflow, call, request, terms, lambda terms: workflow.create(request, terms))
    made = it.submission
    return Envelope(
        ok=True,
        status=Status.read(made.status),
        task_id=made.id,
        data=made,
        next_steps=(
            *_joined(joined=it.joined),
            f'Call generate_video with taskId "{made.id}" to wait for the video, or get_status now and then.',
            "Keep the task id; do not create it again, that is a second charge.",
        ),
    )


async def generate(workflow: Workflow, call: Call) -> Envelope:
    """Create and wait, or go on waiting for `taskId` alone."""
    options, fields = split(call.arguments, *TERMS, "maxWaitSeconds", "taskId")
    terms = read_terms(options, longest=workflow.settings.max_wait_s)
    if "taskId" in options:
        if others := sorted({*fields, *options} - {"taskId", "maxWaitSeconds"}):
            raise InvalidPayload(f"taskId stands alone: it cannot be combined with {', '.join(others)[:200]}")
        task_id = check_task_id(options["taskId"])
        return _outcome(await workflow.resume(task_id, terms, call.tell, seen=call.seen), workflow)
    request = await _request(workflow, call, fields)

    async def make(terms: Terms) -> Waited:
        return await workflow.generate(request, terms, call.tell, seen=call.seen)

    return _outcome(await agreed(workflow, call, request, terms, make), workflow)


async def quote(workflow: Workflow, call: Call) -> Envelope:
    """Tell what a generation would cost."""
    request = await _request(workflow, call, call.arguments)
    it, failure = await workflow.quote(request)
    steps = [f"The upstream could not be asked, so this is an estimate: {failure}"] if failure else []
    if it.credits is None:
        steps = [f"The price is unknown: {failure}", f"Usual for {request.model}: {request.price.text}."]
    elif it.affordable is False:
        steps.append("The balance does not cover it: ask the user to top up, or choose something cheaper.")
    steps.append("Tell the user the price; generate_video with the same arguments makes the video.")
    return Envelope(ok=True, data=it, next_steps=tuple(steps))


async def status(workflow: Workflow, call: Call) -> Envelope:
    """Look at a task's state."""
    seen = await workflow.upstream.status(check_task_id(alone(call.arguments, "taskId")))
    return Envelope(
        ok=True, status=Status.read(seen.status), task_id=seen.id, data=seen, next_steps=_after(seen, workflow)
    )


async def task(workflow: Workflow, call: Call) -> Envelope:
    """Fetch all that is known of a task."""
    task = await workflow.history.task(check_task_id(alone(call.arguments, "taskId")))
    steps = _after(task, workflow)
    if task.state is Status.COMPLETED and task.video_url is None and task.file is None:
        steps = ("The upstream names no file that is safe to fetch. Look again in a minute; do not create it again.",)
    return Envelope(ok=True, status=task.state, task_id=task.id, data=task, next_steps=steps)


async def cancel(workflow: Workflow, call: Call) -> Envelope:
    """Cancel a task that has not started."""
    gone = await workflow.cancel(check_task_id(alone(call.arguments, "taskId")))
    steps = ("Credits of a cancelled task are refunded in full; get_task shows creditsRefunded.",)
    return Envelope(ok=True, status=Status.CANCEL, task_id=gone.id, data=gone, next_steps=steps)


async def models(workflow: Workflow, call: Call) -> Envelope:
    """Tell the whitelist, with what the account serves."""
    model = alone(call.arguments, "model")
    chosen = list(MODELS.values()) if model is None else [model_named(model)]
    account = await workflow.account()
    served = account.supported_models if account else None
    models = tuple(
        Model.model_validate({**describe_model(kind), "served": None if served is None else kind.name() in served})
        for kind in chosen
    )
    steps = ("Prices are estimates: the upstream's charge is what counts.",)
    return Envelope(ok=True, data=Catalogue(models=models), next_steps=steps)


def bad_end(task: Task) -> Envelope | None:
    """The envelope of a task that ended without a video; None for any other."""
    if task.state is Status.FAILED:
        return _ended_badly(GenerationFailed(f"The generation failed; {task.reason}.", task_id=task.id), task)
    if task.state is Status.CANCEL:
        return _ended_badly(TaskCancelled("The task was cancelled.", task_id=task.id), task)
    return None


def named_task(arguments: Mapping[str, Any]) -> str | None:
    """The task that a call named, if it is one that can be named."""
    try:
        return check_task_id(arguments.get("taskId"))
    except InvalidPayload:
        return None


async def _request(workflow: Workflow, call: Call, fields: Mapping[str, Any]) -> Contract:
    """The request that the fields make; local pictures are read on the way."""
    pictures = workflow.pictures
    if pictures is None and _weight(fields) < _LARGE:
        return read_request(fields)
    if pictures is not None and _names_files(fields):
        pictures = pictures.narrowed(await call.roots())
    return await anyio.to_thread.run_sync(read_request, fields, pictures.read if pictures else None)


def _names_files(value: object) -> bool:
    """Whether there is a text that may name a file."""
    if isinstance(value, str):
        return value[:5].lower() not in ("http:", "https", "data:") and any(sign in value[:200] for sign in "/\\")
    if isinstance(value, Mapping):
        return any(map(_names_files, value.values()))
    return isinstance(value, list) and any(map(_names_files, value))


def _weight(value: object) -> int:
    """Characters in all the strings of a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_weight, value.values()))
    return sum(map(_weight, value)) if isinstance(value, list) else 0


def _outcome(waited: Waited, workflow: Workflow) -> Envelope:
    """The envelope of a wait, however it ended."""
    task = waited.task
    joined = _joined(joined=waited.joined)
    if bad := bad_end(task):
        return bad.model_copy(update={"next_steps": (*joined, *bad.next_steps)})
    steps: tuple[str, ...]
    if task.state is not Status.COMPLETED:
        steps = (
            f'It is still running and paid for. Call generate_video with taskId "{task.id}" to go on waiting.',
            "Changed arguments or a new idempotencyKey would be a second charge.",
        )
        status = task.state if task.state is Status.UNKNOWN else Status.PROGRESS
        steps = (*joined, *steps)
        return Envelope(ok=True, status=status, task_id=task.id, data=task, next_steps=steps)
    if task.video_url is None:
        later = (f'Call get_task with taskId "{task.id}" in a minute: it is paid for, so do not create it again.',)
        if not waited.fetched:
            told = "It is finished, but its result could not be fetched in time."
            return Envelope(ok=True, status=task.state, task_id=task.id, data=task, next_steps=(told, *later))
        lost = UnknownError(
            "The task is finished, but the upstream names no file that is safe to fetch.",
            task_id=task.id,
            next_steps=later,
        )
        return _ended_badly(lost, task)
    steps = (*joined, *_after(task, workflow))
    if waited.unsaved:
        after = () if isinstance(waited.unsaved, UnsafeAddress) else steps
        steps = (f"The video could not be saved: {waited.unsaved.message}", *waited.unsaved.next_steps, *after)
    return Envelope(ok=True, status=task.state, task_id=task.id, data=task, next_steps=steps)


def _joined(*, joined: bool) -> tuple[str, ...]:
    return (
        "This is the generation that an earlier call with the same arguments paid for; nothing was charged now.",
    ) * joined


def _ended_badly(failure: AivideoError, task: Task) -> Envelope:
    return Envelope.failure(failure, status=task.state, data=task)


def _after(task: Task | Sighting, workflow: Workflow) -> tuple[str, ...]:
    """What makes sense for a task in this state."""
    match Status.read(task.status):
        case Status.COMPLETED if isinstance(task, Task) and task.file is not None:
            return ("Give the user file, the saved video; videoUrl works until expiresAt.",)
        case Status.COMPLETED:
            told = "Give the user videoUrl" if isinstance(task, Task) else "get_task has videoUrl for the user"
            save = ", or save it with download_video" if workflow.shelf else ""
            return (f"{told}{save}: the upstream deletes the file after 24 hours.",)
        case Status.FAILED | Status.CANCEL:
            return ("get_task shows the reason and creditsRefunded.",)
        case Status.SUBMITTED | Status.PROGRESS:
            return (f'Call generate_video with taskId "{task.id}" to wait for it.',)
        case _:
            return (f'The upstream reports a state that is not documented: "{task.status}". Look again later.',)
