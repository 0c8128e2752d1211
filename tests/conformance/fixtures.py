"""What the conformance suite asks for, as rows of our own tables of tools and prompts."""

from __future__ import annotations

import anyio

from aivideo_mcp.errors import InvalidPayload
from aivideo_mcp.offers.forms import Argument, Prompt
from aivideo_mcp.tasks import Envelope, Task
from aivideo_mcp.tools import Call, Tool
from aivideo_mcp.tools.table import Hints
from aivideo_mcp.workflow import Workflow


async def say(_: Workflow, __: Call) -> Envelope:
    return Envelope(ok=True, next_steps=("This is a simple text response for testing.",))


async def fail(_: Workflow, __: Call) -> Envelope:
    raise InvalidPayload("This tool intentionally returns an error for testing")


async def progress(_: Workflow, call: Call) -> Envelope:
    for step in (0, 50, 100):
        await call.tell(f"Completed step {step} of 100")
        await anyio.sleep(0.05)
    return Envelope(ok=True, next_steps=("Done.",))


def _row(name: str, handle: object, description: str) -> Tool:
    return Tool(
        name=name,
        title=description,
        description=description,
        hints=Hints(read_only=True, destructive=False, idempotent=True, open_world=False),
        properties=dict,
        required=(),
        answer=Task,
        handle=handle,
    )


FIXTURE_TOOLS = (
    _row("test_simple_text", say, "Answers a text"),
    _row("test_error_handling", fail, "Always refuses"),
    _row("test_tool_with_progress", progress, "Reports progress three times"),
)

FIXTURE_PROMPTS = (
    Prompt("test_simple_prompt", "Simple", "A prompt as such", (), lambda _: "This is a simple prompt for testing."),
    Prompt(
        "test_prompt_with_arguments",
        "Arguments",
        "A prompt of two arguments",
        (Argument("arg1", "The first", required=True), Argument("arg2", "The second", required=True)),
        lambda given: f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'",
    ),
)
