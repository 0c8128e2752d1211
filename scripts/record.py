"""Records `aivideo-mcp demo` as a person at a terminal sees it, and draws the recording as an animated SVG.

The recording (docs/demo.cast, asciinema's format) is made by running this; what is drawn of it (docs/demo.svg) is one
of the files that `docs.py` generates. Nothing of the machine is in it: folders, ports, ids and dates are replaced,
pauses are rounded and cut.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.text import Text

CAST: Final = Path(__file__).parent.parent / "docs" / "demo.cast"
COMMAND: Final = ("aivideo-mcp", "demo")
WIDTH: Final = 114  # columns
_LONG: Final = 0.5  # seconds after which what is printed is seen by itself
_REDRAWN: Final = "\r\x1b[2K"  # how a moving line begins
_NEW_SIGHT: Final = re.compile(r"(?=\r\x1b\[2K)|(?<=\n)(?=\r\n)")
_LEAST, _MOST = 0.3, 1.5  # seconds of a pause as it is shown
_STANDING: Final = 10.0  # seconds that the end is shown before it begins anew
_ID: Final = re.compile(r"sb_[0-9a-f]{1,24}")  # a narrow terminal cuts ids off
_ID_LENGTH: Final = 27
_PLAIN: Final = ((r"127\.0\.0\.1:\d+", "127.0.0.1:40123"), (r"\b20\d\d-\d\d-\d\d_", "2026-11-22_"))


@dataclass(frozen=True, slots=True)
class Printed:
    """What was printed, and how many seconds after the start."""

    at: float
    text: str


def recorded() -> list[Printed]:
    """A run of the demo, as it was printed on a terminal.

    Raises:
        SystemExit: The demo failed.
    """
    import fcntl  # noqa: PLC0415 - the SVG can be drawn where there are no such terminals
    import pty  # noqa: PLC0415 - the same
    import struct  # noqa: PLC0415 - the same
    import termios  # noqa: PLC0415 - the same

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(folder)
            os.environ["TERM"], os.environ["COLUMNS"] = "xterm-256color", str(WIDTH)
            os.execv(sys.executable, [sys.executable, "-m", "aivideo_mcp", *COMMAND[1:]])  # noqa: S606 - no shell is wanted
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
        began = time.monotonic()
        decoder = codecs.getincrementaldecoder("utf-8")()
        printed = []
        while chunk := _read(terminal):
            printed.append(Printed(time.monotonic() - began, decoder.decode(chunk)))
        if os.waitpid(process, 0)[1]:
            raise SystemExit("".join(it.text for it in printed))
    return cleaned(printed, str(folder))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux tells that the other end is closed
        return b""


def cleaned(printed: Iterable[Printed], folder: str) -> list[Printed]:
    """The same without what is of the machine and of the day, and without long pauses.

    Args:
        printed: As it came.
        folder: Where it ran.
    """
    pieces: list[Printed] = []
    ended = 0.0
    for it in printed:
        for part in filter(None, _NEW_SIGHT.split(it.text)):
            blank = part.startswith("\r\n") and pieces and pieces[-1].text.endswith("\n")
            if not pieces or blank or part.startswith(_REDRAWN) or it.at - ended >= _LONG:
                pieces.append(Printed(it.at, part))
            else:
                pieces[-1] = replace(pieces[-1], text=pieces[-1].text + part)
            ended = it.at
    ids = [
        task_id
        for task_id in dict.fromkeys(_ID.findall("".join(piece.text for piece in pieces)))
        if len(task_id) == _ID_LENGTH
    ]
    stands_for = {task_id: f"sb_{hashlib.sha256(str(n).encode()).hexdigest()[:24]}" for n, task_id in enumerate(ids)}

    def other_id(found: re.Match[str]) -> str:
        whole = next(task_id for task_id in ids if task_id.startswith(found[0]))
        return stands_for[whole][: len(found[0])]

    shown, at, before = [Printed(0.0, f"$ {' '.join(COMMAND)}\r\n")], 0.0, 0.0
    for piece in pieces:
        pause = round(2 * (piece.at - before)) / 2  # half seconds: the same at each run, or nearly
        at, before = at + min(max(pause, _LEAST), _MOST), piece.at
        told = _ID.sub(other_id, piece.text.replace(folder, "/home/me"))
        for pattern, instead in _PLAIN:
            told = re.sub(pattern, instead, told)
        shown.append(Printed(round(at, 1), told))
    return shown


def screens(printed: Iterable[Printed]) -> Iterator[tuple[float, list[Text]]]:
    """What stands on the screen from which second on, row by row."""
    so_far = ""
    for it in printed:
        so_far += it.text.replace("\r\n", "\n")
        lines = Text.from_ansi(so_far.rstrip("\n")).split("\n", allow_blank=True)
        yield it.at, [row for line in lines for row in (line.divide(range(WIDTH, len(line), WIDTH)) or [line])]


def film(printed: Iterable[Printed]) -> str:
    """An animated SVG of what was printed. Where motion is not wanted, the whole output stands still."""
    shown = list(screens(printed))
    height = max(len(rows) for _, rows in shown)
    # All screens are drawn one below the other, at once: so that they share their styles.
    console = Console(record=True, width=WIDTH, file=io.StringIO(), legacy_windows=False)
    for _, rows in shown:
        for row in [*rows, *[Text()] * (height - len(rows))]:
            console.print(row, no_wrap=True, overflow="ignore", highlight=False)
    drawn = console.export_svg(unique_id="t", code_format="<svg><style>{styles}</style>{matrix}</svg>", clear=False)
    frames_of: dict[str, list[int]] = {}
    for element in ET.fromstring(drawn).iter("text"):  # noqa: S314 - rich wrote it just now
        if not element.text or not element.text.strip():
            continue  # rich writes each line's end
        frame, line = divmod(round((float(element.attrib["y"]) - _EM) / _LINE), height)
        kept = {name: element.attrib[name] for name in ("class", "x", "textLength")} | {"y": f"{_EM + line * _LINE:g}"}
        attributes = " ".join(f'{name}="{value}"' for name, value in kept.items())
        frames_of.setdefault(f"<text {attributes}>{escape(element.text)}</text>", []).append(frame)
    together: dict[tuple[int, ...], list[str]] = {}
    for text, seen in frames_of.items():
        together.setdefault(tuple(seen), []).append(text)
    lasts = shown[-1][0] + _STANDING
    moments = [f"{100 * at / lasts:.4g}%" for at, _ in shown]
    rules = [re.sub(r"\s+", " ", ET.fromstring(drawn).findtext("style") or "")]  # noqa: S314 - the same
    moving, groups = [], []
    for number, (frames, texts) in enumerate(together.items()):
        hidden = "" if len(shown) - 1 in frames else ' visibility="hidden"'
        groups += [f'<g id="g{number}"{hidden}>', *texts, "</g>"]
        if len(frames) == len(shown):
            continue
        turns = [
            f"{moments[frame]}{{visibility:{'visible' if frame in frames else 'hidden'}}}"
            for frame in range(len(shown))
            if frame == 0 or (frame in frames) != (frame - 1 in frames)
        ]
        rules.append(f"@keyframes k{number}{{{''.join(turns)}}}")
        moving.append(f"#g{number}{{animation:k{number} {lasts:g}s step-end infinite}}")
    rules.append(f"@media (prefers-reduced-motion:no-preference){{{''.join(moving)}}}")
    return _PICTURE.format(
        title=escape(" ".join(COMMAND)),
        rules="\n".join(rules),
        groups="\n".join(groups),
        width=round(WIDTH * _EM * _ASPECT + 2 * _MARGIN),
        height=round(height * _LINE + _BAR + _MARGIN),
    )


_EM, _ASPECT = 20, 0.61  # rich's: the height of its letters, and their width by their height
_LINE: Final = _EM * 1.22  # rich's too
_MARGIN, _BAR = 14, 46
_PICTURE: Final = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{width}} {{height}}" role="img" aria-label="{{title}}">
<style>
text{{{{font:{_EM}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}}}}
{{rules}}
</style>
<rect width="{{width}}" height="{{height}}" rx="10" fill="#16181d" stroke="#6e7681"/>
<g fill="#6e7681"><circle cx="24" cy="22" r="6"/><circle cx="46" cy="22" r="6"/><circle cx="68" cy="22" r="6"/></g>
<g transform="translate({_MARGIN} {_BAR - 4})">
{{groups}}
</g>
</svg>
"""


def read_cast(cast: str) -> list[Printed]:
    """What a recording holds."""
    return [Printed(at, text) for at, _, text in map(json.loads, cast.splitlines()[1:])]


def write_cast(printed: Iterable[Printed]) -> str:
    """A recording, in asciinema's format."""
    events = list(printed)
    height = max(len(rows) for _, rows in screens(events))
    header = {"version": 2, "width": WIDTH, "height": height, "title": " ".join(COMMAND)}
    lines = [header, *([it.at, "o", it.text] for it in events)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def demo_svg() -> str:
    """The picture of the recording that is there."""
    return film(read_cast(CAST.read_text("utf-8")))


if __name__ == "__main__":
    CAST.write_text(write_cast(recorded()), "utf-8")
    CAST.with_suffix(".svg").write_text(demo_svg(), "utf-8")
