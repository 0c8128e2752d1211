"""What a picture or a media link may look like before it is sent.

Pictures are public http(s) URLs or base64 data URIs; what is neither is handed to the reader of local files, where
there is one, and becomes a data URI. The bytes of a picture are looked at: they must be an image of the type that is
claimed, since the upstream charges first and looks later.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationInfo

IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
MAX_IMAGE_BYTES: Final = 10 * 1024 * 1024
_DATA_URI: Final = re.compile(r"data:(?P<type>[a-z0-9.+/-]*);base64,", re.IGNORECASE | re.ASCII)
_SNIFFED: Final = 4096  # bytes from the start that tell an image's type
_MAX_URL: Final = 8192

Local = Callable[[str], str]  # a caller's path as the data URI of what it names, or ValueError


def check_picture(value: str, info: ValidationInfo[Local | None]) -> str:
    """Accept an http(s) URL or an image data URI, unchanged, and what `info.context` can read, as its data URI.

    Raises:
        ValueError: With a text that says what is wrong and what is allowed, never the value itself.
    """
    if value[:5].lower() == "data:":
        _check_data_uri(value)
        return value
    if value[:7].lower() in ("http://", "https:/"):
        return check_link(value)
    if info.context is None:
        raise ValueError(
            "is neither a public http(s) URL nor a data:image/...;base64 URI; local files are read only inside the "
            "folders of AIVIDEO_IMAGE_DIRS, which is not set, so pass the picture as a URL or a data URI"
        )
    return info.context(value)


def check_link(value: str) -> str:
    """Accept an absolute http(s) URL, unchanged.

    Raises:
        ValueError: When it is no such URL.
    """
    if len(value) > _MAX_URL:
        raise ValueError(f"is a URL of {len(value)} characters; at most {_MAX_URL} are allowed")
    if re.search(r"[\s\x00-\x1f\x7f\\\ud800-\udfff]", value):
        raise ValueError("is not a valid URL: it holds spaces, control characters, backslashes or half characters")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme.lower() not in ("http", "https"):
        raise ValueError("must be a public http(s) URL, such as https://example.com/file")
    return value


def picture_uri(content: bytes) -> str:
    """A picture as the data URI that the contracts take, labelled by what it is.

    Raises:
        ValueError: It is no picture of an allowed type.
    """
    return f"data:{_image_type(content)};base64,{base64.b64encode(content).decode('ascii')}"


def too_large(size: int) -> ValueError:
    """The fault of a picture of so many bytes."""
    return ValueError(f"is {size:,} bytes; at most {MAX_IMAGE_BYTES:,} bytes (10 MB) are allowed")


def _check_data_uri(value: str) -> None:
    header = _DATA_URI.match(value, 0, 200)
    if header is None:
        raise ValueError("is not a base64 data URI; write data:image/png;base64,...")
    declared = header["type"].lower()
    if declared == "image/jpg":
        raise ValueError("has the type image/jpg, which the upstream refuses; write image/jpeg")
    if declared not in IMAGE_TYPES:
        raise ValueError(f"is a data URI of a type that is not allowed; use {', '.join(IMAGE_TYPES)}")
    if (len(value) - header.end()) // 4 * 3 - 2 > MAX_IMAGE_BYTES:
        raise too_large((len(value) - header.end()) // 4 * 3)
    content = _decode(value[header.end() :])
    if len(content) > MAX_IMAGE_BYTES:
        raise too_large(len(content))
    if (actual := _image_type(content)) != declared:
        raise ValueError(f"is labelled {declared}, but its content is {actual}; label it data:{actual};base64")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not valid base64") from None


def _image_type(content: bytes) -> str:
    """The MIME type that the first bytes show.

    Raises:
        ValueError: They show none that is allowed.
    """
    import puremagic  # noqa: PLC0415 - 13 ms that only a call with a picture's bytes should pay

    try:
        actual = str(puremagic.from_string(content[:_SNIFFED], mime=True))
    except (puremagic.PureError, ValueError):
        actual = ""
    if actual not in IMAGE_TYPES:
        looks = f" (it looks like {actual})" if actual else ""
        raise ValueError(f"does not hold an image that can be sent{looks}; use {', '.join(IMAGE_TYPES)}")
    return actual
