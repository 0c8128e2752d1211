"""Every fault on every call: one envelope of the contract, in bounded time, nothing sent twice, nothing lost.

A fault stays for as long as the call does; the other calls are well. Time is virtual, so that the bounds are those of
the code and not of the machine.
"""

from __future__ import annotations

import gc
import gzip
import json
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import anyio
import anyio.to_thread
import httpx
import jsonschema
import pytest

from aivideo_mcp.errors import codes
from aivideo_mcp.schemas import answer_schema
from aivideo_mcp.tasks import Envelope
from aivideo_mcp.tools import TOOLS, Call
from tests.fakes import SUBMITTED, T2V, Answer, FakeNetwork, at_once, page, reply, task

pytestmark = pytest.mark.anyio

ASKED: Final = {"taskId": "ck1"}
# The upstream's seven calls, each with the tools that make it.
WAYS: Final[dict[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    "account": (("list_models", {}), ("get_account", {})),
    "quote": (("quote_generation", T2V), ("create_generation", {**T2V, "maxCredits": 50})),
    "generate": (("create_generation", T2V), ("generate_video", {**T2V, "maxWaitSeconds": 100})),
    "tasks": (("list_tasks", {}),),
    "task": (("get_task", ASKED), ("generate_video", {**ASKED, "maxWaitSeconds": 100}), ("download_video", ASKED)),
    "status": (("get_status", ASKED), ("generate_video", {**ASKED, "maxWaitSeconds": 100})),
    "cancel": (("cancel_task", ASKED),),
}
WELL: Final[dict[str, dict[str, Any]]] = {
    "account": {"ok": True, "currentBalance": 415, "supportedModels": ["t2v", "i2v"]},
    "quote": {"model": "t2v", "credits": 15, "currentBalance": 415, "affordable": True},
    "generate": SUBMITTED,
    "tasks": {"tasks": [task("COMPLETED")]},
    "task": task("COMPLETED"),
    "status": {"status": "COMPLETED"},
    "cancel": {"status": "CANCEL", "taskId": "ck1"},
}
BOUND: Final = 300.0  # seconds that any call may take: its wait, and the time-outs and retries around it


def body(call: str) -> bytes:
    return json.dumps(WELL[call]).encode()


def streamed(*pieces: bytes | Exception | float, **headers: str) -> Callable[[httpx.Request], Any]:
    """A 200 whose body comes in pieces; a number is seconds of silence, an exception breaks it."""

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, float):
                await anyio.sleep(piece)
            else:
                yield piece

    async def answer(_: httpx.Request) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(200, content=stream(), headers=named)

    return answer


async def _silent(_: httpx.Request) -> httpx.Response:
    await anyio.sleep_forever()
    raise AssertionError


def refusal(status: int, **headers: str) -> httpx.Response:
    return reply({"status": "FAILED", "message": "no"}, status, **headers)


def nested(depth: int) -> bytes:
    return b'{"tasks":' + b"[" * depth + b"]" * depth + b"}"


