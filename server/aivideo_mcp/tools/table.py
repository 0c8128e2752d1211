"""The table of tools, in our own types: one row is all there is to say about a tool.

Registration, snapshots, the README and the checks over all tools are folds over `TOOLS`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aivideo_mcp.errors import AivideoError, UnknownError
from aivideo_mcp.schemas import Schema, generation_properties
from aivideo_mcp.tasks import Answer, Catalogue, Envelope, History, Quote, Sighting, Standing, Submission, Task
from aivideo_mcp.tools import handlers, history
from aivideo_mcp.tools.call import Call
from aivideo_mcp.workflow import Workflow

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hints:
    """The four annotations of MCP, in the protocol's words."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool = True


@dataclass(frozen=True, slots=True)
class Tool:
    """One row of the table; `hands_over` is whether its answer is what a generation was paid for."""

    name: str
    title: str
    description: str
    hints: Hints
    properties: Callable[[], Schema]
    required: tuple[str, ...]
    answer: type[Answer]
    handle: Callable[[Workflow, Call], Awaitable[Envelope]]
    hands_over: bool = False

    async def call(self, workflow: Workflow, call: Call) -> Envelope:
        """The envelope of one call, whatever happens: the one boundary where errors end."""
        try:
            return await self.handle(workflow, call)
        except AivideoError as failure:
            failure.task_id = failure.task_id or handlers.named_task(call.arguments)
            return Envelope.failure(failure)
        except Exception:
            logger.exception("tool %s broke", self.name)
            return Envelope.failure(UnknownError("This server made a mistake; its log on stderr has the details."))

    def input_schema(self) -> Schema:
        """What is advertised: one flat object."""
        return {
            "type": "object",
            "properties": self.properties(),
            **({"required": list(self.required)} if self.required else {}),
            "additionalProperties": False,
        }


_TASK_ID: Final[Schema] = {"taskId": {"type": "string"}}
_SPENDING: Final[Schema] = {
    "maxCredits": {"type": "integer", "minimum": 0},
    "idempotencyKey": {"type": "string"},
    "confirmationCode": {"type": "string"},
}


def _generation() -> Schema:
    return {
        **generation_properties(describe=True),
        "maxCredits": {**_SPENDING["maxCredits"], "description": "Refuse if dearer."},
        "idempotencyKey": {"type": "string", "description": "8 to 128 characters; the same key never pays twice."},
        "confirmationCode": {"type": "string", "description": "Only when the user gave it to you."},
        "maxWaitSeconds": {"type": "number", "minimum": 0},
        "taskId": {"type": "string", "description": "Alone: go on waiting for this task."},
    }


TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        name="generate_video",
        title="Generate a video",
        description=(
            "Create a video and wait for it: charges credits at once, then reports progress and returns videoUrl. "
            "Takes minutes. If the wait ends first, status is PROGRESS: call again with only taskId, or with the same "
            "arguments, which joins and pays nothing. A new idempotencyKey makes another video. "
            "create_generation starts without waiting. Fields marked ! are required by that model."
        ),
        hints=Hints(read_only=False, destructive=False, idempotent=False),
        properties=_generation,
        required=(),
        answer=Task,
        handle=handlers.generate,
        hands_over=True,
    ),
    Tool(
        name="create_generation",
        title="Start a generation",
        description=(
            "Start a video and return its taskId without waiting. Charges credits at once; each call is a new charge "
            "unless idempotencyKey repeats, but a lost answer is looked for and not paid again. Fields as in "
            "generate_video; use this one to start several."
        ),
        hints=Hints(read_only=False, destructive=False, idempotent=False),
        properties=lambda: generation_properties(describe=False) | _SPENDING,
        required=("model",),
        answer=Submission,
        handle=handlers.create,
    ),
    Tool(
        name="quote_generation",
        title="Ask the price",
        description=(
            "Ask what a generation would cost, free: credits, USD, balance, affordable. Same fields as "
            "generate_video; nothing is created. Ask before spending; list_models only has rules of thumb."
        ),
        hints=Hints(read_only=True, destructive=False, idempotent=True),
        properties=lambda: generation_properties(describe=False),
        required=("model",),
        answer=Quote,
        handle=handlers.quote,
    ),
    Tool(
        name="get_status",
        title="Check a task's state",
        description=(
            "Look once at a task's state, free: SUBMITTED, PROGRESS, COMPLETED, FAILED or CANCEL. There is no "
            "percentage. Use get_task for the video or the failure's reason, generate_video with taskId to wait."
        ),
        hints=Hints(read_only=True, destructive=False, idempotent=True),
        properties=lambda: _TASK_ID,
        required=("taskId",),
        answer=Sighting,
        handle=handlers.status,
    ),
    Tool(
        name="get_task",
        title="Get a task's result",
        description=(
            "Fetch all that is known of a task, free: state, videoUrl, expiresAt, credits charged and refunded, the "
            "reason if it failed. videoUrl works for 24 hours after completion."
        ),
        hints=Hints(read_only=True, destructive=False, idempotent=True),
        properties=lambda: _TASK_ID,
        required=("taskId",),
        answer=Task,
        handle=handlers.task,
        hands_over=True,
    ),
    Tool(
        name="cancel_task",
        title="Cancel a task",
        description=(
            "Cancel a task for good and get its credits back. Works only while it is SUBMITTED, usually the first "
            "seconds; later it answers NOT_CANCELLABLE and the task runs on."
        ),
        hints=Hints(read_only=False, destructive=True, idempotent=True),
        properties=lambda: _TASK_ID,
        required=("taskId",),
        answer=Sighting,
        handle=handlers.cancel,
        hands_over=True,
    ),
    Tool(
        name="list_models",
        title="List models and prices",
        description=(
            "List the video models, free: exact fields and values, price, usual minutes, whether this account is "
            "served. Call it before choosing a model or when fields are refused; model narrows it to one."
        ),
        hints=Hints(read_only=True, destructive=False, idempotent=True),
        properties=lambda: {"model": {"type": "string"}},
        required=(),
        answer=Catalogue,
        handle=handlers.models,
    ),
    Tool(
        name="list_tasks",
        title="List tasks",
        description=(
            "List this account's tasks, newest first, free: state, prompt, credits, file, videoUrl. Finds lost ids for "
            "get_task."
        ),
        hints=Hints(read_only=True, destructive=False, idempotent=True),
        properties=lambda: {
            "status": {"type": "string", "enum": list(history.STATES)},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "1 to 100"},
        },
        required=(),
        answer=History,
        handle=history.tasks,
    ),
    Tool(
        name="download_video",
        title="Save a video",
        description=(
            "Save a finished task's video in the output folder, free; file is its path. generate_video does so itself."
        ),
        hints=Hints(read_only=False, destructive=False, idempotent=True),
        properties=lambda: _TASK_ID,
        required=("taskId",),
        answer=Task,
        handle=history.download,
        hands_over=True,
    ),
    Tool(
        name="get_account",
        title="Show the account",
        description=(
            "Show balance, limits and models served, free, and credits spent here in 24 h; list_models has prices."
        ),
        hints=Hints(read_only=True, destructive=False, idempotent=True),
        properties=dict,
        required=(),
        answer=Standing,
        handle=history.account,
    ),
)
