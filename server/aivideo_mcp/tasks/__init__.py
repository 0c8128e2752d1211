"""What is answered.

answers    the states, the typed answers, the envelope
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
from aivideo_mcp.tasks.reading import check_task_id, quoted, read_reason, read_word

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
    "fault_of",
    "is_public",
    "origin_of",
    "quoted",
    "read_reason",
    "read_word",
]
