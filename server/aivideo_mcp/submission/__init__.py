"""From a request to its task.

submissions   at most one charge for each intent
recovery      what became of a create whose answer was lost
"""

from aivideo_mcp.submission.recovery import Made
from aivideo_mcp.submission.submissions import Submissions, Terms

__all__ = ["Made", "Submissions", "Terms"]
