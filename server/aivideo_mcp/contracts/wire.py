"""How a value is written in the upstream's requests.

The upstream spells the same fact in several types: a duration is "5" for one model and 5 for the next,
a resolution 720, "720p" or "720P". Callers see one vocabulary; each contract field carries a `Wire` that
says what the upstream calls it and which `Form` it takes there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Form:
    """A wire type: `json_type` as JSON Schema names it, and the function that writes a value so."""

    json_type: str
    write: Callable[[Any], object]


TEXT = Form("string", str)
NUMBER = Form("integer", int)
FLAG = Form("boolean", bool)
LIST = Form("array", list)
DIGITS = Form("string", str)  # the number 5 as the string "5"
PIXELS = Form("integer", lambda value: int(value.removesuffix("p")))  # "720p" as the number 720
CAPITAL_P = Form("string", str.upper)  # "720p" as "720P"
FIRST = Form("string", lambda values: values[0])  # a list of one as its only member


@dataclass(frozen=True, slots=True)
class Wire:
    """A field's name and form in the request body.

    Args:
        form: The wire type.
        name: What the upstream calls the field, where it differs from our vocabulary.
    """

    form: Form
    name: str | None = None
