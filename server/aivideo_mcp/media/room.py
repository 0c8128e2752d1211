"""Whether a folder takes files, known before anything is paid for that is to be kept in it. Blocks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def nearest(folder: Path) -> Path:
    """The folder itself, or else the nearest one above it that is there."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    return there


def fault_of_folder(folder: Path) -> str | None:
    """What keeps a folder from being written to, or made; None where nothing does. Leaves nothing behind."""
    there = nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
    except OSError as fault:
        return f"{folder} cannot be {'written to' if there == folder else 'made'}: {fault.strerror or fault}"
    return None
