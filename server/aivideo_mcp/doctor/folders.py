"""The folders on disk, and the ledger in one of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from aivideo_mcp.doctor.report import Check, State
from aivideo_mcp.errors import LedgerUnavailable
from aivideo_mcp.ledger import Ledger, Standing
from aivideo_mcp.media import fault_of_folder, nearest
from aivideo_mcp.settings import Settings

_MEGA: Final = 1_000_000
STATE_SPACE: Final = 50 * _MEGA  # bytes below which a folder is as good as full
VIDEO_SPACE: Final = 500 * _MEGA


def written(name: str, folder: Path, least: int, variable: str) -> Check:
    """Whether a folder can be written to, or be made, and has so many bytes of space. Blocks; leaves nothing behind."""
    if fault := fault_of_folder(folder):
        return Check(name, State.FAIL, f"{fault}.", f"Mend its permissions, or set {variable} to another folder.")
    there = nearest(folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError as unknown:
        finding = f"the space in {there} cannot be told: {unknown.strerror or unknown}."
        return Check(name, State.FAIL, finding, f"Set {variable} to another folder.")
    how = "can be written to" if there == folder else "is not there yet, and is made when it is needed"
    finding = f"{folder} {how}; {free // _MEGA} MB are free."
    if free < least:
        return Check(name, State.WARN, finding, f"Free some space: {least // _MEGA} MB are little enough.")
    return Check(name, State.OK, finding)


def images(folders: tuple[Path, ...]) -> list[Check]:
    """Whether the image folders can be read. Blocks."""
    name = "image folder"
    if not folders:
        return [Check(name, State.OK, "none; no local picture is read.", "To allow some, set AIVIDEO_IMAGE_DIRS.")]
    checks = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                next(entries, None)
            checks.append(Check(name, State.OK, f"{folder} can be read."))
        except FileNotFoundError:
            checks.append(Check(name, State.WARN, f"{folder} is not there.", "Make it, or mend AIVIDEO_IMAGE_DIRS."))
        except OSError as fault:
            finding = f"{folder} cannot be read: {fault.strerror or fault}."
            checks.append(Check(name, State.FAIL, finding, "Mend its permissions, or AIVIDEO_IMAGE_DIRS."))
    return checks


async def ledger_opens(ledger: Ledger, settings: Settings) -> tuple[Standing | None, list[Check]]:
    """Whether the ledger can be used, and how it stands; one that is not there is not made."""
    try:
        standing = await ledger.standing()
    except LedgerUnavailable as failure:
        return None, [Check("ledger", State.FAIL, failure.message, " ".join(failure.advice))]
    if standing is None:
        return None, [Check("ledger", State.OK, "not there yet; the first call makes it.")]
    return standing, list(_standing(standing, settings))


def _standing(it: Standing, settings: Settings) -> list[Check]:
    others = f"{it.processes} other process{'' if it.processes == 1 else 'es'}"
    checks = [Check("ledger", State.OK, f"opens; {others} with it open.")]
    if it.aside:
        advice = "Look at the upstream's own list before you pay for a video again; then the files may be deleted."
        finding = f"{', '.join(it.aside[-3:])}: {len(it.aside)} damaged and set aside."
        checks.append(Check("ledgers set aside", State.WARN, finding, advice))
    if settings.api_key is not None:
        finding = f"{it.running} open, {it.undelivered} undelivered, {it.lost} lost."
        advice = "A running server, or the same call again, looks for what is lost before anything is paid again."
        undelivered = "The same call again, or generate_video with the task's id, gets what was not delivered, free."
        if it.lost:
            checks.append(Check("generations", State.WARN, finding, advice))
        else:
            checks.append(Check("generations", State.OK, finding, undelivered if it.undelivered else ""))
    finding = f"{it.queries} of {settings.queries_per_minute} queries left this minute"
    if it.quiet or not it.queries:
        quiet = f"; the upstream wants none for {it.quiet:.0f} s" if it.quiet else ""
        checks.append(Check("query budget", State.WARN, f"{finding}{quiet}.", "Wait a minute."))
    else:
        checks.append(Check("query budget", State.OK, f"{finding}."))
    return checks
