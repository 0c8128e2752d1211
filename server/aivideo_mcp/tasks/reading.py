"""Tolerant reading: what comes from outside, as the type that is wanted, or None.

Upstream text is data. It is bounded, stripped of what cannot be seen, and quoted where it is shown; nothing here
raises for what it finds, but for a task id that a caller made up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from aivideo_mcp.errors import InvalidPayload

KEPT: Final = timedelta(hours=24)  # how long the upstream keeps a finished file
MAX_QUOTED: Final = 300  # characters of upstream text that reach a caller
MAX_COUNT: Final = 10**12
MAX_ID: Final = 200
MAX_PROMPT: Final = 200  # characters of a prompt, of which a file name shows forty
MAX_WORD: Final = 40  # characters of a state or a model's name
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Cs", "Co", "Zl", "Zp"})  # Unicode categories nobody can read
_UNSEEN: Final = re.compile(  # signs of other categories that show nothing, and can carry a text of their own
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MARKS: Final = str.maketrans(
    dict.fromkeys('"`\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u275d\u275e\u301d\u301e\u301f\uff02\uff40', "'")
)
_IN_AN_ID: Final = r"(?![\"'`<>])[!-~]"  # visible ASCII, without what could end a quotation
_ISSUED_ID: Final = re.compile(f"(?:{_IN_AN_ID}){{1,{MAX_ID}}}")
_TASK_ID: Final = re.compile(rf"(?:(?![/\\?#%]){_IN_AN_ID}){{1,{MAX_ID}}}")
_NO_WORD: Final = re.compile(r"[^A-Za-z0-9.:-]+")


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
            "digits and signs other than / \\ ? # % < >, quotation marks and spaces"
        )
    return value


def quoted(text: object, limit: int = MAX_QUOTED) -> str | None:
    """Upstream text as data: one bounded line that cannot end a quotation; None if it is no text."""
    line = _visible(text, limit)
    return line and line.translate(_MARKS)


def read_word(text: object) -> str | None:
    """A word that names something, such as a state: one token, in which nothing can be said; None if it is no text."""
    line = _visible(text, MAX_WORD)
    return line and _NO_WORD.sub("_", line)


def _visible(text: object, limit: int) -> str | None:
    """A text on one line, without control or direction characters, cut with a mark; None if it is no text."""
    if not isinstance(text, str):
        return None
    read = text[: limit * 4]  # a text of megabytes is not folded to its end
    seen = "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in _UNSEEN.sub(" ", read))
    line = " ".join(seen.split())
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
    """A task's id, under the first of these names that has one: opaque, but one visible token of bounded length."""
    given = next((body[name] for name in names if body.get(name)), None)
    return given if isinstance(given, str) and _ISSUED_ID.fullmatch(given) else None


def read_count(value: object) -> int | None:
    """A whole number that is not negative, and not absurd."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT else None


def read_limit(body: object, name: str, depth: int = 3) -> int | Literal["unlimited"] | None:
    """An account's limit, at most so many objects deep, the nearest first; the upstream writes -1 for none at all."""
    if not isinstance(body, Mapping) or not depth:
        return None
    if body.get(name) == -1:
        return "unlimited"
    if (here := read_count(body.get(name))) is not None:
        return here
    told = (read_limit(value, name, depth - 1) for value in body.values())
    return next((limit for limit in told if limit is not None), None)


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
