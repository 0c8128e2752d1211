"""Saved videos, as something that a client can read."""

from __future__ import annotations

from typing import Final

from mcp.server.mcpserver import MCPServer
from mcp.shared.uri_template import UriTemplate

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.offers.boundary import boundary
from aivideo_mcp.tasks import check_task_id
from aivideo_mcp.workflow import Workflow

VIDEO_URI: Final = "aivideo://videos/{taskId}"
MP4: Final = "video/mp4"
_TEMPLATE: Final = UriTemplate.parse(VIDEO_URI)


def video_uri(task_id: str) -> str:
    """Where a task's saved video can be read."""
    return _TEMPLATE.expand({"taskId": task_id})


def add_videos(server: MCPServer, workflow: Workflow) -> None:
    """Add the saved videos to a server."""

    @server.resource(
        VIDEO_URI,
        name="video",
        title="A saved video",
        description="The MP4 that this server saved for a task, up to 64 MiB; download_video saves one.",
        mime_type=MP4,
    )
    async def _video(taskId: str) -> bytes:  # noqa: N803 - the template's variable
        with boundary(VIDEO_URI):
            task_id = check_task_id(taskId)
            if workflow.shelf is None:
                raise DownloadFailed(
                    "AIVIDEO_OUTPUT_DIR is not set, so no videos are saved here.",
                    next_steps=("Call get_task for videoUrl.",),
                    task_id=task_id,
                )
            return await workflow.shelf.read(task_id)
