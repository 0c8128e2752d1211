"""How much the network transports take, and for how long: bodies, streams, sessions, connections, slow clients."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from aivideo_mcp.transports.bodies import Bodies
from aivideo_mcp.transports.connections import Crowd
from aivideo_mcp.transports.limits import Limits
from aivideo_mcp.transports.rooms import Rooms
from aivideo_mcp.transports.starts import Starts
from tests.processes import hello, listening
from tests.web import HELLO, Answer, Served, Wire, ask, opened, request, served, until, wire

pytestmark = pytest.mark.anyio
CHUNKED = "Transfer-Encoding: chunked"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def healthy(here: Served) -> None:
    """A server that still does its work."""
    assert (await ask(here.port, "GET", "/healthz")).status == 200
    assert (await ask(here.port, "POST", "/mcp", body=HELLO)).status == 200


@pytest.mark.parametrize("path", ["/mcp", "/messages/?session_id=00000000000000000000000000000000"])
async def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_counting(path: str) -> None:
    async with served(Limits(body=100_000, body_free=0)) as here:
        by_length = await ask(here.port, "POST", path, "Content-Length: 100001")
        assert (by_length.status, b"100000 bytes" in by_length.body) == (413, True)
        async with wire(here.port, request("POST", path, CHUNKED)) as line:
            for _ in range(2):
                await line.send(chunk(b"x" * 50_000))
            await line.send(chunk(b"x"))
            assert (await line.answer()).status == 413
        assert (await ask(here.port, "POST", path, body=b"x" * 100_000)).status in (400, 404)
        await healthy(here)


async def test_a_body_of_countless_members_is_refused_before_it_is_parsed() -> None:
    async with served(Limits()) as here:
        for element in (b"{},", b"[],", b"1,"):
            asked = HELLO[:-1] + b', "more": [' + element * 100_000 + b"0]}"
            answer = await ask(here.port, "POST", "/mcp", body=asked)
            assert (answer.status, b"100000 members" in answer.body) == (413, True)
        assert (await ask(here.port, "POST", "/mcp", body=HELLO + b" " * 1_000_000)).status == 200
        await healthy(here)


async def test_a_client_that_sends_on_after_its_refusal_can_go_on_with_its_next_request() -> None:
    async with (
        served(Limits(body=100_000)) as here,
        wire(here.port, request("POST", "/mcp", body=b"x" * 1_000_000)) as line,
    ):
        assert (await line.answer()).status == 413
        await line.send(request("GET", "/healthz"))
        assert (await line.answer()).status == 200


async def test_all_bodies_together_are_bounded_small_ones_pass_and_memory_comes_back() -> None:
    async with served(Limits(body=300_000, bodies=400_000, body_free=1000)) as here:
        async with wire(here.port, request("POST", "/mcp", CHUNKED)) as first:
            await first.send(chunk(b"x" * 250_000))
            await anyio.sleep(0.05)
            second = await ask(here.port, "POST", "/mcp", body=b"x" * 250_000)
            assert (second.status, "retry-after" in second.headers) == (503, True)
            assert (await ask(here.port, "POST", "/mcp", body=HELLO)).status == 200
        for _ in range(5):
            await anyio.sleep(0.3)
            if (again := await ask(here.port, "POST", "/mcp", body=b"x" * 250_000)).status == 400:
                break
        assert again.status == 400


async def test_a_body_counts_until_the_call_that_has_it_over_sse_has_let_go() -> None:
    """There the POST is answered at once, and the call runs on with its pictures."""
    held: list[Request] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held.append(asked := Request(scope, receive))
        await asked.body()
        await PlainTextResponse("Accepted", 202)(scope, receive, send)

    bodies = Bodies(app, Limits(body=100, bodies=150, body_free=0))
    assert await answered(bodies, b"x" * 100) == 202
    assert await answered(bodies, b"x" * 100) == 503
    held.clear()
    assert await answered(bodies, b"x" * 100) == 202


async def answered(bodies: Bodies, *parts: bytes, pause: float = 0, ends: bool = True) -> int:
    """The status that a POST gets whose body comes in parts."""
    said: list[Message] = []
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        messages[-1]["more_body"] = False

    async def receive() -> Message:
        await anyio.sleep(pause)
        return messages.pop(0) if messages else await anyio.sleep_forever()

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await ExceptionMiddleware(bodies)(scope, receive, send)
    return int(said[0]["status"])


class TestSlowBodies:
    """On virtual time."""

    @pytest.fixture
    def anyio_backend(self, virtual_time: tuple[str, Mapping[str, object]]) -> tuple[str, Mapping[str, object]]:
        return virtual_time

    async def taking(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await PlainTextResponse("")(scope, receive, send)

    @pytest.mark.parametrize(
        ("parts", "pause", "ends", "status", "after"),
        [
            (100, 1, True, 200, 100),
            (1, 29, True, 200, 29),
            (1, 31, True, 408, 30),
            (3, 1, False, 408, 33),
            (200, 1, True, 408, 120),
            (20, 20, True, 408, 120),
        ],
    )
    async def test_a_body_that_pauses_or_takes_too_long_is_given_up(
        self, parts: int, pause: float, ends: bool, status: int, after: float
    ) -> None:
        began = anyio.current_time()
        assert await answered(Bodies(self.taking, Limits()), *[b"x"] * parts, pause=pause, ends=ends) == status
        assert anyio.current_time() - began == pytest.approx(after, abs=0.01)


async def test_a_dripping_body_is_cut_and_the_client_told() -> None:
    async with served(Limits(body_pause=0.2)) as here:
        async with wire(here.port, request("POST", "/mcp", "Content-Length: 1000", body=b"x")) as line:
            answer = await line.answer()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            await line.closed()
        await healthy(here)


async def test_a_body_that_nobody_wants_cannot_hold_its_connection_by_dripping() -> None:
    async with served(Limits(head=0.3), token="t") as here:
        async with wire(here.port, request("POST", "/mcp", "Content-Length: 100000", body=b"x")) as line:
            assert (await line.answer()).status == 401
            await dripped(line, b"x" * 1000)


async def dripped(line: Wire, data: bytes) -> None:
    """Send byte by byte, until the server hangs up."""
    with anyio.fail_after(60):
        try:
            for letter in data:
                await line.send(bytes([letter]))
                await anyio.sleep(0.02)
        except anyio.BrokenResourceError:
            return
    pytest.fail("all of it was taken")


async def test_only_a_post_has_a_body() -> None:
    async with served() as here:
        for method, path in (("GET", "/sse"), ("DELETE", "/mcp"), ("GET", "/mcp")):
            for line in ("Content-Length: 5", CHUNKED):
                assert (await ask(here.port, method, path, line)).status == 400
        assert (await ask(here.port, "DELETE", "/mcp", "Content-Length: 0")).status != 413


@pytest.mark.parametrize(
    "odd",
    [
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXXXX\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nhalf",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /sse HTTP/1.0\r\n\r\n",
        b"GET /sse HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 20_000,
        b"\x00" * 100,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500,
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=map(str, range(22)),
)
async def test_odd_requests_break_nothing_and_the_next_is_answered(odd: bytes) -> None:
    async with served(Limits(head=0.3, body_pause=0.3)) as here:  # which hears of whatever is logged
        async with wire(here.port, odd) as line:
            with anyio.move_on_after(0.2):
                await line.answer_or_nothing()
        for _ in range(2):
            await healthy(here)


async def test_slow_headers_are_cut_on_a_new_connection_and_on_a_used_one() -> None:
    async with served(Limits(head=0.3)) as here:
        async with wire(here.port) as silent, wire(here.port, b"GET /healthz HTTP/1.1\r\n") as slow:
            async with wire(here.port, request("GET", "/healthz")) as used:
                await used.answer()
                for line in (slow, used):
                    await dripped(line, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1000)
                await silent.closed()
        await healthy(here)


async def test_a_connection_that_asks_no_more_ends() -> None:
    async with served(Limits(keep_alive=0.2)) as here, wire(here.port, request("GET", "/healthz")) as line:
        await line.answer()
        await line.closed()
        await until(lambda: not here.crowd._open)


async def test_many_requests_on_one_connection_outlive_the_time_for_one() -> None:
    async with served(Limits(head=0.2, keep_alive=0.2)) as here, wire(here.port) as line:
        for _ in range(10):
            await line.send(request("GET", "/healthz"))
            assert (await line.answer()).status == 200
            await anyio.sleep(0.05)


async def test_a_client_that_never_reads_its_stream_is_cut_and_its_session_ends() -> None:
    async with served(Limits(stalled=0.3), "sse") as here, deaf(here) as (_, path):
        with anyio.fail_after(60):
            await until_cut(here, path)
        await until(lambda: not here.streams._open)
        await healthy_sse(here)


@asynccontextmanager
async def deaf(here: Served) -> AsyncIterator[tuple[Wire, str]]:
    """An SSE session whose client reads its beginning and then nothing."""
    async with wire(here.port) as line:
        line.stream.extra(SocketAttribute.raw_socket).setsockopt(  # noqa: S610 - no Django here
            socket.SOL_SOCKET, socket.SO_RCVBUF, 4096
        )
        await line.send(request("GET", "/sse"))
        await line.answer()
        said = bytes(line._seen)
        while b"session_id" not in said or not said.endswith(b"\r\n\r\n"):
            said += await line.stream.receive()
        path = re.search(rb"data: (\S+)", said)
        assert path
        await post(here, path[1].decode(), *hello())
        yield line, path[1].decode()


async def post(here: Served, path: str, *messages: dict[str, object]) -> list[int]:
    bodies = [json.dumps({"jsonrpc": "2.0", **message}).encode() for message in messages]
    return [(await ask(here.port, "POST", path, body=body)).status for body in bodies]


async def until_cut(here: Served, path: str) -> None:
    """Ask for more and more that is not read."""
    for number in range(2, 100_000):
        if await post(here, path, {"id": number, "method": "tools/list"}) != [202]:
            return


async def healthy_sse(here: Served) -> None:
    async with wire(here.port, request("GET", "/sse")) as line:
        assert (await line.answer()).status == 200


async def test_streams_have_a_limit_and_room_comes_back() -> None:
    async with served(Limits(streams=20)) as here:
        async with AsyncExitStack() as stack:
            for _ in range(20):
                line = await stack.enter_async_context(wire(here.port, request("GET", "/sse")))
                assert (await line.answer()).status == 200
            refused = await ask(here.port, "GET", "/sse")
            assert (refused.status, "retry-after" in refused.headers) == (503, True)
            await healthy(here)
        await until(lambda: not here.streams._open)
        await healthy_sse(here)


async def test_calls_have_a_limit_and_room_comes_back() -> None:
    async with served(Limits(calls=3)) as here:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(wire(here.port, request("POST", "/mcp", "Content-Length: 9")))
            await until(lambda: len(here.streams._open) == 3)
            refused = await ask(here.port, "POST", "/mcp", body=HELLO)
            assert (refused.status, "retry-after" in refused.headers) == (503, True)
            assert (await ask(here.port, "GET", "/readyz")).status == 200
        await until(lambda: not here.streams._open)
        await healthy(here)


async def test_a_client_with_many_calls_leaves_room_for_others() -> None:
    async with served(Limits(calls=4, calls_each=3)) as here:
        greedy, other = await opened(here.port), await opened(here.port)
        async with AsyncExitStack() as stack:
            for _ in range(3):
                asked = request("POST", "/mcp", f"Mcp-Session-Id: {greedy}", "Content-Length: 9")
                await stack.enter_async_context(wire(here.port, asked))
            await until(lambda: len(here.streams._open) == 3)
            for lines in ((), ("Mcp-Session-Id: made-up",)):
                refused = await ask(here.port, "POST", "/mcp", f"Mcp-Session-Id: {greedy}", *lines, body=HELLO)
                assert (refused.status, "retry-after" in refused.headers) == (503, True)
            assert await pinged(here, other) == 202
        await until(lambda: not here.streams._open)
        assert await pinged(here, greedy) == 202


async def test_of_a_crowd_everybody_is_answered_while_others_go_on() -> None:
    async with served(Limits(calls=40, calls_each=20)) as here, anyio.create_task_group() as group:
        greedy, other = await opened(here.port), await opened(here.port)
        statuses: list[int] = []

        async def one(number: int) -> None:
            asked = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "list_models"}}
            body = json.dumps(asked).encode()
            answer = await ask(here.port, "POST", "/mcp", f"Mcp-Session-Id: {greedy}", body=body)
            assert (answer.status == 503) is ("retry-after" in answer.headers)
            statuses.append(answer.status)

        for number in range(300):
            group.start_soon(one, number)
        while len(statuses) < 300:
            assert await pinged(here, other) == 202
            assert (await ask(here.port, "GET", "/healthz")).status == 200
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 20


async def test_calls_begin_one_in_a_round_and_clients_by_turns() -> None:
    starts, begun, rounds = Starts(), list[tuple[str, int]](), 0

    async def begin(client: str) -> None:
        await starts.turn(client)
        begun.append((client, rounds))

    async with anyio.create_task_group() as group:
        for client in "aaaaaaab":
            group.start_soon(begin, client)
        while len(begun) < 8:
            await checkpoint()
            rounds += 1
    assert [client for client, _ in begun].index("b") == 2
    assert len({number for _, number in begun}) == 8


async def test_calls_that_wait_for_something_else_keep_nobody_from_beginning() -> None:
    begun = 0

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        nonlocal begun
        begun += 1
        await anyio.sleep_forever()

    rooms = Rooms(app, Limits())
    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(rooms, posted(), silence, silence)
        await until(lambda: begun == 200)
        group.cancel_scope.cancel()
    assert not rooms._calls
    assert not rooms._starts._waiting


async def test_methods_that_nobody_knows_leave_nothing_behind() -> None:
    rooms = Rooms(PlainTextResponse("no"), Limits())

    async def send(_message: Message) -> None:
        pass

    for number in range(100):
        await rooms({**posted(), "method": f"METHOD-{number}"}, silence, send)
    assert not rooms._taken


@pytest.mark.parametrize("rounds", range(5))
async def test_who_leaves_while_waiting_for_a_turn_holds_up_nobody(rounds: int) -> None:
    """At whatever moment: in the line, called, or about to begin."""
    starts, begun = Starts(), list[str]()
    leaving = anyio.CancelScope()

    async def begin(client: str) -> None:
        with leaving if client == "leaves" else anyio.CancelScope():
            await starts.turn(client)
            begun.append(client)

    async with anyio.create_task_group() as group:
        group.start_soon(begin, "stays")
        group.start_soon(begin, "leaves")
        group.start_soon(begin, "stays")
        for _ in range(rounds):
            await checkpoint()
        leaving.cancel()
    assert begun.count("stays") == 2
    assert not starts._waiting
    with anyio.fail_after(60):
        await starts.turn("next")


async def test_a_call_whose_client_left_before_its_turn_is_not_made() -> None:
    made = False

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        nonlocal made
        await Request(scope, receive).body()
        made = True

    said: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    await ExceptionMiddleware(Rooms(Bodies(app, Limits()), Limits()))(posted(), gone, send)
    assert not made


def posted() -> Scope:
    return {"type": "http", "method": "POST", "path": "/mcp", "headers": []}


async def silence(*_: object) -> Any:
    await anyio.sleep_forever()


@pytest.mark.parametrize("slowness", [0.0, 1.0])
async def test_who_was_answered_before_and_probes_are_read_before_a_crowd_of_newcomers(slowness: float) -> None:
    """Also where one reading takes a whole round."""
    order: list[str] = []

    class Loop:
        call_soon = asyncio.get_running_loop().call_soon

        def time(self) -> float:
            return len(order) * slowness

    class Heard:
        def __init__(self, name: str) -> None:
            self.name, self.loop = name, Loop()

        def read(self) -> None:
            order.append(self.name)

    crowd = Crowd(Limits(), PlainTextResponse(""))
    for name in ("new",) * 50 + ("known",) * 2:
        crowd.hear(Heard(name), known=name == "known")  # type: ignore[arg-type] # all that is asked of one
    await until(lambda: len(order) == 52)
    assert [number for number, name in enumerate(order) if name == "known"] == [1, 3]
    async with served() as here, wire(here.port, request("GET", "/healthz")) as line:
        await line.answer()
        lines: list[bool] = []
        here.crowd.hear = lambda _, known: lines.append(known)  # type: ignore[method-assign] # and reads nothing
        await line.send(request("GET", "/"))
        await until(lambda: lines == [True])
        for number, path in enumerate(("/healthz", "/readyz", "/mcp"), 2):
            async with wire(here.port, request("GET", path)):
                await until(functools.partial(lambda number: len(lines) == number, number))
    assert lines == [True, True, True, False]


async def test_a_request_that_breaks_its_reader_keeps_no_other_from_being_read() -> None:
    read: list[int] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)

    class Heard:
        def __init__(self, number: int) -> None:
            self.number, self.loop = number, loop

        def read(self) -> None:
            read.append(self.number)
            raise ValueError(self.number)

    crowd = Crowd(Limits(), PlainTextResponse(""))
    try:
        for batch in (range(5), range(5, 10)):
            for number in batch:
                crowd.hear(Heard(number), known=False)  # type: ignore[arg-type] # all that is asked of one
            await until(functools.partial(lambda most: len(read) == most, batch.stop))
    finally:
        loop.set_exception_handler(None)
    assert read == list(range(10))


async def test_sessions_that_are_left_behind_are_bounded_and_make_room_once_they_are_old() -> None:
    async with served(Limits(sessions=50)) as here:
        sessions = [await opened(here.port) for _ in range(50)]
        for _ in range(100):
            refused = await ask(here.port, "POST", "/mcp", body=HELLO)
            assert (refused.status, "retry-after" in refused.headers) == (503, True)
        assert (await ask(here.port, "DELETE", "/mcp", f"Mcp-Session-Id: {sessions[0]}")).status == 200
        await opened(here.port)
    async with served(Limits(sessions=50, session_spared=0)) as here:
        first = await opened(here.port)
        async with wire(here.port, request("GET", "/mcp", f"Mcp-Session-Id: {first}")) as line:
            assert (await line.answer()).status == 200
            later = [await opened(here.port) for _ in range(300)]
            assert await pinged(here, later[-1]) == 202
            assert await pinged(here, first) == 202
            assert await pinged(here, later[0]) == 404


async def pinged(here: Served, session: str) -> int:
    body = json.dumps({"jsonrpc": "2.0", **hello()[1]}).encode()
    return (await ask(here.port, "POST", "/mcp", f"Mcp-Session-Id: {session}", body=body)).status


async def test_a_session_that_nobody_uses_ends() -> None:
    async with served(Limits(session_idle=0.2)) as here:
        session = await opened(here.port)
        async with wire(here.port, request("GET", "/mcp", f"Mcp-Session-Id: {session}")) as line:
            await line.answer()
            await anyio.sleep(0.4)
            assert await pinged(here, session) == 202
        with anyio.fail_after(60):
            while await pinged(here, session) != 404:
                await anyio.sleep(0.3)


async def test_a_thousand_connections_that_say_nothing_are_bounded_and_keep_nobody_out() -> None:
    async with served(Limits(connections=100, head=0.8)) as here, AsyncExitStack() as stack:
        for number in range(1000):
            stack.enter_context(socket.create_connection(("127.0.0.1", here.port)))
            if number % 50 == 0:
                await healthy(here)
                assert len(here.crowd._open) <= 101
        await healthy(here)
        await until(lambda: not here.crowd._open)
        assert not here.web.server_state.connections


async def test_where_all_connections_are_busy_a_new_one_is_told_so_and_probes_are_answered() -> None:
    async with served(Limits(connections=5)) as here:
        async with AsyncExitStack() as stack:
            for _ in range(5):
                line = await stack.enter_async_context(wire(here.port, request("GET", "/sse")))
                await line.answer()
            answers: list[Answer] = []
            for path in ("/mcp", "/sse", "/healthz", "/readyz"):
                async with wire(here.port, request("GET", path)) as line:
                    answers.append(await line.answer())
                    await line.closed()
            assert [answer.status for answer in answers] == [503, 503, 200, 200]
            assert "retry-after" in answers[0].headers
        await until(lambda: not here.crowd._open)
        await healthy_sse(here)


@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_it_ends_within_three_seconds_whatever_is_open(transport: str) -> None:
    async with listening("serve", "--sandbox", "--transport", transport, "--port", "0") as serving:
        port = int(serving.url.split(":")[2].partition("/")[0])
        here = Served(port, *[None] * 3)  # type: ignore[arg-type]
        async with AsyncExitStack() as stack, deaf(here) as (_, path):
            for data in (b"", b"GET / HTT", request("POST", "/nowhere", "Content-Length: 9"), request("GET", "/sse")):
                for _ in range(50):
                    await stack.enter_async_context(wire(port, data))
            with anyio.move_on_after(1):
                await until_cut(here, path)
            serving.process.terminate()
            with anyio.fail_after(60):
                assert await serving.process.wait() == 0
        assert "Traceback" not in serving.stderr()
        assert "ERROR" not in serving.stderr()
