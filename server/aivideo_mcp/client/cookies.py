"""No cookies: nothing of the API needs one, and each that a host sets would make every later request larger."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any


class NoCookies(CookieJar):
    """Keeps none."""

    def extract_cookies(self, response: Any, request: Any) -> None:  # noqa: ANN401 - of httpx's own
        """Look at none."""
