"""Tolerant reading: what comes from outside, as the type that is wanted, or None.

Upstream text is data. It is bounded, stripped of what cannot be seen, and quoted where it is shown; nothing here
raises for what it finds, but for a task id that a caller made up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aivideo_mcp.errors import InvalidPayload

KEPT: Final = timedelta(hours=24)  # how long the upstream keeps a finished file
MAX_QUOTED: Final = 300  # characters of upstream text that reach a caller
MAX_COUNT: Final = 10**12
MAX_ID: Final = 200
MAX_PROMPT: Final = 200  # characters of a prompt, of which a file name shows forty
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # Unicode categories nobody can read
_TASK_ID: Final = re.compile(rf"[^\x00-\x20\x7f-\U0010ffff/\\?#%]{{1,{MAX_ID}}}")


def check_task_id(value: object) -> str:
    """A task id as a caller may give it: opaque, but one visible path segment.

    Raises:
        InvalidPayload: When it cannot be an id that the upstream issued.
    """
    if value is None:
        raise InvalidPayload("taskId is missing; use the id that the call which created the task returned")
    if not isinstance(value, str) or not _TASK_ID.fullmatch(value) or ".." in value or value == ".":
        raise InvalidPayload(
            f"taskId is not a task id: use the string from the call that created the task, 1 to {MAX_ID} letters, "
            "digits and signs other than / \\ ? # % and spaces"
        )
    return value


def quoted(text: object, limit: int = MAX_QUOTED) -> str | None:
    """Upstream text as data: one bounded line that cannot end a quotation; None if it is no text."""
    line = _visible(text, limit)
    return line and line.replace('"', "'")


def _visible(text: object, limit: int) -> str | None:
    """A text on one line, without control or direction characters, cut with a mark; None if it is no text."""
    if not isinstance(text, str):
        return None
    read = text[: limit * 4]  # a text of megabytes is not folded to its end
    line = " ".join("".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in read).split())
    return line if len(line) <= limit and len(read) == len(text) else line[: limit - 1] + "…"


def read_reason(error: object, depth: int = 3) -> str | None:
    """The text of an `error`, which is a string or an object with a text somewhere in it."""
    if isinstance(error, Mapping) and depth:
        named = (error.get(name) for name in ("message", "msg", "error", "code"))
        return next(filter(None, (read_reason(value, depth - 1) for value in named)), None)
    return quoted(error) or None


def read_prompt(asked: object) -> str | None:
    """How the prompt in a task's `input` begins; of several, the first."""
    given = (asked.get("prompt") or asked.get("content")) if isinstance(asked, Mapping) else None
    return quoted(given[0] if isinstance(given, list) and given else given, MAX_PROMPT)


def read_id(body: Mapping[str, Any], *names: str) -> str | None:
    """A task's id, under the first of these names that has one: opaque, but visible and of bounded length."""
    given = next((body[name] for name in names if body.get(name)), None)
    return given if isinstance(given, str) and _visible(given, MAX_ID) == given else None


def read_count(value: object) -> int | None:
    """A whole number that is not negative, and not absurd."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT else None


def read_time(value: object) -> datetime | None:
    """A time with a zone, from ISO 8601; UTC where no zone is given."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def expiry(completed: datetime | None) -> datetime | None:
    """When the upstream deletes the file of a task that was completed then."""
    try:
        return None if completed is None else completed + KEPT
    except OverflowError:
        return None


def written(time: datetime | None) -> str | None:
    """A time as every answer writes it: ISO 8601, UTC, whole seconds."""
    return None if time is None else time.isoformat(timespec="seconds").replace("+00:00", "Z")
