"""What callers may write beside the one vocabulary, and what they are told when it cannot be read."""

import base64
import copy
import json
import math
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import GIF, JPEG, KINDS, PNG, WEBP, data_uri, png_of_size
from test_contracts import BASIC, MINIMAX_DEFAULTS, Body, as_upstream, faults, refusal, requests, steady

from aivideo_mcp.contracts import MAX_IMAGE_BYTES, MODELS, Contract, model_named, read_request, shown
from aivideo_mcp.errors import InvalidInput, InvalidModel, InvalidPayload

CAT: Final = "https://example.com/cat.png"
DOG: Final = "https://example.com/dog.png"
SOUND: Final = "https://example.com/sound.mp3"
CLIP: Final = "https://example.com/clip.mp4"


def wire(**arguments: Any) -> Body:
    """The body that the arguments amount to."""
    return read_request(arguments).wire()


def repeats(message: str, value: str, length: int = 50) -> bool:
    """Whether a message holds a run of the value that is long enough to leak or drown something."""
    return any(message[start : start + length] in value for start in range(len(message) - length + 1))


# --- The upstream's spellings ---------------------------------------------------------------------------------------


@steady
@given(requests)
def test_the_upstream_s_own_spelling_gives_the_same_body(arguments: Body) -> None:
    """Whoever copies a body from the upstream's documents, or from a task's input, need not translate it."""
    body = as_upstream(arguments)
    assert wire(model=arguments["model"], **body) == read_request(arguments).wire()


@steady
@given(requests, st.booleans(), st.booleans())
def test_the_skill_s_shape_gives_the_same_body(arguments: Body, upstream: bool, as_text: bool) -> None:
    model = arguments["model"]
    fields = as_upstream(arguments) if upstream else {n: v for n, v in arguments.items() if n != "model"}
    payload = json.dumps(fields) if as_text else fields
    expected = read_request(arguments).wire()
    assert wire(model=model, payload=payload) == expected
    assert wire(payload=json.dumps({"model": model, **fields}) if as_text else {"model": model, **fields}) == expected


@steady
@given(requests)
def test_numbers_and_lists_may_be_strings(arguments: Body) -> None:
    """Some models write every argument as a string; lists arrive as their JSON text."""
    stringly = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in arguments.items()
    }
    assert read_request(stringly).wire() == read_request(arguments).wire()


@steady
@given(requests)
def test_nulls_are_as_good_as_nothing(arguments: Body) -> None:
    names = {field for contract in MODELS.values() for field in (slot.name for slot in contract.slots())}
    padded = dict.fromkeys(sorted(names | {"payload", "filterMode"})) | arguments
    assert read_request(padded).wire() == read_request(arguments).wire()


@pytest.mark.parametrize("duration", [5, 5.0, "5", " 5 ", "05"])
@pytest.mark.parametrize("model", ["t2v", "i2v", "t2v_v3", "i2v_v3", "minimax", "seedance20", "wan27", "happyhorse"])
def test_a_duration_may_be_a_number_or_its_digits(model: str, duration: object) -> None:
    digits = model not in ("minimax", "seedance20", "happyhorse")
    body = read_request(BASIC[model] | {"duration": duration}).wire()
    assert json.dumps(body["duration"]) == ('"5"' if digits else "5")


