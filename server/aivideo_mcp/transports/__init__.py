"""How clients reach the server: stdio, SSE, streamable HTTP with SSE beside it.

stdio        one client over pipes
frames       what came in over them: messages, and what is refused without being repeated
signals      when to end, and how long that may take
address      where the network transports listen, and by which names they may be called
network      the web server and all that stands in front of the SDK's applications, from outside to inside:
connections    how many, and how long a silent one may stay
probes         /healthz and /readyz
streams        each request gets one response, that ends; all can be ended
gates          Host, Origin, token
rooms          how many streams, calls and sessions there may be at once
starts         when a call may begin
bodies         how large, how slow, and how much of them in memory
limits       the numbers of all these

Each transport ends within three seconds of SIGTERM, SIGINT or the end of stdin, after `closing` has run; at a second
signal at once.
What is for the network is imported when it is asked for: a client on stdio waits for the start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from aivideo_mcp.transports.signals import leave_on_signal, until_signal

if TYPE_CHECKING:
    from aivideo_mcp.transports.address import Address
    from aivideo_mcp.transports.network import serve_network
    from aivideo_mcp.transports.stdio import serve_stdio
    from aivideo_mcp.transports.streams import Streams

__all__ = ["Address", "Streams", "leave_on_signal", "serve_network", "serve_stdio", "until_signal"]

_LATER: Final = {"Address": "address", "Streams": "streams", "serve_network": "network", "serve_stdio": "stdio"}


def __getattr__(name: str) -> object:
    """A public name, from the module that holds it."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
