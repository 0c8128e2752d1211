"""Caps and consent kept by several server processes at once, counted at the sandbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.fakes import T2V
from tests.processes import COMMAND, environment, listening

pytestmark = pytest.mark.anyio

KEY = "ak_canary_0123456789"
PRICE = 15


TERMS = ("confirmationCode", "idempotencyKey")


async def run(env: dict[str, str], **given: Any) -> dict[str, Any]:
    """What `aivideo-mcp run` answers, in a process of its own."""
    payload = {name: value for name, value in {**T2V, **given}.items() if name not in ("model", *TERMS)}
    terms = [f"--{name}={given[name]}" for name in TERMS if name in given]
    done = await anyio.run_process(
        [*COMMAND, "run", "--model", "t2v", "--payload", json.dumps(payload), *terms],
        env=environment(env),
        check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def run_at_once(env: dict[str, str], calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []

    async def one(fields: dict[str, Any]) -> None:
        answers.append(await run(env, **fields))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for fields in calls:
                group.start_soon(one, fields)
    return answers


def settings(url: str, folder: Path, **more: str) -> dict[str, str]:
    return {"AIVIDEO_BASE_URL": url, "AIVIDEO_API_KEY": KEY, "AIVIDEO_STATE_DIR": str(folder), **more}


async def charges(url: str) -> int:
    async with httpx.AsyncClient() as web:
        return int((await web.get(f"{url}/sandbox/ledger")).json()["charges"])


async def test_racing_creates_do_not_slip_through_the_cap_of_a_day(tmp_path: Path) -> None:
    async with listening("sandbox", "--port", "0", "--speed", "600") as sandbox:
        env = settings(sandbox.url, tmp_path, AIVIDEO_DAILY_CREDITS=str(3 * PRICE + 5))
        answers = await run_at_once(env, [{"prompt": f"cat {number}"} for number in range(6)])
        assert sorted(answer["errorCode"] or "" for answer in answers) == ["", "", "", *["BUDGET_EXCEEDED"] * 3]
        assert await charges(sandbox.url) == 3


async def test_racing_creates_are_each_held_to_the_cap_of_one(tmp_path: Path) -> None:
    async with listening("sandbox", "--port", "0", "--speed", "600") as sandbox:
        env = settings(sandbox.url, tmp_path, AIVIDEO_MAX_CREDITS=str(PRICE))
        calls = [{"prompt": f"cat {number}", "duration": (5, 8)[number % 2]} for number in range(4)]
        answers = await run_at_once(env, calls)
        assert sorted(answer["errorCode"] or "" for answer in answers) == ["", "", *["BUDGET_EXCEEDED"] * 2]
        assert await charges(sandbox.url) == 2


async def test_one_yes_buys_one_video_however_many_processes_use_it(tmp_path: Path) -> None:
    async with listening("sandbox", "--port", "0", "--speed", "600") as sandbox:
        env = settings(sandbox.url, tmp_path, AIVIDEO_CONFIRM_ABOVE="10")
        asked = await run(env)
        assert (asked["errorCode"], await charges(sandbox.url)) == ("CONFIRMATION_REQUIRED", 0)
        (code,) = re.findall(r'confirmationCode "(\w+)"', " ".join(asked["nextSteps"]))
        keys = [{"confirmationCode": code, "idempotencyKey": f"another-{number}"} for number in range(4)]
        answers = await run_at_once(env, keys)
        assert sorted(answer["errorCode"] or "" for answer in answers) == ["", *["CONFIRMATION_REQUIRED"] * 3]
        assert await charges(sandbox.url) == 1