MIB: Final = 2**20
BOMB: Final = gzip.compress(b"0" * (80 * MIB), 9)
FAULTS: Final[dict[str, Callable[[str], Answer]]] = {
    "refused": lambda _: httpx.ConnectError("refused"),
    "unresolved": lambda _: httpx.ConnectError("[Errno -2] Name or service not known"),
    "connecting for ever": lambda _: httpx.ConnectTimeout("timed out"),
    "reset before sending": lambda _: httpx.WriteError("reset"),
    "reset after sending": lambda _: httpx.ReadError("reset"),
    "time-out": lambda _: _silent,
    "read time-out": lambda _: httpx.ReadTimeout("timed out"),
    "stall in the body": lambda call: streamed(body(call)[:10], 1e6, body(call)[10:]),
    "drip": lambda call: streamed(*[piece for byte in body(call) for piece in (bytes([byte]), 5.0)]),
    "reset in the body": lambda call: streamed(body(call)[:10], httpx.ReadError("reset")),
    "truncated": lambda call: streamed(body(call)[:-5]),
    "cut by the protocol": lambda call: streamed(body(call)[:-5], httpx.RemoteProtocolError("peer closed")),
    "html": lambda _: page(),
    "html with 404": lambda _: page(status=404),
    "html with 403": lambda _: page(status=403),
    "empty": lambda _: httpx.Response(200),
    "spaces": lambda _: httpx.Response(200, content=b"  \n "),
    "huge": lambda _: streamed(*[b" " * MIB] * 70, b"{}"),
    "deep": lambda _: httpx.Response(200, content=nested(100_000)),
    "a list": lambda _: reply([1, 2]),
    "a number": lambda _: reply(5),
    "a text": lambda _: reply("COMPLETED"),
    "null": lambda _: reply(None),
    "an empty object": lambda _: reply({}),
    "wrong types": lambda call: reply(dict.fromkeys(WELL[call], 7)),
    "lists for all": lambda call: reply({key: [{}] for key in WELL[call]}),
    "nulls": lambda call: reply(dict.fromkeys(WELL[call])),
    "NaN": lambda _: httpx.Response(200, content=b'{"credits": NaN, "status": Infinity}'),
    "a number of 10,000 digits": lambda _: httpx.Response(200, content=b'{"credits": 1' + b"0" * 10_000 + b"}"),
    "latin-1": lambda _: httpx.Response(200, content='{"status": "fertig, schön"}'.encode("latin-1")),
    "utf-16": lambda call: httpx.Response(200, content=json.dumps(WELL[call]).encode("utf-16")),
    "a byte order mark": lambda call: httpx.Response(200, content=b"\xef\xbb\xbf" + body(call)),
    "half a surrogate": lambda _: httpx.Response(200, content=b'{"status": "\\ud800", "taskId": "\\ud800"}'),
    "gzip": lambda call: streamed(gzip.compress(body(call)), content_encoding="gzip"),
    "a bomb": lambda _: streamed(BOMB, content_encoding="gzip"),
    "no gzip": lambda _: streamed(b"no gzip", content_encoding="gzip"),
    "brotli": lambda _: streamed(b"\x1b\x00", content_encoding="br"),
    **{f"{status}": lambda _, status=status: refusal(status) for status in (400, 401, 402, 403, 404, 405, 408, 409)},
    **{
        f"{status}": lambda _, status=status: refusal(status)
        for status in (413, 418, 422, 429, 500, 501, 502, 503, 504)
    },
    **{
        f"{status} elsewhere": lambda _, status=status: httpx.Response(status, headers={"location": "https://e.test/"})
        for status in (301, 302, 303, 307, 308)
    },
    "304": lambda _: httpx.Response(304),
    "200 and failed": lambda _: reply({"status": "FAILED", "message": "busy"}),
    "200 and failed with a code": lambda _: reply({"status": "FAILED", "errorCode": "RATE_LIMITED"}),
    "200 and an unknown code": lambda _: reply({"status": "FAILED", "errorCode": "OUT_OF_CHEESE", "error": {"a": []}}),
    "200 and not ok": lambda _: reply({"ok": False}),
    **{
        f"Retry-After {wait}": lambda _, wait=wait: refusal(429, retry_after=wait)
        for wait in ("-5", "0", "315360000", "soon", "nan", "inf", "1e400", "Thu, 01 Jan 1970 00:00:00 GMT", "")
    },
    "503 and ten years": lambda _: refusal(503, retry_after="315360000"),
}
CASES: Final = [
    pytest.param(call, tool, arguments, fault, id=f"{call}-{tool}-{fault}")
    for call, ways in WAYS.items()
    for tool, arguments in ways
    for fault in FAULTS
]
SCHEMAS: Final = {tool.name: answer_schema(Envelope, tool.answer) for tool in TOOLS}


@pytest.fixture
def anyio_backend(virtual_time: object) -> object:
    return virtual_time


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps knows no threads."""

    async def now(work: Callable[..., Any], *given: Any, **_: Any) -> Any:
        return await at_once(lambda: work(*given))

    monkeypatch.setattr(anyio.to_thread, "run_sync", now)


@pytest.fixture
def left_over(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where we stop reading a body, httpx leaves its own generators to the collector, of which trio complains."""
    yield
    if request.node.callspec.params["fault"] not in ("huge", "a bomb", "no gzip", "truncated", "brotli"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def check_envelope(tool: str, envelope: Envelope) -> None:
    """Fail unless it is one of the contract, whatever went wrong."""
    told = envelope.model_dump(mode="json", by_alias=True)
    jsonschema.validate(told, SCHEMAS[tool])
    assert json.loads(json.dumps(told)) == told
    assert envelope.error_code is None or envelope.error_code in codes()
    assert envelope.ok == (envelope.error_code is None)
    assert envelope.next_steps
    assert "Traceback" not in envelope.text
    assert "server made a mistake" not in envelope.text, "a fault from outside is no mistake of ours"


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.usefixtures("left_over")
@pytest.mark.parametrize(("call", "tool", "arguments", "fault"), CASES)
async def test_every_fault_ends_in_one_envelope_in_bounded_time(
    call: str, tool: str, arguments: dict[str, Any], fault: str
) -> None:
    answers: dict[str, Any] = {name: reply(well) for name, well in WELL.items()} | {call: FAULTS[fault](call)}
    network = FakeNetwork(**answers)
    row = next(row for row in TOOLS if row.name == tool)

    async def tell(_: str) -> None: ...

    async with network.workflow() as workflow:
        began = anyio.current_time()
        envelope = await row.call(workflow, Call(arguments, tell, seen=True))
        took = anyio.current_time() - began
    check_envelope(tool, envelope)
    assert took <= BOUND
    assert network.calls().count("cancel") <= 1
    sent = [request.headers["idempotency-key"] for request in network.requests if "generate" in request.url.path]
    assert len(set(sent)) <= 1
    assert len(sent) <= 2
    if call == "generate" and envelope.error_code == "SUBMISSION_UNCERTAIN":
        assert envelope.retry_after is not None