@pytest.mark.parametrize("resolution", [720, 720.0, "720", "720p", "720P", " 720p "])
@pytest.mark.parametrize(
    ("model", "written"), [("minimax", "720p"), ("seedance20", 720), ("wan27", "720P"), ("happyhorse", "720P")]
)
def test_a_resolution_may_be_a_number_or_carry_its_p(model: str, written: object, resolution: object) -> None:
    body = read_request(BASIC[model] | {"resolution": resolution}).wire()
    assert json.dumps(body["resolution"]) == json.dumps(written)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        pytest.param(
            {"model": "minimax", "content": "a cat"},
            {"content": "a cat", **MINIMAX_DEFAULTS},
            id="content",
        ),
        pytest.param(
            {"model": "t2v", "content": "a cat", "ratio": "1:1", "duration": 5},
            {"prompt": "a cat", "aspectRatio": "1:1", "duration": "5"},
            id="another model's word",
        ),
        pytest.param(
            {"model": "wan27", "prompt": "a cat", "ratio": "4:3", "duration": "10", "resolution": "1080P"},
            {"prompt": "a cat", "ratio": "4:3", "duration": "10", "resolution": "1080P"},
            id="ratio",
        ),
        pytest.param(
            {"model": "i2v", "imageUrl": CAT, "duration": "8"},
            {"image": CAT, "duration": "8"},
            id="imageUrl where the upstream says image",
        ),
        pytest.param(
            {"model": "minimax", "prompt": "x", "imageUrl": CAT, "lastFrameUrl": DOG, "tier": "Base"},
            {"content": "x", **MINIMAX_DEFAULTS, "tier": "base", "imageUrl": CAT, "lastFrameUrl": DOG},
            id="frames and a capital letter",
        ),
        pytest.param(
            {"model": "minimax", "prompt": "x", "referenceImageUrls": CAT, "referenceAudioUrls": SOUND},
            {"content": "x", **MINIMAX_DEFAULTS, "referenceImageUrls": [CAT], "referenceAudioUrls": [SOUND]},
            id="one string where a list of one is meant",
        ),
        pytest.param(
            {"model": "minimax", "prompt": "x", "referenceImages": json.dumps([CAT, DOG])},
            {"content": "x", **MINIMAX_DEFAULTS, "referenceImageUrls": [CAT, DOG]},
            id="a list as JSON text",
        ),
        pytest.param(
            {
                "model": "seedance20",
                "video": CLIP,
                "audio": SOUND,
                "ratio": "9:16",
                "duration": "4",
                "resolution": 480,
            },
            {"video": CLIP, "audio": SOUND, "ratio": "9:16", "duration": 4, "resolution": 480},
            id="seedance in the upstream's words",
        ),
        pytest.param(
            {"model": "lv", "image": CAT, "prompt": ["a", "b"]}, {"image": CAT, "prompt": ["a", "b"]}, id="prompt list"
        ),
        pytest.param({"model": "lv", "image": CAT, "prompt": "a"}, {"image": CAT, "prompt": ["a"]}, id="one prompt"),
        pytest.param({"model": "lv", "image": CAT, "prompts": "a"}, {"image": CAT, "prompt": ["a"]}, id="one string"),
        pytest.param(
            {"model": "lv", "image": CAT, "prompt": '["a", "b"]'},
            {"image": CAT, "prompt": ["a", "b"]},
            id="prompts as JSON text",
        ),
        pytest.param(
            {"model": "lv", "image": CAT, "prompt": "[a cat] sleeps"},
            {"image": CAT, "prompt": ["[a cat] sleeps"]},
            id="a bracket that is no JSON",
        ),
        pytest.param(
            {**BASIC["happyhorse"], "image": [CAT, DOG]},
            {"prompt": "a cat", "duration": 5, "resolution": "720P", "image": [CAT, DOG]},
            id="an image list for happyhorse",
        ),
        pytest.param(
            {**BASIC["happyhorse"], "image": CAT},
            {"prompt": "a cat", "duration": 5, "resolution": "720P", "image": CAT},
            id="one image for happyhorse",
        ),
        pytest.param(
            {**BASIC["happyhorse"], "images": CAT},
            {"prompt": "a cat", "duration": 5, "resolution": "720P", "image": [CAT]},
            id="one string for images",
        ),
        pytest.param(
            {**BASIC["happyhorse"], "image": []},
            {"prompt": "a cat", "duration": 5, "resolution": "720P"},
            id="an empty image list gives none",
        ),
        pytest.param(
            {**BASIC["minimax"], "referenceImages": [], "referenceAudioUrls": [], "image": CAT},
            {"content": "a cat", **MINIMAX_DEFAULTS, "imageUrl": CAT},
            id="empty reference lists do not exclude a frame",
        ),
    ],
)
def test_a_generous_form_is_taken(arguments: Body, body: Body) -> None:
    before = copy.deepcopy(arguments)
    assert read_request(arguments).wire() == body
    assert faults(arguments["model"], body) == []
    assert arguments == before


def test_the_json_text_of_an_image_list_is_taken_for_happyhorse() -> None:
    assert read_request(BASIC["happyhorse"] | {"image": json.dumps([CAT, DOG])}).wire()["image"] == [CAT, DOG]


