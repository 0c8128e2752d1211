"""How a client is asked: for the user's yes, in either era of the protocol, and for its own folders."""

from __future__ import annotations

import logging
from typing import Any, Final

import anyio
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from aivideo_mcp.tools import Answered

logger = logging.getLogger(__name__)

_STATELESS: Final = "2026-07-28"  # from this protocol on a client answers by calling again
_QUESTION: Final = "consent"
_PATIENCE: Final = 5.0  # seconds that a client gets to name its folders
# No default: a client that fills forms by itself, unseen by the user, has nothing to fill in.
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"confirm": {"type": "boolean", "title": "Yes, spend these credits"}},
    "required": ["confirm"],
}


class ClientAsker:
    """Asks the user behind one call.

    Args:
        ctx: The call's context.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._later = (ctx.protocol_version or "") >= _STATELESS
        capabilities = ctx.client_capabilities
        asks = capabilities.elicitation if capabilities else None
        self._can_ask = asks is not None and (asks.form is not None or asks.url is None)
        self.question: InputRequiredResult | None = None
        """What the call has to answer instead of its result."""

    @property
    def earlier(self) -> tuple[Answered, str] | None:
        """The answer that a client brings along when it calls again."""
        given = (self._ctx.input_responses or {}).get(_QUESTION) if self._later else None
        if not isinstance(given, ElicitResult) or self._ctx.request_state is None:
            return None
        return _read(given), self._ctx.request_state

    async def ask(self, question: str) -> Answered:
        """Ask during the call, where the protocol has that."""
        if not self._can_ask or self._later:
            return Answered.UNASKED
        try:
            return _read(await self._ctx.session.elicit_form(question, _FORM, related_request_id=self._ctx.request_id))
        except (MCPError, ValueError) as fault:  # it said that it can ask, and cannot
            logger.info("the client could not ask the user: %s", type(fault).__name__)
            return Answered.UNASKED

    def leave(self, question: str, code: str) -> None:
        """Have the client ask and call again, unless it did so already and brought no answer."""
        if self._can_ask and self._later and self.earlier is None:
            form = ElicitRequestFormParams(message=question, requested_schema=_FORM)
            self.question = InputRequiredResult(
                input_requests={_QUESTION: ElicitRequest(params=form)}, request_state=code
            )


def _read(answer: ElicitResult) -> Answered:
    """What an answer says. A form that was not filled in, or closed, is no answer."""
    if answer.action == "decline":
        return Answered.NO
    confirmed = (answer.content or {}).get("confirm") if answer.action == "accept" else None
    if confirmed in (True, "true"):
        return Answered.YES
    return Answered.NO if confirmed in (False, "false") else Answered.UNASKED


async def roots_of(ctx: Context) -> tuple[str, ...]:
    """The folders that a client offers, as `file://` URIs; none where it offers none or does not answer.

    From 2026-07-28 on a client cannot be asked during a call, so only the folders of the settings count there.
    """
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.roots is None or (ctx.protocol_version or "") >= _STATELESS:
        return ()
    with anyio.move_on_after(_PATIENCE):
        try:
            return tuple(str(root.uri) for root in (await ctx.session.list_roots()).roots)
        except MCPError:
            logger.info("the client offers roots and could not name them")
    return ()
