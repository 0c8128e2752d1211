"""Names that people can read and every platform takes: `2026-11-22_t2v_a-cat-on-a-skateboard_ck12ab.mp4`.

ASCII letters and digits, `-` inside a part, `_` between parts (and in an id such as `tv_12ab`), `~` before what keeps
names apart; never reserved, since they begin with a date; at most 134 bytes with everything added, which fits encrypted
folders too.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from aivideo_mcp.tasks import Task

_COPIES: Final = 9  # names that are tried when the first ones are taken
_LONGEST_MODEL: Final = 20  # characters
_LONGEST_SLUG: Final = 40
_LONGEST_ID: Final = 40
_TWO_PARTS: Final = re.compile(r"[a-z]{1,4}_[a-z0-9]{6,35}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PARTIAL: Final = re.compile(r"\.(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|undated)_[A-Za-z0-9_~-]+\.mp4\.part")


def file_name(task: Task) -> str:
    """Date of creation, model, what was asked for, task id; two tasks never share one, whatever their ids are."""
    day = _DAY.match(task.created_at or task.completed_at or "")
    slug = _slug(task.prompt or "")  # where it is missing, an id of two parts would be read as slug and id
    parts = [
        day[0] if day else "undated",
        _plain(task.model or "", _LONGEST_MODEL) or "video",
        slug,
        _own_part(task.id, slugged=bool(slug)),
    ]
    return "_".join(filter(None, parts)) + ".mp4"


def copies(name: str) -> Iterator[str]:
    """The name, and others for when it is taken."""
    yield name
    stem = name.removesuffix(".mp4")
    yield from (f"{stem}~{number}.mp4" for number in range(2, _COPIES + 1))


def partial_name(name: str) -> str:
    """The hidden name under which a file grows."""
    return f".{name}.part"


def is_partial(name: str) -> bool:
    """Whether a name in the folder is a partial file's of ours."""
    return _PARTIAL.fullmatch(name) is not None


def _own_part(task_id: str, *, slugged: bool) -> str:
    """The id, with a digest where it cannot stand as it is: ids that differ in case alone must not share a file."""
    part = _plain(task_id, _LONGEST_ID)
    if (part and part == task_id.lower() == task_id) or (slugged and _TWO_PARTS.fullmatch(task_id)):
        return task_id
    return f"{part or 'task'}~{hashlib.sha256(task_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _slug(prompt: str) -> str:
    """A prompt's beginning in plain words, cut between words where that leaves enough of it."""
    folded = unicodedata.normalize("NFKD", prompt[: _LONGEST_SLUG * 8].casefold())
    slug = _plain("".join(c for c in folded if not unicodedata.combining(c)), _LONGEST_SLUG + 1).strip("-")
    if len(slug) > _LONGEST_SLUG:
        words, _, rest = slug.rpartition("-")
        slug = words if len(rest) < _LONGEST_SLUG // 2 else slug[:_LONGEST_SLUG]
    return slug


def _plain(text: str, longest: int) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:longest]
