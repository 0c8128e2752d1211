"""The nine contracts, held against tables that were written by hand from the vendor's facts, not from the code."""

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pictures import KINDS, data_uri
from pydantic import ValidationError

from aivideo_mcp.contracts import MODELS, Contract, read_request
from aivideo_mcp.errors import InvalidPayload
from aivideo_mcp.schemas import generation_properties

steady = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)

# --- The upstream's request bodies, as strict JSON Schemas: the oracle ------------------------------------------

Body = dict[str, Any]

_TEXT: Final[Body] = {"type": "string", "pattern": r"\S"}
_PICTURE: Final[Body] = {"type": "string", "pattern": r"^(https?://|data:image/(png|jpeg|webp|gif);base64,)"}
_LINK: Final[Body] = {"type": "string", "pattern": r"^https?://"}


def _word(*words: str) -> Body:
    return {"type": "string", "enum": list(words)}


def _list(entry: Body, least: int, most: int | None = None) -> Body:
    return {"type": "array", "items": entry, "minItems": least} | ({} if most is None else {"maxItems": most})


def _null(schema: Body) -> Body:
    return {"anyOf": [schema, {"type": "null"}]}


def _body(required: Body, optional: Body | None = None, **rules: Any) -> Body:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
        **rules,
    }


def _present(*names: str) -> list[Body]:
    """One schema for each name: the field is there and is not null."""
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


_T2V_RATIO: Final = _word("16:9", "9:16", "1:1")
ORACLE: Final[Mapping[str, Body]] = {
    "t2v": _body({"prompt": _TEXT, "aspectRatio": _T2V_RATIO, "duration": _word("5", "8")}),
    "i2v": _body({"image": _PICTURE, "duration": _word("5", "8")}, {"prompt": _null(_TEXT)}),
    "lv": _body({"image": _PICTURE, "prompt": _list(_TEXT, 1, 6)}),
    "t2v_v3": _body({"prompt": _TEXT, "aspectRatio": _T2V_RATIO, "duration": _word("5", "10", "15", "20")}),
    "i2v_v3": _body({"image": _PICTURE, "duration": _word("5", "10", "15", "20")}, {"prompt": _null(_TEXT)}),
    "minimax": _body(
        {"content": _TEXT},
        {
            "duration": {"type": "integer", "minimum": 5, "maximum": 20},
            "resolution": _word("720p", "1080p"),
            "tier": _word("turbo", "base"),
            "aspectRatio": _word("auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"),
            "imageUrl": _null(_PICTURE),
            "lastFrameUrl": _null(_PICTURE),
            "referenceImageUrls": _list(_PICTURE, 0, 4),
            "referenceVideoUrl": _null(_LINK),
            "referenceAudioUrls": _list(_LINK, 0, 2),
        },
        **{
            "not": {
                "allOf": [
                    {"anyOf": _present("imageUrl", "lastFrameUrl")},
                    {"anyOf": _present("referenceImageUrls", "referenceVideoUrl", "referenceAudioUrls")},
                ]
            }
        },
    ),
    "seedance20": _body(
        {
            "duration": {"type": "number", "minimum": 4, "maximum": 15},
            "resolution": {"type": "number", "enum": [480, 720]},
            "ratio": _word("16:9", "9:16", "1:1"),
        },
        {"prompt": _null(_TEXT), "image": _null(_PICTURE), "video": _null(_LINK), "audio": _null(_LINK)},
        anyOf=_present("prompt", "image", "video"),
    ),
    "wan27": _body(
        {
            "prompt": _TEXT,
            "duration": _word("5", "10", "15"),
            "resolution": _word("720P", "1080P"),
            "ratio": _word("16:9", "9:16", "1:1", "4:3", "3:4"),
        },
        {"image": _null(_PICTURE), "promptExtend": {"type": "boolean"}},
    ),
    "happyhorse": _body(
        {
            "prompt": _TEXT,
            "duration": {"type": "number", "minimum": 3, "maximum": 15},
            "resolution": _word("720P", "1080P"),
        },
        {
            "image": {"anyOf": [_PICTURE, _list(_PICTURE, 0), {"type": "null"}]},
            "ratio": _null(_word("16:9", "9:16", "3:4", "4:3", "1:1")),
        },
    ),
}
MINIMAX_DEFAULTS: Final = {"duration": 5, "resolution": "720p", "tier": "turbo", "aspectRatio": "16:9"}


