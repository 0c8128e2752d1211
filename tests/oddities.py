"""Calls that a client may make of the tools: drawn from the advertised schemas, and beside them in every way."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from aivideo_mcp.tools import TOOLS

Arguments = dict[str, Any]
Call = tuple[str, Arguments]

_NAMES: Final = (  # ours, the upstream's, the older skill's, and nobody's
    *sorted({name for tool in TOOLS for name in tool.input_schema()["properties"]}),
    *("content", "ratio", "imageUrl", "lastFrameUrl", "referenceImageUrls", "video", "audio", "payload", "filterMode"),
    *("arguments", "ctx", "kw", "self", "model_extra", "__class__", "_meta", "task_id", "", " ", "\x00", "\u202e", "é"),
)
TEXTS: Final = (
    *(
        "",
        " ",
        "\x00",
        "a cat",
        "5",
        " 5 ",
        "5.0",
        "1e5",
        "1e999",
        "nan",
        "-inf",
        "0x10",
        "1_000",
        "٣",
        "²",
        "\uff19",
        "-0",
    ),
    *(
        "720",
        "720P",
        "16:9",
        "16\uff1a9",
        "AUTO",
        "t2v",
        "T2V",
        "true",
        "null",
        "[]",
        '["a"]',
        "[1,2",
        '{"a":1}',
        "[" * 3000,
    ),
    *(
        "\u202e\u2066x",
        "\ufeff",
        "👩\u200d👩\u200d👧",
        "e\u0301" * 50,
        "\ud800",
        "\udfff\ud800",
        "\U0010ffff",
        "a\nb\r\u2028c",
    ),
    *(
        "..",
        "../x",
        "/etc/passwd",
        "file:///etc/passwd",
        "C:\\x",
        "sb_" + "0" * 24,
        "a" * 201,
        "x" * 70_000,
        "a/b",
        "%2e",
    ),
    *("http://", "https://[::1", "https://a:99999/", "http:///x", "https://e.test/a b", "https://e.test/" + "x" * 9000),
    *(
        "data:",
        "data:image/png;base64,",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,====",
        "DATA:x;base64,QQ",
    ),
    *("data:image/jpg;base64,/9j/", "data:text/html;base64,PGh0bWw+", "data:image/gif;base64,R0lGODlh"),
)
_ALPHABET: Final = st.characters(exclude_categories=())  # half surrogates too
_texts: Final = st.sampled_from(TEXTS) | st.text(_ALPHABET, max_size=40)
_numbers: Final = (
    st.sampled_from(
        (0, -1, 5, 5.0, 5.5, 8, 720, 2**31, 2**63, -(2**64), 10**30, 1e308, -0.0, float("nan"), float("inf"))
    )
    | st.integers()
    | st.floats()
)
_leaves: Final = st.none() | st.booleans() | _numbers | _texts
json_values: Final = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | _texts, inner, max_size=4),
    max_leaves=8,
)


def _nested(depth: int, of: str) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value] if of == "lists" else {"prompt": value}
    return value


_deep: Final = st.builds(_nested, st.sampled_from((3, 30, 90)), st.sampled_from(("lists", "objects")))
_huge: Final = st.sampled_from(
    ([""] * 5000, ["a cat"] * 7, [[]] * 300, {str(n): n for n in range(2000)}, ["https://e.test/x.png"] * 40)
)
odd_values: Final = json_values | _deep | _huge


def _advertised(schema: Arguments) -> st.SearchStrategy[Any]:
    """Values that a property's schema takes."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum", 10**6))
        case "number":
            return st.floats(schema.get("minimum"), 2000, allow_nan=False)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(_advertised(schema["items"]), max_size=7)
        case _:
            links = st.sampled_from(("a cat", "https://e.test/cat.png", "sb_" + "0" * 24, "my-own-key-1"))
            return links | _texts


def _inside(tool: str) -> st.SearchStrategy[Arguments]:
    """Arguments that the advertised schema of a tool takes."""
    schema = next(row for row in TOOLS if row.name == tool).input_schema()
    each = {name: _advertised(given) for name, given in schema["properties"].items()}
    needed = {name: each.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional=each)


@st.composite
def _beside(draw: st.DrawFn, arguments: st.SearchStrategy[Arguments]) -> Arguments:
    """Good arguments of which some are odd, unknown, given under two names, or in another shape."""
    given = draw(arguments)
    odd = draw(st.dictionaries(st.sampled_from(_NAMES) | st.text(_ALPHABET, max_size=8), odd_values, max_size=3))
    lost = draw(st.sets(st.sampled_from(sorted(given)), max_size=2)) if given else ()
    given = {name: value for name, value in (given | odd).items() if name not in lost}
    match draw(st.sampled_from(("as it is", "payload", "text", "both", "text in text"))):
        case "payload":
            return {"model": given.pop("model", None), "payload": given}
        case "text":
            return {"model": given.pop("model", None), "payload": json.dumps(given)}
        case "both":
            return given | {"payload": draw(arguments)}
        case "text in text":
            return {"payload": json.dumps(json.dumps(given))}
        case _:
            return given


GENERATING: Final = ("generate_video", "create_generation", "quote_generation")


def writable(call: Call) -> bool:
    """Whether a client can write it: half of a character is no JSON in UTF-8."""
    try:
        json.dumps(call, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def calls(requests: st.SearchStrategy[Arguments]) -> st.SearchStrategy[Call]:
    """Calls of every tool; `requests` are generations that are good as they are."""

    def of(tool: str) -> st.SearchStrategy[Arguments]:
        inside = _inside(tool)
        good = [requests, _beside(requests)] if tool in GENERATING else []
        return st.one_of(*good, inside, _beside(inside), st.dictionaries(_texts, odd_values, max_size=4))

    return st.one_of(*(st.tuples(st.just(row.name), of(row.name)) for row in TOOLS))
