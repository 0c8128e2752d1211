"""JSON responses, in a form that any text survives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from aivideo_mcp.sandbox.refusals import Refusal


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response in ASCII: prompts may hold lone surrogates, which UTF-8 cannot write."""
    return Response(json.dumps(content), status, headers=headers, media_type="application/json")


def answer_refusal(refusal: Refusal) -> Response:
    """The error envelope with its status and headers."""
    return answer(refusal.envelope, refusal.status, refusal.headers)
