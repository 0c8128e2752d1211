"""Where errors of resources, prompts and completions end: as protocol errors that say what can be done.

Left to the SDK, older clients would get an exception's text and newer ones nothing but "Internal server error".
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mcp import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from aivideo_mcp.errors import AivideoError
from aivideo_mcp.tasks import Envelope

logger = logging.getLogger(__name__)

_ASKED_WRONGLY: Final = frozenset({"INVALID_MODEL", "INVALID_PAYLOAD", "TASK_NOT_FOUND", "DOWNLOAD_FAILED"})


@contextmanager
def boundary(what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into an `MCPError` that tells nothing of the inside.

    Args:
        what: What is at work, for the log.
    """
    try:
        yield
    except MCPError:
        raise
    except AivideoError as failure:
        raise refusal(Envelope.failure(failure)) from None
    except Exception:
        logger.exception("%s broke", what)
        raise MCPError(INTERNAL_ERROR, "This server made a mistake; its log on stderr has the details.") from None


def refusal(envelope: Envelope, uri: str | None = None) -> MCPError:
    """The protocol error that an envelope without success amounts to."""
    told = {"errorCode": envelope.error_code, "retryAfter": envelope.retry_after, "nextSteps": envelope.next_steps}
    return MCPError(
        INVALID_PARAMS if envelope.error_code in _ASKED_WRONGLY else INTERNAL_ERROR,
        f"{envelope.error_code}: {envelope.error_message}",
        told if uri is None else {"uri": uri, **told},
    )
