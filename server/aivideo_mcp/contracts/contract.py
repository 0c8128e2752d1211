"""The base of all model contracts: what a declared field means, and the folds over it.

A contract is a frozen pydantic class in our vocabulary. Each field's annotation says its values and, with a
`Wire`, how it is written upstream. Advertised schema, validation, wire body, price and tables are derived
from these annotations and from nothing else.
"""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from aivideo_mcp.contracts.pictures import check_link, check_picture
from aivideo_mcp.contracts.price import Price
from aivideo_mcp.contracts.rules import Rule
from aivideo_mcp.contracts.wire import FLAG, LIST, NUMBER, TEXT, Form, Wire

Kind = Literal["string", "integer", "boolean", "array"]


def _check_text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; describe the video in words")
    if re.search("[\ud800-\udfff]", value):
        raise ValueError("holds half of a character, which no JSON can carry")
    return value


Prompt = Annotated[str, AfterValidator(_check_text)]
Picture = Annotated[str, AfterValidator(check_picture)]
Link = Annotated[str, AfterValidator(check_link)]


@dataclass(frozen=True, slots=True)
class Slot:
    """One declared field, read once from its annotation.

    Attributes:
        name: The field in our vocabulary, camelCase.
        kind: Its JSON type in our vocabulary.
        required: Whether a request must have it.
        default: The value that is sent when it is left out; None where nothing is sent.
        values: The allowed values, in declared order; empty where they are not enumerated.
        least, most: Bounds of an integer, or of a list's length.
        wire_name, form: How it is written upstream.
        media: Whether it holds pictures, video or sound.
    """

    name: str
    kind: Kind
    required: bool
    default: object
    values: tuple[Any, ...]
    least: int | None
    most: int | None
    wire_name: str
    form: Form
    media: bool

    @property
    def allowed(self) -> str:
        """The allowed values in words, empty where anything of the kind will do."""
        if self.values:
            return ", ".join(str(value) for value in self.values)
        if self.kind == "boolean":
            return "true, false"
        if self.kind == "array" and self.least == self.most == 1:
            return "one entry"
        if self.least is not None and self.most is not None:
            return f"{self.least} to {self.most}" + (" entries" if self.kind == "array" else "")
        return f"at least {self.least}" if self.least is not None else ""


class Contract(BaseModel):
    """A request for one model that holds all the model's rules; frozen.

    Class attributes:
        price: What it costs without a quote.
        usual: Minutes that the model usually takes, shortest and longest seen; None where unknown.
        rules: Rules between fields.
        summary: A few words for tables, from the docstring.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        defer_build=True,  # nothing is built at import; the first request builds its own contract
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,  # what may be spelled otherwise is the vocabulary's business
    )

    price: ClassVar[Price]
    usual: ClassVar[tuple[float, float] | None] = (2, 7)
    rules: ClassVar[tuple[Rule, ...]] = ()

    model: str

    @classmethod
    def name(cls) -> str:
        """The model's name upstream, such as `t2v`."""
        return str(get_args(cls.model_fields["model"].annotation)[0])

    @classmethod
    def summary(cls) -> str:
        """What the model does, in a few words."""
        return (cls.__doc__ or "").splitlines()[0].rstrip(".")

    @classmethod
    def slots(cls) -> tuple[Slot, ...]:
        """The declared fields, without `model`, in declared order."""
        return _slots(cls)

    def fields(self) -> dict[str, Any]:
        """What was asked for in our vocabulary, defaults included, nothing that was left out."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude={"model"})

    def wire(self) -> dict[str, object]:
        """The request body exactly as the upstream wants it."""
        asked = self.fields()
        return {slot.wire_name: slot.form.write(asked[slot.name]) for slot in self.slots() if slot.name in asked}

    def estimate(self) -> int | None:
        """Credits by the contract's own figures; None where only a quote can tell."""
        return self.price.credits(self.fields())

    @model_validator(mode="after")
    def _keep_rules(self) -> Contract:
        given = self.fields().keys()
        for rule in self.rules:
            if not rule.allows(given):
                raise ValueError(rule.text)
        return self


@cache
def _slots(contract: type[Contract]) -> tuple[Slot, ...]:
    return tuple(_slot(info.alias or name, info) for name, info in contract.model_fields.items() if name != "model")


def _slot(name: str, info: FieldInfo) -> Slot:
    annotation, metadata = _unwrap(info.annotation)
    metadata = [*metadata, *info.metadata]
    values: tuple[Any, ...] = ()
    kind: Kind
    if get_origin(annotation) is Literal:
        values = get_args(annotation)
        kind = "integer" if isinstance(values[0], int) else "string"
    elif get_origin(annotation) is list:
        kind = "array"
        metadata += _unwrap(get_args(annotation)[0])[1]
    else:
        kinds: dict[object, Kind] = {int: "integer", bool: "boolean", str: "string"}
        kind = kinds[annotation]
    form = {"string": TEXT, "integer": NUMBER, "boolean": FLAG, "array": LIST}[kind]
    wire = next((m for m in metadata if isinstance(m, Wire)), Wire(form))
    return Slot(
        name=name,
        kind=kind,
        required=info.is_required(),
        default=None if info.is_required() else info.default,
        values=values,
        least=_bound(metadata, "ge", "min_length"),
        most=_bound(metadata, "le", "max_length"),
        wire_name=wire.name or name,
        form=wire.form,
        media=any(isinstance(m, AfterValidator) and m.func in (check_picture, check_link) for m in metadata),
    )


def _bound(metadata: list[Any], *names: str) -> int | None:
    """The first of these constraints that pydantic's metadata carries."""
    found = (getattr(entry, name, None) for entry in metadata for name in names)
    return next((int(value) for value in found if value is not None), None)


def _unwrap(annotation: object) -> tuple[object, list[Any]]:
    """The annotation without `| None` and `Annotated`, and the metadata found on the way."""
    metadata: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            metadata += annotation.__metadata__  # type: ignore[attr-defined] # typing has no public type for it
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not type(None))
        else:
            return annotation, metadata
