"""Makes the calls of docs/agents.md's transcript, against the sandbox, and writes down what was answered."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any, Final

import anyio
from mcp import Client
from mcp_types import TextContent

from aivideo_mcp.app import build_server
from aivideo_mcp.sandbox import SandboxOptions, running_sandbox
from aivideo_mcp.settings import Settings
from aivideo_mcp.workflow import open_workflow

_VIDEO: Final = {"model": "t2v", "prompt": "A cat on a skateboard", "aspectRatio": "16:9", "duration": 5}
_SPEED: Final = 300.0  # times faster than life: slow enough that a second call finds the task running
_PLAIN: Final = (  # what differs from run to run
    (r"sb_[0-9a-f]{24}", "sb_0b81f6e1c6ac4c1a95f3a3d2"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:40123"),
    (r"20\d\d-\d\d-\d\d_", "2026-11-22_"),
    (r"(createdAt: )\S+", r"\g<1>2026-11-22T10:00:00Z"),
    (r"(completedAt: )\S+", r"\g<1>2026-11-22T10:04:10Z"),
    (r"(expiresAt: )\S+", r"\g<1>2026-11-23T10:04:10Z"),
    (r'(confirmationCode"?:? )"\w+"', r'\g<1>"K7QM2X"'),
)


def transcript() -> str:
    """A generation from its price to its file, call by call, as a model reads it."""
    return f"```text\n{anyio.run(_made)}\n```"


async def _made() -> str:
    told: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with running_sandbox(SandboxOptions(speed=_SPEED)) as sandbox:
            settings = Settings(
                api_key=sandbox.key,
                base_url=sandbox.url,
                state_dir=folder / "state",
                output_dir=folder / "Videos",
                confirm_above=10,
            )
            async with open_workflow(settings) as workflow, Client(build_server(workflow)) as client:

                async def call(why: str, tool: str, **arguments: object) -> dict[str, Any]:
                    answer = await client.call_tool(tool, arguments)
                    text = "".join(block.text for block in answer.content if isinstance(block, TextContent))
                    told.append(f"# {why}\n> {tool} {json.dumps(arguments)}\n{text}\n")
                    envelope: dict[str, Any] = answer.structured_content or {}
                    return envelope

                await call("What would it cost? Tell the user.", "quote_generation", **_VIDEO)
                asked = await call(
                    "Above AIVIDEO_CONFIRM_ABOVE, here 10, in a client that cannot ask.", "generate_video", **_VIDEO
                )
                assert asked["errorCode"] == "CONFIRMATION_REQUIRED", asked
                code = re.findall(r'"(\w+)"', asked["nextSteps"][1])[0]
                begun = await call(
                    "The user said yes. This agent does not wait at all; a wait that runs out looks the same.",
                    "generate_video",
                    **_VIDEO,
                    confirmationCode=code,
                    maxWaitSeconds=0,
                )
                joined = await call(
                    "Had the id been lost: the same arguments find it again.",
                    "generate_video",
                    **_VIDEO,
                    maxWaitSeconds=0,
                )
                assert begun["status"] == joined["status"] == "PROGRESS", joined
                assert begun["taskId"] == joined["taskId"], joined
                done = await call("Now wait.", "generate_video", taskId=begun["taskId"])
                assert done["status"] == "COMPLETED", done
                dear = await call("Another, for 20 credits at most.", "create_generation", **_DEAR, maxCredits=20)
                assert dear["errorCode"] == "BUDGET_EXCEEDED", dear
    text = "\n".join(told).rstrip().replace(str(folder), "/home/me")
    for pattern, instead in _PLAIN:
        text = re.sub(pattern, instead, text)
    return text


_DEAR: Final = _VIDEO | {"model": "t2v_v3", "duration": 10}
