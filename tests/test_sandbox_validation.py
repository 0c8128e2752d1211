"""What the twin takes and refuses as a request body, for each of the nine models."""

from typing import Any

import pytest
from test_sandbox_twin import BODIES, PICTURE, Twin

from aivideo_mcp.contracts import MODELS

pytestmark = pytest.mark.anyio


async def refusal(model: str, body: Any) -> str:
    """The message of a body's refusal, which quote and generate must agree on."""
    twin = Twin()
    quoted, generated = await twin.quote(model, body), await twin.generate(model, body)
    assert quoted.status_code == generated.status_code == 400, quoted.text
    assert quoted.json() == generated.json()
    assert quoted.json()["errorCode"] == "INVALID_PAYLOAD"
    return str(quoted.json()["message"])


def test_every_model_has_a_body_here() -> None:
    assert BODIES.keys() == MODELS.keys()


@pytest.mark.parametrize("model", MODELS)
async def test_a_right_body_is_taken(model: str) -> None:
    assert (await Twin().quote(model)).status_code == 200


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("t2v", "duration", 5),
        ("i2v", "duration", 8),
        ("lv", "prompt", "one string"),
        ("t2v_v3", "duration", 20),
        ("i2v_v3", "duration", 15),
        ("minimax", "duration", "6"),
        ("minimax", "referenceImageUrls", PICTURE),
        ("minimax", "referenceImageUrls", [1]),
        ("seedance20", "duration", "5"),
        ("seedance20", "resolution", "720"),
        ("seedance20", "resolution", "720p"),
        ("wan27", "duration", 10),
        ("wan27", "resolution", "1080p"),
        ("wan27", "promptExtend", "true"),
        ("happyhorse", "duration", "3"),
        ("happyhorse", "duration", True),
        ("happyhorse", "image", 7),
        ("t2v", "aspectRatio", "4:3"),
        ("t2v", "prompt", None),
        ("minimax", "duration", 21),
        ("minimax", "duration", 5.5),
        ("minimax", "referenceAudioUrls", ["https://a.example/1"] * 3),
        ("lv", "prompt", []),
        ("lv", "prompt", ["x"] * 7),
    ],
)
async def test_a_value_of_the_wrong_type_or_range_is_refused_by_field(model: str, field: str, value: Any) -> None:
    message = await refusal(model, BODIES[model] | {field: value})
    assert message.startswith((f"{field} must be ", f"{field}[0] must be "))


@pytest.mark.parametrize("model", MODELS)
async def test_a_required_field_that_is_missing_is_named(model: str) -> None:
    for field in [slot.wire_name for slot in MODELS[model].slots() if slot.required]:
        body = {name: value for name, value in BODIES[model].items() if name != field}
        assert f"{field} is required" in await refusal(model, body)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("t2v", {"prompt": " \n"}),
        ("i2v", {"image": ""}),
        ("lv", {"prompt": ["fine", " "]}),
        ("minimax", {"content": "\t"}),
        ("wan27", {"prompt": ""}),
    ],
)
async def test_a_blank_required_text_is_refused(model: str, body: dict[str, Any]) -> None:
    message = await refusal(model, BODIES[model] | body)
    assert "blank" in message or "not empty" in message


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("i2v", {"prompt": ""}),
        ("wan27", {"image": None}),
        ("happyhorse", {"image": PICTURE}),
        ("happyhorse", {"image": None}),
        ("happyhorse", {"image": []}),
        ("minimax", {"imageUrl": PICTURE, "lastFrameUrl": PICTURE, "referenceImageUrls": []}),
        ("minimax", {"referenceImageUrls": [PICTURE], "referenceVideoUrl": PICTURE, "imageUrl": None}),
        ("minimax", {"duration": 6.0}),
        ("seedance20", {"prompt": None, "image": PICTURE, "audio": PICTURE}),
        ("t2v", {"filterMode": "strict", "whatever": [1]}),
        ("i2v", {"image": "data:image/jpeg;base64,/9j/"}),
    ],
)
async def test_what_upstream_leaves_open_is_taken(model: str, body: dict[str, Any]) -> None:
    answer = await Twin().quote(model, BODIES[model] | body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [({"imageUrl": PICTURE}, "imageUrl"), ({"lastFrameUrl": PICTURE}, "lastFrameUrl")],
)
@pytest.mark.parametrize("reference", ["referenceImageUrls", "referenceVideoUrl", "referenceAudioUrls"])
async def test_minimax_takes_frames_or_references(body: dict[str, Any], field: str, reference: str) -> None:
    value = PICTURE if reference == "referenceVideoUrl" else [PICTURE]
    assert field in body
    assert "cannot be combined" in await refusal("minimax", BODIES["minimax"] | body | {reference: value})


@pytest.mark.parametrize("extra", [{}, {"audio": PICTURE}, {"prompt": "  "}])
async def test_seedance_needs_more_than_audio(extra: dict[str, Any]) -> None:
    body = {"duration": 5, "resolution": 720, "ratio": "16:9"} | extra
    assert "at least one of" in await refusal("seedance20", body)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("i2v", {"image": "/home/me/cat.png"}),
        ("i2v", {"image": "ftp://example.com/cat.png"}),
        ("i2v", {"image": "data:image/jpg;base64,/9j/"}),
        ("i2v", {"image": "data:text/plain;base64,AAAA"}),
        ("minimax", {"referenceImageUrls": [PICTURE, "cat.png"]}),
        ("minimax", {"referenceVideoUrl": "data:video/mp4;base64,AAAA"}),
        ("minimax", {"referenceAudioUrls": ["data:audio/mp3;base64,AAAA"]}),
        ("seedance20", {"audio": "song.mp3"}),
        ("happyhorse", {"image": "cat.png"}),
    ],
)
async def test_pictures_are_links_or_image_data_and_other_media_are_links(model: str, body: dict[str, Any]) -> None:
    assert f"{next(iter(body))} must be a public http(s) URL" in await refusal(model, BODIES[model] | body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe{}",
        b'{"content": "x", "n": NaN}',
        b'{"content": "x", "n": 1e999}',
        b"[" * 100_000,
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(content: bytes) -> None:
    answer = await Twin().http.post("/api/v1/generate/minimax", content=content)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "INVALID_PAYLOAD")


async def test_a_refusal_never_repeats_the_value() -> None:
    body = BODIES["t2v"] | {"duration": "s3cret", "aspectRatio": "s3cret", "prompt": ["s3cret"]}
    assert "s3cret" not in await refusal("t2v", body)


async def test_a_refusal_names_the_first_faults_and_counts_the_rest() -> None:
    body = {"prompt": 1, "image": 1, "duration": 1, "resolution": 1, "ratio": 1, "promptExtend": 1}
    assert (await refusal("wan27", body)).endswith("; and 1 more")


async def test_a_refusal_says_what_is_allowed() -> None:
    assert await refusal("t2v", BODIES["t2v"] | {"duration": 5}) == 'duration must be a string, one of "5", "8"'
    message = await refusal("minimax", BODIES["minimax"] | {"duration": 4})
    assert message == "duration must be an integer from 5 to 20"
    message = await refusal("happyhorse", BODIES["happyhorse"] | {"image": 4})
    assert message == "image must be a string or null or an array of strings"
