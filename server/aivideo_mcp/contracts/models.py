"""The whitelist: one class per model, and their union.

A model is offered if and only if its class is in `Request`. Facts are the vendor's (OpenAPI 1.0.15 and documents)
or measured with a real key in September 2026; see CONTRIBUTING.md for how sure each is.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, get_args

from pydantic import Field

from aivideo_mcp.contracts.contract import Contract, Link, Picture, Prompt
from aivideo_mcp.contracts.price import PerPrompt, PerSecond, Price, QuoteOnly
from aivideo_mcp.contracts.rules import AtLeastOne, Exclusive, Rule
from aivideo_mcp.contracts.wire import CAPITAL_P, DIGITS, FIRST, LIST, PIXELS, TEXT, Wire


class TextToVideo(Contract):
    """Text to video."""

    price: ClassVar[Price] = PerSecond({"": 3})
    usual: ClassVar[tuple[float, float] | None] = (3, 6.5)

    model: Literal["t2v"]
    prompt: Prompt
    aspect_ratio: Literal["16:9", "9:16", "1:1"]
    duration: Annotated[Literal[5, 8], Wire(DIGITS)]


class ImageToVideo(Contract):
    """Animates a picture."""

    price: ClassVar[Price] = PerSecond({"": 3})

    model: Literal["i2v"]
    image: Picture
    prompt: Prompt | None = None
    duration: Annotated[Literal[5, 8], Wire(DIGITS)]


class LongVideo(Contract):
    """A picture and up to six prompts become one video of 5 s segments."""

    price: ClassVar[Price] = PerPrompt(rate=75, seconds=5)
    usual: ClassVar[tuple[float, float] | None] = None

    model: Literal["lv"]
    image: Picture
    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=6), Wire(LIST, "prompt")]


class TextToVideoV3(Contract):
    """Text to video, third generation."""

    price: ClassVar[Price] = PerSecond({"": 4})

    model: Literal["t2v_v3"]
    prompt: Prompt
    aspect_ratio: Literal["16:9", "9:16", "1:1"]
    duration: Annotated[Literal[5, 10, 15, 20], Wire(DIGITS)]


class ImageToVideoV3(Contract):
    """Animates a picture, third generation."""

    price: ClassVar[Price] = PerSecond({"": 4})
    usual: ClassVar[tuple[float, float] | None] = (12, 14)

    model: Literal["i2v_v3"]
    image: Picture
    prompt: Prompt | None = None
    duration: Annotated[Literal[5, 10, 15, 20], Wire(DIGITS)]


class MiniMax(Contract):
    """MiniMax H3: text, first and last frame, or references."""

    price: ClassVar[Price] = PerSecond({"720p": 3, "1080p": 4}, {"base": 1})
    rules: ClassVar[tuple[Rule, ...]] = (
        Exclusive(("image", "lastFrame"), ("referenceImages", "referenceVideo", "referenceAudio")),
    )

    model: Literal["minimax"]
    prompt: Annotated[Prompt, Wire(TEXT, "content")]
    duration: Annotated[int, Field(ge=5, le=20)] = 5
    resolution: Literal["720p", "1080p"] = "720p"
    tier: Literal["turbo", "base"] = "turbo"
    aspect_ratio: Literal["auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"] = "16:9"
    image: Annotated[Picture | None, Wire(TEXT, "imageUrl")] = None
    last_frame: Annotated[Picture | None, Wire(TEXT, "lastFrameUrl")] = None
    reference_images: Annotated[
        list[Picture] | None, Field(min_length=1, max_length=4), Wire(LIST, "referenceImageUrls")
    ] = None
    reference_video: Annotated[Link | None, Wire(TEXT, "referenceVideoUrl")] = None
    reference_audio: Annotated[
        list[Link] | None, Field(min_length=1, max_length=2), Wire(LIST, "referenceAudioUrls")
    ] = None


class Seedance(Contract):
    """Seedance 2.0: text, picture, video and audio references."""

    price: ClassVar[Price] = QuoteOnly("4 s at 480p 41, 5 s at 480p 51, 5 s at 720p 110 credits")
    rules: ClassVar[tuple[Rule, ...]] = (AtLeastOne(("prompt", "image", "referenceVideo")),)

    model: Literal["seedance20"]
    prompt: Prompt | None = None
    image: Picture | None = None
    reference_video: Annotated[Link | None, Wire(TEXT, "video")] = None
    reference_audio: Annotated[list[Link] | None, Field(min_length=1, max_length=1), Wire(FIRST, "audio")] = None
    duration: Annotated[int, Field(ge=4, le=15)]
    resolution: Annotated[Literal["480p", "720p"], Wire(PIXELS)]
    aspect_ratio: Annotated[Literal["16:9", "9:16", "1:1"], Wire(TEXT, "ratio")]


class Wan(Contract):
    """Wan 2.7: text, or a picture to start from."""

    price: ClassVar[Price] = PerSecond({"720p": 10, "1080p": 15})

    model: Literal["wan27"]
    prompt: Prompt
    image: Picture | None = None
    duration: Annotated[Literal[5, 10, 15], Wire(DIGITS)]
    resolution: Annotated[Literal["720p", "1080p"], Wire(CAPITAL_P)]
    aspect_ratio: Annotated[Literal["16:9", "9:16", "1:1", "4:3", "3:4"], Wire(TEXT, "ratio")]
    prompt_extend: bool | None = None


class HappyHorse(Contract):
    """HappyHorse: text, one picture to animate, or several as references."""

    price: ClassVar[Price] = PerSecond({"720p": 25, "1080p": 50})
    rules: ClassVar[tuple[Rule, ...]] = (Exclusive(("image",), ("images",)),)

    model: Literal["happyhorse"]
    prompt: Prompt
    image: Picture | None = None
    images: Annotated[list[Picture] | None, Field(min_length=1), Wire(LIST, "image")] = None
    duration: Annotated[int, Field(ge=3, le=15)]
    resolution: Annotated[Literal["720p", "1080p"], Wire(CAPITAL_P)]
    aspect_ratio: Annotated[Literal["16:9", "9:16", "3:4", "4:3", "1:1"] | None, Wire(TEXT, "ratio")] = None


Request = (
    TextToVideo | ImageToVideo | LongVideo | TextToVideoV3 | ImageToVideoV3 | MiniMax | Seedance | Wan | HappyHorse
)

MODELS: Final[dict[str, type[Contract]]] = {kind.name(): kind for kind in get_args(Request)}
