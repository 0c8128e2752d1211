"""What the server offers beside tools.

resources      the models, each model's exact schema, each task as it stands
videos         saved videos
subscriptions  who is told that a task changed, in both eras of the protocol
prompts        how prompts are served
texts, forms   the prompts, a few good ways to begin; what they are made of
completions    the names of models and tasks, while somebody types
boundary       where errors of all of these end
icons          what hosts show beside the server's name
"""

from mcp.server.mcpserver import MCPServer

from aivideo_mcp.offers.completions import add_completions
from aivideo_mcp.offers.icons import ICONS
from aivideo_mcp.offers.prompts import add_prompts
from aivideo_mcp.offers.resources import add_resources
from aivideo_mcp.offers.subscriptions import add_subscriptions
from aivideo_mcp.offers.videos import MP4, add_videos, video_uri
from aivideo_mcp.workflow import Workflow

__all__ = ["ICONS", "MP4", "add_offers", "video_uri"]


def add_offers(server: MCPServer, workflow: Workflow) -> None:
    """Add all of it to a server."""
    add_resources(server, workflow)
    add_videos(server, workflow)
    add_subscriptions(server, workflow)
    add_prompts(server)
    add_completions(server, workflow)
