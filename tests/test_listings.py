"""What catalogues and hosts are told agrees with the code: server.json, the bundle's manifest, the image."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import aivideo_mcp
from aivideo_mcp.cli.parser import command_parser
from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.settings import VARIABLES, Settings, read_settings
from aivideo_mcp.tools import TOOLS

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "scripts"))

import listings  # noqa: E402 - scripts are no package

SERVER = json.loads((ROOT / "server.json").read_text("utf-8"))
(PACKAGE,) = SERVER["packages"]
MANIFEST: dict[str, Any] = json.loads(json.dumps(listings.manifest()))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")
SECRETS = {"AIVIDEO_API_KEY", "AIVIDEO_HTTP_TOKEN"}


# --- server.json, by the rules of the registry's schema of 2025-12-11 -----------------------------------------------


def test_the_registry_takes_the_entry() -> None:
    assert SERVER["$schema"].endswith("/2025-12-11/server.schema.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", SERVER["name"])
    assert 1 <= len(SERVER["description"]) <= 100
    assert 1 <= len(SERVER["title"]) <= 100
    assert SERVER["version"] == PACKAGE["version"] == aivideo_mcp.__version__
    assert PACKAGE["registryType"] == "pypi"
    assert PACKAGE["registryBaseUrl"] == "https://pypi.org"
    assert PACKAGE["transport"] == {"type": "stdio"}
    assert set(SERVER) <= {"$schema", "name", "title", "description", "version", "packages"}
    allowed = {"name", "description", "format", "isRequired", "isSecret", "placeholder", "default"}
    for variable in PACKAGE["environmentVariables"]:
        assert set(variable) <= allowed
        assert variable["format"] in ("string", "number", "boolean", "filepath")
        assert isinstance(variable.get("default", ""), str)


def test_the_registry_finds_its_name_in_the_readme_and_in_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert PACKAGE["identifier"] == project["name"]
    assert f"<!-- mcp-name: {SERVER['name']} -->" in (ROOT / project["readme"]).read_text("utf-8")
    assert f'io.modelcontextprotocol.server.name="{SERVER["name"]}"' in DOCKERFILE


def test_the_registry_knows_every_variable_and_which_are_secret() -> None:
    told = {variable["name"]: variable for variable in PACKAGE["environmentVariables"]}
    assert list(told) == [variable.name for variable in VARIABLES.values()]
    assert {name for name, variable in told.items() if variable.get("isSecret")} == SECRETS
    assert {name for name, variable in told.items() if variable.get("isRequired")} == {"AIVIDEO_API_KEY"}
    kinds = {name: variable["format"] for name, variable in told.items()}
    assert kinds["AIVIDEO_OUTPUT_DIR"] == kinds["AIVIDEO_STATE_DIR"] == "filepath"
    assert kinds["AIVIDEO_MAX_CREDITS"] == kinds["AIVIDEO_TIMEOUT_MS"] == "number"
    assert kinds["AIVIDEO_IMAGE_DIRS"] == kinds["AIVIDEO_BASE_URL"] == "string"


def test_the_defaults_that_a_client_fills_in_are_those_that_hold_anyway() -> None:
    defaults = {variable["name"]: variable.get("default", "") for variable in PACKAGE["environmentVariables"]}
    assert len([text for text in defaults.values() if text]) == 5
    assert read_settings(defaults) == Settings()


# --- The bundle -----------------------------------------------------------------------------------------------------


def test_the_bundle_lists_the_tools_as_they_are() -> None:
    assert MANIFEST["manifest_version"] == "0.4"
    assert MANIFEST["version"] == aivideo_mcp.__version__
    assert MANIFEST["tools"] == [{"name": tool.name, "description": tool.description} for tool in TOOLS]


def test_the_bundle_passes_on_each_answer_and_asks_for_each_it_passes_on() -> None:
    passed = MANIFEST["server"]["mcp_config"]["env"]
    assert [text.removeprefix("${user_config.").removesuffix("}") for text in passed.values()] == [
        *MANIFEST["user_config"]
    ]
    for field, question in MANIFEST["user_config"].items():
        assert VARIABLES[field].name in passed
        assert question["title"]
        assert question["description"]
        assert question.get("sensitive", False) == (VARIABLES[field].name in SECRETS)
    kinds = {field: question["type"] for field, question in MANIFEST["user_config"].items()}
    assert (kinds["api_key"], kinds["output_dir"], kinds["max_credits"]) == ("string", "directory", "number")
    assert [field for field, question in MANIFEST["user_config"].items() if question["required"]] == ["api_key"]


def test_what_is_left_empty_in_the_bundles_form_is_unset() -> None:
    """The host passes `${user_config.max_credits}` on as it stands."""
    assert read_settings(MANIFEST["server"]["mcp_config"]["env"]) == Settings()


@pytest.mark.parametrize("text", ["${MAX_CREDITS}", "${user_config.max_credits} ", "5${user_config.max_credits}"])
def test_no_other_placeholder_lifts_a_cap(text: str) -> None:
    if text.strip() == "${user_config.max_credits}":
        assert read_settings({"AIVIDEO_MAX_CREDITS": text}).max_credits is None
        return
    with pytest.raises(ConfigurationError, match="AIVIDEO_MAX_CREDITS"):
        read_settings({"AIVIDEO_MAX_CREDITS": text})


def test_the_bundle_starts_a_command_that_the_project_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    server = MANIFEST["server"]
    command, *arguments = server["mcp_config"]["args"][server["mcp_config"]["args"].index("${__dirname}") + 1 :]
    assert command in project["scripts"]
    assert command_parser().parse_args(arguments).transport == "stdio"
    assert (ROOT / server["entry_point"]).exists()
    assert MANIFEST["compatibility"]["runtimes"]["python"] == project["requires-python"]


# --- The image ------------------------------------------------------------------------------------------------------


def instructions(word: str) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in DOCKERFILE.splitlines() if line.startswith(f"{word} ")]


def test_the_image_runs_as_a_fixed_number_and_speaks_stdio_unless_told() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["aivideo-mcp"]
    assert command_parser().parse_args(json.loads(instructions("CMD")[0])).transport == "stdio"
    assert instructions("HEALTHCHECK") == []  # a server on stdio has nothing to be asked by


def test_the_image_writes_to_its_volumes_alone() -> None:
    volumes = json.loads(instructions("VOLUME")[0])
    variables = dict(word.split("=", 1) for word in shlex.split(instructions("ENV")[0]))
    assert variables["AIVIDEO_STATE_DIR"] in volumes
    assert instructions("WORKDIR")[-1] in volumes  # where temporary files go when nothing else can be written
    assert variables["PYTHONDONTWRITEBYTECODE"]
    assert {name for name in variables if name.startswith("AIVIDEO_")} == {"AIVIDEO_STATE_DIR"}  # no key in a layer


def test_the_image_is_built_from_what_the_ignore_file_lets_through_and_keeps_no_cache() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert "*" in ignored
    assert copied == through
    assert all((ROOT / name).exists() for name in copied)
    assert "--no-cache-dir" in DOCKERFILE
    assert len({line.split()[0] for line in instructions("FROM")}) == 1
