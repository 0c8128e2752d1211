"""What is answered.

envelope     around every answer
overview     what is told of an account and of its tasks all at once
generations  the states of a task, a task, a create that was accepted
accounts     balance and limits, and what a request would cost
catalogue    the models, as they are told
answers      what every answer is
reading      tolerant reading of what the upstream says
addresses    which addresses may be shown and fetched
"""

from aivideo_mcp.tasks.accounts import Account, Quote
from aivideo_mcp.tasks.addresses import fault_of, is_public, origin_of
from aivideo_mcp.tasks.answers import Answer
from aivideo_mcp.tasks.catalogue import Catalogue, Model
from aivideo_mcp.tasks.envelope import Envelope
from aivideo_mcp.tasks.generations import Listed, Output, Sighting, Status, Submission, Task
from aivideo_mcp.tasks.overview import History, Past, Standing
from aivideo_mcp.tasks.reading import check_task_id, quoted, read_reason, read_time, read_word, written

__all__ = [
    "Account",
    "Answer",
    "Catalogue",
    "Envelope",
    "History",
    "Listed",
    "Model",
    "Output",
    "Past",
    "Quote",
    "Sighting",
    "Standing",
    "Status",
    "Submission",
    "Task",
    "check_task_id",
    "fault_of",
    "is_public",
    "origin_of",
    "quoted",
    "read_reason",
    "read_time",
    "read_word",
    "written",
]
