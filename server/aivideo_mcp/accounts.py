"""What the account says of itself, asked for seldom and kept."""

from __future__ import annotations

from typing import Final

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import AivideoError
from aivideo_mcp.tasks import Account

_KEPT: Final = 600.0  # seconds for which an answer is believed
_AGAIN: Final = 60.0  # seconds after which an account that could not be asked is asked again
_PATIENCE: Final = 5.0  # seconds that a create waits for it; the upstream decides where it is silent


class Accounts:
    """The account behind the API key.

    Args:
        upstream: Whom to ask.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._asking = anyio.Lock()
        self._account: Account | None = None
        self._until = float("-inf")
        self._changed = False

    @property
    def kept(self) -> Account | None:
        """The last answer, however old."""
        return self._account

    async def current(self) -> tuple[Account, float]:
        """The account and its age in seconds, at most 10 minutes, and not from before the last create.

        Raises:
            AivideoError: It cannot be asked.
        """
        async with self._asking:
            if self._account is None or self._changed or anyio.current_time() > self._until:
                self._account = await self._upstream.account()
                self._until = anyio.current_time() + _KEPT
                self._changed = False
            return self._account, _KEPT - (self._until - anyio.current_time())

    async def served(self) -> tuple[str, ...] | None:
        """The models that it serves; None where it cannot be asked right now, or does not say."""
        async with self._asking:
            if anyio.current_time() > self._until:
                self._until = anyio.current_time() + _AGAIN
                with anyio.move_on_after(_PATIENCE):
                    try:
                        self._account = await self._upstream.account(tries=1)
                        self._until = anyio.current_time() + _KEPT
                        self._changed = False
                    except AivideoError:
                        self._account = None
            return self._account.supported_models if self._account else None

    def note_charge(self) -> None:
        """The balance has changed: who asks for it next is not told the old one."""
        self._changed = True
