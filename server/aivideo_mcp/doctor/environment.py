"""Versions, variables, caps: what is known without asking anybody."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any, Final

from aivideo_mcp import __version__
from aivideo_mcp.contracts import MODELS, Contract
from aivideo_mcp.doctor.report import Check, State
from aivideo_mcp.settings import VARIABLES, Settings, Survey

_PACKAGES: Final = ("mcp", "httpx", "pydantic")
_PLACEHOLDER: Final = "still holds an example's text, which is no key."
_SECRET: Final = ("api_key", "http_token")


def versions() -> list[Check]:
    """This program's, Python's and the packages' versions."""
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}."
    checks = [Check("aivideo-mcp", State.OK, f"{__version__}."), Check("Python", State.OK, python)]
    for package in _PACKAGES:
        try:
            checks.append(Check(package, State.OK, f"{metadata.version(package)}."))
        except metadata.PackageNotFoundError:
            checks.append(Check(package, State.FAIL, "is not installed.", "Install aivideo-mcp again."))
    return checks


def variables(survey: Survey) -> list[Check]:
    """Every variable that is set, and every name that only looks like one."""
    checks = []
    for name, variable in VARIABLES.items():
        if name in survey.faults:
            advice = f"Set it to something like {variable.example}, or unset it."
            checks.append(Check(variable.name, State.FAIL, f"{survey.faults[name]}.", advice))
        elif name in survey.given:
            value = "set, and never shown" if name in _SECRET else _written(getattr(survey.settings, name))
            checks.append(Check(variable.name, State.OK, f"{value}."))
        elif name == "api_key" and survey.placeholder:
            checks.append(Check(variable.name, State.WARN, _PLACEHOLDER, "Put your own key in its place."))
    for name, meant in survey.strange.items():
        advice = f"Did you mean {meant}?" if meant else "Remove it, or see the README for those that are."
        checks.append(Check(name, State.WARN, "is no variable of this version and has no effect.", advice))
    return checks


def base_url(survey: Survey) -> Check | None:
    """What the upstream's address is; None where it cannot be read."""
    if "base_url" in survey.faults:
        return None
    url = survey.settings.base_url
    if url.lower().endswith(("/api", "/api/v1")):
        return Check(
            "base URL", State.WARN, f"{url} ends with what is added anyway.", f"Use {url[: url.find('/api')]}."
        )
    where = " (this machine: a sandbox, most likely)" if survey.settings.local_upstream else ""
    return Check("base URL", State.OK, f"{url}{where}.")


def caps(settings: Settings) -> list[Check]:
    """What may be spent without anybody being asked."""
    one, day, ask = settings.max_credits, settings.daily_credits, settings.confirm_above
    told = [
        f"{cap} credits {span}" for cap, span in ((one, "for one generation"), (day, "in 24 hours")) if cap is not None
    ]
    least = min((cap for cap in (one, day) if cap is not None), default=None)
    if least is not None and least < cheapest():
        advice = f"Nothing can be made: the cheapest video is estimated at {cheapest()} credits. Raise the cap."
        spending = Check("spending caps", State.WARN, f"{', '.join(told)}.", advice)
    elif told:
        spending = Check("spending caps", State.OK, f"{', '.join(told)}.")
    else:
        spending = Check(
            "spending caps", State.OK, "none.", "To have one, set AIVIDEO_MAX_CREDITS or AIVIDEO_DAILY_CREDITS."
        )
    if ask is None:
        return [spending, Check("consent", State.OK, "never asked for.", "To be asked, set AIVIDEO_CONFIRM_ABOVE.")]
    asked = f"asked for above {ask} credits."
    if least is not None and ask >= least:
        return [
            spending,
            Check("consent", State.WARN, asked, f"It never is: the cap of {least} refuses first. Lower it."),
        ]
    return [spending, Check("consent", State.OK, asked)]


def cheapest() -> int:
    """Credits of the cheapest video there is, by our own figures."""
    prices = [_smallest(kind).estimate() for kind in MODELS.values()]
    return min(price for price in prices if price is not None)


def _smallest(kind: type[Contract]) -> Contract:
    """A request for as little as a model makes; good for its price alone."""
    given: dict[str, Any] = {}
    for slot in kind.slots():
        if slot.kind == "integer":
            given[slot.name] = min(slot.values) if slot.values else slot.least
        elif slot.kind == "array":
            given[slot.name] = [""]
        elif slot.values:
            given[slot.name] = slot.values[0]
    return kind.model_construct(None, **given)


def _written(value: object) -> str:
    return os.pathsep.join(map(str, value)) if isinstance(value, tuple) else str(value)