@pytest.mark.parametrize(("word", "meant"), [("true", True), ("false", False), ("True", True), (" FALSE ", False)])
def test_a_boolean_may_be_its_word(word: str, meant: bool) -> None:
    assert read_request(BASIC["wan27"] | {"promptExtend": word}).wire()["promptExtend"] is meant


@pytest.mark.parametrize("value", [0, 1, "yes", "", "1", [True], {}])
def test_what_is_no_boolean_is_refused(value: object) -> None:
    message = refusal(BASIC["wan27"] | {"promptExtend": value})
    assert message == "wan27: promptExtend must be true or false; use true, false"


# --- The skill's payload --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    ["", "a cat", "{", "{'prompt': 'a cat'}", "[1]", "5", "null", '"text"', 5, True, ["x"], [], 1.5, "[" * 100_000],
    ids=lambda payload: repr(payload)[:20],
)
def test_a_payload_that_is_no_object_is_refused(payload: object) -> None:
    message = refusal({"model": "t2v", "payload": payload})
    assert message.startswith("payload must be a JSON object, such as {")
    assert len(message) < 100


def test_a_payload_may_repeat_the_model() -> None:
    assert wire(model="t2v", payload=BASIC["t2v"]) == read_request(BASIC["t2v"]).wire()


def test_a_payload_for_another_model_is_refused() -> None:
    assert refusal({"model": "i2v", "payload": BASIC["t2v"]}) == (
        '"model" is given beside payload and in it; give it once'
    )


def test_fields_may_stand_partly_in_the_payload() -> None:
    assert wire(model="t2v", payload={"prompt": "a", "duration": "5"}, aspectRatio="1:1")["aspectRatio"] == "1:1"


def test_nulls_in_a_payload_are_as_good_as_nothing() -> None:
    assert wire(model="i2v", payload={"image": CAT, "duration": 5, "prompt": None}) == {"image": CAT, "duration": "5"}


# --- Twice ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (BASIC["minimax"] | {"content": "a cat"}, "prompt"),
        (BASIC["wan27"] | {"ratio": "16:9"}, "aspectRatio"),
        (BASIC["i2v"] | {"imageUrl": CAT}, "image"),
        (BASIC["lv"] | {"prompt": ["a"]}, "prompts"),
        (BASIC["seedance20"] | {"referenceAudio": [SOUND], "audio": SOUND}, "referenceAudio"),
        (BASIC["happyhorse"] | {"images": [CAT], "image": [DOG]}, "images"),
        ({"model": "minimax", "prompt": "a", "payload": {"content": "b"}}, "prompt"),
    ],
)
def test_a_field_under_two_names_is_refused(arguments: Body, field: str) -> None:
    assert refusal(arguments) == f"{field} is given twice, under two of its names; give it once"


def test_a_field_beside_the_payload_and_in_it_is_refused() -> None:
    message = refusal({**BASIC["t2v"], "payload": {"prompt": "a dog"}})
    assert message == '"prompt" is given beside payload and in it; give it once'


def test_one_image_and_several_are_refused_together() -> None:
    assert "image cannot be combined with images" in refusal(BASIC["happyhorse"] | {"image": CAT, "images": [DOG]})


def test_a_second_name_that_is_null_or_empty_does_not_count() -> None:
    assert wire(**BASIC["minimax"], content=None, referenceImages=[CAT], referenceImageUrls=[]) == {
        "content": "a cat",
        **MINIMAX_DEFAULTS,
        "referenceImageUrls": [CAT],
    }


def test_a_message_of_doubled_names_is_bounded() -> None:
    many = {f"x{number}": 1 for number in range(5000)}
    assert len(refusal({"model": "t2v", **many, "payload": many})) < 200


# --- Values that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duration",
    [
        *(True, False, math.nan, math.inf, -math.inf, 5.5, 0, -5, 10**30, -(10**30), 1e300, [5], {"seconds": 5}),
        *("", "five", "5s", "5.5", "-5", "+5", "0x5", "1e1", "NaN", "9" * 5000),
        *("\N{ARABIC-INDIC DIGIT FIVE}", "\N{FULLWIDTH DIGIT FIVE}"),
    ],
    ids=lambda value: repr(value)[:12],
)
@pytest.mark.parametrize("model", ["t2v", "minimax", "happyhorse"])
def test_what_is_no_duration_is_refused(model: str, duration: object) -> None:
    message = refusal(BASIC[model] | {"duration": duration})
    assert message.startswith(f"{model}: duration ")
    assert len(message) < 120


