"""From a request to its task.

submissions   at most one charge for each intent
spending      what a create may cost
recovery      what became of a create whose answer was lost
"""

from aivideo_mcp.submission.recovery import Made
from aivideo_mcp.submission.spending import Terms
from aivideo_mcp.submission.submissions import Submissions

__all__ = ["Made", "Submissions", "Terms"]
