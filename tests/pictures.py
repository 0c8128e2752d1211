"""Real pictures of 16x9 red pixels, a few hundred bytes each, for tests that must not be fooled by their own fakes.

PNG and GIF are written here byte by byte; JPEG and WebP were encoded once with ffmpeg.
"""

import base64
import struct
import zlib
from typing import Final

WIDTH: Final = 16
HEIGHT: Final = 9
_CHUNK_FRAME: Final = 12  # bytes of a PNG chunk beside its content: length, name, checksum


def png(*, padding: int | None = None) -> bytes:
    """A PNG; with `padding`, that many zero bytes stand in an ancillary chunk of their own."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)  # 8 bits, RGB
    rows = b"".join(b"\0" + b"\xff\0\0" * WIDTH for _ in range(HEIGHT))
    filler = b"" if padding is None else _chunk(b"fiLl", bytes(padding))
    chunks = _chunk(b"IHDR", header), filler, _chunk(b"IDAT", zlib.compress(rows, 9)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_of_size(size: int) -> bytes:
    """A valid PNG of exactly so many bytes."""
    least = len(png(padding=0))
    if size < least:
        raise ValueError(f"no PNG of {size} bytes: the least is {least}")
    return png(padding=size - least)


def gif() -> bytes:
    """A GIF of one frame; its codes stay 3 bits wide, because the table is cleared after every second pixel."""
    clear, end = 4, 5
    codes: list[int] = []
    for first in range(0, WIDTH * HEIGHT, 2):
        codes += [clear] + [1] * min(2, WIDTH * HEIGHT - first)
    bits = "".join(f"{code:03b}" for code in reversed([*codes, end]))  # the first code is in the lowest bits
    packed = int(bits, 2).to_bytes(-(-len(bits) // 8), "little")
    screen = struct.pack("<HHBBB", WIDTH, HEIGHT, 0b1000_0001, 0, 0)  # a palette of four colours
    palette = bytes((0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255))
    frame = b"," + struct.pack("<HHHHB", 0, 0, WIDTH, HEIGHT, 0)
    blocks = b"".join(bytes((len(part),)) + part for part in (packed[i : i + 255] for i in range(0, len(packed), 255)))
    return b"GIF89a" + screen + palette + frame + b"\x02" + blocks + b"\0;"


def data_uri(kind: str, content: bytes) -> str:
    """The content as a data URI that claims to be `image/<kind>`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _chunk(name: bytes, content: bytes) -> bytes:
    """One PNG chunk; a name that starts in lower case marks it as ancillary, so that readers may skip it."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


PNG: Final = png()
GIF: Final = gif()
JPEG: Final = base64.b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD/2wBDAAg+Pkk+SVVVVVVVVWRdZGhoaGRkZGRoaGhwcHCDg4NwcHBoaHBwfHyDg4+Tj4eHg4eTk5ub"
    "m7q6srLZ2eD/////xABNAAEBAAAAAAAAAAAAAAAAAAAABgEBAQEAAAAAAAAAAAAAAAAAAAYHEAEAAAAAAAAAAAAAAAAAAAAAEQEAAAAA"
    "AAAAAAAAAAAAAAAA/8AAEQgACQAQAwESAAISAAMSAP/aAAwDAQACEQMRAD8AixKDfwAB/9k="
)
WEBP: Final = base64.b64decode(
    "UklGRjgAAABXRUJQVlA4ICwAAACQAQCdASoQAAkAA8BmJaACdLoAA5gA/uuOX6FGyiVS/+k2f8TZ/xNnxzAAAA=="
)
KINDS: Final = {"png": PNG, "jpeg": JPEG, "webp": WEBP, "gif": GIF}