def faults(model: str, body: object) -> list[str]:
    """What the upstream would find wrong with a body."""
    return [fault.message[:200] for fault in Draft202012Validator(ORACLE[model]).iter_errors(body)]


# --- Requests in the one vocabulary, made by hand from the product's words --------------------------------------

_texts = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()))
_pictures = st.one_of(
    st.sampled_from(("https://example.com/cat.png", "http://cdn.example/x.jpg?size=2&n=1")),
    st.sampled_from([data_uri(kind, content) for kind, content in KINDS.items()]),
)
_urls = st.sampled_from(("https://example.com/a.mp4", "http://cdn.example/x?y=1&z=%20", "https://例え.example/音.mp3"))
_three = st.sampled_from(("16:9", "9:16", "1:1"))
_five = st.sampled_from(("16:9", "9:16", "1:1", "4:3", "3:4"))
_sizes = st.sampled_from(("720p", "1080p"))


def _fields(model: str, optional: dict[str, Any] | None = None, **required: Any) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries({"model": st.just(model), **required}, optional=optional or {})


_minimax_plain: Final = {
    "duration": st.integers(5, 20),
    "resolution": _sizes,
    "tier": st.sampled_from(("turbo", "base")),
    "aspectRatio": st.sampled_from(("auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16")),
}
REQUESTS: Final[Mapping[str, st.SearchStrategy[Body]]] = {
    "t2v": _fields("t2v", prompt=_texts, aspectRatio=_three, duration=st.sampled_from((5, 8))),
    "i2v": _fields("i2v", {"prompt": _texts}, image=_pictures, duration=st.sampled_from((5, 8))),
    "lv": _fields("lv", image=_pictures, prompts=st.lists(_texts, min_size=1, max_size=6)),
    "t2v_v3": _fields("t2v_v3", prompt=_texts, aspectRatio=_three, duration=st.sampled_from((5, 10, 15, 20))),
    "i2v_v3": _fields("i2v_v3", {"prompt": _texts}, image=_pictures, duration=st.sampled_from((5, 10, 15, 20))),
    "minimax": st.one_of(
        _fields("minimax", _minimax_plain | {"image": _pictures, "lastFrame": _pictures}, prompt=_texts),
        _fields(
            "minimax",
            _minimax_plain
            | {
                "referenceImages": st.lists(_pictures, min_size=1, max_size=4),
                "referenceVideo": _urls,
                "referenceAudio": st.lists(_urls, min_size=1, max_size=2),
            },
            prompt=_texts,
        ),
    ),
    "seedance20": _fields(
        "seedance20",
        {
            "prompt": _texts,
            "image": _pictures,
            "referenceVideo": _urls,
            "referenceAudio": st.lists(_urls, min_size=1, max_size=1),
        },
        duration=st.integers(4, 15),
        resolution=st.sampled_from(("480p", "720p")),
        aspectRatio=_three,
    ).filter(lambda request: bool({"prompt", "image", "referenceVideo"} & request.keys())),
    "wan27": _fields(
        "wan27",
        {"image": _pictures, "promptExtend": st.booleans()},
        prompt=_texts,
        duration=st.sampled_from((5, 10, 15)),
        resolution=_sizes,
        aspectRatio=_five,
    ),
    "happyhorse": st.one_of(
        _fields(
            "happyhorse",
            {"image": _pictures, "aspectRatio": _five},
            prompt=_texts,
            duration=st.integers(3, 15),
            resolution=_sizes,
        ),
        _fields(
            "happyhorse",
            {"aspectRatio": _five},
            images=st.lists(_pictures, min_size=1, max_size=5),
            prompt=_texts,
            duration=st.integers(3, 15),
            resolution=_sizes,
        ),
    ),
}
requests = st.one_of(*REQUESTS.values())

