"""Whether a file is a whole MP4: its top-level boxes are there, and fill it exactly."""

from __future__ import annotations

from typing import BinaryIO, Final

_MOST_BOXES: Final = 100_000  # a fragmented hour has a few thousand
_SHORT: Final = 8  # bytes of a header: length, type
_LONG: Final = 16  # bytes of one whose length has 64 bits


def fault_of(file: BinaryIO, length: int) -> str | None:
    """What keeps a file of so many bytes from being a whole MP4; None when it is one. Moves the file's position."""
    kinds: set[bytes] = set()
    at = 0
    for number in range(_MOST_BOXES):
        if at == length and number:
            playable = {b"moov", b"mdat"} <= kinds or b"moof" in kinds
            return None if playable else "it is an MP4 without a film in it"
        file.seek(at)
        header = file.read(_LONG)
        kind, size, least = header[4:_SHORT], int.from_bytes(header[:4]), _SHORT
        if number == 0 and kind != b"ftyp":
            return "it is not an MP4 video"
        if size == 1:
            size, least = int.from_bytes(header[_SHORT:]), _LONG
        elif size == 0:
            size = length - at
        if len(header) < least or size < least or at + size > length:
            return "it is a damaged or cut-off MP4 video"
        kinds.add(kind)
        at += size
    return "it is not an MP4 video that any player would take"
