"""The account and the list of tasks, as clients ask for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import jsonschema
import pytest
from mcp import Client

from tests.fakes import SUBMITTED, T2V, FakeNetwork, page, reply, task
from tests.filehost import CLIP
from tests.sessions import both_eras, served

pytestmark = pytest.mark.anyio
DONE = reply({"status": "COMPLETED"})
ACCOUNT = {"ok": True, "currentBalance": 415, "supportedModels": ["t2v", "minimax"]}


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    envelope = result.structured_content
    (tool,) = [tool for tool in (await client.list_tools()).tools if tool.name == name]
    jsonschema.validate(envelope, tool.output_schema)
    assert envelope["nextSteps"]
    assert result.is_error is not envelope["ok"]
    return dict(envelope)


def listing(*tasks: dict[str, object]) -> httpx.Response:
    return reply({"tasks": list(tasks)})


def minutes(number: int) -> str:
    return f"2026-11-23T10:{number:02}:00.000Z"


# The account


@both_eras
async def test_the_account_tells_upstream_s_limits_and_those_set_here(mode: str) -> None:
    network = FakeNetwork(account=reply({**ACCOUNT, "limits": {"dailyCreditLimit": -1, "x": {"creditWarningAt": 20}}}))
    async with served(network, mode, max_credits=50) as (client, _):
        envelope = await call(client, "get_account")
    assert envelope["data"] == {
        "currentBalance": 415,
        "supportedModels": ["t2v", "minimax"],
        "sandbox": False,
        "dailyCreditLimit": "unlimited",
        "generationRequestsPerMinute": None,
        "creditWarningAt": 20,
        "maxCredits": 50,
        "dailyCredits": None,
        "spentToday": 0,
        "confirmAbove": None,
    }
    assert (envelope["status"], envelope["taskId"]) == ("UNKNOWN", None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"dailyCreditLimit": 100}, 100),
        ({"limits": {"dailyCreditLimit": 0}}, 0),
        ({"a": {"b": {"dailyCreditLimit": -1}}}, "unlimited"),
        ({"a": {"b": {"c": {"dailyCreditLimit": 5}}}}, None),
        ({"dailyCreditLimit": None, "a": {"dailyCreditLimit": 7}}, 7),
        ({"dailyCreditLimit": "many"}, None),
        ({"dailyCreditLimit": {"dailyCreditLimit": 3}}, 3),
        ({"dailyCreditLimit": -2}, None),
        ({"dailyCreditLimit": True}, None),
        ({"z": [{"dailyCreditLimit": 5}]}, None),
        ({"a": {"dailyCreditLimit": 1}, "dailyCreditLimit": 2}, 2),
        ({}, None),
    ],
)
async def test_a_limit_is_found_where_it_is_and_unknown_where_it_makes_no_sense(body: Any, expected: Any) -> None:
    async with served(FakeNetwork(account=reply({"ok": True, **body}))) as (client, _):
        assert (await call(client, "get_account"))["data"]["dailyCreditLimit"] == expected


async def test_the_account_is_asked_every_ten_minutes_at_most_and_says_its_age() -> None:
    network = FakeNetwork(account=reply(ACCOUNT))
    async with served(network) as (client, workflow):
        await workflow.account()
        await anyio.sleep(100)
        envelope = await call(client, "get_account")
        assert network.calls() == ["account"]
        assert "100 s old" in envelope["nextSteps"][0]
        await anyio.sleep(600)
        await call(client, "get_account")
    assert network.calls() == ["account"] * 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [(reply({}, 401), "AUTH_FAILED"), (page(status=502), "NETWORK_ERROR"), (reply({}, 429), "RATE_LIMITED")],
)
async def test_an_account_that_cannot_be_asked_is_an_error_and_list_models_goes_on(
    answer: httpx.Response, code: str
) -> None:
    async with served(FakeNetwork(account=answer), max_retries=0) as (client, _):
        assert (await call(client, "get_account"))["errorCode"] == code
        assert (await call(client, "list_models"))["ok"]


async def test_an_argument_of_get_account_is_refused() -> None:
    async with served(FakeNetwork()) as (client, _):
        assert (await call(client, "get_account", model="t2v"))["errorCode"] == "INVALID_PAYLOAD"


async def test_what_was_spent_is_charges_less_refunds_of_a_rolling_day() -> None:
    made = iter(range(1, 9))

    async def generate(_: httpx.Request) -> httpx.Response:
        return reply({**SUBMITTED, "taskId": f"ck{next(made)}"})

    network = FakeNetwork(
        account=reply(ACCOUNT),
        generate=generate,
        tasks=listing(task("FAILED", id="ck3", creditsRefunded=15), task("CANCEL", id="ck1", creditsRefunded=10)),
    )
    async with served(network) as (client, _):

        async def spent() -> int:
            return int((await call(client, "get_account"))["data"]["spentToday"])

        assert await spent() == 0
        await call(client, "create_generation", **T2V)
        await anyio.sleep(3600)
        await call(client, "create_generation", **T2V)
        await call(client, "create_generation", **T2V)
        assert await spent() == 45
        await call(client, "list_tasks")
        assert await spent() == 20
        await anyio.sleep(23 * 3600)
        assert await spent() == 15
        await anyio.sleep(3600)
        assert await spent() == 0


async def test_a_ledger_that_cannot_be_read_leaves_what_was_spent_unknown(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    network = FakeNetwork(account=reply(ACCOUNT), tasks=listing(task("COMPLETED")))
    async with served(network, state_dir=tmp_path / "file" / "x") as (client, _):
        assert (await call(client, "get_account"))["data"]["spentToday"] is None
        (only,) = (await call(client, "list_tasks"))["data"]["tasks"]
    assert (only["delivered"], only["saved"]) == (None, False)


# The list of tasks


@both_eras
async def test_a_listed_task_is_told_with_what_the_ledger_knows(mode: str, tmp_path: Path) -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED),
        status=DONE,
        task=reply(task("COMPLETED")),
        file=httpx.Response(200, content=CLIP),
        tasks=listing(task("COMPLETED"), task("PROGRESS", id="foreign", input={"prompt": 'a "dog"\n' * 50})),
    )
    async with served(network, mode, output_dir=tmp_path) as (client, _):
        await call(client, "generate_video", **T2V)
        envelope = await call(client, "list_tasks")
    mine, foreign = sorted(envelope["data"]["tasks"], key=lambda past: past["id"])
    assert mine == {
        "id": "ck1",
        "model": "t2v",
        "status": "COMPLETED",
        "prompt": "x",
        "createdAt": "2026-11-23T10:00:00Z",
        "completedAt": "2026-11-23T10:05:00Z",
        "creditsCharged": 15,
        "creditsRefunded": 0,
        "videoUrl": "https://files.example.test/ck1.mp4",
        "expiresAt": "2026-11-24T10:05:00Z",
        "file": str(tmp_path / "2026-11-23_t2v_x_ck1.mp4"),
        "saved": True,
        "delivered": True,
        "listed": True,
    }
    assert len(foreign["prompt"]) == 80
    assert foreign["prompt"].startswith("a 'dog' a 'dog'")
    assert (foreign["saved"], foreign["delivered"], foreign["file"]) == (False, None, None)
    assert "download_video" not in str(envelope["nextSteps"])


async def test_a_saved_file_that_was_deleted_is_saved_and_not_there(tmp_path: Path) -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED),
        status=DONE,
        task=reply(task("COMPLETED")),
        file=httpx.Response(200, content=CLIP),
        tasks=listing(task("COMPLETED")),
    )
    async with served(network, output_dir=tmp_path) as (client, _):
        await call(client, "generate_video", **T2V)
        for file in tmp_path.iterdir():
            file.unlink()
        (only,) = (await call(client, "list_tasks"))["data"]["tasks"]
    assert (only["saved"], only["file"]) == (True, None)


async def test_what_the_list_leaves_out_is_told_as_it_was_last_seen() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED), status=reply({"status": "PROGRESS"}), tasks=listing())
    async with served(network) as (client, _):
        await call(client, "create_generation", **T2V)
        envelope = await call(client, "list_tasks")
    (only,) = envelope["data"]["tasks"]
    assert (only["id"], only["model"], only["status"], only["creditsCharged"]) == ("ck1", "t2v", "SUBMITTED", 15)
    assert (only["listed"], only["delivered"], only["createdAt"]) == (False, False, "2026-11-23T10:00:00Z")
    assert "last seen" in envelope["nextSteps"][-1]


async def test_the_newest_is_first_whatever_the_order_upstream() -> None:
    tasks = [task("PROGRESS", id=f"ck{at}", createdAt=minutes(at)) for at in (3, 9, 1, 7)]
    async with served(FakeNetwork(tasks=listing(*tasks))) as (client, _):
        told = (await call(client, "list_tasks"))["data"]
        two = (await call(client, "list_tasks", limit="2"))["data"]
    assert [past["id"] for past in told["tasks"]] == ["ck9", "ck7", "ck3", "ck1"]
    assert ([past["id"] for past in two["tasks"]], two["leftOut"]) == (["ck9", "ck7"], 2)


@pytest.mark.parametrize("status", ["FAILED", "failed"])
async def test_one_state_can_be_asked_for(status: str) -> None:
    states = ("PROGRESS", "FAILED", "COMPLETED", "RENDERING", "FAILED")
    tasks = [task(state, id=f"ck{number}") for number, state in enumerate(states)]
    async with served(FakeNetwork(tasks=listing(*tasks))) as (client, _):
        told = (await call(client, "list_tasks", status=status))["data"]["tasks"]
    assert [past["id"] for past in told] == ["ck1", "ck4"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"status": word} for word in ("DONE", "UNKNOWN", 1)),
        *({"limit": number} for number in (0, 101, 1.5, True, "many")),
        {"page": 2},
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_what_can(wrong: dict[str, Any]) -> None:
    network = FakeNetwork()
    async with served(network) as (client, _):
        envelope = await call(client, "list_tasks", **wrong)
    assert envelope["errorCode"] == "INVALID_PAYLOAD"
    assert next(iter(wrong)) in envelope["errorMessage"]
    assert network.requests == []


async def test_a_long_list_is_bounded_in_size_and_says_so() -> None:
    tasks = [
        task(
            "COMPLETED",
            id=f"ck{number:03}" + "x" * 100,
            createdAt=minutes(number % 60),
            input={"prompt": "漢字 " * 500},
            output={"url": "https://files.example.test/" + "u" * 700},
        )
        for number in range(300)
    ]
    async with served(FakeNetwork(tasks=listing(*tasks)), output_dir=None) as (client, _):
        usual = await call(client, "list_tasks")
        most = await call(client, "list_tasks", limit=100)
        one = await call(client, "list_tasks", limit=1)
    assert len(json.dumps(usual, ensure_ascii=False).encode()) < 20_000
    assert len(json.dumps(most, ensure_ascii=False).encode()) < 100_000
    assert len(usual["data"]["tasks"]) + usual["data"]["leftOut"] == 300
    assert len(one["data"]["tasks"]) == 1


async def test_unsaved_videos_are_pointed_out_in_the_order_of_their_expiry(tmp_path: Path) -> None:
    tasks = [task("COMPLETED", id=f"ck{at}", completedAt=minutes(at)) for at in (4, 1, 3, 2, 5)]
    failed = task("FAILED", id="ck0", completedAt=minutes(0))
    async with served(FakeNetwork(tasks=listing(*tasks, failed)), output_dir=tmp_path) as (client, _):
        steps = (await call(client, "list_tasks", limit=1))["nextSteps"]
    assert steps == [
        'Not saved yet, expires at 2026-11-24T10:01:00Z: call download_video with taskId "ck1".',
        'Not saved yet, expires at 2026-11-24T10:02:00Z: call download_video with taskId "ck2".',
        'Not saved yet, expires at 2026-11-24T10:03:00Z: call download_video with taskId "ck3".',
        "2 more finished videos are not saved yet.",
    ]


async def test_without_an_output_folder_the_address_is_what_to_give() -> None:
    async with served(FakeNetwork(tasks=listing(task("COMPLETED")))) as (client, _):
        steps = (await call(client, "list_tasks"))["nextSteps"]
    assert steps == ["Not saved yet, expires at 2026-11-24T10:05:00Z: give the user its videoUrl (ck1)."]


async def test_an_expired_video_has_no_address_and_is_said_to_be_gone() -> None:
    async with served(FakeNetwork(tasks=listing(task("COMPLETED")))) as (client, _):
        await anyio.sleep(24 * 3600 + 301)
        envelope = await call(client, "list_tasks")
    (only,) = envelope["data"]["tasks"]
    assert (only["videoUrl"], only["expiresAt"]) == (None, "2026-11-24T10:05:00Z")
    assert envelope["nextSteps"] == ["Expired without being saved, so videoUrl is null: ck1."]


async def test_states_and_refunds_in_a_list_are_taken_down() -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED),
        tasks=[listing(task("FAILED", creditsRefunded=0)), listing(task("FAILED", creditsRefunded=15))],
    )
    async with served(network) as (client, workflow):
        await call(client, "create_generation", **T2V)
        await call(client, "list_tasks")
        assert await workflow.history.spent() == 15
        await call(client, "list_tasks")
        assert await workflow.history.spent() == 0
        known = await workflow._ledger.about("ck1")
        assert known is not None
        assert (known.status, known.delivered_at) == ("FAILED", None)


@pytest.mark.parametrize("how", ["get_task", "generate_video"])
async def test_a_refund_is_taken_down_wherever_a_whole_task_is_read(how: str) -> None:
    failed = task("FAILED", creditsRefunded=15)
    network = FakeNetwork(generate=reply(SUBMITTED), status=reply({"status": "FAILED"}), task=reply(failed))
    async with served(network) as (client, workflow):
        await call(client, "create_generation", **T2V)
        assert await workflow.history.spent() == 15
        await call(client, how, taskId="ck1")
        assert await workflow.history.spent() == 0


async def test_an_answer_that_does_not_tell_the_refund_leaves_the_known_one() -> None:
    known = task("CANCEL", creditsRefunded=15)
    network = FakeNetwork(generate=reply(SUBMITTED), task=[reply(known), reply({**known, "creditsRefunded": None})])
    async with served(network) as (client, workflow):
        await call(client, "create_generation", **T2V)
        for _ in range(2):
            await call(client, "get_task", taskId="ck1")
            assert await workflow.history.spent() == 0


async def test_looking_at_the_list_hands_over_nothing() -> None:
    network = FakeNetwork(generate=reply(SUBMITTED), tasks=listing(task("COMPLETED")))
    async with served(network) as (client, _):
        await call(client, "create_generation", **T2V)
        for _ in range(2):
            (only,) = (await call(client, "list_tasks"))["data"]["tasks"]
            assert only["delivered"] is False


async def test_a_list_reads_as_a_line_for_each_task() -> None:
    async with served(FakeNetwork(tasks=listing(task("COMPLETED"), task("PROGRESS", id="ck2")))) as (client, _):
        (content,) = (await client.call_tool("list_tasks", {})).content
    assert 'ck1: COMPLETED t2v, prompt "x", created 2026-11-23T10:00:00Z, credits 15, videoUrl https://' in content.text
    assert 'ck2: PROGRESS t2v, prompt "x"' in content.text