_UPSTREAM_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "lv": {"prompts": "prompt"},
    "minimax": {
        "prompt": "content",
        "image": "imageUrl",
        "lastFrame": "lastFrameUrl",
        "referenceImages": "referenceImageUrls",
        "referenceVideo": "referenceVideoUrl",
        "referenceAudio": "referenceAudioUrls",
    },
    "seedance20": {"referenceVideo": "video", "referenceAudio": "audio", "aspectRatio": "ratio"},
    "wan27": {"aspectRatio": "ratio"},
    "happyhorse": {"images": "image", "aspectRatio": "ratio"},
}


def as_upstream(request: Mapping[str, Any]) -> Body:
    """A canonical request in the upstream's own names and types, translated by hand."""
    model = request["model"]
    names = _UPSTREAM_NAMES.get(model, {})
    body = {names.get(name, name): value for name, value in request.items() if name != "model"}
    if "duration" in body and model not in ("minimax", "seedance20", "happyhorse"):
        body["duration"] = str(body["duration"])
    if model == "seedance20":
        body["resolution"] = {"480p": 480, "720p": 720}[body["resolution"]]
        body |= {"audio": body["audio"][0]} if "audio" in body else {}
    if model in ("wan27", "happyhorse"):
        body["resolution"] = body["resolution"].replace("p", "P")
    return body


BASIC: Final[Mapping[str, Body]] = {
    "t2v": {"model": "t2v", "prompt": "a cat", "aspectRatio": "16:9", "duration": 5},
    "i2v": {"model": "i2v", "image": "https://example.com/cat.png", "duration": 5},
    "lv": {"model": "lv", "image": "https://example.com/cat.png", "prompts": ["a cat", "it sleeps"]},
    "t2v_v3": {"model": "t2v_v3", "prompt": "a cat", "aspectRatio": "16:9", "duration": 10},
    "i2v_v3": {"model": "i2v_v3", "image": "https://example.com/cat.png", "duration": 10},
    "minimax": {"model": "minimax", "prompt": "a cat"},
    "seedance20": {
        "model": "seedance20",
        "prompt": "a cat",
        "duration": 5,
        "resolution": "720p",
        "aspectRatio": "16:9",
    },
    "wan27": {"model": "wan27", "prompt": "a cat", "duration": 5, "resolution": "720p", "aspectRatio": "16:9"},
    "happyhorse": {"model": "happyhorse", "prompt": "a cat", "duration": 5, "resolution": "720p"},
}
TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "t2v": ("prompt", "aspectRatio", "duration"),
    "i2v": ("image", "prompt", "duration"),
    "lv": ("image", "prompts"),
    "t2v_v3": ("prompt", "aspectRatio", "duration"),
    "i2v_v3": ("image", "prompt", "duration"),
    "minimax": (
        "prompt",
        "duration",
        "resolution",
        "tier",
        "aspectRatio",
        "image",
        "lastFrame",
        "referenceImages",
        "referenceVideo",
        "referenceAudio",
    ),
    "seedance20": (
        "prompt",
        "image",
        "referenceVideo",
        "referenceAudio",
        "duration",
        "resolution",
        "aspectRatio",
    ),
    "wan27": ("prompt", "image", "duration", "resolution", "aspectRatio", "promptExtend"),
    "happyhorse": ("prompt", "image", "images", "duration", "resolution", "aspectRatio"),
}
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "t2v": ("prompt", "aspectRatio", "duration"),
    "i2v": ("image", "duration"),
    "lv": ("image", "prompts"),
    "t2v_v3": ("prompt", "aspectRatio", "duration"),
    "i2v_v3": ("image", "duration"),
    "minimax": ("prompt",),
    "seedance20": ("duration", "resolution", "aspectRatio"),
    "wan27": ("prompt", "duration", "resolution", "aspectRatio"),
    "happyhorse": ("prompt", "duration", "resolution"),
}


