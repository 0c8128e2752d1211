"""From a reply to its JSON object, or to the failure that it means.

The envelope is judged, not only the status line: a 200 may hold FAILED or an HTML page, an error may be a string
or an object. The body's `errorCode` is believed before the HTTP status.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

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
        raise PageNotFound(f"The upstream answered 404 with {_kind_of(reply)} content, as if the address were wrong.")
    raise _failure(reply.status, body or {}, _retry_after(reply.headers.get("retry-after"), now))


def _read_object(body: bytes, secret: str) -> dict[str, Any] | None:
    text = _struck(body.decode("utf-8", "replace"), secret)
    try:
        value = json.loads(text)
        if "\\u" in text:  # an escaped key is not in the text but in what it says
            value = json.loads(_struck(json.dumps(value, ensure_ascii=False), secret))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _struck(text: str, secret: str) -> str:
    """Not for what is shorter than any real key: a key `a`, fit for the sandbox at most, would ruin every answer."""
    return text.replace(secret, "[key]") if len(secret) >= _SECRET else text


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
        try:
            date = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(seconds, LONGEST_PAUSE) if math.isfinite(seconds) and seconds >= 0 else None


def _kind_of(reply: Reply) -> str:
    if not reply.body.strip():
        return "empty"
    if b"<html" in reply.body[:500].lower() or "html" in reply.headers.get("content-type", ""):
        return "an HTML page"
    return "unreadable"
