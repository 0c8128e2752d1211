"""How prompts are served: directly, since the SDK's own answer a missing argument with an error that says nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mcp.server.mcpserver import MCPServer
from mcp_types import (
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    PromptArgument,
    PromptMessage,
    TextContent,
)
from mcp_types import Prompt as McpPrompt

from aivideo_mcp.contracts import shown
from aivideo_mcp.errors import InvalidPayload
from aivideo_mcp.offers.boundary import boundary
from aivideo_mcp.offers.subscriptions import Ctx

if TYPE_CHECKING:
    from aivideo_mcp.offers.forms import Prompt


def add_prompts(server: MCPServer) -> None:
    """Serve the prompts."""
    low = server._lowlevel_server  # noqa: SLF001 - see above
    low.add_request_handler("prompts/list", PaginatedRequestParams, _every)
    low.add_request_handler("prompts/get", GetPromptRequestParams, _one)


@cache
def table() -> dict[str, Prompt]:
    """The prompts by name."""
    from aivideo_mcp.offers.texts import PROMPTS  # noqa: PLC0415 - folds all contracts, which start-up can do without

    return {prompt.name: prompt for prompt in PROMPTS}


async def _every(_: Ctx, __: PaginatedRequestParams) -> ListPromptsResult:
    return ListPromptsResult(
        prompts=[
            McpPrompt(
                name=prompt.name,
                title=prompt.title,
                description=prompt.description,
                arguments=[
                    PromptArgument(name=a.name, description=a.description, required=a.required)
                    for a in prompt.arguments
                ],
            )
            for prompt in table().values()
        ]
    )


async def _one(_: Ctx, params: GetPromptRequestParams) -> GetPromptResult:
    with boundary("a prompt"):
        prompt = table().get(params.name)
        if prompt is None:
            raise InvalidPayload(f"prompt {shown(params.name)} is unknown; use {', '.join(table())}")
        text = prompt.text(params.arguments or {})
    said = PromptMessage(role="user", content=TextContent(type="text", text=text))
    return GetPromptResult(description=prompt.description, messages=[said])
