"""The user's yes to a price: asked through the client where it can ask, else by a code that is given in the chat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from aivideo_mcp.contracts import Contract
from aivideo_mcp.errors import ConfirmationDeclined, ConfirmationRequired
from aivideo_mcp.reporting import told_meanwhile
from aivideo_mcp.submission import Terms
from aivideo_mcp.tools.call import Answered, Call
from aivideo_mcp.workflow import Workflow

T = TypeVar("T")


async def agreed(
    workflow: Workflow, call: Call, request: Contract, terms: Terms, make: Callable[[Terms], Awaitable[T]]
) -> T:
    """What `make` makes of a request, once the user has agreed to its price where that is needed.

    Raises:
        ConfirmationDeclined: The user said no.
        ConfirmationRequired: Nobody could be asked; with a code for the user's yes in the chat.
    """
    if call.asker.earlier is not None:
        answer, code = call.asker.earlier
        if answer is Answered.NO:
            raise ConfirmationDeclined("The user said no, so it was not sent.")
        if answer is Answered.YES:
            terms = replace(terms, confirmation_code=code)
    try:
        return await make(terms)
    except ConfirmationRequired as needed:
        question, price = needed.question, needed.price
    answer = await told_meanwhile(call.asker.ask(question), call.tell, "Waiting for the user's answer")
    if answer is Answered.YES:
        return await make(replace(terms, agreed=price, confirmation_code=None))
    if answer is Answered.NO:
        raise ConfirmationDeclined(f"The user said no to: {question} It was not sent.")
    code = await workflow.code_for(request, price)
    call.asker.leave(question, code)
    raise ConfirmationRequired(
        question,
        price=price,
        next_steps=(
            "Show the user this question. The yes is theirs to give: never answer it yourself.",
            f'If they agree, make the same call with confirmationCode "{code}" (10 minutes, once, for this price).',
        ),
    )
