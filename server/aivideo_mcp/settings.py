"""Flags and environment become one frozen `Settings`; nothing reads the environment after this.

Each variable is declared once, as a field with its parser, default and meaning; the README's table and the
error lines derive from it. `read_settings` is the only step that can fail.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aivideo_mcp import __version__
from aivideo_mcp.errors import ConfigurationError

_UNFILLED: Final = re.compile(r"\$\{user_config\.\w+\}")  # of a bundle's form, in which nothing was entered
_DIGITS: Final = 12  # of a number; longer ones are no setting
_MOST_PORT: Final = 65535
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:(?P<port>[0-9]{1,5}))?(/[a-z0-9._~/-]*)?",
    re.IGNORECASE | re.ASCII,
)


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


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and least <= int(text) <= most):
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(text)

    return parse


def _base_url(text: str) -> str:
    if text.lower().startswith("http") and set("@?#") & set(text):
        raise ValueError("holds credentials, a query or a fragment")
    address = _ADDRESS.fullmatch(text)
    if address is None or int(address["port"] or 0) > _MOST_PORT or not _names_a_host(address["host"]):
        raise ValueError("is not an http(s) URL")
    if address["scheme"].lower() == "http" and not is_loopback(address["host"].strip("[]")):
        raise ValueError("is plain http to another machine, which would send the key unencrypted; use https")
    return text.rstrip("/")


def _names_a_host(text: str) -> bool:
    """Whether a host is a name, or a number that is an address."""
    try:
        if text.startswith("["):
            ipaddress.IPv6Address(text.strip("[]"))
        elif text.replace(".", "").isdigit():
            ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _secret(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds characters that no HTTP header can carry, or spaces")
    return text


def _header_text(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("holds characters that no HTTP header can carry")
    return text


def _folder(text: str) -> Path:
    try:
        folder = Path(text).expanduser()
        taken = folder.exists() and not folder.is_dir()
    except (OSError, RuntimeError):
        raise ValueError("is not a path that can be looked at") from None
    if not folder.is_absolute():
        raise ValueError("is not an absolute path")
    if taken:
        raise ValueError("is not a folder")
    return folder


def _folders(text: str) -> tuple[Path, ...]:
    folders, faults = [], []
    for number, entry in enumerate(text.split(os.pathsep), 1):
        if not entry.strip():  # a separator too many
            continue
        try:
            folders.append(_folder(entry.strip()))
        except ValueError as fault:
            faults.append(f"entry {number} {fault}")
    if faults or not folders:
        raise ValueError("; ".join(faults) or "names no folder")
    return tuple(folders)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, checked. Times in seconds unless the name says otherwise."""

    api_key: str | None = _variable(
        "AIVIDEO_API_KEY",
        _secret,
        None,
        "ak_...",
        "Your API key. Without it the server starts and lists its tools, and every call that needs it answers"
        " `AUTH_FAILED`. Never logged, echoed or written",
        repr=False,
    )
    base_url: str = _variable(
        "AIVIDEO_BASE_URL",
        _base_url,
        "https://aivideomaker.ai",
        "https://aivideomaker.ai",
        "The upstream; plain http only to a loopback address",
    )
    timeout_ms: int = _variable("AIVIDEO_TIMEOUT_MS", _whole(100, 600_000), 30_000, "30000", "One request")
    max_retries: int = _variable("AIVIDEO_MAX_RETRIES", _whole(0, 10), 3, "3", "Further tries of idempotent reads")
    state_dir: Path | None = _variable(
        "AIVIDEO_STATE_DIR",
        _folder,
        None,
        "/home/me/.local/state/aivideo-mcp",
        "Folder of the ledger, which several servers may share",
        default_text="the platform's user state folder",
    )
    queries_per_minute: int = _variable(
        "AIVIDEO_QUERIES_PER_MINUTE",
        _whole(1, 6000),
        54,
        "54",
        "Query budget of all servers on this state folder together; a sandbox raises it with its speed",
    )
    output_dir: Path | None = _variable(
        "AIVIDEO_OUTPUT_DIR",
        _folder,
        None,
        "/home/me/Videos",
        "Folder where finished videos are saved; unset = not saved",
    )
    image_dirs: tuple[Path, ...] = _variable(
        "AIVIDEO_IMAGE_DIRS",
        _folders,
        (),
        "/home/me/Pictures",
        "Folders, separated as in `PATH`, whose pictures may be given as an absolute path or a `file://` URL; unset ="
        " no local file is read",
        default_text="unset",
    )
    max_credits: int | None = _variable(
        "AIVIDEO_MAX_CREDITS",
        _whole(0, 1_000_000),
        None,
        "100",
        "Spending cap for one generation: what is dearer is refused before it is sent",
    )
    daily_credits: int | None = _variable(
        "AIVIDEO_DAILY_CREDITS",
        _whole(0, 10_000_000),
        None,
        "500",
        "Spending cap for any 24 hours, over all servers on this state folder; refunds are given back",
    )
    confirm_above: int | None = _variable(
        "AIVIDEO_CONFIRM_ABOVE",
        _whole(0, 1_000_000),
        None,
        "50",
        "Ask the user before a generation that costs more credits than this",
    )
    max_wait_s: int = _variable(
        "AIVIDEO_MAX_WAIT_S", _whole(1, 86_400), 1200, "1200", "Longest single wait in `generate_video`"
    )
    user_agent: str = _variable(
        "AIVIDEO_USER_AGENT",
        _header_text,
        f"aivideo-mcp/{__version__}",
        "my-app/1.0",
        "What we call ourselves upstream",
        default_text="aivideo-mcp/<version>",
    )
    http_token: str | None = _variable(
        "AIVIDEO_HTTP_TOKEN",
        _secret,
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
        if not text or _UNFILLED.fullmatch(text):
            continue
        try:
            values[name] = variable.parse(text)
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
        strange: Names that look like ours and are not.
    """

    settings: Settings
    given: frozenset[str]
    faults: Mapping[str, str]
    strange: tuple[str, ...] = ()


def process_survey() -> Survey:
    """What the environment of this process amounts to."""
    values, faults = _parsed(os.environ)
    return Survey(Settings(**values), frozenset(values), faults, tuple(strange_variables()))


def strange_variables() -> list[str]:
    """Names in the environment that look like ours and are not: a cap that is misspelt caps nothing."""
    ours = {variable.name for variable in VARIABLES.values()}
    return sorted(name for name in os.environ if name.startswith("AIVIDEO_") and name not in ours)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