def refusal(request: Mapping[str, Any]) -> str:
    """The message of a request's refusal."""
    with pytest.raises(InvalidPayload) as caught:
        read_request(request)
    return caught.value.message


def advertised(*, describe: bool) -> Draft202012Validator:
    """The flat schema as a tool advertises it."""
    return Draft202012Validator(
        {
            "type": "object",
            "properties": generation_properties(describe=describe),
            "required": ["model"],
            "additionalProperties": False,
        }
    )


# --- The whitelist ----------------------------------------------------------------------------------------------


def test_the_whitelist_is_the_nine_models() -> None:
    nine = {"t2v", "i2v", "lv", "t2v_v3", "i2v_v3", "minimax", "seedance20", "wan27", "happyhorse"}
    assert set(MODELS) == nine == set(ORACLE) == set(REQUESTS) == set(BASIC)


@pytest.mark.parametrize("model", ORACLE)
def test_a_contract_takes_the_fields_of_the_table_and_no_others(model: str) -> None:
    assert {slot.name for slot in MODELS[model].slots()} == set(TAKES[model])


@pytest.mark.parametrize("model", ORACLE)
def test_a_contract_requires_the_fields_marked_in_the_table(model: str) -> None:
    assert {slot.name for slot in MODELS[model].slots() if slot.required} == set(REQUIRED[model])


@pytest.mark.parametrize("model", ORACLE)
def test_a_contract_knows_its_name_and_summary(model: str) -> None:
    contract = MODELS[model]
    assert contract.name() == model
    assert 3 <= len(contract.summary()) <= 80
    assert not contract.summary().endswith(".")


# --- What is accepted, and how it goes over the wire --------------------------------------------------------------


@pytest.mark.parametrize("model", ORACLE)
def test_the_basic_request_of_each_model_is_taken(model: str) -> None:
    request = read_request(BASIC[model])
    assert isinstance(request, MODELS[model])
    assert faults(model, request.wire()) == []


@pytest.mark.parametrize("model", ORACLE)
def test_a_canonical_request_goes_over_the_wire_as_the_table_says(model: str) -> None:
    """The body satisfies the hand-written schema, and is the hand-made translation of the request to the letter."""

    @steady
    @given(REQUESTS[model])
    def check(arguments: Body) -> None:
        before = copy.deepcopy(arguments)
        wire = read_request(arguments).wire()
        assert faults(model, wire) == []
        expected = as_upstream(arguments)
        assert wire == (MINIMAX_DEFAULTS | expected if model == "minimax" else expected)
        assert json.loads(json.dumps(wire)) == wire
        assert arguments == before

    check()


@steady
@given(requests)
def test_wire_types_are_exact(arguments: Body) -> None:
    """Equality is too kind to see it: 5 == 5.0 == True; the JSON text is not."""
    wire = read_request(arguments).wire()
    expected = as_upstream(arguments)
    assert {name: json.dumps(wire[name]) for name in expected} == {n: json.dumps(v) for n, v in expected.items()}


@steady
@given(requests)
def test_what_a_contract_accepts_the_advertised_schema_accepts(arguments: Body) -> None:
    read_request(arguments)
    for describe in (True, False):
        assert list(advertised(describe=describe).iter_errors(arguments)) == []


@steady
@given(requests)
def test_what_was_left_out_is_not_sent_as_null(arguments: Body) -> None:
    assert None not in read_request(arguments).wire().values()


