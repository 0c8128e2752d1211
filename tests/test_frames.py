"""What comes in over stdin is a message, or is answered: no silence, no echo, no line too long for the memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any, BinaryIO, cast

import pytest
from mcp_types import INVALID_REQUEST, PARSE_ERROR, JSONRPCError, JSONRPCNotification, JSONRPCRequest

from aivideo_mcp.transports.frames import Frame, Frames
from tests.test_untrusted import ORDER

PING = '"jsonrpc": "2.0", "method": "ping"'
LONGEST = 20_000


def frames(data: bytes, longest: int = LONGEST) -> list[Frame]:
    source = Frames(io.BytesIO(data), longest)
    found = []
    while frame := source.next():
        found.append(frame)
    return found


def refused(data: bytes, longest: int = LONGEST) -> tuple[object, int]:
    """The id and the code of the one answer to this."""
    (frame,) = frames(data, longest)
    assert frame.refused
    assert isinstance(frame.message, JSONRPCError)
    text = frame.message.model_dump_json()
    assert len(text) < 400
    assert "IGNORE" not in text
    return frame.message.id, frame.message.error.code


UNREADABLE = {
    "half a surrogate": rf'"a": "\ud800 {ORDER}"'.encode(),
    "invalid UTF-8": f'"a": "{ORDER} '.encode() + b'\xff\xc0"',
    "three hundred levels": b'"a": ' + b"[" * 300 + b"]" * 300,
    "deeper than any parser goes": b'"a": ' + b'{"id": 1, "b": [' * 500 + b"]}" * 500,
    "a control character": f'"a": "{ORDER}\x01\t"'.encode(),
}


@pytest.mark.parametrize("given", [7, "x-1", "", -1, 0, 2**80, 'quote " \\ and é 😀', "😀" * 256])
@pytest.mark.parametrize("what", [*UNREADABLE, "too large"])
def test_what_cannot_be_parsed_is_answered_under_its_id_wherever_that_stands(what: str, given: object) -> None:
    params = UNREADABLE.get(what) or f'"a": "{ORDER * 1000}"'.encode()
    code = INVALID_REQUEST if what == "too large" else PARSE_ERROR
    if what == "a control character":  # in JSON's grammar as well there is nothing to be read
        given, code = None, PARSE_ERROR
        params += b', "id": 4'
    for text in (json.dumps(given), json.dumps(given, ensure_ascii=False)):
        for order in ('{"id": %b, %b, "params": {%b}}\n', '{%b, "params": {"id": 9, %b}, "id" :\t%b }\r\n'):
            parts = (text.encode(), PING.encode(), params)
            line = order.encode() % (parts if order.startswith('{"id"') else (*parts[1:], parts[0]))
            assert refused(line) == (given, code)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("oops", None),
        ("\x00\x01", None),
        ('{"id": 5, "method": "ping", oops}', None),
        ('{"id": 5, ' + PING, None),
        ('"\\', None),
        ("}" * 100, None),
        ("[" * 100, None),
        ('{"a":' * 3000, None),
        (f'{{"id": "{chr(92)}ud800", {PING}}}', None),
        (f'{{"id": {"9" * 5000}, {PING}}}', None),
        (f'{{"id": 5, {PING}, "\\ud800": 1}}', 5),
    ],
)
def test_what_is_no_json_is_a_parse_error(line: str, given: object) -> None:
    assert refused(line.encode() + b"\n") == (given, PARSE_ERROR)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("5", None),
        ("null", None),
        (f'[{{"id": 5, {PING}}}]', None),
        ("[]", None),
        ("{}", None),
        ('{"id": 5, "jsonrpc": "2.0"}', 5),
        ('{"id": 5, "jsonrpc": "1.0", "method": "ping"}', 5),
        ('{"id": 5, "jsonrpc": "2.0", "method": 1}', 5),
        (f'{{"id": 5, {PING}, "params": [1]}}', 5),
        *((f'{{"id": {odd}, {PING}}}', None) for odd in ("1.5", "true", "null", "{}", "[5]", "NaN", "1e400")),
        (f'{{"id": "{"i" * 257}", {PING}}}', None),
        (f'{{"id": 5, "jsonrpc": "2.0", "method": "{ORDER * 10}"}}', 5),
    ],
)
def test_what_is_no_message_is_an_invalid_request(line: str, given: object) -> None:
    assert refused(line.encode() + b"\n") == (given, INVALID_REQUEST)


def test_a_broken_answer_to_our_own_question_fails_that_question_and_no_request_of_the_clients() -> None:
    (frame,) = frames(rb'{"jsonrpc": "2.0", "id": 3, "result": {"a": "\ud800"}}')
    assert not frame.refused
    assert isinstance(frame.message, JSONRPCError)
    assert (frame.message.id, frame.message.error.code) == (3, PARSE_ERROR)
    assert refused(rb'{"jsonrpc": "2.0", "id": [3], "error": {"a": "\ud800"}}') == (None, PARSE_ERROR)


@pytest.mark.parametrize("elements", ["{}," * 60_000, "[]," * 60_000, "1," * 100_000])
def test_a_frame_of_countless_members_is_refused_under_its_id(elements: str) -> None:
    line = f'{{"id": 3, {PING}, "params": {{"a": [{elements}0]}}}}\n'.encode()
    assert refused(line, 10**6) == (3, INVALID_REQUEST)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\n\n \r\n\t\n\xef\xbb\xbf\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\r\n"])
def test_line_ends_empty_lines_and_byte_order_marks_are_no_frames(start: bytes, end: bytes) -> None:
    (frame,) = frames(start + f'{{"id": 5, {PING}}}'.encode() + end)
    assert isinstance(frame.message, JSONRPCRequest)
    assert not frame.refused


def test_a_sloppy_id_in_a_notification_is_overlooked() -> None:
    (frame,) = frames(b'{"jsonrpc": "2.0", "id": null, "method": "notifications/initialized"}\n')
    assert isinstance(frame.message, JSONRPCNotification)


@pytest.mark.parametrize("left", [-1, 0, 1])
def test_the_largest_frame_passes_and_one_byte_more_does_not(left: int) -> None:
    line = f'{{"id": 5, {PING}, "params": {{"a": ""}}}}'.encode()
    line = line.replace(b'""', b'"%b"' % (b"A" * (LONGEST - len(line) - left)))
    first, second = frames(line + b"\n" + f'{{"id": 6, {PING}}}\n'.encode())
    assert first.refused is (left < 0)
    assert cast("JSONRPCRequest", first.message).id == 5
    assert cast("JSONRPCRequest", second.message).id == 6


class Endless:
    """A line that goes on and on, made while it is read."""

    def __init__(self, piece: bytes, pieces: int, end: bytes) -> None:
        self._rest = [end, *[piece] * pieces]
        self._held = b""

    def readline(self, limit: int) -> bytes:
        while self._rest and len(self._held) < limit:
            self._held += self._rest.pop()
        line, self._held = self._held[:limit], self._held[limit:]
        return line


@pytest.mark.parametrize("end", [b'"}, "id": 4}\n', b""])
@pytest.mark.parametrize("cut", range(65_530, 65_541))
def test_a_giant_is_never_held_and_its_id_found_however_it_is_cut(end: bytes, cut: int) -> None:
    piece = b"A" * 65_531 + rb"\"\\" + b"\\n"
    start = f'{{{PING}, "params": {{"a": "'.encode()
    wire = Endless(piece[:cut] + piece[cut:], 200, end)
    wire._rest.append(start + b"A" * (cut - 65_530))  # shifts where the pieces end
    tracemalloc.start()
    frame = Frames(cast("BinaryIO", wire), LONGEST).next()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frame is not None
    assert frame.refused
    assert cast("JSONRPCError", frame.message).id == (4 if end else None)
    assert peak < 6 * 2**20


@pytest.mark.parametrize("text", ["[", '{"a":', '{"a":["",', '{"a":"\\"', "]", '""', ' "', "\\"])
def test_no_text_makes_the_outline_slow_or_large(text: str) -> None:
    data: Any = text.encode() * (4 * 2**20 // len(text))
    given, code = refused(data + b"\n", 2**20)
    assert (given, code) == (None, INVALID_REQUEST)
