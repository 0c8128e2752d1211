"""What catalogues are told: `server.json` for the MCP registry, and the manifest of the bundle for Claude Desktop.

`python scripts/listings.py FOLDER` writes the bundle's manifest.json there; server.json is written by docs.py.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from aivideo_mcp import __version__
from aivideo_mcp.settings import Settings, Variable
from aivideo_mcp.tools import TOOLS

ROOT: Final = Path(__file__).parent.parent
REGISTRY_NAME: Final = "io.github.aivideo-mcp/aivideo-mcp"
"""Of the GitHub organisation that is to publish it: the registry lets nobody else use the name."""

_TITLE: Final = "AIVideoMaker"
_PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# What a person is asked when the bundle is installed; all else has a default that serves.
_ASKED: Final = {
    "api_key": "API key",
    "output_dir": "Folder for finished videos",
    "image_dirs": "Folder whose pictures may be used",
    "max_credits": "Most credits for one video",
    "daily_credits": "Most credits in 24 hours",
    "confirm_above": "Ask me above this many credits",
}
_REQUIRED: Final = "api_key"


@dataclass(frozen=True, slots=True)
class Input:
    """A setting as a form shows it."""

    field: str
    variable: Variable
    secret: bool
    kind: str  # number, directory or string

    @property
    def meaning(self) -> str:
        """Without the README's marks."""
        return self.variable.meaning.replace("`", "")


def inputs() -> list[Input]:
    """The settings: a secret is what their representation hides, a kind is their type."""
    hints = get_type_hints(Settings)
    found = []
    for field in fields(Settings):
        types = {hints[field.name], *get_args(hints[field.name])}
        kind = "number" if int in types else "directory" if Path in types else "string"
        found.append(Input(field.name, field.metadata["variable"], not field.repr, kind))
    return found


def server_json() -> dict[str, Any]:
    """The registry's entry, by its schema of 2025-12-11."""
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": REGISTRY_NAME,
        "title": _TITLE,
        "description": _PROJECT["description"],
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "registryBaseUrl": "https://pypi.org",
                "identifier": _PROJECT["name"],
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": [_variable(entry) for entry in inputs()],
            }
        ],
    }


def _variable(entry: Input) -> dict[str, Any]:
    value = getattr(Settings(), entry.field)
    default = entry.variable.default_text
    return {
        "name": entry.variable.name,
        "description": entry.meaning,
        # A folder is a path there, a list of folders a text.
        "format": "filepath"
        if entry.kind == "directory" and value != ()
        else entry.kind.replace("directory", "string"),
        **({"isRequired": True} if entry.field == _REQUIRED else {}),
        **({"isSecret": True} if entry.secret else {"placeholder": entry.variable.example}),
        **({"default": default} if str(value) == default else {}),  # some are words about a default, not one
    }


def manifest() -> dict[str, Any]:
    """The bundle's manifest 0.4: uv installs it from its pyproject.toml, and brings a Python where there is none."""
    asked = [entry for entry in inputs() if entry.field in _ASKED]
    return {
        "manifest_version": "0.4",
        "name": _PROJECT["name"],
        "display_name": _TITLE,
        "version": __version__,
        "description": _PROJECT["description"],
        "author": {"name": _author()},
        "license": _PROJECT["license"],
        "keywords": _PROJECT["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "server/aivideo_mcp/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "aivideo-mcp", "serve"],
                "env": {entry.variable.name: f"${{user_config.{entry.field}}}" for entry in asked},
            },
        },
        "tools": [{"name": tool.name, "description": tool.description} for tool in TOOLS],
        "prompts_generated": True,
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": _PROJECT["requires-python"]},
        },
        "user_config": {entry.field: _question(entry) for entry in asked},
    }


def _question(entry: Input) -> dict[str, Any]:
    return {
        "type": entry.kind,
        "title": _ASKED[entry.field],
        "description": entry.meaning,
        "required": entry.field == _REQUIRED,
        **({"sensitive": True} if entry.secret else {}),
        **({"min": 0} if entry.kind == "number" else {}),
    }


def _author() -> str:
    found = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text("utf-8"))
    assert found
    return found[1]


def main() -> int:
    """Write the manifest into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "manifest.json").write_text(json.dumps(manifest(), indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
