"""What is told at the start because it is likely a mistake, although it stops nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from aivideo_mcp.console import say
from aivideo_mcp.settings import Settings, Survey

_PATIENCE: Final = 1.0  # seconds that a disk gets; what hangs is for the doctor
_GUESSED: Final = 16
_NO_KEY: Final = (
    "tools are listed, but every call that needs the API answers AUTH_FAILED. "
    "Set it in the client's configuration, or start with `serve --sandbox` to try without a key."
)


def note_variables(survey: Survey) -> None:
    """Say which names look like variables of ours and are none."""
    for name, meant in survey.strange.items():
        advice = f"did you mean {meant}?" if meant else "see the README for those that are"
        say(f"{name} is no variable of this version and has no effect; {advice}")


def note_key(survey: Survey) -> None:
    """Say why there is no key."""
    how = "still holds an example's text, which is no key" if survey.placeholder else "is not set"
    say(f"AIVIDEO_API_KEY {how}: {_NO_KEY}")


def note_token(token: str | None) -> None:
    """Say that a token is too short for what others can reach."""
    if token is not None and len(token) < _GUESSED:
        say(f"AIVIDEO_HTTP_TOKEN has {len(token)} characters and can be guessed; take {_GUESSED} random ones or more")


async def note_folders(settings: Settings) -> None:
    """Say which folders cannot be used. Ends within a second, also while the server closes."""
    with anyio.move_on_after(_PATIENCE, shield=True):
        for line in await anyio.to_thread.run_sync(_unusable, settings, abandon_on_cancel=True):
            say(line)


def _unusable(settings: Settings) -> list[str]:
    """A line for each folder that cannot be used. Blocks."""
    from aivideo_mcp.media import fault_of_folder  # noqa: PLC0415 - loaded with the workflow by now

    lines = []
    if fault := fault_of_folder(settings.state_folder):
        lines.append(f"no video can be made: the state folder {fault}. {_mend('AIVIDEO_STATE_DIR')}")
    if settings.output_dir and (fault := fault_of_folder(settings.output_dir)):
        lines.append(
            f"no video can be made, as none could be saved: AIVIDEO_OUTPUT_DIR {fault}. {_mend('AIVIDEO_OUTPUT_DIR')}"
        )
    lines += [
        f"no picture can be read in {folder}, which is no folder. Make it, or mend AIVIDEO_IMAGE_DIRS"
        f" (separated by {os.pathsep})"
        for folder in settings.image_dirs
        if not _is_folder(folder)
    ]
    return lines


def _mend(variable: str) -> str:
    return f"Mend its permissions, or set {variable} to another folder"


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # which is_dir passes on where a folder above it is closed to us
        return False
