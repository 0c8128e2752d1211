"""From a request to its task.

submissions   from a request to its intent
sending       from an intent to its task, with at most one charge
spending      what a create may cost
recovery      what became of a create whose answer was lost
"""

from aivideo_mcp.submission.recovery import Made
from aivideo_mcp.submission.spending import Terms
from aivideo_mcp.submission.submissions import Submissions

__all__ = ["Made", "Submissions", "Terms"]
