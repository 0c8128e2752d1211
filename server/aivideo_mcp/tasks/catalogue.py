"""The models that can be asked for, as they are told."""

from __future__ import annotations

from aivideo_mcp.tasks.answers import Answer


class Field(Answer):
    """One field of a model, as callers write it; `allowed` in words, None where any value of the type will do."""

    name: str
    type: str
    required: bool
    allowed: str | None
    default: str | None


class Model(Answer):
    """One model of the whitelist; `served` tells whether the account offers it, None where it was not asked."""

    model: str
    summary: str
    fields: tuple[Field, ...]
    rules: tuple[str, ...]
    price: str
    usual_minutes: tuple[float, float] | None
    served: bool | None = None

    def lines(self) -> list[str]:
        """Headline, then a line for each field."""
        usual = f"; usually {self.usual_minutes[0]:g} to {self.usual_minutes[1]:g} min" if self.usual_minutes else ""
        served = {True: "", False: " (NOT SERVED to this account)", None: ""}[self.served]
        fields = [
            f"  {field.name}{'!' if field.required else ''}: {field.type}"
            + (f", {field.allowed}" if field.allowed else "")
            + (f" (default {field.default})" if field.default else "")
            for field in self.fields
        ]
        return [f"{self.model}{served}: {self.summary}; {self.price}{usual}", *fields, *(f"  {r}" for r in self.rules)]


class Catalogue(Answer):
    """The models that can be asked for; `!` marks required fields in the text form."""

    models: tuple[Model, ...]

    def lines(self) -> list[str]:
        """All models, one after the other."""
        return [line for model in self.models for line in model.lines()]
