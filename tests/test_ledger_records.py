"""What is compared: requests by digests and likenesses."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from aivideo_mcp.contracts import read_request
from aivideo_mcp.ledger import Likeness, Wanted
from tests.fakes import T2V
from tests.machine import Machine, wanted
from tests.pictures import data_uri, png

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 5}, {"n": "5"}),
        ({"n": 5.0}, {"n": 5}),
        ({"n": 5.5}, {"n": "5.5"}),
        ({"n": [5, "x"]}, {"n": ["5", "x"]}),
        ({"n": [[1.0]]}, {"n": [["1"]]}),
        ({"n": None}, {}),
        ({"n": []}, {}),
        ({"n": "x", "more": 1}, {"n": "x"}),
        ({"n": True}, {"n": "True"}),
    ],
)
def test_what_means_the_same_is_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert Likeness.of(one, ("n",)) == Likeness.of(other, ("n",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 5}, {"n": 6}),
        ({"n": 5}, {"n": 5.5}),
        ({"n": "a"}, {"n": "A"}),
        ({"n": "a"}, {"n": "a "}),
        ({"n": ["a"]}, {"n": "a"}),
        ({"n": ["a", "b"]}, {"n": ["b", "a"]}),
        ({"n": ["a", "b"]}, {"n": ["a"]}),
        ({"n": ["a, b"]}, {"n": ["a", "b"]}),
        ({"n": "é"}, {"n": "e"}),
    ],
)
def test_what_differs_is_not_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert Likeness.of(one, ("n",)) != Likeness.of(other, ("n",))


@pytest.mark.parametrize("odd", [float("inf"), float("nan"), "\ud800", {"a": [1]}, 10**400, b"x"])
def test_no_value_is_too_odd_to_be_compared(odd: object) -> None:
    assert Likeness.of({"n": odd}, ("n",)) == Likeness.of({"n": odd}, ("n",))


def test_the_values_of_two_fields_are_not_mixed_up() -> None:
    assert Likeness.of({"a": "1", "b": "2"}, ("a", "b")) != Likeness.of({"a": "2", "b": "1"}, ("a", "b"))


PICTURE = data_uri("png", png())
MINIMAX = {
    "model": "minimax",
    "prompt": "a cat",
    "duration": 5,
    "resolution": "720p",
    "tier": "turbo",
    "aspectRatio": "16:9",
    "image": PICTURE,
}


def of(key: str | None = None, **arguments: Any) -> Wanted:
    return Wanted.of(read_request(arguments), key)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a cat "},
        {"duration": 6},
        {"resolution": "1080p"},
        {"tier": "base"},
        {"aspectRatio": "1:1"},
        {"image": data_uri("png", png(padding=10))},
        {"image": "https://example.test/cat.png"},
        {"lastFrame": PICTURE},
    ],
)
def test_any_changed_field_is_another_digest(change: dict[str, Any]) -> None:
    assert of(**MINIMAX).digest != of(**(MINIMAX | change)).digest


def test_another_model_with_the_same_fields_is_another_digest() -> None:
    assert of(**T2V).digest != of(**(T2V | {"model": "t2v_v3"})).digest


def test_the_same_request_however_it_is_spelled_has_one_digest() -> None:
    assert of(**T2V).digest == of(**dict(reversed(T2V.items()))).digest == of(**(T2V | {"duration": "5"})).digest
    shorter = {name: value for name, value in MINIMAX.items() if name in ("model", "prompt", "image")}
    assert of(**MINIMAX).digest == of(**shorter).digest, "a default written out is the default"


def test_pictures_are_compared_apart_from_what_the_upstream_gives_back_as_it_was() -> None:
    it = of(**MINIMAX)
    assert it.words.names == ("aspectRatio", "content", "duration", "resolution", "tier")
    wire = read_request(MINIMAX).wire()
    elsewhere = {**wire, "imageUrl": "https://files.example.test/1.png"}
    assert (it.words.fits(elsewhere), it.media.fits(elsewhere)) == (True, False)
    assert (it.words.fits(wire), it.media.fits(wire)) == (True, True)
    assert not it.words.fits({**wire, "content": "a dog"})
    assert not it.media.fits({**wire, "lastFrameUrl": PICTURE}), "one more picture is another request"


@pytest.mark.parametrize("start", ["Data: charts that fly, ", "https://example.test is a site; show "])
def test_prompts_that_begin_like_media_are_compared_all_the_same(start: str) -> None:
    """Else a lost create is given any task with the same duration and ratio, whatever its prompt."""
    one, other = of(**(T2V | {"prompt": f"{start}one"})), of(**(T2V | {"prompt": f"{start}other"}))
    assert one.words != other.words


async def test_compared_fields_survive_the_file(machine: Machine) -> None:
    server = machine.server()
    for fields in (
        MINIMAX,
        T2V,
        {"model": "seedance20", "image": PICTURE, "duration": 5, "resolution": "480p", "aspectRatio": "1:1"},
    ):
        it = of(**fields)
        await server.claim(it, fresh=False)
        intent, _ = await machine.server().claim(it, fresh=False)
        assert (intent.words, intent.media, intent.digest) == (it.words, it.media, it.digest)
    nothing = dataclasses.replace(wanted("nothing compared"), words=Likeness.of({}, ()))
    assert (await server.claim(nothing, fresh=False))[0].words.names == ()


def test_a_request_as_the_ledger_knows_it_holds_no_word_of_the_prompt() -> None:
    it = of("my-key-01", **(MINIMAX | {"prompt": "canary words"}))
    told = json.dumps(dataclasses.asdict(it))
    assert "canary" not in told
    assert PICTURE[30:60] not in told
