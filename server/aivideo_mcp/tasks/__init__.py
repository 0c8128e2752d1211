"""What is answered.

answers    the states, the typed answers, the envelope
overview   what is told of an account and of its tasks all at once
reading    tolerant reading of what the upstream says
addresses  which addresses may be shown and fetched
"""

from aivideo_mcp.tasks.addresses import fault_of, is_public, origin_of
from aivideo_mcp.tasks.answers import (
    Account,
    Answer,
    Catalogue,
    Envelope,
    Listed,
    Model,
    Output,
    Quote,
    Sighting,
    Status,
    Submission,
    Task,
)
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
