"""`aivideo-mcp demo`: two videos made on the sandbox, through a real MCP client and server over stdio."""

from __future__ import annotations

import base64
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import BlobResourceContents, ResourceLink

from aivideo_mcp.console import ProgressLine


async def run_demo(folder: Path, speed: float) -> int:
    """Make the videos, show progress, print where they are.

    Args:
        folder: Absolute, for the files; made if need be.
        speed: How much faster than real time the sandbox runs.

    Returns:
        0 when both files are there, else 1.
    """
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "aivideo_mcp", "serve", "--sandbox", "--speed", f"{speed:g}"],
        env={"AIVIDEO_OUTPUT_DIR": str(folder)},
    )
    print("SANDBOX demo: sample clips, no key, no network, no real credits.")
    print(f"$ AIVIDEO_OUTPUT_DIR={folder} aivideo-mcp serve --sandbox   (started here, spoken to over stdio)")
    with tempfile.TemporaryFile("w+") as log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            tools = (await client.list_tools()).tools
            print(f"{len(tools)} tools: {', '.join(tool.name for tool in tools)}")
            await _show_account(client, "before")
            made = [
                await _make(client, "text to video", _TEXT_TO_VIDEO),
                await _make(client, "picture to video", {**_PICTURE_TO_VIDEO, "image": _picture()}),
            ]
            await _show_account(client, "after")
        if not all(made):
            log.seek(0)
            print(log.read(), file=sys.stderr)
            return 1
    return 0


_TEXT_TO_VIDEO = {
    "model": "t2v",
    "prompt": "A cat on a skateboard rolls through a sunny park",
    "aspectRatio": "9:16",
    "duration": 5,
}
_PICTURE_TO_VIDEO = {
    "model": "i2v",
    "prompt": "The sun rises over the hills",
    "duration": 5,
}


async def _show_account(client: Client, when: str) -> None:
    data = ((await client.call_tool("get_account", {})).structured_content or {})["data"]
    print(f"\naccount {when}: {data['currentBalance']} credits, {data['spentToday']} spent in 24 hours")


async def _make(client: Client, title: str, arguments: dict[str, Any]) -> bool:
    """Ask the price, make a video, read it back over the link in the answer; whether all of it worked."""
    quote = ((await client.call_tool("quote_generation", arguments)).structured_content or {})["data"]
    shown = {name: value if len(str(value)) < 80 else f"{str(value)[:30]}..." for name, value in arguments.items()}  # noqa: PLR2004 - a line's length
    print(f"\n{title}, {quote['credits']} credits (USD {quote['usd']:.2f}): generate_video {shown}")
    line = ProgressLine()

    async def progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the SDK's
        await line.tell(message or "")

    result = await client.call_tool("generate_video", arguments, progress_callback=progress)
    line.close()
    envelope: dict[str, Any] = result.structured_content or {}
    print(envelope.get("errorMessage") or f"{envelope['status']}: {envelope['data']['videoUrl']}")
    path = (envelope.get("data") or {}).get("file")
    link = next((block for block in result.content if isinstance(block, ResourceLink)), None)
    if path is None or link is None:
        print(*envelope.get("nextSteps", ()), sep="\n")
        return False
    (content,) = (await client.read_resource(link.uri)).contents
    same = isinstance(content, BlobResourceContents) and base64.b64decode(content.blob) == Path(path).read_bytes()  # noqa: ASYNC240 - nothing else runs
    print(f"saved: {path}")
    print(f"link:  {link.uri}, {link.size:,} bytes, read back {'byte for byte' if same else 'AND IT DIFFERS'}")
    return same


def _picture(width: int = 320, height: int = 180) -> str:
    """A sunrise over hills, drawn here, as a PNG data URI."""
    rows = []
    for y in range(height):
        row = bytearray([0])  # filter type of the row
        for x in range(width):
            near_sun = (x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 6) ** 2
            hill = y > height * 0.62 + ((x % 107) - 53) ** 2 / 160
            row += bytes((40, 90, 60) if hill else (255, 220, 120) if near_sun else (220 - y // 2, 130, 90 + y // 2))
        rows.append(bytes(row))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(rows), 9)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
