"""The clips that stand for results: one MP4 for each aspect ratio, made by `scripts/make-clips.sh`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "clips"
_USUAL_RATIO: Final = "16:9"


def clip_for(ratio: str | None) -> Path:
    """The clip of an aspect ratio such as `9:16`; none and `auto` are 16:9."""
    name = _USUAL_RATIO if ratio in (None, "auto") else str(ratio)
    return FOLDER / f"{name.replace(':', 'x')}.mp4"
