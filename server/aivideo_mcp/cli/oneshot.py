"""The commands that do one thing and end: `run`, `forget`, `doctor` and `demo`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import anyio

from aivideo_mcp.cli.notes import note_variables
from aivideo_mcp.console import ProgressLine, say
from aivideo_mcp.errors import ConfigurationError, LedgerUnavailable
from aivideo_mcp.settings import VARIABLES, Settings, process_settings, process_survey, read_settings

ACTIONS: Final = {"getStatus": "get_status", "getTask": "get_task", "cancelTask": "cancel_task"}


def run(arguments: argparse.Namespace) -> int:
    """Make one video, or ask about one task, and print the envelope."""
    making = arguments.model is not None or arguments.payload is not None
    asking = arguments.action is not None or arguments.task_id is not None
    if making == asking or (making and None in (arguments.model, arguments.payload)):
        raise ConfigurationError(
            "run takes --model M --payload JSON, or --action getStatus|getTask|cancelTask --taskId ID. Example: "
            """aivideo-mcp run --model t2v --payload '{"prompt": "a cat", "aspectRatio": "16:9", "duration": 5}'"""
        )
    if asking and None in (arguments.action, arguments.task_id):
        raise ConfigurationError("--action and --taskId belong together. Example: --action getTask --taskId ck12ab")
    settings = _settings()
    tool = "generate_video" if making else ACTIONS[arguments.action]
    given = {"taskId": arguments.task_id}
    if making:
        from aivideo_mcp.tools.arguments import TERMS  # noqa: PLC0415 - the contracts, which serve imports with mcp

        given = {name: getattr(arguments, name) for name in ("model", "payload", *TERMS)}
    return 0 if anyio.run(_call, tool, given, settings) else 1


def _settings() -> Settings:
    """The process's settings, once what looks like a mistake in them is told."""
    settings = process_settings()
    note_variables(process_survey())
    return settings


async def _call(name: str, given: dict[str, Any], settings: Settings) -> bool:
    """One tool call without MCP, progress on stderr, the envelope on stdout; whether it is ok."""
    from aivideo_mcp.cli.terminal import TerminalAsker  # noqa: PLC0415 - brings the tools
    from aivideo_mcp.tools import TOOLS, Call  # noqa: PLC0415 - the contracts, which serve imports with mcp
    from aivideo_mcp.workflow import open_workflow  # noqa: PLC0415 - the same

    tool = next(tool for tool in TOOLS if tool.name == name)
    line = ProgressLine()
    async with open_workflow(settings) as workflow:
        async with anyio.create_task_group() as group:

            async def turn() -> None:
                while True:
                    await anyio.sleep(0.1)
                    line.turn()

            group.start_soon(turn)
            envelope = await tool.call(workflow, Call(given, line.tell, seen=True, asker=TerminalAsker(line)))
            group.cancel_scope.cancel()
        line.close()
        print(json.dumps(envelope.model_dump(mode="json", by_alias=True), indent=2), flush=True)
        if tool.hands_over and envelope.outcome and envelope.task_id:
            await workflow.delivered(envelope.task_id)
    return envelope.ok


def forget(arguments: argparse.Namespace) -> int:
    """Delete this account's records from the ledger."""
    from aivideo_mcp.ledger import Ledger  # noqa: PLC0415 - only where it is asked for

    settings = _settings()
    if settings.api_key is None:
        raise ConfigurationError(
            "forget deletes the records of one key's account, and AIVIDEO_API_KEY is not set. Set it, and "
            "AIVIDEO_BASE_URL and AIVIDEO_STATE_DIR, as your client has them"
        )

    async def forgetting() -> int:
        ledger = Ledger(settings)
        try:
            return await ledger.forget(arguments.days, open_too=arguments.all)
        finally:
            await ledger.aclose()

    try:
        number = anyio.run(forgetting)
    except LedgerUnavailable as failure:
        raise ConfigurationError(f"{failure.message} Example: AIVIDEO_STATE_DIR=/home/me/aivideo-state") from None
    say(f"{number} record{'' if number == 1 else 's'} deleted")
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Say what of key, service and folders is right, what is wrong, what to do."""
    from aivideo_mcp.doctor import examine  # noqa: PLC0415 - only where it is asked for

    async def examining() -> int:
        report = await examine(process_survey())
        text = json.dumps(report.document(), indent=2) if arguments.json else "\n".join(report.lines())
        encoding = sys.stdout.encoding or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        if report.hanging:
            os._exit(report.code)  # what hangs, hangs in threads, and an orderly end would wait for them
        return report.code

    return anyio.run(examining)


def demo(arguments: argparse.Namespace) -> int:
    """Make two videos on the sandbox through a real MCP client."""
    from aivideo_mcp.demo import run_demo  # noqa: PLC0415 - brings the MCP client
    from aivideo_mcp.media import fault_of_folder  # noqa: PLC0415 - what it makes with

    folder = Path(arguments.output).absolute()
    read_settings({VARIABLES["output_dir"].name: str(folder)})  # tells here what the server would tell its log
    if fault := fault_of_folder(folder):
        raise ConfigurationError(f"--output {fault}. Example: --output /tmp/aivideo-demo")
    return anyio.run(run_demo, folder, arguments.speed)
