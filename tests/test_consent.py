"""Consent as clients of both eras give it: asked, declined, unable to ask, answering unseen; and a yes in the chat."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, ErrorData, ListRootsResult, Root

from aivideo_mcp.app import build_server
from tests.fakes import SUBMITTED, T2V, FakeNetwork, reply, task
from tests.pictures import PNG

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:.*:mcp.MCPDeprecationWarning")]

ERAS = ["legacy", "auto"]
PRICE = {"model": "t2v", "credits": 15, "currentBalance": 100}
YES = ElicitResult(action="accept", content={"confirm": True})


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


def network(**more: Any) -> FakeNetwork:
    known = {
        "quote": reply(PRICE),
        "generate": reply(SUBMITTED),
        "status": reply({"status": "COMPLETED"}),
        "task": reply(task("COMPLETED")),
    }
    return FakeNetwork(**{**known, **more})


class User:
    """Who is asked, and what they say."""

    def __init__(self, answer: ElicitResult | ErrorData = YES, after: float = 0.0) -> None:
        self.questions: list[str] = []
        self.forms: list[dict[str, Any]] = []
        self._answer, self._after = answer, after

    async def __call__(self, _: object, params: Any) -> Any:
        self.questions.append(params.message)
        self.forms.append(params.requested_schema)
        await anyio.sleep(self._after)
        return self._answer


@asynccontextmanager
async def session(upstream: FakeNetwork, mode: str, user: User | None = None, **settings: Any) -> AsyncIterator[Client]:
    async with upstream.workflow(**{"confirm_above": 10, **settings}) as workflow:
        async with Client(build_server(workflow), mode=mode, elicitation_callback=user) as client:
            yield client


async def call(client: Client, arguments: dict[str, Any], name: str = "generate_video", **other: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments, **other)
    assert result.structured_content is not None
    return result.structured_content


@pytest.mark.parametrize("name", ["generate_video", "create_generation"])
@pytest.mark.parametrize("mode", ERAS)
async def test_the_user_is_asked_with_the_figures_and_a_yes_makes_the_video(mode: str, name: str) -> None:
    upstream, user = network(), User()
    async with session(upstream, mode, user) as client:
        answer = await call(client, T2V, name)
    assert answer["ok"], answer
    assert user.questions == ["Spend 15 credits (USD 0.15; the balance is 100) on a t2v video of 5 s?"]
    assert user.forms[0]["properties"].keys() == {"confirm"}
    assert "default" not in str(user.forms[0])
    assert upstream.calls().count("generate") == 1
    generate = next(request for request in upstream.requests if "generate" in str(request.url))
    assert generate.headers["x-max-credits"] == "15", "the price that was agreed to is the most it may cost"


@pytest.mark.parametrize("mode", ERAS)
async def test_nobody_is_asked_at_or_below_the_threshold(mode: str) -> None:
    upstream, user = network(), User()
    async with session(upstream, mode, user, confirm_above=15) as client:
        assert (await call(client, T2V))["ok"]
    assert user.questions == []


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    "no", [ElicitResult(action="decline"), ElicitResult(action="accept", content={"confirm": False})]
)
async def test_a_no_is_final_and_nothing_is_sent(mode: str, no: ElicitResult) -> None:
    upstream = network()
    async with session(upstream, mode, User(no)) as client:
        answer = await call(client, T2V)
    assert (answer["ok"], answer["errorCode"]) == (False, "CONFIRMATION_DECLINED")
    assert "generate" not in upstream.calls()


def code_in(answer: dict[str, Any]) -> str:
    assert (answer["ok"], answer["errorCode"]) == (False, "CONFIRMATION_REQUIRED"), answer
    (found,) = re.findall(r'confirmationCode "(\w+)"', " ".join(answer["nextSteps"]))
    return found


UNSEEN = [
    None,
    User(ElicitResult(action="cancel")),
    User(ElicitResult(action="accept")),
    User(ElicitResult(action="accept", content={})),
    User(ElicitResult(action="accept", content={"confirm": "maybe"})),
    User(ElicitResult(action="accept", content={"other": True})),
    User(ElicitResult(action="accept", content={"confirm": ["true"]})),
]


@pytest.mark.parametrize("user", UNSEEN, ids=["cannot", "cancel", "bare", "empty", "odd", "other", "list"])
@pytest.mark.parametrize("mode", ERAS)
async def test_where_the_user_did_not_answer_a_code_lets_them_agree_in_the_chat(mode: str, user: User | None) -> None:
    upstream = network()
    async with session(upstream, mode, user) as client:
        first = await call(client, T2V)
        assert "Spend 15 credits" in first["errorMessage"]
        assert "generate" not in upstream.calls()
        answer = await call(client, {**T2V, "confirmationCode": f" {code_in(first).lower()} "})
    assert answer["ok"], answer
    assert upstream.calls().count("generate") == 1


async def test_a_client_that_fails_when_asked_is_one_that_cannot_ask() -> None:
    upstream = network()
    async with session(upstream, "legacy", User(ErrorData(code=-32000, message="no dialog here"))) as client:
        code_in(await call(client, T2V))
    assert "generate" not in upstream.calls()


async def test_a_code_works_once() -> None:
    upstream = network()
    async with session(upstream, "legacy") as client:
        code = code_in(await call(client, T2V, "create_generation"))
        assert (await call(client, {**T2V, "confirmationCode": code}, "create_generation"))["ok"]
        again = await call(client, {**T2V, "confirmationCode": code}, "create_generation")
    assert code_in(again) != code
    assert "was used, is too old" in again["errorMessage"]
    assert upstream.calls().count("generate") == 1


@pytest.mark.parametrize("change", [{"duration": 8}, {"prompt": "a dog"}, {"model": "t2v_v3"}])
async def test_a_code_is_for_these_arguments_alone(change: dict[str, Any]) -> None:
    upstream = network()
    async with session(upstream, "legacy") as client:
        code = code_in(await call(client, T2V))
        code_in(await call(client, {**T2V, **change, "confirmationCode": code}))
    assert "generate" not in upstream.calls()


async def test_a_code_is_for_this_price_and_not_for_a_higher_one() -> None:
    upstream = network(quote=[reply(PRICE), reply({**PRICE, "credits": 16}), reply({**PRICE, "credits": 14})])
    async with session(upstream, "legacy") as client:
        code = code_in(await call(client, T2V))
        dearer = await call(client, {**T2V, "confirmationCode": code})
        assert "Spend 16 credits" in dearer["errorMessage"]
        assert (await call(client, {**T2V, "confirmationCode": code_in(dearer)}))["ok"], "cheaper than agreed"


async def test_a_code_is_good_for_ten_minutes() -> None:
    upstream = network()
    async with session(upstream, "legacy") as client:
        code = code_in(await call(client, T2V))
        await anyio.sleep(601)
        code_in(await call(client, {**T2V, "confirmationCode": code}))
    assert "generate" not in upstream.calls()


async def test_a_code_is_taken_by_another_server_process(tmp_path: Path) -> None:
    upstream = network()
    async with session(upstream, "legacy", state_dir=tmp_path) as client:
        code = code_in(await call(client, T2V))
    async with session(upstream, "legacy", state_dir=tmp_path) as client:
        assert (await call(client, {**T2V, "confirmationCode": code}))["ok"]


@pytest.mark.parametrize("code", ["", "x", "DROP TABLE codes", 5, "A" * 50])
async def test_what_is_no_code_is_refused_before_anything_is_asked(code: object) -> None:
    upstream = network()
    async with session(upstream, "legacy") as client:
        assert (await call(client, {**T2V, "confirmationCode": code}))["errorCode"] == "INVALID_PAYLOAD"
    assert upstream.calls() == []


async def test_two_calls_with_one_code_make_one_video() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(1)
        return reply(SUBMITTED)

    upstream, answers = network(generate=slow), []
    async with session(upstream, "legacy") as client:
        code = code_in(await call(client, T2V, "create_generation"))

        async def use() -> None:
            answers.append(await call(client, {**T2V, "confirmationCode": code}, "create_generation"))

        async with anyio.create_task_group() as group:
            group.start_soon(use)
            group.start_soon(use)
    assert sorted(answer["ok"] for answer in answers) == [False, True]
    assert upstream.calls().count("generate") == 1


@pytest.mark.parametrize("mode", ERAS)
async def test_who_joins_a_generation_is_not_asked_again(mode: str) -> None:
    upstream, user = network(status=reply({"status": "PROGRESS"})), User()
    async with session(upstream, mode, user) as client:
        await call(client, {**T2V, "maxWaitSeconds": 5})
        await call(client, {**T2V, "maxWaitSeconds": 5})
    assert len(user.questions) == 1
    assert upstream.calls().count("generate") == 1


async def test_the_price_that_rose_while_the_user_thought_is_asked_for_again() -> None:
    upstream = network(quote=[reply(PRICE), reply({**PRICE, "credits": 30})])
    async with session(upstream, "legacy", User()) as client:
        answer = await call(client, T2V)
    assert answer["errorCode"] == "CONFIRMATION_REQUIRED"
    assert "Spend 30 credits" in answer["errorMessage"]
    assert "generate" not in upstream.calls()


async def test_something_is_told_every_ten_seconds_while_the_user_thinks() -> None:
    told: list[str] = []

    async def listen(_progress: float, _total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with session(network(), "legacy", User(after=35)) as client:
        assert (await call(client, T2V, progress_callback=listen))["ok"]
    assert [message for message in told if message.startswith("Waiting for the user's answer")] == [
        f"Waiting for the user's answer; {seconds} s so far" for seconds in (10, 20, 30)
    ]


async def test_an_answer_cannot_be_used_twice_by_calling_again_with_it() -> None:
    """On 2026-07-28 a client answers by calling again: what it brings along buys one video."""
    upstream, user = network(), User()
    async with upstream.workflow(confirm_above=10) as workflow:
        async with Client(build_server(workflow), mode="auto", elicitation_callback=user) as client:
            asked = await client.session.call_tool("create_generation", T2V, allow_input_required=True)
            state = asked.request_state
            for expected in (True, False):
                answer = await client.session.call_tool(
                    "create_generation",
                    T2V,
                    input_responses={"consent": YES},
                    request_state=state,
                    allow_input_required=True,
                )
                assert answer.structured_content["ok"] is expected
    assert upstream.calls().count("generate") == 1


async def test_a_state_that_was_made_up_is_refused() -> None:
    upstream = network()
    async with upstream.workflow(confirm_above=10) as workflow:
        async with Client(build_server(workflow), mode="auto", elicitation_callback=User()) as client:
            with pytest.raises(MCPError):
                await client.session.call_tool(
                    "create_generation", T2V, input_responses={"consent": YES}, request_state="AAAAAA"
                )
    assert "generate" not in upstream.calls()


# The client's own folders


async def test_the_folders_of_a_client_narrow_those_that_pictures_are_read_from(tmp_path: Path) -> None:
    allowed, inside = tmp_path / "pictures", tmp_path / "pictures" / "project"
    inside.mkdir(parents=True)
    for folder in (allowed, inside):
        (folder / "cat.png").write_bytes(PNG)
    roots = ListRootsResult(roots=[Root(uri=inside.as_uri())])

    async def offer(_: object) -> ListRootsResult:
        return roots

    upstream = network()
    async with upstream.workflow(image_dirs=(allowed,)) as workflow:
        async with Client(build_server(workflow), mode="legacy", list_roots_callback=offer) as client:
            refused = await call(client, {"model": "i2v", "image": str(allowed / "cat.png"), "duration": 5})
            taken = await call(client, {"model": "i2v", "image": str(inside / "cat.png"), "duration": 5})
            roots.roots = []
            free = await call(client, {"model": "i2v", "image": str(allowed / "cat.png"), "duration": 5})
    assert (refused["ok"], refused["errorCode"]) == (False, "INVALID_PAYLOAD")
    assert taken["ok"]
    assert free["ok"]


async def test_the_folders_of_a_client_widen_nothing(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "cat.png").write_bytes(PNG)

    async def offer(_: object) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=tmp_path.as_uri())])

    upstream = network()
    async with upstream.workflow(image_dirs=(tmp_path / "pictures",)) as workflow:
        async with Client(build_server(workflow), mode="legacy", list_roots_callback=offer) as client:
            refused = await call(client, {"model": "i2v", "image": str(tmp_path / "cat.png"), "duration": 5})
    assert refused["errorCode"] == "INVALID_PAYLOAD"
    assert upstream.calls() == []
