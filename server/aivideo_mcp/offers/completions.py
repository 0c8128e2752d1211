"""The names of models and tasks, while somebody types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio
from mcp.server.mcpserver import MCPServer
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.errors import AivideoError
from aivideo_mcp.offers.boundary import boundary
from aivideo_mcp.offers.prompts import table
from aivideo_mcp.workflow import Workflow

_MOST: Final = 100  # values that the protocol allows
_KEPT: Final = 30.0  # seconds; each key stroke asks for completions, and a look at the upstream costs budget
_PATIENCE: Final = 5.0  # seconds; who types does not wait for an upstream that hangs

Reference = PromptReference | ResourceTemplateReference


def add_completions(server: MCPServer, workflow: Workflow) -> None:
    """Serve completions of prompts' arguments and of the variables in resources' addresses."""
    recent = _Recent(workflow)

    async def complete(ref: Reference, argument: CompletionArgument, _: CompletionContext | None) -> Completion:
        with boundary("a completion"):
            if isinstance(ref, PromptReference):
                return _matching(_choices(ref.name, argument.name), argument.value)
            if argument.name == "model" and ref.uri.startswith("aivideo://"):
                return _matching(list(MODELS), argument.value)
            if argument.name == "taskId" and ref.uri.startswith("aivideo://"):
                return _matching(await recent.ids(), argument.value)
            return _matching([], "")

    server.completion()(complete)  # type: ignore[no-untyped-call] # the SDK forgot to annotate it


class _Recent:
    """The ids of the account's tasks, newest first; asked for seldom, empty where they cannot be had."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._asking = anyio.Lock()
        self._ids: list[str] = []
        self._until = float("-inf")

    async def ids(self) -> list[str]:
        """The ids, half a minute old at most."""
        async with self._asking:
            if anyio.current_time() >= self._until:
                self._ids = await self._ask()
                self._until = anyio.current_time() + _KEPT
        return self._ids

    async def _ask(self) -> list[str]:
        with anyio.move_on_after(_PATIENCE):
            try:
                return [listed.task.id for listed in await self._workflow.upstream.tasks()]
            except AivideoError:
                pass
        return []


def _choices(prompt: str, argument: str) -> Sequence[str]:
    asked = table().get(prompt)
    return next((a.choices for a in asked.arguments if a.name == argument), ()) if asked else ()


def _matching(values: Sequence[str], typed: str) -> Completion:
    """The values that begin with what was typed, as many as the protocol allows."""
    found = [value for value in values if value.startswith(typed)]
    return Completion(values=found[:_MOST], total=len(found), has_more=len(found) > _MOST)
