"""Flags and environment become one frozen `Settings`; nothing reads the environment after this.

Each variable is declared once, as a field with its parser, default and meaning; the README's table and the
error lines derive from it. `read_settings` is the only step that can fail.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aivideo_mcp import __version__
from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.values import (
    base_url,
    folder,
    folders,
    header_text,
    is_loopback,
    is_placeholder,
    key,
    secret,
    unquoted,
    whole,
)

_ALIKE: Final = re.compile(r"AI_?VIDEO_?(MAKER_?)?", re.IGNORECASE)  # how names begin that are meant for us
_UNFILLED: Final = re.compile(r"\$\{user_config\.\w+\}")  # of a bundle's form, in which nothing was entered


@dataclass(frozen=True, slots=True)
class Variable:
    """How one environment variable is read: parser, an example for errors, and what it means."""

    name: str
    parse: Callable[[str], Any]
    example: str
    meaning: str
    default_text: str


def _variable(name: str, parse: Callable[[str], Any], default: object, example: str, meaning: str, **other: Any) -> Any:  # noqa: ANN401 - stands where dataclasses.field does, which is typed so
    text = other.pop("default_text", "unset" if default is None else str(default))
    return field(default=default, metadata={"variable": Variable(name, parse, example, meaning, text)}, **other)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, checked. Times in seconds unless the name says otherwise."""

    api_key: str | None = _variable(
        "AIVIDEO_API_KEY",
        key,
        None,
        "ak_...",
        "Your API key. Without it the server starts and lists its tools, and every call that needs it answers"
        " `AUTH_FAILED`. Never logged, echoed or written",
        repr=False,
    )
    base_url: str = _variable(
        "AIVIDEO_BASE_URL",
        base_url,
        "https://aivideomaker.ai",
        "https://aivideomaker.ai",
        "The upstream; plain http only to a loopback address",
    )
    timeout_ms: int = _variable("AIVIDEO_TIMEOUT_MS", whole(100, 600_000), 30_000, "30000", "One request")
    max_retries: int = _variable("AIVIDEO_MAX_RETRIES", whole(0, 10), 3, "3", "Further tries of idempotent reads")
    state_dir: Path | None = _variable(
        "AIVIDEO_STATE_DIR",
        folder,
        None,
        "/home/me/.local/state/aivideo-mcp",
        "Folder of the ledger, which several servers may share",
        default_text="the platform's user state folder",
    )
    queries_per_minute: int = _variable(
        "AIVIDEO_QUERIES_PER_MINUTE",
        whole(1, 6000),
        54,
        "54",
        "Query budget of all servers on this state folder together; a sandbox raises it with its speed",
    )
    output_dir: Path | None = _variable(
        "AIVIDEO_OUTPUT_DIR",
        folder,
        None,
        "/home/me/Videos",
        "Folder where finished videos are saved; unset = not saved",
    )
    image_dirs: tuple[Path, ...] = _variable(
        "AIVIDEO_IMAGE_DIRS",
        folders,
        (),
        "/home/me/Pictures",
        "Folders, separated as in `PATH`, whose pictures may be given as an absolute path or a `file://` URL; unset ="
        " no local file is read",
        default_text="unset",
    )
    max_credits: int | None = _variable(
        "AIVIDEO_MAX_CREDITS",
        whole(0, 1_000_000),
        None,
        "100",
        "Spending cap for one generation: what is dearer is refused before it is sent",
    )
    daily_credits: int | None = _variable(
        "AIVIDEO_DAILY_CREDITS",
        whole(0, 10_000_000),
        None,
        "500",
        "Spending cap for any 24 hours, over all servers on this state folder; refunds are given back",
    )
    confirm_above: int | None = _variable(
        "AIVIDEO_CONFIRM_ABOVE",
        whole(0, 1_000_000),
        None,
        "50",
        "Ask the user before a generation that costs more credits than this",
    )
    max_wait_s: int = _variable(
        "AIVIDEO_MAX_WAIT_S", whole(1, 86_400), 1200, "1200", "Longest single wait in `generate_video`"
    )
    user_agent: str = _variable(
        "AIVIDEO_USER_AGENT",
        header_text,
        f"aivideo-mcp/{__version__}",
        "my-app/1.0",
        "What we call ourselves upstream",
        default_text="aivideo-mcp/<version>",
    )
    http_token: str | None = _variable(
        "AIVIDEO_HTTP_TOKEN",
        secret,
        None,
        "a-long-random-text",
        "Bearer token that the network transports ask for; required to bind beyond loopback",
        repr=False,
    )

    @property
    def timeout(self) -> float:
        """Seconds for one request."""
        return self.timeout_ms / 1000

    @property
    def state_folder(self) -> Path:
        """Where the ledger lives."""
        import platformdirs  # noqa: PLC0415 - 20 ms that only the first use of the ledger should pay

        return self.state_dir or platformdirs.user_state_path("aivideo-mcp", appauthor=False)

    @property
    def account(self) -> str:
        """A fingerprint of base URL and key, which tells accounts apart and gives neither away."""
        secret = f"{self.base_url}\n{self.api_key}"
        return hashlib.scrypt(secret.encode(), salt=b"aivideo-mcp", n=2**10, r=8, p=1, dklen=16).hex()

    @property
    def local_upstream(self) -> bool:
        """Whether the upstream is on this machine: a sandbox, most likely."""
        return is_loopback(urlsplit(self.base_url).hostname or "")