@pytest.mark.parametrize("prompt", ["", " ", "\n\t\u3000 "])
@pytest.mark.parametrize("model", ["t2v", "i2v", "t2v_v3", "i2v_v3", "minimax", "seedance20", "wan27", "happyhorse"])
def test_a_prompt_without_words_is_refused(model: str, prompt: str) -> None:
    assert refusal(BASIC[model] | {"prompt": prompt}) == f"{model}: prompt is empty; describe the video in words"


@pytest.mark.parametrize("prompt", [5, True, 1.5, {"text": "a"}, ["a"], [["a"]]])
def test_a_prompt_that_is_no_text_is_refused(prompt: object) -> None:
    assert refusal(BASIC["t2v"] | {"prompt": prompt}) == "t2v: prompt must be a string"


@pytest.mark.parametrize("prompts", [None, [], [[]], [None], [5], {}, 5, ["a", ["b"]], "[1, 2]", "", [""]])
def test_prompts_that_are_no_list_of_texts_are_refused(prompts: object) -> None:
    assert refusal(BASIC["lv"] | {"prompts": prompts}).startswith("lv: prompts")


def test_seven_prompts_are_refused() -> None:
    assert (
        refusal({"model": "lv", "image": CAT, "prompt": ["a"] * 7}) == "lv: prompts has 7 entries; use 1 to 6 entries"
    )


@pytest.mark.parametrize("name", ["aspect_ratio", "Prompt", "seconds", "", "model ", "x" * 5000])
def test_an_unknown_field_is_refused_with_the_allowed_ones(name: str) -> None:
    message = refusal(BASIC["t2v"] | {name: "x"})
    assert message.endswith("is not a field of this model, which takes prompt, aspectRatio, duration")
    assert name in message or not repeats(message, name)
    assert len(message) < 150


def test_a_prompt_that_has_no_utf_8_is_refused() -> None:
    """Half a surrogate pair, which a payload's JSON may hold, could not be sent."""
    text = '{"prompt": "a \\ud83d", "aspectRatio": "16:9", "duration": 5}'
    assert "prompt" in refusal({"model": "t2v", "payload": text})


def test_a_field_s_name_with_half_a_character_is_refused_with_the_allowed_ones() -> None:
    assert "which takes prompt, aspectRatio, duration" in refusal(BASIC["t2v"] | {"\ud83d": "x"})


@pytest.mark.parametrize("field", ["duration", "prompt", "zork"])
def test_an_integer_too_long_for_text_is_refused_as_any_other(field: str) -> None:
    assert field in refusal(BASIC["t2v"] | {field: 10**5000})


@pytest.mark.parametrize("field", ["aspectRatio", "model"])
def test_an_integer_too_long_for_text_is_refused(field: str) -> None:
    with pytest.raises(InvalidInput):
        read_request(BASIC["t2v"] | {field: 10**5000})


@pytest.mark.parametrize("field", ["duration", "model", "aspectRatio"])
def test_a_value_nested_too_deeply_is_refused(field: str) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidInput):
        read_request(BASIC["t2v"] | {field: nested})


# --- The model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        "T2V",
        "t2v ",
        "t2v/../minimax",
        "sora",
        "",
        5,
        1.5,
        True,
        False,
        [],
        ["t2v"],
        {"t2v": 1},
        "x" * 5000,
        "\n",
        "\N{FULLWIDTH LATIN SMALL LETTER T}2v",
    ],
    ids=lambda model: repr(model)[:20],
)
def test_an_unknown_model_is_refused_with_the_nine(model: object) -> None:
    with pytest.raises(InvalidModel) as caught:
        read_request(BASIC["t2v"] | {"model": model})
    assert caught.value.code == "INVALID_MODEL"
    assert caught.value.message.endswith(
        " is unknown; use t2v, i2v, lv, t2v_v3, i2v_v3, minimax, seedance20, wan27, happyhorse"
    )
    assert not repeats(caught.value.message, str(model))


