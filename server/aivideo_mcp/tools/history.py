"""What the tools do that look back: the account, the list of tasks, a video to be saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aivideo_mcp.contracts import shown
from aivideo_mcp.errors import DownloadFailed, InvalidPayload
from aivideo_mcp.history import Record
from aivideo_mcp.tasks import Envelope, History, Past, Standing, Status, check_task_id, quoted, read_time
from aivideo_mcp.tools import handlers
from aivideo_mcp.tools.arguments import alone, read_limit, split
from aivideo_mcp.tools.call import Call
from aivideo_mcp.workflow import Workflow

_MOST: Final = 100  # tasks in one list
_USUAL: Final = 20
_EXCERPT: Final = 80  # characters of a prompt
_ROOM: Final = 850  # bytes for each task that was asked for; more is left out at the end
_NAMED: Final = 3  # tasks that steps name
STATES: Final = tuple(status for status in Status if status is not Status.UNKNOWN)


async def account(workflow: Workflow, call: Call) -> Envelope:
    """Balance and limits, upstream's and those set here."""
    if given := split(call.arguments)[1]:
        raise InvalidPayload(f"{shown(min(given))} is not an argument of this tool, which takes none")
    told, age = await workflow.accounts.current()
    settings = workflow.settings
    standing = Standing(
        **told.model_dump(),
        max_credits=settings.max_credits,
        daily_credits=settings.daily_credits,
        spent_today=await workflow.history.spent(),
        confirm_above=settings.confirm_above,
    )
    steps = (
        f"The upstream's part is {age:.0f} s old: it is asked for every 10 minutes at most. 1 credit is USD 0.01.",
    )
    return Envelope(ok=True, data=standing, next_steps=steps)


async def tasks(workflow: Workflow, call: Call) -> Envelope:
    """The account's tasks, newest first."""
    options, others = split(call.arguments, "status", "limit")
    if others:
        raise InvalidPayload(f"{shown(min(others))} is not an argument of this tool, which takes status, limit")
    limit = read_limit(options.get("limit"), _MOST) or _USUAL
    status = _state(options.get("status"))
    now = workflow.history.now()
    every = [(record, _past(record, now)) for record in await workflow.history.records()]
    wanted = [past for _, past in every if status in (None, Status.read(past.status))]
    shown_ones = _fitting(wanted[:limit], _ROOM * max(limit, _USUAL))
    steps = (*_to_save([past for _, past in every], saves=workflow.shelf is not None), *_gone(every, now))
    if any(not past.listed for past in shown_ones):
        steps += ("Where listed is false the state is as it was last seen; get_status asks.",)
    return Envelope(
        ok=True,
        data=History(tasks=tuple(shown_ones), left_out=len(wanted) - len(shown_ones)),
        next_steps=steps or ("get_task tells all of one task; generate_video with its taskId waits for it.",),
    )


async def download(workflow: Workflow, call: Call) -> Envelope:
    """Save a finished video, or find it saved."""
    task_id = check_task_id(alone(call.arguments, "taskId"))
    task = await workflow.history.saved(task_id) or await workflow.history.task(task_id)
    if bad := handlers.bad_end(task):
        return bad
    if not task.state.terminal:
        early = DownloadFailed(
            f"There is no video to save yet: the task is {task.status}.",
            next_steps=(f'Call generate_video with taskId "{task.id}": it waits, and saves the video at the end.',),
            task_id=task.id,
        )
        return Envelope.failure(early, status=task.state, data=task)
    if task.file is None:
        try:
            task = await workflow.download(task, call.tell, seen=call.seen)
        except DownloadFailed as failure:  # the address is the caller's other way to the video
            return Envelope.failure(failure, status=task.state, data=task)
    steps = ("The video is saved: give the user the path in file.",)
    return Envelope(ok=True, status=task.state, task_id=task.id, data=task, next_steps=steps)


def _state(value: object) -> Status | None:
    if value is None:
        return None
    state = Status.read(value.upper() if isinstance(value, str) else value)
    if state not in STATES:
        raise InvalidPayload(f"status {shown(value)} is not allowed; use {', '.join(STATES)}")
    return state


def _past(record: Record, now: float) -> Past:
    task, known = record.task, record.known
    return Past(
        id=task.id,
        model=task.model or (known.model if known else None),
        status=task.status,
        prompt=quoted(task.prompt, _EXCERPT),
        created_at=task.created_at,
        completed_at=task.completed_at,
        credits_charged=task.credits_charged,
        credits_refunded=task.credits_refunded,
        video_url=None if _is_over(task.expires_at, now) else task.video_url,
        expires_at=task.expires_at,
        file=task.file,
        saved=known is not None and known.file is not None,
        delivered=None if known is None else known.delivered_at is not None,
        listed=record.listed,
    )


def _is_over(expires_at: str | None, now: float) -> bool:
    at = read_time(expires_at)
    return at is not None and at.timestamp() <= now


def _fitting(pasts: Sequence[Past], room: int) -> list[Past]:
    """The first ones that fit into so many bytes, one at least."""
    fitting: list[Past] = []
    for past in pasts:
        room -= len(past.model_dump_json(by_alias=True))
        if room < 0 and fitting:
            break
        fitting.append(past)
    return fitting


def _to_save(pasts: Sequence[Past], *, saves: bool) -> tuple[str, ...]:
    """What can still be saved, the first to expire first."""
    open_ones = [past for past in pasts if past.video_url and not past.saved]
    open_ones.sort(key=lambda past: past.expires_at or "~")
    what = 'call download_video with taskId "{}"' if saves else "give the user its videoUrl ({})"
    steps = [
        f"Not saved yet, expires {f'at {past.expires_at}' if past.expires_at else 'a day after completion'}: "
        f"{what.format(past.id)}."
        for past in open_ones[:_NAMED]
    ]
    if more := len(open_ones) - len(steps):
        steps.append(f"{more} more finished videos are not saved yet.")
    return tuple(steps)


def _gone(every: Sequence[tuple[Record, Past]], now: float) -> tuple[str, ...]:
    """What has expired and was not saved."""
    gone = [past.id for record, past in every if _is_over(past.expires_at, now) and not past.saved]
    if not gone:
        return ()
    more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    return (f"Expired without being saved, so videoUrl is null: {', '.join(gone[:_NAMED])}{more}.",)
