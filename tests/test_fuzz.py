"""Whatever a client writes, and whatever the upstream answers: one envelope that keeps the tool's outputSchema.

`AIVIDEO_FUZZ` multiplies the number of examples: AIVIDEO_FUZZ=50 is a night's work.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import trio.testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from mcp import Client
from pydantic import ValidationError
from test_contracts import BASIC, Body, requests

from aivideo_mcp.app import build_server
from aivideo_mcp.client.exchange import Reply
from aivideo_mcp.client.judging import judge
from aivideo_mcp.contracts import MODELS, picture_uri, read_request
from aivideo_mcp.contracts.vocabulary import canonical
from aivideo_mcp.errors import AivideoError, InvalidInput, codes
from aivideo_mcp.media.boxes import fault_of
from aivideo_mcp.sandbox.clips import clip_for
from aivideo_mcp.tasks import Task, addresses, reading
from tests.fakes import KEY, SUBMITTED, T2V, FakeNetwork, reply, task
from tests.filehost import Host
from tests.oddities import TEXTS, Call, calls, json_values, odd_values, writable

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

SCALE: Final = int(os.environ.get("AIVIDEO_FUZZ", "1"))
Schemas = Mapping[str, Validator]
NOW: Final = datetime(2026, 11, 23, tzinfo=UTC)


def examples(number: int) -> settings:
    """So many examples, the same ones in each run."""
    return settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=number * SCALE,
        phases=(Phase.generate,),  # a smaller example is not worth minutes of sessions
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


class Complaints(logging.Handler):
    """What the server says of its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


def checked(schema: Validator, result: Any) -> Body:
    """The envelope of a result, which keeps the contract and can be written to a wire."""
    envelope: Body = result.structured_content
    assert list(schema.iter_errors(envelope)) == []
    assert result.is_error is not envelope["ok"]
    assert envelope["errorCode"] is None or envelope["errorCode"] in codes()
    assert envelope["nextSteps"]
    written = result.model_dump_json(by_alias=True)
    json.dumps(envelope, allow_nan=False, ensure_ascii=False).encode()
    assert "Traceback" not in written
    assert "server made a mistake" not in written
    assert KEY not in written
    assert len(written) < 200_000
    return envelope


def in_session(
    network: FakeNetwork, mode: str, work: Callable[[Client, Schemas], Awaitable[None]], **given: Any
) -> None:
    """Work with a client of a server over this network, in time that passes at once; no complaint may come of it."""
    complaints = Complaints()

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with network.workflow(state_dir=Path(folder), **given) as workflow:
                async with Client(build_server(workflow), mode=mode) as client:
                    tools = (await client.list_tools()).tools
                    schemas = {tool.name: Draft202012Validator(tool.output_schema or False) for tool in tools}
                    await work(client, schemas)

    logging.getLogger().addHandler(complaints)
    try:
        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(main, backend="trio", backend_options={"clock": clock})
    finally:
        logging.getLogger().removeHandler(complaints)
    assert complaints.told == []


def kind_network(**answers: Any) -> FakeNetwork:
    """A network whose upstream is well, but for the given answers."""
    number = itertools.count()

    async def created(_: httpx.Request) -> httpx.Response:
        return reply({**SUBMITTED, "taskId": f"ck{next(number)}"})

    well: dict[str, Any] = {
        "generate": created,
        "file": Host(),
        "quote": reply({"model": "t2v", "credits": 15, "currentBalance": 415, "affordable": True}),
        "status": reply({"status": "COMPLETED"}),
        "task": reply(task("COMPLETED")),
        "tasks": reply({"tasks": [task("COMPLETED")]}),
        "cancel": reply({"status": "CANCEL", "taskId": "ck1"}),
    }
    return FakeNetwork(**well | answers)