@pytest.mark.parametrize("arguments", [{}, {"model": None}, {"prompt": "a cat"}, {"payload": "{}"}, {"payload": None}])
def test_a_missing_model_is_refused_with_the_nine(arguments: Body) -> None:
    with pytest.raises(InvalidModel, match=r"^model is missing; use t2v, .*, happyhorse$"):
        read_request(arguments)


def test_the_model_is_checked_before_the_fields() -> None:
    """As the upstream does."""
    with pytest.raises(InvalidModel):
        read_request({"model": "sora", "duration": "never", "prompt": ""})


def test_a_model_is_found_by_its_name() -> None:
    assert {model_named(name) for name in MODELS} == set(MODELS.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [("7s", '"7s"'), (7, "7"), (None, "null"), ([1], "[1]"), ("x" * 39, "(41 characters)"), ("é", '"\\u00e9"')],
)
def test_a_value_is_repeated_only_when_short(value: object, text: str) -> None:
    assert shown(value) == text


# --- Fuzz -----------------------------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from([CAT, "5", "720"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_words = sorted(
    {word for contract in MODELS.values() for slot in contract.slots() for word in (slot.name, slot.wire_name)}
    | {"payload", "filterMode", "zork"}
)
_anything = st.dictionaries(st.sampled_from(_words) | st.text(max_size=10), _json, max_size=8)


@steady
@given(_anything, st.sampled_from(sorted(MODELS)) | _json)
@example({"payload": {"payload": {}}}, "t2v")
@example({"": 1, "payload": '{"": 2}'}, "t2v")
def test_any_json_is_a_request_or_a_clear_refusal(arguments: Body, model: object) -> None:
    arguments = arguments | {"model": model}
    before = copy.deepcopy(arguments)
    try:
        request = read_request(arguments)
    except InvalidInput as refused:
        assert refused.message  # noqa: PT017 - either outcome is right
        assert refused.next_steps  # noqa: PT017
        assert len(refused.message) < 2000  # noqa: PT017
    else:
        assert isinstance(request, Contract)
        assert faults(request.model, request.wire()) == []
    assert repr(arguments) == repr(before)


@steady
@given(requests, st.sampled_from(_words), _json)
def test_one_absurd_field_in_a_good_request_is_taken_or_refused(arguments: Body, field: str, value: object) -> None:
    try:
        request = read_request(arguments | {field: value})
    except InvalidInput as refused:
        assert refused.message  # noqa: PT017 - either outcome is right
    else:
        assert faults(request.model, request.wire()) == []


# --- Pictures and links ---------------------------------------------------------------------------------------------

PICTURE_FIELDS: Final = [
    ("i2v", "image"),
    ("lv", "image"),
    ("i2v_v3", "image"),
    ("minimax", "image"),
    ("minimax", "lastFrame"),
    ("minimax", "referenceImages"),
    ("seedance20", "image"),
    ("wan27", "image"),
    ("happyhorse", "image"),
    ("happyhorse", "images"),
]
LISTS: Final = ("referenceImages", "referenceAudio", "images")


def put(model: str, field: str, value: str) -> Body:
    """The model's basic request with a value in one of its media fields."""
    return BASIC[model] | {field: [value] if field in LISTS else value}


