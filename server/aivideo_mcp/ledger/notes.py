"""The ledger where a call goes on without it: a note that fails is logged, what cannot be read is not known."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from aivideo_mcp.errors import LedgerUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")


async def noted(taking_down: Awaitable[T], lost: str | None = None) -> T | None:
    """What taking something down answers; None where it cannot be, which is logged together with what is lost by it."""
    try:
        return await taking_down
    except LedgerUnavailable as failure:
        logger.error("%s", f"{lost}: {failure.message}" if lost else failure.message)  # noqa: TRY400 - one line is enough
        return None


async def recalled(look: Awaitable[T]) -> T | None:
    """What a look into the ledger shows; None where it cannot be read, which those say who need it."""
    try:
        return await look
    except LedgerUnavailable:
        return None
