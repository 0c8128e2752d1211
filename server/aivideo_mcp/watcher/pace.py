"""How often a task is asked about."""

from __future__ import annotations

from typing import Final

OFTEN: Final = 4.0  # seconds between two questions
_SELDOM: Final = 9.0
_START: Final = 30.0  # seconds in which a wrong start would show


def pause(elapsed: float, usual: tuple[float, float] | None) -> float:
    """Seconds to the next question: short at the start and around the usual time, longer in between.

    Args:
        elapsed: Seconds since the task was created.
        usual: Minutes that the model usually takes.
    """
    if elapsed < _START:
        return OFTEN
    if usual is None:
        return _SELDOM
    earliest, latest = (minutes * 60 for minutes in usual)
    return OFTEN if 0.9 * earliest <= elapsed <= 1.2 * latest else _SELDOM
