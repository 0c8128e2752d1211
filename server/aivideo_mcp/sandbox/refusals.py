"""The upstream's way to say no: one error envelope for every refusal."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request that is answered with an error envelope.

    Args:
        status: HTTP status.
        message: What is wrong; never the value that was sent.
        code: `errorCode`, left out of the envelope where the upstream gives none.
        headers: Further response headers.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})

    @property
    def envelope(self) -> dict[str, str]:
        """The response body."""
        code = {} if self.code is None else {"errorCode": self.code}
        return {"status": "FAILED", **code, "message": self.message}


def invalid_payload(message: str) -> Refusal:
    """A 400 for a body or header that cannot be taken."""
    return Refusal(400, message, "INVALID_PAYLOAD")


def rate_limited(retry_after: int) -> Refusal:
    """A 429 with the real seconds to wait."""
    return Refusal(
        429,
        f"Too many requests, retry after {retry_after} s",
        "RATE_LIMITED",
        {"Retry-After": str(retry_after)},
    )