@steady
@given(requests)
def test_a_request_is_equal_to_itself_read_again(arguments: Body) -> None:
    request = read_request(arguments)
    again = read_request({"model": request.model, **request.fields()})
    assert again == request
    assert again.wire() == request.wire()


@steady
@given(requests)
def test_a_request_cannot_be_changed(arguments: Body) -> None:
    request = read_request(arguments)
    with pytest.raises(ValidationError, match="frozen"):
        request.model = "other"


def test_minimax_sends_its_defaults() -> None:
    assert read_request({"model": "minimax", "prompt": "a cat"}).wire() == {"content": "a cat", **MINIMAX_DEFAULTS}


def test_happyhorse_sends_no_ratio_unless_given() -> None:
    assert "ratio" not in read_request(BASIC["happyhorse"]).wire()


def test_a_prompt_is_sent_to_the_letter() -> None:
    prompt = '  "Tom\'s" café\n\t🎬 \\ {"a": 1}  '
    assert read_request(BASIC["t2v"] | {"prompt": prompt}).wire()["prompt"] == prompt


# --- What is outside the table ------------------------------------------------------------------------------------

VALUES: Final = {
    ("t2v", "duration"): "5, 8",
    ("t2v", "aspectRatio"): "16:9, 9:16, 1:1",
    ("i2v", "duration"): "5, 8",
    ("t2v_v3", "duration"): "5, 10, 15, 20",
    ("t2v_v3", "aspectRatio"): "16:9, 9:16, 1:1",
    ("i2v_v3", "duration"): "5, 10, 15, 20",
    ("minimax", "duration"): "5 to 20",
    ("minimax", "resolution"): "720p, 1080p",
    ("minimax", "tier"): "turbo, base",
    ("minimax", "aspectRatio"): "auto, 21:9, 16:9, 4:3, 1:1, 3:4, 9:16",
    ("seedance20", "duration"): "4 to 15",
    ("seedance20", "resolution"): "480p, 720p",
    ("seedance20", "aspectRatio"): "16:9, 9:16, 1:1",
    ("wan27", "duration"): "5, 10, 15",
    ("wan27", "resolution"): "720p, 1080p",
    ("wan27", "aspectRatio"): "16:9, 9:16, 1:1, 4:3, 3:4",
    ("happyhorse", "duration"): "3 to 15",
    ("happyhorse", "resolution"): "720p, 1080p",
    ("happyhorse", "aspectRatio"): "16:9, 9:16, 3:4, 4:3, 1:1",
}
_ALL_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "duration": (*range(-1, 23), 100, 2**63, "7s", "five", "5,5", 5.5, True, [5], {"s": 5}, float("nan")),
    "resolution": ("480p", "720p", "1080p", "360p", "4k", "2160p", "1280x720", "p", 0, 721, True, ["720p"]),
    "tier": ("turbo", "base", "premium", "", 1, True),
    "aspectRatio": ("auto", "21:9", "16:9", "9:16", "4:3", "3:4", "1:1", "2:3", "16/9", "9:16:1", "", 1.78, True),
}


def _inside(model: str, field: str, value: Any) -> bool:
    """Whether the hand-written values hold this one."""
    allowed = VALUES[model, field]
    if isinstance(value, bool):
        return False
    if field != "duration":
        return value in allowed.split(", ")
    if not isinstance(value, int):
        return False
    least, to, most = allowed.partition(" to ")
    return int(least) <= value <= int(most) if to else str(value) in allowed.split(", ")


@pytest.mark.parametrize(("model", "field"), VALUES)
def test_a_value_is_taken_if_and_only_if_it_stands_in_the_table(model: str, field: str) -> None:
    """A refusal names the model, the field and every value that is allowed; nothing is bent to fit."""
    for value in _ALL_VALUES[field]:
        arguments = BASIC[model] | {field: value}
        if _inside(model, field, value):
            assert faults(model, read_request(arguments).wire()) == []
            assert read_request(arguments).fields()[field] == value
        else:
            message = refusal(arguments)
            assert message.startswith(f"{model}: {field} ")
            assert VALUES[model, field] in message


