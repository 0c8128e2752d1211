"""How prompts are served: what a user fills in, checked, and one message out.

What a user writes into an argument goes to a model. It is bounded, folded to one line and quoted, as data.
The SDK's own prompts answer a missing argument with an error that says nothing, so these are served directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

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
from aivideo_mcp.tasks import quoted


@dataclass(frozen=True, slots=True)
class Argument:
    """What a user may fill in; one of `choices` where there are any, at most `longest` characters."""

    name: str
    description: str
    longest: int = 20
    required: bool = False
    choices: tuple[str, ...] = ()

    def read(self, value: str) -> str:
        """The value as a prompt may repeat it.

        Raises:
            InvalidPayload: It is too long, or none of the choices.
        """
        if len(value) > self.longest:
            raise InvalidPayload(f"{self.name} has {len(value)} characters; at most {self.longest} are allowed")
        if self.choices and value.strip() not in self.choices:
            raise InvalidPayload(f"{self.name} {shown(value)} is not allowed; use {', '.join(self.choices)}")
        return quoted(value, self.longest) or ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row of the table of prompts; `write` takes the arguments that were filled in."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    write: Callable[[Mapping[str, str]], str]

    def text(self, arguments: Mapping[str, str]) -> str:
        """The prompt.

        Raises:
            InvalidPayload: With the argument at fault and what is allowed.
        """
        known = {argument.name: argument for argument in self.arguments}
        if odd := next((name for name in arguments if name not in known), None):
            raise InvalidPayload(f"{shown(odd)} is not an argument of {self.name}, which takes {', '.join(known)}")
        filled = {name: value for name, value in arguments.items() if value.strip()}  # hosts send empty fields as ""
        given = {name: read for name, value in filled.items() if (read := known[name].read(value))}
        if missing := next((a for a in self.arguments if a.required and a.name not in given), None):
            raise InvalidPayload(f"{missing.name} is missing: {missing.description}")
        return self.write(given)


def add_prompts(server: MCPServer, table: Iterable[Prompt]) -> None:
    """Serve the prompts of a table."""
    prompts = {prompt.name: prompt for prompt in table}
    listed = [
        McpPrompt(
            name=prompt.name,
            title=prompt.title,
            description=prompt.description,
            arguments=[
                PromptArgument(name=a.name, description=a.description, required=a.required) for a in prompt.arguments
            ],
        )
        for prompt in prompts.values()
    ]

    async def every(_: Ctx, __: PaginatedRequestParams) -> ListPromptsResult:
        return ListPromptsResult(prompts=listed)

    async def one(_: Ctx, params: GetPromptRequestParams) -> GetPromptResult:
        with boundary("a prompt"):
            prompt = prompts.get(params.name)
            if prompt is None:
                raise InvalidPayload(f"prompt {shown(params.name)} is unknown; use {', '.join(prompts)}")
            text = prompt.text(params.arguments or {})
        said = PromptMessage(role="user", content=TextContent(type="text", text=text))
        return GetPromptResult(description=prompt.description, messages=[said])

    low = server._lowlevel_server  # noqa: SLF001 - see above
    low.add_request_handler("prompts/list", PaginatedRequestParams, every)
    low.add_request_handler("prompts/get", GetPromptRequestParams, one)
