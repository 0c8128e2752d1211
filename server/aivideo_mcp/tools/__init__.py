"""The tools.

table      one row a tool: words, annotations, schemas, handler
handlers   what each does
history    those that look back: the account, the list of tasks, a video to be saved
arguments  the arguments beside the generation fields
"""

from aivideo_mcp.tools.handlers import Call
from aivideo_mcp.tools.table import TOOLS, Hints, Tool

__all__ = ["TOOLS", "Call", "Hints", "Tool"]