def test_a_text_to_video_of_seven_seconds_is_refused_and_not_rounded() -> None:
    assert refusal(BASIC["t2v"] | {"duration": 7}) == "t2v: duration 7 is not allowed; use 5, 8"


def test_a_refusal_says_where_every_field_can_be_seen() -> None:
    with pytest.raises(InvalidPayload) as caught:
        read_request(BASIC["t2v"] | {"duration": 7})
    assert caught.value.code == "INVALID_PAYLOAD"
    assert any("list_models" in step and '"t2v"' in step for step in caught.value.next_steps)


@pytest.mark.parametrize(("model", "field"), [(m, f) for m, fields in REQUIRED.items() for f in fields])
def test_a_missing_field_is_named(model: str, field: str) -> None:
    message = refusal({name: value for name, value in BASIC[model].items() if name != field})
    assert f"{field} is missing" in message
    assert VALUES.get((model, field), "") in message


def test_all_faults_are_named_at_once() -> None:
    message = refusal({"model": "wan27"})
    assert [message.count(f"{field} is missing") for field in REQUIRED["wan27"]] == [1, 1, 1, 1]


def test_a_message_names_five_faults_and_counts_the_rest() -> None:
    message = refusal({"model": "t2v", **{f"x{number}": 1 for number in range(10)}})
    assert message.endswith("; and 8 more")


@pytest.mark.parametrize("model", ORACLE)
def test_a_field_of_another_model_is_refused_with_the_allowed_ones(model: str) -> None:
    foreign = {field for fields in TAKES.values() for field in fields} - set(TAKES[model])
    if model == "lv":
        foreign.remove("prompt")  # the upstream's own word for its prompts
    for field in foreign:
        message = refusal(BASIC[model] | {field: "https://example.com/x"})
        assert message == f'{model}: "{field}" is not a field of this model, which takes {", ".join(TAKES[model])}'


@pytest.mark.parametrize(
    ("frame", "reference"),
    [
        (frame, reference)
        for frame in ("image", "lastFrame")
        for reference in ("referenceImages", "referenceVideo", "referenceAudio")
    ],
)
def test_minimax_takes_no_frames_together_with_references(frame: str, reference: str) -> None:
    link = "https://example.com/x"
    given_reference = link if reference == "referenceVideo" else [link]
    message = refusal(BASIC["minimax"] | {frame: link, reference: given_reference})
    assert all(name in message for name in (frame, reference, "cannot be combined"))


def test_minimax_takes_both_frames_together() -> None:
    link = "https://example.com/x"
    wire = read_request(BASIC["minimax"] | {"image": link, "lastFrame": link}).wire()
    assert (wire["imageUrl"], wire["lastFrameUrl"]) == (link, link)


@pytest.mark.parametrize("given", [{}, {"referenceAudio": ["https://example.com/a.mp3"]}])
def test_seedance_needs_more_than_audio(given: Body) -> None:
    bare = {name: value for name, value in BASIC["seedance20"].items() if name != "prompt"}
    message = refusal(bare | given)
    assert message.startswith("seedance20: at least one of prompt, image, referenceVideo ")


@pytest.mark.parametrize("field", ["image", "prompt", "referenceVideo"])
def test_seedance_takes_audio_beside_one_other_input(field: str) -> None:
    bare = {name: value for name, value in BASIC["seedance20"].items() if name != "prompt"}
    audio = "https://example.com/a.mp3"
    wire = read_request(bare | {field: "https://example.com/x", "referenceAudio": [audio]}).wire()
    assert faults("seedance20", wire) == []
    assert wire["audio"] == audio


