"""Rules between the fields of one contract: which exclude each other, of which one is needed."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol


class Rule(Protocol):
    """A rule over the names of the fields that were given."""

    @property
    def text(self) -> str:
        """The rule in words."""
        ...

    @property
    def schema(self) -> dict[str, Any]:
        """The rule as a JSON Schema of a request."""
        ...

    def allows(self, given: AbstractSet[str]) -> bool:
        """Whether a request with these fields keeps the rule."""
        ...


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Fields of the one group and fields of the other are not taken together."""

    one: tuple[str, ...]
    other: tuple[str, ...]

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"{' and '.join(self.one)} cannot be combined with {', '.join(self.other)}"

    @property
    def schema(self) -> dict[str, Any]:
        """The rule as a JSON Schema of a request."""
        return {"not": {"allOf": [_some(self.one), _some(self.other)]}}

    def allows(self, given: AbstractSet[str]) -> bool:
        """Whether at most one of the two groups is present."""
        return not (given & set(self.one) and given & set(self.other))


@dataclass(frozen=True, slots=True)
class AtLeastOne:
    """At least one of these fields is needed; other inputs alone are not enough."""

    of: tuple[str, ...]

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"at least one of {', '.join(self.of)} is needed"

    @property
    def schema(self) -> dict[str, Any]:
        """The rule as a JSON Schema of a request."""
        return _some(self.of)

    def allows(self, given: AbstractSet[str]) -> bool:
        """Whether one of them is present."""
        return bool(given & set(self.of))


def _some(names: tuple[str, ...]) -> dict[str, Any]:
    """The JSON Schema of a request that has one of these fields at least."""
    return {"anyOf": [{"required": [name]} for name in names]}