@pytest.mark.parametrize(("model", "field"), PICTURE_FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_real_picture_is_taken_in_every_picture_field(model: str, field: str, kind: str) -> None:
    uri = data_uri(kind, KINDS[kind])
    body = read_request(put(model, field, uri)).wire()
    assert uri in body.values() or [uri] in body.values()


@pytest.mark.parametrize(("model", "field"), PICTURE_FIELDS)
def test_a_bad_picture_is_refused_in_every_picture_field(model: str, field: str) -> None:
    where = f"{field}[0]" if field in LISTS else field
    assert refusal(put(model, field, "cat.png")).startswith(f"{model}: {where} is neither a public http(s) URL nor ")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/cat.png",
        "http://example.com",
        "HTTPS://EXAMPLE.COM/A",
        "https://example.com:8443/a?b=c&d=%20#e",
        "https://192.0.2.1/a.png",
        "https://[2001:db8::1]/a.png",
        "https://bücher.example/ä.png",
        "https://example.com/" + "a" * 8000,
    ],
)
def test_a_public_url_is_taken_unchanged(url: str) -> None:
    assert wire(model="i2v", image=url, duration=5)["image"] == url


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "C:\\x.png",
        "C:/x.png",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "~/x",
        "../x",
        "./x.png",
        "x.png",
        "\\\\server\\share\\x.png",
        "ftp://example.com/x.png",
        "//example.com/x.png",
        "s3://bucket/x.png",
        "blob:https://example.com/x",
        "javascript:alert(1)",
        " https://example.com/x.png",
        "example.com/x.png",
        "",
        " ",
        "/very/long/" + "p" * 300,
        base64.b64encode(PNG).decode(),
    ],
    ids=lambda path: path[:20],
)
def test_what_is_neither_url_nor_data_uri_is_refused_as_picture(path: str) -> None:
    message = refusal(BASIC["i2v"] | {"image": path})
    assert message.startswith("i2v: image is neither a public http(s) URL nor a data:image/...;base64 URI; ")
    assert "AIVIDEO_IMAGE_DIRS, which is not set, so pass the picture as a URL or a data URI" in message
    assert not repeats(message, path, 15)


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///x.png",
        "http://:80/x.png",
        "https:/example.com/x.png",
        "https://example.com/a b.png",
        "https://exa mple.com/",
        "https://example.com/a\nb",
        "https://example.com/\x00",
        "https://example.com\\x",
        "https://example.com/\u2003x",
        "https://example.com/\ud83d",
        "https://[::1",
        "https://[zz]/x",
        "https://example.com/" + "a" * 9000,
    ],
    ids=lambda url: repr(url)[:25],
)
@pytest.mark.parametrize(
    ("model", "field"),
    [("i2v", "image"), ("minimax", "referenceVideo"), ("minimax", "referenceAudio"), ("seedance20", "referenceVideo")],
)
def test_a_broken_url_is_refused(model: str, field: str, url: str) -> None:
    message = refusal(put(model, field, url))
    assert message.startswith(f"{model}: {field}")
    assert "URL" in message
    assert not repeats(message, url)


@pytest.mark.parametrize("url", ["https://example.com:99999/x.png", "https://example.com:port/x.png"])
def test_a_url_with_an_impossible_port_is_refused(url: str) -> None:
    assert "URL" in refusal(BASIC["i2v"] | {"image": url})


@pytest.mark.parametrize(
    ("model", "field"), [("minimax", "referenceVideo"), ("minimax", "referenceAudio"), ("seedance20", "referenceAudio")]
)
@pytest.mark.parametrize(
    "value", [data_uri("png", PNG), "data:video/mp4;base64,AAAA", "ftp://example.com/x", "//example.com/x", "/x", ""]
)
def test_video_and_audio_are_urls_only(model: str, field: str, value: str) -> None:
    message = refusal(put(model, field, value))
    assert field in message
    assert "must be a public http(s) URL" in message
    assert not repeats(message, value)


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        pytest.param("data:image/png," + "A" * 200, "is not a base64 data URI", id="not base64"),
        pytest.param("data:image/png;charset=utf-8," + "A" * 200, "is not a base64 data URI", id="other parameter"),
        pytest.param("data:", "is not a base64 data URI", id="nothing"),
        pytest.param("data:image/png;base64", "is not a base64 data URI", id="no comma"),
        pytest.param("data:image/png;" + "x=y;" * 100 + "base64,AAAA", "is not a base64 data URI", id="long header"),
        pytest.param("data:image/png;base64,", "does not hold an image", id="empty"),
        pytest.param("data:image/png;base64,%%%%" + "A" * 200, "is not valid base64", id="not the alphabet"),
        pytest.param("data:image/png;base64,AAAAA", "is not valid base64", id="cut off"),
        pytest.param(data_uri("png", PNG)[:-1], "is not valid base64", id="padding lost"),
        pytest.param(data_uri("png", PNG) + "\n", "is not valid base64", id="trailing newline"),
        pytest.param(data_uri("png", PNG).replace("base64,", "base64, "), "is not valid base64", id="space"),
        pytest.param(data_uri("png", b"just some words, " * 20), "does not hold an image", id="text"),
        pytest.param(data_uri("png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "does not hold an image", id="svg"),
        pytest.param(data_uri("png", b"\x89PNG"), "does not hold an image", id="half a signature"),
        pytest.param(data_uri("jpeg", b"%PDF-1.7 " + b"x" * 200), "does not hold an image", id="pdf"),
        pytest.param(data_uri("svg+xml", b"<svg/>"), "is a data URI of a type that is not allowed", id="svg type"),
        pytest.param("data:text/html;base64,PGI+", "is a data URI of a type that is not allowed", id="html type"),
        pytest.param("data:;base64,AAAA", "is a data URI of a type that is not allowed", id="no type"),
        pytest.param(data_uri("jpg", JPEG), "image/jpg, which the upstream refuses; write image/jpeg", id="jpg"),
        pytest.param(data_uri("png", JPEG), "is labelled image/png, but its content is image/jpeg", id="jpeg as png"),
        pytest.param(data_uri("jpeg", PNG), "is labelled image/jpeg, but its content is image/png", id="png as jpeg"),
        pytest.param(data_uri("gif", WEBP), "is labelled image/gif, but its content is image/webp", id="webp as gif"),
        pytest.param(data_uri("webp", GIF), "is labelled image/webp, but its content is image/gif", id="gif as webp"),
    ],
)
def test_a_bad_data_uri_is_refused_with_its_fault(uri: str, fault: str) -> None:
    message = refusal(BASIC["i2v"] | {"image": uri})
    assert message.startswith("i2v: image ")
    assert fault in message
    assert not repeats(message, uri)