@pytest.mark.parametrize(
    ("model", "field", "count", "allowed"),
    [
        ("lv", "prompts", 7, "1 to 6"),
        ("minimax", "referenceImages", 5, "1 to 4"),
        ("minimax", "referenceAudio", 3, "1 to 2"),
        ("seedance20", "referenceAudio", 2, "one entry"),
    ],
)
def test_a_list_that_is_too_long_is_counted(model: str, field: str, count: int, allowed: str) -> None:
    message = refusal(BASIC[model] | {field: ["https://example.com/x"] * count})
    assert f"{field} has {count} entries; use {allowed}" in message
    shorter = read_request(BASIC[model] | {field: ["https://example.com/x"] * (count - 1)})
    assert len(shorter.fields()[field]) == count - 1


def test_the_bad_entry_of_a_list_is_pointed_at() -> None:
    assert "prompts[1] is empty" in refusal(BASIC["lv"] | {"prompts": ["a", " ", "b"]})
    assert "prompts[2] must be a string" in refusal(BASIC["lv"] | {"prompts": ["a", "b", 3]})


# --- Prices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "price"),
    [
        (BASIC["t2v"], 15),
        (BASIC["t2v"] | {"duration": 8}, 24),
        (BASIC["i2v"], 15),
        (BASIC["i2v"] | {"duration": 8}, 24),
        (BASIC["lv"] | {"prompts": ["a"]}, 75),
        (BASIC["lv"] | {"prompts": ["a"] * 6}, 450),
        (BASIC["t2v_v3"] | {"duration": 5}, 20),
        (BASIC["t2v_v3"] | {"duration": 20}, 80),
        (BASIC["i2v_v3"] | {"duration": 15}, 60),
        (BASIC["minimax"], 15),
        (BASIC["minimax"] | {"duration": 20}, 60),
        (BASIC["minimax"] | {"resolution": "1080p"}, 20),
        (BASIC["minimax"] | {"tier": "base"}, 20),
        (BASIC["minimax"] | {"duration": 7, "resolution": "1080p", "tier": "base"}, 35),
        (BASIC["wan27"], 50),
        (BASIC["wan27"] | {"duration": 15, "resolution": "1080p"}, 225),
        (BASIC["happyhorse"] | {"duration": 3}, 75),
        (BASIC["happyhorse"] | {"duration": 15, "resolution": "1080p"}, 750),
        (BASIC["seedance20"], None),
    ],
)
def test_an_estimate_follows_the_price_table(arguments: Body, price: int | None) -> None:
    assert read_request(arguments).estimate() == price


@steady
@given(requests)
def test_an_estimate_is_a_whole_positive_number_or_unknown(arguments: Body) -> None:
    price = read_request(arguments).estimate()
    assert (price is None) == (arguments["model"] == "seedance20")
    assert price is None or (type(price) is int and price > 0)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("t2v", ["3 credits/s"]),
        ("lv", ["75 credits per prompt", "5 s"]),
        ("minimax", ["3 credits/s at 720p", "4 credits/s at 1080p", "+1 credit/s for tier base"]),
        ("seedance20", ["quote"]),
        ("wan27", ["10 credits/s at 720p", "15 credits/s at 1080p"]),
        ("happyhorse", ["25 credits/s at 720p", "50 credits/s at 1080p"]),
    ],
)
def test_a_price_is_told_in_words(model: str, words: list[str]) -> None:
    assert all(word in MODELS[model].price.text for word in words)


@pytest.mark.parametrize("model", ORACLE)
def test_the_usual_time_is_within_what_was_measured(model: str) -> None:
    usual = MODELS[model].usual
    if model == "lv":
        assert usual is None
    else:
        assert usual is not None
        assert 2 <= usual[0] < usual[1] <= 14
        assert (usual[0] <= 13 <= usual[1]) == (model == "i2v_v3")


def test_every_contract_is_a_contract() -> None:
    assert all(issubclass(contract, Contract) for contract in MODELS.values())
