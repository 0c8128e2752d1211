"""How a sandbox is set up: one frozen value, checked when it is made."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, get_args

import anyio

from aivideo_mcp.sandbox.faults import FaultPlan

IdempotencyScope = Literal["all", "minimax"]


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Settings of one sandbox.

    Attributes:
        port: Loopback port; 0 takes any free one.
        speed: Sandbox seconds that pass in one real second.
        credits: What each API key starts with.
        queries_per_minute: Queries allowed in a real minute. None: 60 in a minute of sandbox time, which is
            60 x speed in a real one.
        faults: Specifications as `faults.FORMS` lists them.
        idempotency: For which models the Idempotency-Key header is honoured: all, or minimax alone, which is
            the only model that documents it. Elsewhere it is ignored.
        clock: Seconds that only move forward, from any origin.
        wall: Unix seconds, for the times in answers.
        sleep: Waits so many real seconds, for slow answers.

    Raises:
        ValueError: When a value is out of its range; the text names it.
    """

    port: int = 0
    speed: float = 60.0
    credits: int = 10_000
    queries_per_minute: int | None = None
    faults: tuple[str, ...] = ()
    idempotency: IdempotencyScope = "all"
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:  # noqa: PLR2004 - the range of TCP ports
            raise ValueError(f"port {self.port} is not between 0 and 65535")
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(f"speed {self.speed} is not a positive number, such as 60")
        if self.credits < 0:
            raise ValueError(f"credits {self.credits} is below 0")
        if self.queries_per_minute is not None and self.queries_per_minute < 1:
            raise ValueError(f"queries_per_minute {self.queries_per_minute} is below 1")
        if self.idempotency not in get_args(IdempotencyScope):
            raise ValueError(f"idempotency {self.idempotency!r} is neither 'all' nor 'minimax'")
        FaultPlan(self.faults)  # refuses what is no fault

    @property
    def shown_speed(self) -> str:
        """The speed as people write it: 60 rather than 60.0."""
        return str(int(self.speed)) if float(self.speed).is_integer() else str(self.speed)
