"""Lines of stdin, each a JSON-RPC message or something that has to be refused.

The SDK drops what it cannot read without a word, and its caller waits for ever. Here it is answered, with the id of
its request if that can be made out, and with none of its text. A line is never held that is longer than the largest
call; of what is longer only the outline is looked at while it passes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from aivideo_mcp.transports.limits import MAX_BODY, MAX_PARTS, parts

_BOM: Final = b"\xef\xbb\xbf"
_PIECE: Final = 1024 * 1024
_LONGEST: Final = 256  # characters of an id or a method, which answers repeat
_HALF: Final = re.compile("[\ud800-\udfff]")
_NO_REQUEST: Final = (
    "Not a JSON-RPC 2.0 message: one object a line, with a method, and an id that is a string or integer."
)
_LONG_NAME: Final = f"The method and the id of a request have at most {_LONGEST} characters."


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        message: What it says, or the error that stands in its place.
        refused: Whether `message` is to go back to its sender.
    """

    message: JSONRPCMessage
    refused: bool = False


class Frames:
    """The frames that come in.

    Args:
        wire: Where from. It is read with blocking calls.
        longest: Bytes of the largest one.
    """

    def __init__(self, wire: BinaryIO, longest: int = MAX_BODY) -> None:
        self._wire = wire
        self._longest = longest

    def next(self) -> Frame | None:
        """The next one, empty lines passed over; None at the end. Blocks until it is there."""
        while line := self._wire.readline(self._longest + 1):
            if len(line) > self._longest and not line.endswith(b"\n"):
                return self._too_large(line)
            line = line.removeprefix(_BOM)  # some shells begin a pipe with one
            if parts(line) > MAX_PARTS:  # to parse it would take gigabytes, and the event loop's time
                return _refusal(INVALID_REQUEST, f"A message has at most {MAX_PARTS} members.", _members(line))
            if line and not line.isspace():
                return _read(line)
        return None

    def _too_large(self, piece: bytes) -> Frame:
        outline = _Outline()
        while piece:
            outline.see(piece)
            if piece.endswith(b"\n"):
                break
            piece = self._wire.readline(_PIECE)
        return _refusal(INVALID_REQUEST, f"A message has at most {self._longest} bytes.", outline.members())


def _read(line: bytes) -> Frame:
    """A frame by its text."""
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":  # its words are fixed ones, with a position
            return _refusal(PARSE_ERROR, f"Parse error: {first.get('ctx', {}).get('error')}.", _members(line))
        return _refusal(INVALID_REQUEST, _NO_REQUEST, _members(line))
    if isinstance(message, JSONRPCNotification) and not message.method.startswith("notifications/"):
        members = _members(line)
        if "id" in members:  # an odd one; the request would pass as a notification, and wait
            return _refusal(INVALID_REQUEST, _NO_REQUEST, members)
    if isinstance(message, JSONRPCRequest) and (len(message.method) > _LONGEST or _sound(message.id) is None):
        return _refusal(INVALID_REQUEST, _LONG_NAME, {"id": message.id})
    return Frame(message)


def _refusal(code: int, text: str, members: Mapping[str, Any]) -> Frame:
    """The error in place of a frame.

    In place of an answer to one of our own requests it is that request's error: sent back under its id it would end a
    request of the client's that has the same.
    """
    answers = "method" not in members and ("result" in members or "error" in members)
    error = ErrorData(code=code, message=text)
    known = _sound(members.get("id"))
    if answers and known is not None:
        return Frame(JSONRPCError(jsonrpc="2.0", id=known, error=error))
    return Frame(JSONRPCError(jsonrpc="2.0", id=None if answers else known, error=error), refused=True)


def _sound(given: object) -> RequestId | None:
    """An id that can be repeated."""
    if isinstance(given, str) and len(given) <= _LONGEST and not _HALF.search(given):
        return given
    if isinstance(given, int) and not isinstance(given, bool) and given.bit_length() <= _LONGEST:
        return given
    return None


def _members(line: bytes) -> Mapping[str, Any]:
    outline = _Outline()
    outline.see(line)
    return outline.members()


_IN_QUOTES: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OUTSIDE: Final = re.compile(rb'(?P<open>[\[{]++)|(?P<close>[\]}]++)|[^"\[\]{}]++')
_TOKENS: Final = 200_000  # a tenth of a second; who writes more before the id hides it
_KEPT: Final = 64 * 1024
_LONGEST_TEXT: Final = 12 * _LONGEST  # as escapes of six bytes, two for each character of the rarer ones


class _Outline:
    """The members at the top of an object too large, too deep or too odd to be parsed; what is nested or long is null.

    What is seen is rewritten, piece by piece, as a short object, which is parsed in the end.
    """

    def __init__(self) -> None:
        self._short = bytearray()
        self._depth = 0
        self._quoted = False
        self._text = bytearray()
        self._escaped = False
        self._tokens = 0

    def see(self, piece: bytes) -> None:
        """Look at the next piece, however it was cut."""
        place = 0
        while place < len(piece) and self._tokens < _TOKENS and len(self._short) < _KEPT:
            self._tokens += 1
            place = self._inside(piece, place) if self._quoted else self._outside(piece, place)

    def members(self) -> Mapping[str, Any]:
        """What they are; none if it is no object, or broken."""
        try:
            found = json.loads(self._short.decode(errors="surrogateescape"))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _outside(self, piece: bytes, place: int) -> int:
        if piece[place] == ord('"'):
            self._quoted = True
            self._text.clear()
            return place + 1
        found = _OUTSIDE.match(piece, place)
        assert found is not None
        length = found.end() - place
        if found.lastgroup == "open":
            if self._depth == 0:
                self._short += piece[place : place + 1]
            if self._depth <= 1 < self._depth + length:
                self._short += b"null"
            self._depth += length
        elif found.lastgroup == "close":
            self._depth -= length
            if self._depth <= 0:
                self._short += piece[found.end() - 1 : found.end()]
        elif self._depth <= 1:
            self._short += found[0].strip()[:_KEPT]
        return found.end()

    def _inside(self, piece: bytes, place: int) -> int:
        found = _IN_QUOTES.match(piece, place + self._escaped)
        end = len(piece) if found is None else found.end()
        self._escaped = piece[end : end + 1] == b"\\"  # the last byte, which is half of something
        end += self._escaped
        if len(self._text) <= _LONGEST_TEXT:
            self._text += piece[place : min(end, place + _LONGEST_TEXT + 1)]
        if piece[end : end + 1] != b'"':
            return end
        if self._depth <= 1:
            self._short += b'"' + self._text + b'"' if len(self._text) <= _LONGEST_TEXT else b"null"
        self._quoted = False
        return end + 1
