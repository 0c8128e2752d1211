"""Starts a server over stdio as a client does, and prints its tools: `boot.py COMMAND ARGUMENT...`, or `boot.py FILE`.

FILE holds one entry of a client's configuration as JSON: command, args, env. Needs nothing but Python, so that it can
look at any environment from outside; 1 when the tools are not listed within `BOOT_SECONDS` (60).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Start it, list its tools, close its stdin and see it end."""
    entry: dict[str, Any] = {"command": arguments[0], "args": arguments[1:]}
    if len(arguments) == 1 and arguments[0].endswith(".json"):
        entry = json.loads(Path(arguments[0]).read_text("utf-8"))
    with subprocess.Popen(
        [entry["command"], *entry["args"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **entry.get("env", {})},
    ) as server:
        timer = threading.Timer(float(os.environ.get("BOOT_SECONDS", "60")), server.kill)
        timer.start()
        try:
            tools = _tools(server)
            server.communicate()
        finally:
            timer.cancel()
    if tools is None or server.returncode:
        print(f"boot.py: no tools from {entry['command']}, exit code {server.returncode}", file=sys.stderr)
        return 1
    print(f"{len(tools)} tools: {' '.join(tools)}")
    return 0


def _tools(server: subprocess.Popen[bytes]) -> list[str] | None:
    assert server.stdin
    assert server.stdout
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "boot", "version": "1"}}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ]
    try:
        for message in messages:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        server.stdin.flush()
    except BrokenPipeError:
        return None
    for line in server.stdout:
        answer = json.loads(line)
        if answer.get("id") == messages[-1]["id"]:
            return [tool["name"] for tool in answer["result"]["tools"]]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
