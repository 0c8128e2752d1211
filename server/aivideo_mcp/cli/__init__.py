"""The commands. stdout carries protocol frames or the answer and nothing else; all words for people go to stderr.

entry     the console script: logging, faults, exit codes
parser    what may be typed
notes     what is told at the start although it stops nothing
serving   `serve` and `sandbox`, which go on until they are told to end
oneshot   `run`, `forget`, `doctor` and `demo`, which do one thing and end

What is heavy is imported by the command that needs it: a client waits for the start.
"""

from aivideo_mcp.cli.entry import main

__all__ = ["main"]
