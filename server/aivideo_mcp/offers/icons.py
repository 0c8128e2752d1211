"""What hosts show beside the server's name."""

import base64
from typing import Final

from mcp_types import Icon

_DRAWING: Final = (  # short: on 2026-07-28 the SDK sends it with every answer
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect width="48" height="48" rx="11" fill="#4b3fd1"/>'
    '<path d="M18 14v20l17-10z" fill="#fff"/></svg>'
)
ICONS: Final = [
    Icon(
        src="data:image/svg+xml;base64," + base64.b64encode(_DRAWING.encode()).decode(),
        mime_type="image/svg+xml",
        sizes=["any"],
    )
]
