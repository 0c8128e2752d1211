"""One call of a tool: what the caller wrote, and how it, and the user behind it, can be reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from aivideo_mcp.reporting import Tell


class Answered(Enum):
    """What came of asking the user."""

    YES = auto()
    NO = auto()
    UNASKED = auto()  # the client cannot ask, or did not show the question


class Asker(Protocol):
    """How the user can be asked during a call."""

    @property
    def earlier(self) -> tuple[Answered, str] | None:
        """The answer to a question that an earlier round of this call left, and the code that was left with it."""

    async def ask(self, question: str) -> Answered:
        """Ask now."""

    def leave(self, question: str, code: str) -> None:
        """Leave the question to the end of the call, for clients that answer by calling again."""


class Nobody:
    """Where there is nobody to ask."""

    earlier = None

    async def ask(self, question: str) -> Answered:  # noqa: ARG002 - nobody hears it
        """Nobody answers."""
        return Answered.UNASKED

    def leave(self, question: str, code: str) -> None:
        """Nobody takes it."""


async def _rootless() -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: what the caller wrote, and how it can be kept informed.

    Attributes:
        arguments: As they came, unchecked.
        tell: Takes a progress message.
        seen: Whether the caller can see progress.
        asker: How the user can be asked.
        roots: The `file://` URIs that the client's own folders have, empty where it offers none.
    """

    arguments: Mapping[str, Any]
    tell: Tell
    seen: bool
    asker: Asker = field(default_factory=Nobody)
    roots: Callable[[], Awaitable[tuple[str, ...]]] = _rootless
