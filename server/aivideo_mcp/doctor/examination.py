"""All checks, in order and within bounds: about two request times, whatever hangs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from aivideo_mcp.client import Gate, Upstream
from aivideo_mcp.doctor.environment import base_url, caps, variables, versions
from aivideo_mcp.doctor.folders import STATE_SPACE, VIDEO_SPACE, images, ledger_opens, written
from aivideo_mcp.doctor.report import Check, Report, State
from aivideo_mcp.doctor.service import key, service
from aivideo_mcp.ledger import Ledger, Standing
from aivideo_mcp.settings import Settings, Survey

T = TypeVar("T")
Connect = Callable[[Settings, Gate | None], Upstream]

_LEAST: Final = 5.0  # seconds for what is local, and beyond the request's time-out for what it needs besides


async def _in_thread(work: Callable[[], T], /) -> T:
    """Blocking work in a thread that is left to itself where the disk hangs."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def _connect(settings: Settings, gate: Gate | None) -> Upstream:
    return Upstream(settings, gate=gate)


async def examine(survey: Survey, connect: Connect = _connect) -> Report:
    """Look at everything once.

    Args:
        survey: The environment.
        connect: Stands in for the network in tests.
    """
    examination = _Examination(survey, connect)
    try:
        checks = await examination.checks()
    finally:
        with anyio.move_on_after(1, shield=True):
            await examination.ledger.aclose()
    settings = survey.settings
    secrets = (settings.api_key, settings.http_token)
    return Report.of(checks, secrets, unusable=bool(survey.faults), hanging=examination.hanging)


class _Examination:
    def __init__(self, survey: Survey, connect: Connect) -> None:
        self.ledger = Ledger(survey.settings, in_thread=_in_thread)
        self.hanging = False
        self._survey = survey
        self._settings = replace(survey.settings, max_retries=0)  # one request
        self._connect = connect
        self._standing: Standing | None = None

    async def checks(self) -> list[Check]:
        address = base_url(self._survey)
        return [
            *versions(),
            *variables(self._survey),
            *([address] if address else []),
            *await self._all(self._local(), max(_LEAST, self._settings.timeout)),
            *caps(self._settings),
            *await self._all({"upstream": self._service}, _LEAST + self._settings.timeout),
        ]

    async def _all(self, sections: Mapping[str, Callable[[], Awaitable[list[Check]]]], limit: float) -> list[Check]:
        """What these find, in their order; a failure in place of what takes longer than so many seconds."""
        found: dict[str, list[Check]] = {}

        async def look(name: str) -> None:
            found[name] = await sections[name]()

        with anyio.move_on_after(limit) as scope:
            async with anyio.create_task_group() as group:
                for name in sections:
                    group.start_soon(look, name)
        self.hanging = self.hanging or scope.cancelled_caught
        late = "Another process or a dead disk is in the way: end the one, unmount the other."
        return [
            check
            for name in sections
            for check in found.get(name, [Check(name, State.FAIL, f"no answer within {limit:g} s.", late)])
        ]

    def _local(self) -> dict[str, Callable[[], Awaitable[list[Check]]]]:
        """The folders whose variables can be used."""
        its, faults = self._settings, self._survey.faults
        sections: dict[str, Callable[[], Awaitable[list[Check]]]] = {}
        if "state_dir" not in faults:
            state = partial(written, "state folder", its.state_folder, STATE_SPACE, "AIVIDEO_STATE_DIR")
            sections |= {"state folder": lambda: _one(state), "ledger": self._ledger}
        if its.output_dir is not None:
            output = partial(written, "output folder", its.output_dir, VIDEO_SPACE, "AIVIDEO_OUTPUT_DIR")
            sections["output folder"] = lambda: _one(output)
        elif "output_dir" not in faults:
            sections["output folder"] = _no_output
        if "image_dirs" not in faults:
            sections["image folders"] = lambda: _in_thread(lambda: images(its.image_dirs))
        return sections

    async def _ledger(self) -> list[Check]:
        self._standing, checks = await ledger_opens(self.ledger, self._settings)
        return checks

    async def _service(self) -> list[Check]:
        """The upstream; not asked where it is not known which, or what with."""
        unusable = [name for name in ("base_url", "api_key") if name in self._survey.faults]
        if unusable:
            checks = [Check("upstream", State.WARN, "not asked.", "Mend the variables above first.")]
            return checks if "api_key" in unusable else [*checks, key(self._settings)]
        upstream = self._connect(self._settings, self.ledger if self._standing else None)
        try:
            checks, late = await service(self._settings, upstream)
        finally:
            await upstream.aclose()
        self.hanging = self.hanging or late
        return checks


async def _one(look: Callable[[], Check]) -> list[Check]:
    return [await _in_thread(look)]


async def _no_output() -> list[Check]:
    advice = "To have videos saved, set AIVIDEO_OUTPUT_DIR."
    return [Check("output folder", State.OK, "none; videos are not saved, and the upstream deletes them.", advice)]
