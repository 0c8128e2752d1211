"""What the text of a variable may be: each parser returns the value, or raises ValueError with what is wrong.

A fault reads on from the variable's name, says what to do where that is not plain, and never repeats a value.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

_DIGITS: Final = 12  # of a number; longer ones are no setting
_MOST_PORT: Final = 65535
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:(?P<port>[0-9]{1,5}))?(/[a-z0-9._~/-]*)?",
    re.IGNORECASE | re.ASCII,
)
_QUOTES: Final = frozenset("\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb")
_SENT_ALONG: Final = re.compile(r"(?P<what>Bearer |Authorization:|key:|(export )?AIVIDEO_API_KEY=)", re.IGNORECASE)
_NO_KEY: Final = re.compile(  # a random key may begin with any letters, but it does not end in words too
    r"<.*>|\[.*\]|\$\{.*\}|\$\w+|%\w+%|(ak[_-])?(x{3,}|\W{2,})|change[ _-]?me|placeholder|todo"
    r"|(ak[_-])?(your|insert|paste|enter|put)[ _-].*(key|here|token)|(api[ _-]?)?key[ _-]?here",
    re.IGNORECASE,
)
_UNFILLED: Final = re.compile(r"\$\w|\$\{|%\w+%")
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def unquoted(text: str) -> str:
    """The text, which must not be in quotes: they would be taken for a part of it."""
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        raise ValueError("has quotes around its value, which are taken for a part of it; leave them out")
    return text


def is_placeholder(text: str) -> bool:
    """Whether a key is an example's text that nobody replaced, or a variable that nobody filled in."""
    return _NO_KEY.fullmatch(text) is not None


def whole(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers in this range, both ends included."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and least <= int(text) <= most):
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(text)

    return parse


def base_url(text: str) -> str:
    """An address to which paths can be added."""
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


def key(text: str) -> str:
    """The API key, bare."""
    if along := _SENT_ALONG.match(text):
        raise ValueError(f'begins with "{along["what"].strip()}", which is no part of the key; give the key alone')
    return secret(text)


def secret(text: str) -> str:
    """What a header can carry, and has no spaces."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds characters that no HTTP header can carry, or spaces")
    return text


def header_text(text: str) -> str:
    """What a header can carry."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("holds characters that no HTTP header can carry")
    return text


def folder(text: str) -> Path:
    """An absolute path, `~` included, where nothing but a folder is. Looks at the disk."""
    try:
        path = Path(text).expanduser()
        taken = path.exists() and not path.is_dir()
    except (OSError, RuntimeError):
        raise ValueError("is not a path that can be looked at") from None
    if any("\ud800" <= character <= "\udfff" for character in str(path)):  # bytes that are no UTF-8
        raise ValueError("holds bytes that are no text, and no client could be told of a file in it")
    if not path.is_absolute():
        raise ValueError(_relative(text))
    if taken:
        raise ValueError("is not a folder")
    return path


def _relative(text: str) -> str:
    """What is wrong with a path that does not begin at the root."""
    if _WINDOWS.match(text):
        return "is a path of Windows, and this is another system (in WSL, C: is /mnt/c)"
    if _UNFILLED.match(text):
        return "begins with a variable that nobody fills in; write the path out"
    if text.lower().startswith("file:"):
        return "is a URL, not a path"
    return "is not an absolute path"


def folders(text: str) -> tuple[Path, ...]:
    """Absolute paths, separated as in PATH."""
    found, faults = [], []
    for number, entry in enumerate(text.split(os.pathsep), 1):
        if not entry.strip():  # a separator too many
            continue
        try:
            found.append(folder(entry.strip()))
        except ValueError as fault:
            faults.append(f"entry {number} {fault}")
    if faults or not found:
        raise ValueError("; ".join(faults) or "names no folder")
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
