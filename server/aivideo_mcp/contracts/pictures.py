"""What a picture or a media link may look like before it is sent.

Pictures are public http(s) URLs or base64 data URIs. A data URI is decoded and looked at: its bytes must be
an image of the type that it claims to be, since the upstream charges first and looks later.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import urlsplit

IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
MAX_IMAGE_BYTES: Final = 10 * 1024 * 1024
_DATA_URI: Final = re.compile(r"data:(?P<type>[a-z0-9.+/-]*);base64,", re.IGNORECASE | re.ASCII)
_SNIFFED: Final = 4096  # bytes from the start that tell an image's type
_MAX_URL: Final = 8192


def check_picture(value: str) -> str:
    """Accept an http(s) URL or an image data URI, unchanged.

    Raises:
        ValueError: With a text that says what is wrong and what is allowed, never the value itself.
    """
    if value[:5].lower() == "data:":
        _check_data_uri(value)
        return value
    if value[:7].lower() not in ("http://", "https:/"):
        raise ValueError(
            "is neither a public http(s) URL nor a data:image/...;base64 URI; local files are not read, "
            "so pass the picture as a URL or a data URI"
        )
    return check_link(value)


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
        raise ValueError(_too_large((len(value) - header.end()) // 4 * 3))
    content = _decode(value[header.end() :])
    if len(content) > MAX_IMAGE_BYTES:
        raise ValueError(_too_large(len(content)))
    actual = _type_of(content[:_SNIFFED])
    if actual not in IMAGE_TYPES:
        raise ValueError(f"does not hold an image that can be read; use {', '.join(IMAGE_TYPES)}")
    if actual != declared:
        raise ValueError(f"is labelled {declared}, but its content is {actual}; label it data:{actual};base64")


def _too_large(size: int) -> str:
    return f"is {size:,} bytes; at most {MAX_IMAGE_BYTES:,} bytes (10 MB) are allowed"


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not valid base64") from None


def _type_of(start: bytes) -> str | None:
    """The MIME type that the first bytes show; None when they show none."""
    import puremagic  # noqa: PLC0415 - 13 ms that only a call with a data URI should pay

    try:
        return str(puremagic.from_string(start, mime=True))
    except (puremagic.PureError, ValueError):
        return None
