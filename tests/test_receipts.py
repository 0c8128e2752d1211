"""Which tasks count as delivered by what the transports have written."""

from __future__ import annotations

import json

import pytest

from aivideo_mcp.receipts import Receipts


@pytest.fixture
def left() -> list[str]:
    return []


def frame(note: dict[str, object], text: str = "", **dump: object) -> bytes:
    result = {"_meta": note, "content": [{"type": "text", "text": text}]}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}, **dump).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_an_outcome_has_left_when_its_frame_was_written(left: list[str], separators: tuple[str, str]) -> None:
    receipts = Receipts(left.append)
    note = receipts.attach("ck1")
    receipts.attach("ck2")
    assert left == []
    receipts.written(frame(note, separators=separators))
    assert left == ["ck1"]


def test_it_leaves_once(left: list[str]) -> None:
    receipts = Receipts(left.append)
    note = receipts.attach("ck1")
    receipts.written(frame(note))
    receipts.written(frame(note))
    assert left == ["ck1"]


def test_a_text_that_quotes_a_note_is_none(left: list[str]) -> None:
    receipts = Receipts(left.append)
    note = receipts.attach("ck1")
    receipts.written(frame({}, text=json.dumps(note)))
    assert left == []


def test_two_answers_in_one_piece_have_both_left(left: list[str]) -> None:
    receipts = Receipts(left.append)
    notes = [receipts.attach("ck1"), receipts.attach("ck2")]
    receipts.written(b"\n".join(map(frame, notes)))
    assert left == ["ck1", "ck2"]


def test_answers_that_never_leave_are_not_kept_for_ever(left: list[str]) -> None:
    receipts = Receipts(left.append)
    first = receipts.attach("ck0")
    for number in range(1, 3000):
        last = receipts.attach(f"ck{number}")
    receipts.written(frame(first) + frame(last))
    assert left == ["ck2999"]
