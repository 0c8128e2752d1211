"""The tools.

table      one row a tool: words, annotations, schemas, handler
handlers   what each does
consent    the user's yes to a price
call       what a call brings along
history    those that look back: the account, the list of tasks, a video to be saved
arguments  the arguments beside the generation fields
"""

from aivideo_mcp.tools.call import Answered, Call
from aivideo_mcp.tools.table import TOOLS, Hints, Tool

__all__ = ["TOOLS", "Answered", "Call", "Hints", "Tool"]
