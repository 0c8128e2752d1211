"""From request bytes to an order: a checked, priced request for one generation.

Nothing here touches the event loop, so that large bodies can be read in a thread.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.sandbox.refusals import Refusal, invalid_payload
from aivideo_mcp.sandbox.validation import complaints
from aivideo_mcp.sandbox.wire import vocabulary

if TYPE_CHECKING:
    from aivideo_mcp.contracts import Contract

_NAMED: Final = 5  # faults that one message lists
_UNKNOWN_MINUTES: Final = (5.0, 5.0)
_LONG_TEXT: Final = 10_000
_DATA_HEAD: Final = re.compile(r"data:[^,]{0,100},", re.IGNORECASE)

# Credits a second where the contracts know no price. With these the sandbox quotes what was seen upstream:
# 4 s at 480p 41, 5 s at 480p 51, 5 s at 720p 110.
_SANDBOX_RATES: Final[Mapping[str, Mapping[str, float]]] = {"seedance20": {"480p": 10.25, "720p": 22}}


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    Attributes:
        model: The model's name.
        ratio: The aspect ratio; None where the model or the request has none.
        words: All prompts in one lower-case text.
        input: The body as a Task shows it: known fields, media data shortened, `duration` a string.
        digest: Of the whole body, to tell a replay from other data.
        price: Credits.
        minutes: Sandbox minutes that the generation takes.
    """

    model: str
    ratio: str | None
    words: str
    input: dict[str, object]
    digest: str
    price: int
    minutes: float


def contract_named(model: str) -> type[Contract]:
    """The contract of a model.

    Raises:
        Refusal: 400 INVALID_MODEL.
    """
    if model not in MODELS:
        raise Refusal(400, f"Unsupported model, use one of {', '.join(MODELS)}", "INVALID_MODEL")
    return MODELS[model]


def read_order(contract: type[Contract], content: bytes) -> Order:
    """Read, check and price a request body.

    Raises:
        Refusal: 400 INVALID_PAYLOAD with the faults by field.
    """
    body, digest = _parse(content)
    faults = complaints(contract, body)
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise invalid_payload("; ".join(faults[:_NAMED]) + more)
    given = vocabulary(contract, body)
    shortest, longest = contract.usual or _UNKNOWN_MINUTES
    return Order(
        model=contract.name(),
        ratio=given.get("aspectRatio"),
        words="\n".join([given.get("prompt", ""), *given.get("prompts", ())]).lower(),
        input=_shown(contract, body),
        digest=digest,
        price=_price(contract, given),
        minutes=(shortest + longest) / 2,
    )


def _parse(content: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object and a digest that does not depend on its spelling."""
    try:
        body = json.loads(content)
        # Refuses NaN and Infinity, which Python reads although JSON has no such numbers.
        plain = json.dumps(_condensed(body), sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError):
        raise invalid_payload("The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise invalid_payload("The request body must be a JSON object")
    return body, hashlib.sha256(plain.encode()).hexdigest()


def _condensed(value: object) -> object:
    """The value with long texts replaced by their digests, since writing them as JSON would hold up all threads."""
    if isinstance(value, dict):
        return {name: _condensed(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_condensed(entry) for entry in value]
    if isinstance(value, str) and len(value) > _LONG_TEXT:
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return value


def _price(contract: type[Contract], given: Mapping[str, Any]) -> int:
    # The body was checked as the upstream would; the contract's own checks are the client's business.
    request = contract.model_construct(**{"model": contract.name(), **given})
    estimate = request.estimate()
    if estimate is not None:
        return estimate
    return int(_SANDBOX_RATES[contract.name()][given["resolution"]] * given["duration"])


def _shown(contract: type[Contract], body: Mapping[str, Any]) -> dict[str, object]:
    shown = {slot.wire_name: _short(body[slot.wire_name]) for slot in contract.slots() if slot.wire_name in body}
    if isinstance(shown.get("duration"), int | float):
        shown["duration"] = str(int(body["duration"]))  # upstream gives a string back even for a number
    return shown


def _short(value: object) -> object:
    """The value with media data replaced by its length."""
    if isinstance(value, list):
        return [_short(entry) for entry in value]
    head = _DATA_HEAD.match(value) if isinstance(value, str) else None
    return value if head is None else f"{head[0]}... ({len(str(value))} characters)"