VARIABLES: Final[Mapping[str, Variable]] = {f.name: f.metadata["variable"] for f in fields(Settings)}


def read_settings(environment: Mapping[str, str], **flags: Any) -> Settings:  # noqa: ANN401 - values of any field
    """The settings that environment and flags amount to; a flag beats its variable, an empty variable is unset.

    Raises:
        ConfigurationError: One line that names the variable, its fault and an example, never a secret's value.
    """
    values, faults = _parsed(environment)
    for name, fault in faults.items():
        variable = VARIABLES[name]
        raise ConfigurationError(f"{variable.name} {fault}. Example: {variable.name}={variable.example}")
    return Settings(**values | flags)


def _parsed(environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """By field: the values of the variables that are set, and the faults of those that cannot be used."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, variable in VARIABLES.items():
        text = environment.get(variable.name, "").strip()
        if not text or _UNFILLED.fullmatch(text) or (variable.parse is key and is_placeholder(text)):
            continue
        try:
            values[name] = variable.parse(unquoted(text))
        except ValueError as fault:
            faults[name] = str(fault)
    return values, faults


def process_settings(**flags: Any) -> Settings:  # noqa: ANN401 - values of any field
    """The settings of this process; nothing outside of this module reads the environment."""
    return read_settings(os.environ, **flags)


@dataclass(frozen=True, slots=True)
class Survey:
    """The environment variable by variable, for who wants to know of every fault.

    Attributes:
        settings: As far as they can be read; the default stands for what cannot.
        given: The fields whose variables are set and good.
        faults: By field, what is wrong with the variables that cannot be used; never a value.
        strange: Names that look like ours and are not, with what may have been meant.
        placeholder: Whether the key is an example's text, and counts as not set.
    """

    settings: Settings
    given: frozenset[str]
    faults: Mapping[str, str]
    strange: Mapping[str, str | None] = field(default_factory=dict)
    placeholder: bool = False


def process_survey() -> Survey:
    """What the environment of this process amounts to."""
    values, faults = _parsed(os.environ)
    unfilled = is_placeholder(os.environ.get(VARIABLES["api_key"].name, "").strip())
    return Survey(Settings(**values), frozenset(values), faults, _strange(os.environ), unfilled)


def _strange(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Names that look like ours and are not, each with ours that is nearest: a cap that is misspelt caps nothing."""
    tails = {variable.name.removeprefix("AIVIDEO_"): variable.name for variable in VARIABLES.values()}
    found: dict[str, str | None] = {}
    for name in sorted(environment):
        if (alike := _ALIKE.match(name)) and name not in tails.values():
            import difflib  # noqa: PLC0415 - seldom needed

            meant = difflib.get_close_matches(name[alike.end() :].upper(), tails, 1)
            found[name] = tails[meant[0]] if meant else None
    return found