@pytest.mark.parametrize("parameters", ["x=\ud83d;base64", "x=\n\x00;base64", "base64;x=y", "base64;base64"])
def test_a_data_uri_with_odd_parameters_is_refused(parameters: str) -> None:
    uri = data_uri("png", PNG).replace("base64,", f"{parameters},")
    assert refusal(BASIC["i2v"] | {"image": uri}).startswith("i2v: image is not a base64 data URI")


def test_a_picture_of_ten_mebibytes_is_taken_and_one_byte_more_is_not() -> None:
    assert MAX_IMAGE_BYTES == 10 * 1024 * 1024
    uri = data_uri("png", png_of_size(MAX_IMAGE_BYTES))
    assert wire(model="i2v", image=uri, duration=5)["image"] == uri
    for more in (1, 2, 3, 1000):
        too_large = data_uri("png", png_of_size(MAX_IMAGE_BYTES + more))
        message = refusal({"model": "i2v", "image": too_large, "duration": 5})
        assert message.startswith("i2v: image is 10,48")
        assert "at most 10,485,760 bytes (10 MB) are allowed" in message
        assert not repeats(message, too_large)


@pytest.mark.parametrize(
    "start", [b"", PNG[:8], b"RIFF", b"GIF8", JPEG[:3], b"PK\3\4", b"\0\0\0\x18ftyp", b"<svg", b"%PDF"]
)
def test_arbitrary_bytes_in_a_data_uri_are_taken_or_refused(start: bytes) -> None:
    """Whatever the bytes, the type sniffer does not break the reading."""

    @steady
    @given(st.binary(max_size=60), st.sampled_from(sorted(KINDS)))
    def check(rest: bytes, kind: str) -> None:
        try:
            read_request(BASIC["i2v"] | {"image": data_uri(kind, start + rest)})
        except InvalidPayload as refused:
            assert refused.message.startswith("i2v: image ")  # noqa: PT017 - either outcome is right

    check()


@steady
@given(
    st.text(max_size=60), st.sampled_from(["", "http://", "https://", "data:", "data:image/png;base64,", "https://a/"])
)
def test_arbitrary_text_as_a_picture_is_taken_or_refused(text: str, start: str) -> None:
    try:
        read_request(BASIC["i2v"] | {"image": start + text})
    except InvalidPayload as refused:
        assert refused.message.startswith("i2v: image")  # noqa: PT017 - either outcome is right


def test_the_older_skills_filter_mode_is_taken_and_not_sent() -> None:
    payload = {"prompt": "a cat", "aspectRatio": "16:9", "duration": "5", "filterMode": "strict"}
    assert "filterMode" not in read_request({"model": "t2v", "payload": payload}).wire()
