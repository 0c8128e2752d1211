"""The clips: real, small H.264 files in exactly the shapes that models offer."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.sandbox.clips import FOLDER, clip_for

RATIOS = sorted(
    {
        value
        for contract in MODELS.values()
        for slot in contract.slots()
        if slot.name == "aspectRatio"
        for value in slot.values
    }
)
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every box of an MP4 in file order, containers before what they hold: (type, payload)."""
    position = 0
    while position < len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        assert 8 <= size <= len(content) - position
        payload = content[position + 8 : position + size]
        yield kind, payload
        if kind in CONTAINERS:
            yield from boxes(payload)
        position += size


def described(clip: Path) -> tuple[dict[bytes, bytes], list[bytes]]:
    found = list(boxes(clip.read_bytes()))
    return dict(found), [kind for kind, _ in found]


@pytest.mark.parametrize("ratio", [*RATIOS, None])
def test_each_ratio_has_a_clip_of_exactly_that_shape(ratio: str | None) -> None:
    payloads, _ = described(clip_for(ratio))
    entry = payloads[b"stsd"][8:]
    assert entry[4:8] == b"avc1"
    width, height = struct.unpack_from(">HH", entry, 32)
    across, down = (int(part) for part in ("16:9" if ratio in (None, "auto") else str(ratio)).split(":"))
    assert width * down == height * across
    assert width % 2 == height % 2 == 0
    shown = struct.unpack_from(">II", payloads[b"tkhd"], len(payloads[b"tkhd"]) - 8)
    assert shown == (width << 16, height << 16)


@pytest.mark.parametrize("clip", sorted(FOLDER.iterdir()), ids=lambda clip: clip.name)
def test_each_clip_plays_everywhere_and_weighs_little(clip: Path) -> None:
    payloads, kinds = described(clip)
    content = clip.read_bytes()
    assert len(content) < 60_000
    assert kinds[0] == b"ftyp"
    assert kinds.index(b"moov") < kinds.index(b"mdat"), "playback can start before the file is whole"
    assert kinds.count(b"trak") == 1, "no sound"
    assert payloads[b"hdlr"][8:12] == b"vide"
    scale, duration = struct.unpack_from(">II", payloads[b"mvhd"], 12)
    assert 3 <= duration / scale <= 5
    configuration = content[content.index(b"avcC") + 4 :]
    assert configuration[1] == 100, "High profile, which is 4:2:0 with 8 bits"


def test_no_clip_is_without_a_ratio() -> None:
    assert {clip_for(ratio) for ratio in RATIOS} == set(FOLDER.iterdir())
