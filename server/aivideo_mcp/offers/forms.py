"""What a prompt is: what a user fills in, checked, and the text that comes of it.

What a user writes goes to a model. It is bounded, folded to one line and quoted, as data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aivideo_mcp.contracts import shown
from aivideo_mcp.errors import InvalidPayload
from aivideo_mcp.tasks import quoted


@dataclass(frozen=True, slots=True)
class Argument:
    """What a user may fill in; one of `choices` where there are any, at most `longest` characters."""

    name: str
    description: str
    longest: int = 20
    required: bool = False
    choices: tuple[str, ...] = ()

    def read(self, value: str) -> str:
        """The value as a prompt may repeat it.

        Raises:
            InvalidPayload: It is too long, or none of the choices.
        """
        if len(value) > self.longest:
            raise InvalidPayload(f"{self.name} has {len(value)} characters; at most {self.longest} are allowed")
        if self.choices and value.strip() not in self.choices:
            raise InvalidPayload(f"{self.name} {shown(value)} is not allowed; use {', '.join(self.choices)}")
        return quoted(value, self.longest) or ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row of the table of prompts; `write` takes the arguments that were filled in."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    write: Callable[[Mapping[str, str]], str]

    def text(self, arguments: Mapping[str, str]) -> str:
        """The prompt.

        Raises:
            InvalidPayload: With the argument at fault and what is allowed.
        """
        known = {argument.name: argument for argument in self.arguments}
        if odd := next((name for name in arguments if name not in known), None):
            raise InvalidPayload(f"{shown(odd)} is not an argument of {self.name}, which takes {', '.join(known)}")
        filled = {name: value for name, value in arguments.items() if value.strip()}  # hosts send empty fields as ""
        given = {name: read for name, value in filled.items() if (read := known[name].read(value))}
        if missing := next((a for a in self.arguments if a.required and a.name not in given), None):
            raise InvalidPayload(f"{missing.name} is missing: {missing.description}")
        return self.write(given)
