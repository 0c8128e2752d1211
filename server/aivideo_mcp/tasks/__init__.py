"""What is answered.

answers   the states, the typed answers, the envelope
reading   tolerant reading of what the upstream says
"""

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
from aivideo_mcp.tasks.reading import check_task_id, quoted, read_reason

__all__ = [
    "Account",
    "Answer",
    "Catalogue",
    "Envelope",
    "Listed",
    "Model",
    "Output",
    "Quote",
    "Sighting",
    "Status",
    "Submission",
    "Task",
    "check_task_id",
    "quoted",
    "read_reason",
]
