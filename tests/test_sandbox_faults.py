"""Bad days: what each fault does, whom it strikes and how often."""

import json

import httpx
import pytest
from test_sandbox_twin import BODIES, Twin

from aivideo_mcp.sandbox.faults import CALLS, KINDS, Fault

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_specification(kind: str) -> None:
    assert Fault.parse(kind).kind == kind


@pytest.mark.parametrize("call", CALLS)
def test_every_call_can_be_named(call: str) -> None:
    fault = Fault.parse(f"slow=0.25@{call}:7")
    assert (fault.kind, fault.seconds, fault.call, fault.every) == ("slow", 0.25, call, 7)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "418",
        "429:0",
        "429:-1",
        "429:x",
        "429@nothing",
        "429=3",
        "slow=",
        "slow=fast",
        "429:3@status",
        "failed@status",
        "429 ",
        "429\n",
    ],
)
def test_a_bad_specification_is_refused_with_the_allowed_forms(spec: str) -> None:
    with pytest.raises(ValueError, match=r"use KIND\[@CALL\]\[:N\]") as refused:
        Fault.parse(spec)
    assert all(word in str(refused.value) for word in (*KINDS, *CALLS, "slow=SECONDS"))


@pytest.mark.parametrize(
    ("kind", "status", "media"),
    [
        ("429", 429, "application/json"),
        ("500", 500, "application/json"),
        ("502", 502, "text/html; charset=utf-8"),
        ("503", 503, "text/html; charset=utf-8"),
        ("504", 504, "text/html; charset=utf-8"),
        ("html", 200, "text/html; charset=utf-8"),
        ("empty", 200, None),
        ("failed-200", 200, "application/json"),
        ("redirect", 302, None),
    ],
)
async def test_a_fault_answers_in_place_of_the_call_which_is_not_processed(
    kind: str, status: int, media: str | None
) -> None:
    twin = Twin(faults=(kind,))
    answer = await twin.generate()
    assert answer.status_code == status
    assert answer.headers.get("content-type") == media
    assert (await twin.ledger())["charges"] == 0
    if media == "application/json":
        assert answer.json()["status"] == "FAILED"
    elif media is not None:
        assert "<html>" in answer.text
    else:
        assert answer.content == b""


async def test_the_faults_details() -> None:
    assert (await Twin(faults=("429",)).generate()).headers["retry-after"] == "1"
    location = (await Twin(faults=("redirect",)).generate()).headers["location"]
    assert location.startswith("http://127.0.0.1:9/")


async def test_a_lost_answer_was_charged_and_a_reset_was_not() -> None:
    for kind, charges in (("lost", 1), ("reset", 0)):
        twin = Twin(faults=(f"{kind}@generate",))
        with pytest.raises(ConnectionResetError):
            await twin.generate()
        assert (await twin.ledger())["charges"] == charges


async def test_a_truncated_answer_is_half_of_the_true_one() -> None:
    twin = Twin(faults=("truncated@generate",))
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": json.dumps(BODIES["t2v"]).encode()}

    headers = [(b"key", b"ak_one")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/generate/t2v", "headers": headers, "query_string": b""}
    with pytest.raises(ConnectionResetError):
        await twin.app(scope, receive, send)
    length = int(dict(sent[0]["headers"])[b"content-length"])
    assert len(sent[1]["body"]) == length // 2
    assert sent[1]["more_body"] is True
    assert (await twin.ledger())["charges"] == 1


async def test_a_slow_answer_is_processed_first_and_held_back() -> None:
    twin = Twin(faults=("slow@generate", "slow=0.5@account"))
    assert (await twin.generate()).status_code == 200
    assert twin.slept == [3.0]
    assert (await twin.get("/api/v1/account")).status_code == 200
    assert twin.slept == [3.0, 0.5]


async def test_a_failed_fault_makes_tasks_that_fail() -> None:
    twin = Twin(faults=("failed:2",))
    good, bad = await twin.submitted(), await twin.submitted()
    twin.wait_sandbox_minutes(5)
    assert (await twin.status(good), await twin.status(bad)) == ("COMPLETED", "FAILED")
    assert (await twin.task(bad))["output"]["error"]
    assert await twin.balance() == 9_985


async def test_every_nth_matching_request_is_struck() -> None:
    twin = Twin(faults=("503@account:3",))
    assert [(await twin.get("/api/v1/account")).status_code for _ in range(7)] == [
        200,
        200,
        503,
        200,
        200,
        503,
        200,
    ]


async def test_a_fault_for_one_call_leaves_the_others_alone() -> None:
    twin = Twin(faults=("500@tasks",))
    assert (await twin.get("/api/v1/tasks")).status_code == 500
    assert (await twin.get("/api/v1/account")).status_code == 200
    assert (await twin.generate()).status_code == 200


async def test_a_fault_for_every_call_spares_files_and_the_sandbox_itself() -> None:
    twin = Twin(faults=("500",))
    assert (await twin.http.put("/api/v1/tasks/x/cancel")).status_code == 500
    assert (await twin.quote("t2v")).status_code == 500
    assert (await twin.get("/files/x.mp4")).status_code == 404
    assert (await twin.get("/")).status_code == 200


async def test_files_can_have_faults_of_their_own() -> None:
    assert (await Twin(faults=("503@file",)).get("/files/x.mp4")).status_code == 503


async def test_each_fault_keeps_its_own_count_and_the_first_wins() -> None:
    twin = Twin(faults=("503:2", "500:3"))
    seen = [(await twin.get("/api/v1/account")).status_code for _ in range(6)]
    assert seen == [200, 503, 500, 503, 200, 503]


async def test_disturbed_calls_are_counted_as_calls_but_not_against_the_limit() -> None:
    twin = Twin(faults=("503@account:2",), queries_per_minute=2)
    assert [(await twin.get("/api/v1/account")).status_code for _ in range(4)] == [200, 503, 200, 503]
    assert (await twin.ledger())["calls"] == {"account": 4}


async def test_faults_are_replaced_while_running() -> None:
    twin = Twin(faults=("500",))
    answer = await twin.http.post("/sandbox/faults", json={"faults": ["502@account"]})
    assert answer.json() == {"faults": ["502@account"]}
    assert (await twin.get("/api/v1/account")).status_code == 502
    await twin.http.post("/sandbox/faults", json={"faults": []})
    assert (await twin.get("/api/v1/account")).status_code == 200


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"{}", b'{"faults": "500"}', b'{"faults": [500]}', b'{"faults": ["500", "nonsense"]}']
)
async def test_bad_replacements_are_refused_and_change_nothing(content: bytes) -> None:
    twin = Twin(faults=("503",))
    answer: httpx.Response = await twin.http.post("/sandbox/faults", content=content)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "INVALID_PAYLOAD")
    assert "KIND[@CALL][:N]" in answer.json()["message"]
    assert (await twin.get("/api/v1/account")).status_code == 503
