"""From a reply to its JSON object, or to the failure that it means.

The envelope is judged, not only the status line: a 200 may hold FAILED or an HTML page, an error may be a string
or an object. The body's `errorCode` is believed before the HTTP status.
"""

from __future__ import annotations

import functools
import html
import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, quote_plus

from aivideo_mcp.client.connection import LARGE
from aivideo_mcp.client.exchange import Reply
from aivideo_mcp.errors import (
    AivideoError,
    AuthFailed,
    BrokenAnswer,
    ContentRejected,
    IdempotencyConflict,
    InsufficientCredits,
    InvalidInput,
    InvalidPayload,
    NetworkError,
    PageNotFound,
    RateLimited,
    Redirected,
    Refused,
    TaskNotFound,
    UnknownError,
    codes,
)
from aivideo_mcp.tasks import Status, quoted, read_reason

LONGEST_PAUSE: Final = 3600.0  # seconds; a Retry-After beyond it is taken for a mistake
USUAL_PAUSE: Final = 60.0  # seconds; the query limit is per minute

_SECRET: Final = 8  # characters from which on a key is secret
_SHOWN: Final = 16 * 1024  # characters of one text of which a part may be shown
_BY_STATUS: Final[Mapping[int, type[AivideoError]]] = {
    400: InvalidPayload,
    401: AuthFailed,
    402: InsufficientCredits,
    403: AuthFailed,
    404: TaskNotFound,
    408: NetworkError,
    409: IdempotencyConflict,
    413: InvalidPayload,
    422: ContentRejected,
    429: RateLimited,
}
_FILTERED: Final = (
    *AuthFailed.advice,
    "If the key is right, a filter in front of the API may refuse our User-Agent: try AIVIDEO_USER_AGENT.",
)


def judge(reply: Reply, *, now: datetime, secret: str, state_alone: bool = False) -> dict[str, Any]:
    """The JSON object of a successful reply.

    Args:
        reply: What came back.
        now: Wall time, for a Retry-After that is a date.
        secret: The API key, struck out wherever the upstream echoes it.
        state_alone: Whether a bare `{"status": "FAILED"}` is a task's state and no failure of the call.

    Raises:
        AivideoError: The failure that the reply means, with the upstream's words quoted and bounded.
    """
    if 300 <= reply.status < 400:  # noqa: PLR2004 - HTTP's own numbers
        raise Redirected(f"The upstream answered with a redirect ({reply.status}), which is not followed with the key.")
    body = _read_object(reply.body, secret)
    if reply.status < 300:  # noqa: PLR2004
        if body is None:
            raise BrokenAnswer(f"The upstream's answer is {_kind_of(reply)}, not a JSON object.")
        if not _is_refusal(body, state_alone=state_alone):
            return body
    if reply.status == 404 and body is None:  # noqa: PLR2004
        raise PageNotFound(
            f"The upstream answered 404 with {_kind_of(reply)} in place of JSON, as if the address were wrong."
        )
    raise _failure(reply.status, body or {}, _retry_after(reply.headers.get("retry-after"), now))


def _read_object(body: bytes, secret: str) -> dict[str, Any] | None:
    try:
        text = body.decode("utf-8", "replace")
        value = json.loads(text)
        if len(secret) >= _SECRET and _may_echo(text, value, _echoes(secret)):  # a key `a` would ruin every answer
            value = _struck(value, _echoes(secret))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _may_echo(text: str, value: object, echoes: tuple[str, ...]) -> bool:
    """Whether it is worth to go through a value text by text, which takes thirty times as long as reading it."""
    if len(text) > LARGE:  # is read in a thread, and is slow to write anew
        return True
    lower = (json.dumps(value, ensure_ascii=False) if "\\" in text else text).lower()  # undoes what JSON escaped
    return any(echo in lower for echo in echoes)


def _struck(value: Any, echoes: tuple[str, ...]) -> Any:  # noqa: ANN401 - what JSON may hold
    """A value without the key in any of its texts, whichever way JSON wrote it."""
    if isinstance(value, dict):
        return {_struck(name, echoes): _struck(inner, echoes) for name, inner in value.items()}
    if isinstance(value, list):
        return [_struck(inner, echoes) for inner in value]
    if not isinstance(value, str):
        return value
    lower = value[:_SHOWN].lower()  # what follows is a picture, and is shown to nobody
    if not any(echo in lower for echo in echoes):
        return value
    return re.sub("|".join(map(re.escape, echoes)), "[key]", value[:_SHOWN], flags=re.IGNORECASE)


@functools.lru_cache(maxsize=4)
def _echoes(secret: str) -> tuple[str, ...]:
    """The key as a service might repeat it, in small letters: plain, in a URL, a page, JSON, base64, hex."""
    data, escaped = secret.encode(), json.dumps(secret)[1:-1]
    forms = {secret, escaped, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    forms |= {html.escape(secret), json.dumps(escaped)[1:-1]}
    forms |= {data.hex(), "".join(f"%{byte:02x}" for byte in data)}
    for before, first in ((0, 0), (1, 2), (2, 3)):  # base64 depends on how many bytes stand before it
        coded = b64encode(b"\0" * before + data).decode().rstrip("=")
        whole = coded[first : len(coded) - (1 if (before + len(data)) % 3 else 0)]
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    return tuple(sorted({form.lower() for form in forms}, key=len, reverse=True))


def _is_refusal(body: Mapping[str, Any], *, state_alone: bool) -> bool:
    """Whether a 2xx body is an error envelope rather than a task that FAILED."""
    if any(body.get(name) for name in ("id", "taskId")):
        return False
    if body.get("ok") is False:
        return True
    if body.get("status") != Status.FAILED:
        return False
    return not state_alone or any(body.get(key) for key in ("errorCode", "message", "error"))


def _failure(status: int, body: Mapping[str, Any], retry_after: float | None) -> AivideoError:
    code = body.get("errorCode")
    kind = codes().get(code) if isinstance(code, str) else None
    if kind and issubclass(kind, Refused | InvalidInput):
        pass  # believed
    elif status >= 500:  # noqa: PLR2004
        kind = NetworkError
    else:
        kind = _BY_STATUS.get(status, UnknownError)
    told = quoted(body.get("message")) or read_reason(body.get("error")) or quoted(code, 60)
    words = f'; it says: "{told}"' if told else "; it gives no reason"
    text = f"The upstream refused the call ({status}){words}."
    if kind is RateLimited:
        return kind(text, retry_after=retry_after if retry_after is not None else USUAL_PAUSE)
    if kind is AuthFailed and status == 403:  # noqa: PLR2004
        return kind(text, next_steps=_FILTERED)
    return kind(text, retry_after=retry_after)


def _retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After asks for, as seconds or as a date; None where it makes no sense."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        if (date := read_date(header)) is None:
            return None
        seconds = (date - now).total_seconds()
    return min(seconds, LONGEST_PAUSE) if math.isfinite(seconds) and seconds >= 0 else None


def read_date(header: str) -> datetime | None:
    """The time that a header names, as UTC where it names no zone; None where it names no time."""
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)


def _kind_of(reply: Reply) -> str:
    if not reply.body.strip():
        return "empty"
    if b"<html" in reply.body[:500].lower() or "html" in reply.headers.get("content-type", ""):
        return "an HTML page"
    return "unreadable"