@pytest.fixture(autouse=True)
def threads_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that jumps does not wait for threads, so what is done in one is done at once."""

    async def at_once(work: Callable[..., Any], *given: Any, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return work(*given)

    monkeypatch.setattr(anyio.to_thread, "run_sync", at_once)


# --- Calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_any_call_ends_in_one_envelope_that_keeps_the_schema(mode: str, tmp_path: Path) -> None:
    folders = {"image_dirs": (tmp_path,), "output_dir": tmp_path, "confirm_above": 14}

    @examples(25)
    @given(st.lists(calls(requests).filter(writable), min_size=4, max_size=10), st.booleans())
    def run(made: list[Call], with_folders: bool) -> None:
        async def work(client: Client, schemas: Schemas) -> None:
            for name, arguments in made:
                checked(schemas[name], await client.call_tool(name, arguments))

        in_session(kind_network(), mode, work, **(folders if with_folders else {}))

    run()


# --- Answers of the upstream ----------------------------------------------------------------------------------------

CALLS: Final[tuple[Call, ...]] = (
    ("generate_video", {**T2V, "maxWaitSeconds": 60}),
    ("create_generation", {**T2V, "maxCredits": 500}),
    ("generate_video", {"taskId": "ck1", "maxWaitSeconds": 60}),
    ("quote_generation", T2V),
    ("list_tasks", {}),
    *((name, {"taskId": "ck1"}) for name in ("get_status", "get_task", "cancel_task", "download_video")),
    *((name, {}) for name in ("list_models", "get_account")),
)
WELL: Final[tuple[Body, ...]] = (
    SUBMITTED,
    task("COMPLETED"),
    task("FAILED", output={"error": "no"}),
    {"tasks": [task("COMPLETED"), task("PROGRESS", id="ck2")]},
    {"ok": True, "currentBalance": 415, "supportedModels": ["t2v"]},
    {"model": "t2v", "credits": 15, "affordable": True},
    {"status": "FAILED", "errorCode": "RATE_LIMITED", "message": "slow down"},
    {"status": "CANCEL", "taskId": "ck1"},
)


@st.composite
def _spoilt(draw: st.DrawFn) -> Body:
    """An answer of the API in which some things are not as they should be."""
    body = dict(draw(st.sampled_from(WELL)))
    for name in draw(st.sets(st.sampled_from(sorted(body)), max_size=3)):
        body[name] = draw(odd_values)
    return body | draw(
        st.dictionaries(st.sampled_from(("status", "id", "taskId", "output", "error")), odd_values, max_size=1)
    )


bodies: Final = (_spoilt() | json_values).map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60)
statuses: Final = st.sampled_from((200, 200, 200, 201, 204, 302, 400, 401, 402, 404, 409, 422, 429, 500, 503, 599))
_headers: Final = st.dictionaries(
    st.sampled_from(("retry-after", "content-type", "aivideo-sandbox", "location")),
    st.sampled_from(
        ("", "5", "-5", "nan", "1e999", "Wed, 21 Oct 2015 07:28:00 GMT", "text/html", "speed=0", "speed=nan", "x")
    ),
    max_size=2,
)
replies: Final = st.builds(Reply, statuses, _headers, bodies)


@examples(12)
@given(
    st.dictionaries(st.sampled_from(sorted(kind_network()._answers)), replies, min_size=1),
    st.sampled_from(["legacy", "auto"]),
)
def test_whatever_the_upstream_answers_each_call_ends_in_an_envelope(spoilt: dict[str, Reply], mode: str) -> None:
    answers = {
        call: httpx.Response(it.status, headers=dict(it.headers), content=it.body) for call, it in spoilt.items()
    }

    async def work(client: Client, schemas: Schemas) -> None:
        for name, arguments in CALLS:
            with anyio.fail_after(1500):
                checked(schemas[name], await client.call_tool(name, arguments))

    in_session(kind_network(**answers), mode, work)


# --- Readers --------------------------------------------------------------------------------------------------------


def told(refusal: AivideoError, pause: float = 0.0) -> None:
    """Check that a refusal is text that every wire takes, and not a flood, and its pause one that can be waited."""
    refusal.message.encode()
    assert KEY not in refusal.message
    assert 0 <= pause <= 3600
    assert len(refusal.message) < 5000
    assert refusal.next_steps


@examples(250)
@given(st.one_of(requests, calls(requests).map(lambda call: call[1]), st.dictionaries(st.text(), odd_values)))
def test_arguments_become_a_request_that_reads_as_itself_or_one_refusal(arguments: Body) -> None:
    try:
        contract, _ = canonical(arguments)
        request = read_request(arguments)
    except InvalidInput as refusal:
        told(refusal)
        return
    assert type(request) is contract is MODELS[request.model]
    assert read_request({"model": request.model, **request.fields()}) == request
    json.dumps(request.wire(), allow_nan=False, ensure_ascii=False).encode()
    assert request.estimate() is None or request.estimate() >= 0  # type: ignore[operator]


READERS: Final[tuple[Callable[[Any], object], ...]] = (
    *(
        reading.read_reason,
        reading.read_prompt,
        addresses.read_url,
        reading.read_count,
        reading.read_time,
        reading.quoted,
    ),
    *(
        lambda value: reading.read_limit(value, "credits"),
        lambda value: reading.written(reading.expiry(reading.read_time(value))),
    ),
)


@examples(150)
@given(odd_values)
def test_what_comes_from_outside_is_read_or_is_none_and_can_be_written(value: object) -> None:
    for read in READERS:
        seen = read(value)
        if isinstance(seen, str):
            seen.encode()
            assert len(seen) <= 12 * addresses.MAX_URL  # a sign may be twelve when it is percent-encoded
    whole = Task.read({**task("COMPLETED"), "id": value, "output": value, "input": value}) or Task.read(
        {**task("FAILED"), "output": value, "input": value, "createdAt": value, "creditsCharged": value}
    )
    assert whole is None or json.dumps(whole.model_dump(mode="json", by_alias=True), allow_nan=False).encode()


@examples(250)
@given(replies, st.booleans())
def test_a_reply_is_an_object_or_a_failure_that_keeps_the_key(given_reply: Reply, state_alone: bool) -> None:
    body = given_reply.body + KEY.encode() * (len(given_reply.body) % 2)
    try:
        seen = judge(Reply(given_reply.status, given_reply.headers, body), now=NOW, secret=KEY, state_alone=state_alone)
    except AivideoError as refusal:
        told(refusal, refusal.retry_after or 0.0)
    else:
        assert isinstance(seen, dict)
        assert KEY not in json.dumps(seen)


_STARTS: Final = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBP",
    b"PK\x03\x04",
    b"BM",
    b"%PDF-",
    b"<svg",
)


@examples(250)
@given(st.sampled_from(_STARTS), st.binary(max_size=300))
def test_bytes_are_a_picture_by_what_they_are_or_refused(start: bytes, rest: bytes) -> None:
    try:
        uri = picture_uri(start + rest)
    except ValueError as refusal:
        str(refusal).encode()
        return
    assert read_request({**BASIC["i2v"], "image": uri}).fields()["image"] == uri


@examples(150)
@given(
    st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=()), max_size=60),
    st.sampled_from(("image", "referenceImages", "referenceVideo")),
)
def test_texts_are_pictures_and_links_or_refused(text: str, field: str) -> None:
    given_text = [text] if field.endswith("s") else text
    try:
        request = MODELS["minimax"].model_validate({**BASIC["minimax"], field: given_text})
    except ValidationError:
        return
    json.dumps(request.wire()).encode()


CLIP: Final = clip_for("16:9").read_bytes()


@examples(100)
@given(st.binary(max_size=40), st.integers(0, 200), st.integers(0, len(CLIP)))
def test_a_damaged_film_is_not_taken_for_a_whole_one(damage: bytes, at: int, end: int) -> None:
    spoilt = CLIP[:at] + damage + CLIP[at + len(damage) : end]
    fault = fault_of(io.BytesIO(spoilt), len(spoilt))
    assert fault is None or fault.startswith("it is ")
    if len(spoilt) < len(CLIP) and spoilt == CLIP[: len(spoilt)]:
        assert fault is not None
