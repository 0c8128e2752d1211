"""What every answer is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    """Base of what tools answer in `data`: frozen, camelCase outside."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)

    def lines(self) -> list[str]:
        """What a reader wants of it, a line each: every plain value that is known."""
        known = self.model_dump(by_alias=True, exclude_none=True, exclude={"id", "status"})
        return [f"{name}: {value}" for name, value in known.items() if isinstance(value, str | int | float)]
