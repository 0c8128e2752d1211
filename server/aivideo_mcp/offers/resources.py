"""What can be read: the models, each model's exact schema, each task as it stands.

What is told comes from the tools of the same meaning, so that both say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resources import FunctionResource

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.offers.boundary import boundary, refusal
from aivideo_mcp.schemas import exact_schema
from aivideo_mcp.tasks import Answer, Catalogue, Task
from aivideo_mcp.tools import TOOLS, Call
from aivideo_mcp.workflow import Workflow

A = TypeVar("A", bound=Answer)

MODELS_URI: Final = "aivideo://models"
MODEL_URI: Final = "aivideo://models/{model}"
TASK_URI: Final = "aivideo://tasks/{taskId}"
_JSON: Final = "application/json"
_TOOLS: Final = {tool.name: tool for tool in TOOLS}
_LEFT_OUT: Final = {"fields", "rules"}  # the schema says it exactly


def add_resources(server: MCPServer, workflow: Workflow) -> None:
    """Add what can be read to a server."""

    async def models() -> str:
        with boundary(MODELS_URI):
            catalogue = await _answer(Catalogue, workflow, "list_models", {}, MODELS_URI)
            rows = [
                model.model_dump(mode="json", by_alias=True, exclude=_LEFT_OUT)
                | {"schema": f"{MODELS_URI}/{model.model}"}
                for model in catalogue.models
            ]
            lines = ",\n".join(json.dumps(row) for row in rows)  # a line each, for those who read it as text
            return f'{{"models": [\n{lines}\n]}}'

    server.add_resource(
        FunctionResource(
            uri=MODELS_URI,
            name="models",
            title="Models and prices",
            description="Every video model: what it does, price, usual minutes, whether this account is served.",
            mime_type=_JSON,
            fn=models,
        )
    )

    @server.resource(
        MODEL_URI,
        name="model",
        title="A model's exact fields",
        description="One model: price, usual minutes, and the JSON Schema of the generation fields that it takes.",
        mime_type=_JSON,
    )
    async def _model(model: str) -> str:
        with boundary(MODEL_URI):
            uri = f"{MODELS_URI}/{model}"
            (told,) = (await _answer(Catalogue, workflow, "list_models", {"model": model}, uri)).models
            row = told.model_dump(mode="json", by_alias=True, exclude=_LEFT_OUT)
            return json.dumps(row | {"schema": exact_schema(MODELS[told.model])})

    @server.resource(
        TASK_URI,
        name="task",
        title="A task as it stands",
        description="All that is known of a generation, as get_task answers it. Subscribe to be told of each change.",
        mime_type=_JSON,
    )
    async def _task(taskId: str) -> str:  # noqa: N803 - the template's variable
        with boundary(TASK_URI):
            task = await _answer(Task, workflow, "get_task", {"taskId": taskId}, TASK_URI.replace("{taskId}", taskId))
            return task.model_dump_json(by_alias=True)


async def _answer(kind: type[A], workflow: Workflow, tool: str, arguments: Mapping[str, Any], uri: str) -> A:
    """What a tool answers.

    Raises:
        MCPError: The tool's error, for the resource.
    """
    envelope = await _TOOLS[tool].call(workflow, Call(arguments, _untold, seen=False))
    if not isinstance(envelope.data, kind):
        raise refusal(envelope, uri)
    return envelope.data


async def _untold(message: str) -> None:
    """Reading a resource reports no progress."""
