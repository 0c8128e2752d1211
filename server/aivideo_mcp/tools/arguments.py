"""A tool's own arguments, those beside the generation fields: split off and checked.

Numbers may come as strings; null means left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from aivideo_mcp.contracts import shown
from aivideo_mcp.errors import InvalidPayload
from aivideo_mcp.submission import Terms

TERMS: Final = ("maxCredits", "idempotencyKey", "confirmationCode")  # what every tool that spends takes
_MOST_CREDITS: Final = 1_000_000
_DIGITS: Final = 20  # characters of a number; more is no number that we take
_CODE: Final = re.compile(r"[A-Za-z0-9]{4,12}")
_KEY_LENGTH: Final = (8, 128)  # characters, the upstream's bounds


def split(arguments: Mapping[str, Any], *names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The named arguments that were given, and all others."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return {n: v for n, v in given.items() if n in names}, {n: v for n, v in given.items() if n not in names}


def alone(arguments: Mapping[str, Any], name: str) -> object:
    """The value of a tool's only argument, None where it was left out.

    Raises:
        InvalidPayload: When there are others.
    """
    options, others = split(arguments, name)
    if others:
        raise InvalidPayload(f"{shown(min(others))} is not an argument of this tool, which takes {name}")
    return options.get(name)


def read_terms(options: Mapping[str, Any], longest: int | None = None) -> Terms:
    """What the caller grants.

    Args:
        options: Those of TERMS, and `maxWaitSeconds`, each optional.
        longest: The most that `maxWaitSeconds` may ask for.

    Raises:
        InvalidPayload: With what is allowed.
    """
    return Terms(
        max_credits=_credits(options.get("maxCredits")),
        idempotency_key=_key(options.get("idempotencyKey")),
        max_wait=None if longest is None else _wait(options.get("maxWaitSeconds"), longest),
        confirmation_code=_code(options.get("confirmationCode")),
    )


def read_limit(value: object, most: int) -> int | None:
    """How many entries of a list are wanted, None where it was left out.

    Raises:
        InvalidPayload: With what is allowed.
    """
    number = None if value is None else _number(value)
    if value is not None and (number is None or not number.is_integer() or not 1 <= number <= most):
        raise InvalidPayload(f"limit {shown(value)} is not allowed; use a whole number from 1 to {most}")
    return None if number is None else int(number)


def _credits(value: object) -> int | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or not number.is_integer() or not 0 <= number <= _MOST_CREDITS:
        raise InvalidPayload(f"maxCredits {shown(value)} is not allowed; use a whole number from 0 to {_MOST_CREDITS}")
    return int(number)


def _wait(value: object, longest: int) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or not 0 <= number <= longest:
        raise InvalidPayload(f"maxWaitSeconds {shown(value)} is not allowed; use 0 to {longest}")
    return number


def _key(value: object) -> str | None:
    if value is None:
        return None
    least, most = _KEY_LENGTH
    sound = isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
    if not (isinstance(value, str) and sound and least <= len(value) <= most):  # else no header can carry it
        raise InvalidPayload(
            f"idempotencyKey is not allowed; use {least} to {most} printable ASCII characters, no space at either end"
        )
    return value


def _code(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _CODE.fullmatch(value.strip()):
        raise InvalidPayload("confirmationCode is not allowed; use the code that the user was shown, such as K7QM2X")
    return value.strip().upper()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > _DIGITS:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
