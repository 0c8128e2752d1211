"""What the network transports allow at once, and how long they wait for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aivideo_mcp.contracts import MAX_IMAGE_BYTES

# The largest call: four pictures of 10 MB as base64, and some room for the rest.
MAX_BODY: Final = 4 * (MAX_IMAGE_BYTES * 4 // 3 + 4) + 1024 * 1024
MAX_PARTS: Final = 100_000  # members and entries of one call; each takes a hundred times the memory of its text
RETRY_AFTER: Final = {"Retry-After": "5"}


def parts(text: bytes) -> int:
    """How many members and entries a JSON text has at most, told without parsing it."""
    return sum(map(text.count, (b",", b"[", b"{")))


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers, bytes and seconds.

    Attributes:
        connections: Open at once; the longest silent one makes room for a new one.
        streams: Open GET responses, SSE sessions among them.
        calls: POSTs being answered; with the streams they are fewer than the connections, which leaves some for probes.
        calls_each: Of one client, so that others find room beside it.
        sessions: Of streamable HTTP, whether or not anybody is connected to them.
        session_idle: After so long without a request a session ends.
        session_spared: A session idle for less than this makes no room for a new one.
        head: From the first byte of a request to the end of its headers.
        keep_alive: From a response to the first byte of the next request; longer than a proxy keeps its idle ones.
        body: The largest body, in bytes.
        body_parts: The most members and entries in one, by its commas and brackets.
        bodies: All of them in memory, in bytes.
        body_free: So much of each body is not counted, so that small calls pass beside the largest ones.
        body_pause: Without a byte of a body.
        body_whole: From the headers to the end of a body.
        stalled: Of a client that does not take what is sent.
    """

    connections: int = 1536
    streams: int = 200
    calls: int = 512
    calls_each: int = 256
    sessions: int = 200
    session_idle: float = 30 * 60
    session_spared: float = 60
    head: float = 10
    keep_alive: float = 30
    body: int = MAX_BODY
    body_parts: int = MAX_PARTS
    bodies: int = 4 * MAX_BODY
    body_free: int = 64 * 1024
    body_pause: float = 30
    body_whole: float = 120
    stalled: float = 60
