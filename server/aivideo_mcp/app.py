"""The table of tools becomes an MCP server: registration, arguments as they came, progress, results."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool as McpTool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult, ContentBlock, InputRequiredResult, ResourceLink, TextContent, ToolAnnotations
from pydantic import ConfigDict

from aivideo_mcp import __version__
from aivideo_mcp.asking import ClientAsker, roots_of
from aivideo_mcp.errors import NetworkError
from aivideo_mcp.offers import ICONS, MP4, add_offers, video_uri
from aivideo_mcp.receipts import Receipts
from aivideo_mcp.reporting import Tell
from aivideo_mcp.schemas import answer_schema
from aivideo_mcp.tasks import Envelope, Task
from aivideo_mcp.tools import TOOLS, Call, Tool
from aivideo_mcp.workflow import Workflow

logger = logging.getLogger(__name__)

_HUNG_UP: Final = 2.0  # seconds between two looks at whether a client of HTTP is still there
INSTRUCTIONS = """\
Makes videos with AIVideoMaker; each video costs credits, charged when it is created.
One video: generate_video. It takes minutes; if it answers PROGRESS, call it again with only the taskId it gave.
Several at once: create_generation for each, then generate_video with each taskId.
Tell the user the price first (quote_generation); a CONFIRMATION_REQUIRED is theirs to answer, never yours.
After a slow or lost answer make the same generate_video call again, unchanged: it joins and pays nothing. After
create_generation look into list_tasks first, which finds ids that were lost: the same call would pay again.
Files vanish upstream after 24 hours: download_video saves them, if the user has set an output folder.
"""
SANDBOX_NOTE = "THIS IS A SANDBOX: no real video is made and no real credits are spent; files are sample clips.\n"


class _Raw(ArgModelBase):
    """A call's arguments exactly as they came: our contracts check them, unknown ones included."""

    model_config = ConfigDict(extra="allow")

    def model_dump_one_level(self) -> dict[str, Any]:
        return {"arguments": dict(self.model_extra or {})}


def build_server(workflow: Workflow, receipts: Receipts | None = None, *, sandbox: bool = False) -> MCPServer:
    """An MCP server over an open workflow.

    Args:
        workflow: What does the work; must stay open as long as the server runs.
        receipts: What the transport reports to. Without it an outcome counts as delivered when its tool returns.
        sandbox: Whether the upstream is the embedded sandbox, which the server then says of itself.
    """
    server = MCPServer(
        "aivideo-mcp",
        title="AIVideoMaker (sandbox)" if sandbox else "AIVideoMaker",
        version=__version__,
        instructions=(SANDBOX_NOTE if sandbox else "") + INSTRUCTIONS,
        icons=ICONS,
        tools=[_registered(tool, workflow, receipts) for tool in TOOLS],
        log_level="WARNING",
    )
    add_offers(server, workflow)
    return server


def _registered(tool: Tool, workflow: Workflow, receipts: Receipts | None) -> McpTool:
    async def run(arguments: Mapping[str, Any], ctx: Context) -> CallToolResult | InputRequiredResult:
        seen = "progress_token" in (ctx.request_context.meta or {})
        asker = ClientAsker(ctx)
        call = Call(arguments, _teller(ctx), seen=seen, asker=asker, roots=functools.partial(roots_of, ctx))
        envelope = await _while_connected(ctx, tool.call(workflow, call))
        if envelope is None:
            return _result(Envelope.failure(NetworkError("The client hung up.")))
        if asker.question is not None:
            return asker.question
        note: dict[str, object] | None = None
        if tool.hands_over and envelope.outcome and envelope.task_id:
            if receipts is None:
                workflow.note_delivery(envelope.task_id)
            else:
                note = receipts.attach(envelope.task_id)
        return _result(envelope, note)

    return McpTool(
        fn=run,
        name=tool.name,
        title=tool.title,
        description=tool.description,
        parameters=tool.input_schema(),
        fn_metadata=FuncMetadata(arg_model=_Raw, output_schema=answer_schema(Envelope, tool.answer)),
        is_async=True,
        context_kwarg="ctx",
        annotations=ToolAnnotations(
            read_only_hint=tool.hints.read_only,
            destructive_hint=tool.hints.destructive,
            idempotent_hint=tool.hints.idempotent,
            open_world_hint=tool.hints.open_world,
        ),
    )


async def _while_connected(ctx: Context, call: Awaitable[Envelope]) -> Envelope | None:
    """A call's envelope; None when its client hung up before it was there.

    The SDK cancels a call whose client leaves, but for streamable HTTP in the older eras. On SSE the request is a
    finished POST, and a client that hangs up ends its session and this call with it.
    """
    request = ctx.request_context.request
    if request is None or "session_id" in request.query_params:
        return await call
    envelope: Envelope | None = None
    async with anyio.create_task_group() as group:

        async def end_when_left() -> None:
            while not await request.is_disconnected():  # noqa: ASYNC110 - a connection tells nobody that it closed
                await anyio.sleep(_HUNG_UP)
            group.cancel_scope.cancel()

        group.start_soon(end_when_left)
        envelope = await call
        if await request.is_disconnected():
            envelope = None
        group.cancel_scope.cancel()
    return envelope


def _teller(ctx: Context) -> Tell:
    """Progress notifications for one call: strictly increasing seconds, no invented total."""
    started = anyio.current_time()
    last = 0.0

    async def tell(message: str) -> None:
        nonlocal last
        last = max(round(anyio.current_time() - started, 3), last + 0.001)
        try:
            await ctx.report_progress(last, None, message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):  # the client is gone; the task is not
            logger.info("progress could not be delivered")

    return tell


def _result(envelope: Envelope, note: dict[str, object] | None = None) -> CallToolResult:
    content: list[ContentBlock] = [TextContent(type="text", text=envelope.text)]
    if isinstance(task := envelope.data, Task) and task.file:
        uri, name = video_uri(task.id), Path(task.file).name
        content.append(ResourceLink(type="resource_link", uri=uri, name=name, mime_type=MP4, size=task.file_size))
    return CallToolResult(
        **({} if note is None else {"_meta": note}),
        content=content,
        structured_content=envelope.model_dump(mode="json", by_alias=True),
        is_error=not envelope.ok,
    )
