"""The upstream over HTTP.

upstream   the seven calls, and which may be repeated
judging    what a reply means
exchange   one request and its reply: bounded, repeated where safe; the only importer of httpx
"""

from aivideo_mcp.client.upstream import Gate, Upstream

__all__ = ["Gate", "Upstream"]
