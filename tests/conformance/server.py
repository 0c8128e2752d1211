"""Our server with what the conformance suite wants to find in one: `server.py serve --sandbox --transport http`.

It starts as the command does, with the same settings, sandbox, receipts and transports. What our own rows can express
is registered through our own rows, so that the suite sees our registration, arguments, progress and errors; the rest,
such as pictures in a result, is the SDK's.
"""

from __future__ import annotations

from fixtures import FIXTURE_PROMPTS, FIXTURE_TOOLS
from mcp.server.mcpserver import MCPServer
from mcp_types import (
    GetPromptRequestParams,
    ListPromptsResult,
    PaginatedRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from sdk_fixtures import add_sdk_fixtures

from aivideo_mcp import app, cli
from aivideo_mcp.offers.prompts import table
from aivideo_mcp.offers.subscriptions import Ctx
from aivideo_mcp.receipts import Receipts
from aivideo_mcp.workflow import Workflow

WATCHED = "test://watched-resource"
build_server = app.build_server


def build_with_fixtures(workflow: Workflow, receipts: Receipts | None = None, *, sandbox: bool = False) -> MCPServer:
    server = build_server(workflow, receipts, sandbox=sandbox)
    for row in FIXTURE_TOOLS:
        server._tool_manager._tools[row.name] = app._registered(row, workflow, receipts)
    table().update({prompt.name: prompt for prompt in FIXTURE_PROMPTS})
    add_sdk_fixtures(server)
    join_prompts(server)
    watch_a_task(server)
    return server


def join_prompts(server: MCPServer) -> None:
    """Our prompts, which replace the SDK's, beside those of the SDK's that hold more than text."""
    low = server._lowlevel_server
    ours_listed, ours_given = (low.get_request_handler(f"prompts/{verb}").handler for verb in ("list", "get"))

    async def listed(ctx: Ctx, params: PaginatedRequestParams) -> ListPromptsResult:
        ours, theirs = await ours_listed(ctx, params), await server._handle_list_prompts(ctx, params)
        return ListPromptsResult(prompts=[*ours.prompts, *theirs.prompts])

    async def given(ctx: Ctx, params: GetPromptRequestParams) -> object:
        theirs = any(prompt.name == params.name for prompt in server._prompt_manager.list_prompts())
        return await (server._handle_get_prompt if theirs else ours_given)(ctx, params)

    low.add_request_handler("prompts/list", PaginatedRequestParams, listed)
    low.add_request_handler("prompts/get", GetPromptRequestParams, given)


def watch_a_task(server: MCPServer) -> None:
    """The suite subscribes to a resource of its own; ours are tasks, so a task stands behind its address."""
    low = server._lowlevel_server

    for verb, kind in (("subscribe", SubscribeRequestParams), ("unsubscribe", UnsubscribeRequestParams)):
        ours = low.get_request_handler(f"resources/{verb}").handler

        async def handle(ctx: Ctx, params: SubscribeRequestParams, ours: object = ours) -> object:
            uri = "aivideo://tasks/ck_conformance" if str(params.uri) == WATCHED else params.uri
            return await ours(ctx, params.model_copy(update={"uri": uri}))

        low.add_request_handler(f"resources/{verb}", kind, handle)


if __name__ == "__main__":
    app.build_server = build_with_fixtures
    cli.main()
