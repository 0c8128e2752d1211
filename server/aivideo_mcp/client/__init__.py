"""The upstream over HTTP.

upstream    the seven calls, and which may be repeated
connection  how a call goes out: the key, the gate, the judging
judging     what a reply means
exchange    one request and its reply: bounded, repeated where safe
connecting  why there is no connection, and what to do
cookies     none
downloads   files from public addresses, without the key
fence       the way there: names are resolved, and what is not public is not connected to
"""

from aivideo_mcp.client.connection import LONGEST_QUIET, Gate
from aivideo_mcp.client.upstream import Upstream

__all__ = ["LONGEST_QUIET", "Gate", "Upstream"]
