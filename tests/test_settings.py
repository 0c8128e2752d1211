"""Flags and environment become one frozen value, or one line that says what is wrong."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_contracts import steady

from aivideo_mcp import __version__
from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.settings import VARIABLES, Settings, process_settings, process_survey, read_settings
from aivideo_mcp.values import is_loopback

KEY: Final = "ak_0123456789abcdef0123456789abcdef"
TOKEN: Final = "a-long-and-random-token-9f8e7d6c5b4a"
NAMES: Final[Mapping[str, str]] = {
    "AIVIDEO_API_KEY": "api_key",
    "AIVIDEO_BASE_URL": "base_url",
    "AIVIDEO_TIMEOUT_MS": "timeout_ms",
    "AIVIDEO_MAX_RETRIES": "max_retries",
    "AIVIDEO_OUTPUT_DIR": "output_dir",
    "AIVIDEO_IMAGE_DIRS": "image_dirs",
    "AIVIDEO_MAX_CREDITS": "max_credits",
    "AIVIDEO_DAILY_CREDITS": "daily_credits",
    "AIVIDEO_CONFIRM_ABOVE": "confirm_above",
    "AIVIDEO_MAX_WAIT_S": "max_wait_s",
    "AIVIDEO_USER_AGENT": "user_agent",
    "AIVIDEO_HTTP_TOKEN": "http_token",
}
NUMBERS: Final = (
    *("AIVIDEO_TIMEOUT_MS", "AIVIDEO_MAX_RETRIES", "AIVIDEO_MAX_CREDITS", "AIVIDEO_DAILY_CREDITS"),
    *("AIVIDEO_CONFIRM_ABOVE", "AIVIDEO_MAX_WAIT_S"),
)


def read(variable: str, text: str) -> Any:
    """What one variable alone amounts to."""
    return getattr(read_settings({variable: text}), NAMES[variable])


def fault(variable: str, text: str) -> str:
    """The line that a bad value earns; checked for what every such line has."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"AIVIDEO_API_KEY": KEY, "AIVIDEO_HTTP_TOKEN": TOKEN, variable: text})
    line = str(caught.value)
    assert line.startswith(f"{variable} ")
    assert f". Example: {variable}=" in line
    assert "\n" not in line
    assert KEY not in line
    assert TOKEN not in line
    return line


# --- Defaults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        ("AIVIDEO_API_KEY", None),
        ("AIVIDEO_BASE_URL", "https://aivideomaker.ai"),
        ("AIVIDEO_TIMEOUT_MS", 30_000),
        ("AIVIDEO_MAX_RETRIES", 3),
        ("AIVIDEO_OUTPUT_DIR", None),
        ("AIVIDEO_IMAGE_DIRS", ()),
        ("AIVIDEO_MAX_CREDITS", None),
        ("AIVIDEO_DAILY_CREDITS", None),
        ("AIVIDEO_CONFIRM_ABOVE", None),
        ("AIVIDEO_MAX_WAIT_S", 1200),
        ("AIVIDEO_USER_AGENT", f"aivideo-mcp/{__version__}"),
        ("AIVIDEO_HTTP_TOKEN", None),
    ],
)
def test_defaults_are_the_documented_ones(variable: str, default: object) -> None:
    assert getattr(read_settings({}), NAMES[variable]) == default
    assert VARIABLES[NAMES[variable]].name == variable


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_told_and_its_example_is_right(name: str) -> None:
    variable = VARIABLES[name]
    assert variable.name.startswith("AIVIDEO_")
    assert variable.meaning
    assert variable.default_text
    example = getattr(read_settings({variable.name: variable.example}), name)
    assert (example is None) is (name == "api_key"), "the key's is a form to fill in, and counts as none"


def test_a_table_of_variables_holds_no_version() -> None:
    """The README's table does not change with every release."""
    assert VARIABLES["user_agent"].default_text == "aivideo-mcp/<version>"
    assert VARIABLES["api_key"].default_text == VARIABLES["image_dirs"].default_text == "unset"
    assert VARIABLES["max_wait_s"].default_text == "1200"


# --- Good values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("AIVIDEO_API_KEY", KEY, KEY),
        ("AIVIDEO_API_KEY", f"  {KEY}\n", KEY),
        ("AIVIDEO_BASE_URL", "https://api.example.com", "https://api.example.com"),
        ("AIVIDEO_BASE_URL", "https://api.example.com:8443/v1/", "https://api.example.com:8443/v1"),
        ("AIVIDEO_BASE_URL", "https://api.example.com///", "https://api.example.com"),
        ("AIVIDEO_TIMEOUT_MS", "100", 100),
        ("AIVIDEO_TIMEOUT_MS", "600000", 600_000),
        ("AIVIDEO_MAX_RETRIES", "0", 0),
        ("AIVIDEO_MAX_RETRIES", "10", 10),
        ("AIVIDEO_MAX_CREDITS", "0", 0),
        ("AIVIDEO_MAX_CREDITS", "1000000", 1_000_000),
        ("AIVIDEO_DAILY_CREDITS", "500", 500),
        ("AIVIDEO_CONFIRM_ABOVE", "50", 50),
        ("AIVIDEO_MAX_WAIT_S", "1", 1),
        ("AIVIDEO_MAX_WAIT_S", "86400", 86_400),
        ("AIVIDEO_USER_AGENT", "Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
        ("AIVIDEO_HTTP_TOKEN", TOKEN, TOKEN),
    ],
)
def test_a_good_value_is_taken(variable: str, text: str, value: object) -> None:
    assert read(variable, text) == value


@pytest.mark.parametrize("variable", NAMES)
@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_variable_is_unset(variable: str, text: str) -> None:
    assert read_settings({variable: text}) == read_settings({})


def test_other_variables_do_not_matter() -> None:
    assert read_settings({"PATH": "/bin", "AIVIDEO_ZORK": "1", "aivideo_api_key": KEY}) == read_settings({})


def test_an_output_folder_need_not_exist_yet(tmp_path: Path) -> None:
    assert read("AIVIDEO_OUTPUT_DIR", str(tmp_path)) == tmp_path
    assert read("AIVIDEO_OUTPUT_DIR", str(tmp_path / "new" / "videos")) == tmp_path / "new" / "videos"
    assert not (tmp_path / "new").exists()


def test_an_output_folder_may_start_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("AIVIDEO_OUTPUT_DIR", "~/videos") == tmp_path / "videos"


def test_the_timeout_is_given_in_seconds() -> None:
    assert read_settings({"AIVIDEO_TIMEOUT_MS": "1500"}).timeout == pytest.approx(1.5)


# --- The base URL ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "http://127.0.0.1:8000",
        "http://127.1.2.3:1",
        "http://[::1]:8000",
        "http://localhost:8000/base",
        "http://LOCALHOST",
    ],
)
def test_plain_http_is_taken_to_a_loopback_address(url: str) -> None:
    assert read("AIVIDEO_BASE_URL", url + "/") == url
    assert read_settings({"AIVIDEO_BASE_URL": url}).local_upstream


@pytest.mark.parametrize(
    "url",
    [
        "http://aivideomaker.ai",
        "http://192.168.0.1",
        "http://0.0.0.0",
        "http://10.0.0.1:8000",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://[2001:db8::1]",
        "http://example.com/127.0.0.1",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    assert "plain http to another machine" in fault("AIVIDEO_BASE_URL", url)


def test_https_to_another_machine_is_not_local() -> None:
    assert not read_settings({}).local_upstream


@pytest.mark.parametrize(
    "url",
    [
        "https://user@example.com",
        "https://user:secret-word@example.com",
        "https://:secret-word@example.com",
        "http://127.0.0.1@example.com",
        "http://user:secret-word@127.0.0.1",
        "https://example.com/?key=secret-word",
        "https://example.com/#secret-word",
    ],
)
def test_a_base_url_with_credentials_query_or_fragment_is_refused(url: str) -> None:
    """Such a part may be a secret, so the line does not repeat it."""
    line = fault("AIVIDEO_BASE_URL", url)
    assert "holds credentials, a query or a fragment" in line
    assert "secret-word" not in line


@pytest.mark.parametrize(
    "url",
    [
        "aivideomaker.ai",
        "//aivideomaker.ai",
        "/api",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https:example.com",
        "https://example.com:port",
        "https://example.com:99999",
        "https://[::1",
        "ws://localhost",
        "x" * 5000,
    ],
    ids=lambda url: url[:25],
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    line = fault("AIVIDEO_BASE_URL", url)
    assert "URL" in line
    assert "https://aivideomaker.ai" in line
    assert len(line) < 200


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com?",
        "https://example.com#",
        "https://@example.com",
        "https://:@example.com",
        "https://exa mple.com",
        "https://example.com/ api",
        "https://exa\nmple.com",
        "https://example.com\\x",
    ],
)
def test_a_base_url_to_which_no_path_can_be_added_is_refused(url: str) -> None:
    """`https://example.com?` + `/api/v1/account` asks for the start page, and so on."""
    fault("AIVIDEO_BASE_URL", url)


@pytest.mark.parametrize(
    "url",
    ["http://127.1", "http://2130706433", "https://[1:2]", "https://[....]", "http://[127.0.0.1]", "https://999.1.1.1"],
)
def test_a_numeric_host_that_is_no_address_is_refused(url: str) -> None:
    fault("AIVIDEO_BASE_URL", url)


@pytest.mark.parametrize(
    "url", ["http://[::1]example.com", "http://[::1].example.com", "http://localhost\\.example.com"]
)
def test_a_loopback_address_with_a_tail_is_no_loopback_address(url: str) -> None:
    fault("AIVIDEO_BASE_URL", url)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("localhost", True),
        ("localhost.", False),
        ("0.0.0.0", False),  # noqa: S104 - a host that is asked about, not bound
        ("::", False),
        ("", False),
        ("example.com", False),
        ("127.0.0.1 ", False),
        ("\N{FULLWIDTH DIGIT ONE}27.0.0.1", False),
    ],
)
def test_loopback_is_what_cannot_leave_the_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


# --- Bad values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", NUMBERS)
@pytest.mark.parametrize(
    "text",
    [
        *("-1", "+5", "1.5", "1e3", "0x10", "ten", "30s", "1_000", "1,000", "1 000", "99999999999999999999", "NaN"),
        *("\N{ARABIC-INDIC DIGIT FIVE}", "\N{FULLWIDTH DIGIT FIVE}00", "\N{SUPERSCRIPT TWO}", "true", "None"),
    ],
)
def test_what_is_no_whole_number_in_range_is_refused(variable: str, text: str) -> None:
    line = fault(variable, text)
    assert "is not a whole number from " in line
    assert line.endswith(f"Example: {variable}={VARIABLES[NAMES[variable]].example}")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AIVIDEO_TIMEOUT_MS", "99"),
        ("AIVIDEO_TIMEOUT_MS", "600001"),
        ("AIVIDEO_MAX_RETRIES", "11"),
        ("AIVIDEO_MAX_CREDITS", "1000001"),
        ("AIVIDEO_MAX_WAIT_S", "0"),
        ("AIVIDEO_MAX_WAIT_S", "86401"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(variable: str, text: str) -> None:
    assert " to " in fault(variable, text)


def test_a_number_of_thousands_of_digits_is_refused_in_our_words() -> None:
    assert "is not a whole number from " in fault("AIVIDEO_TIMEOUT_MS", "9" * 5000)


@pytest.mark.parametrize("variable", ["AIVIDEO_API_KEY", "AIVIDEO_HTTP_TOKEN", "AIVIDEO_USER_AGENT"])
@pytest.mark.parametrize("bad", ["sécret-word", "secret\nword", "secret\x00word", "secret\x7fword", "secret\u200bword"])
def test_what_no_header_can_carry_is_refused_and_not_repeated(variable: str, bad: str) -> None:
    line = fault(variable, bad)
    assert "holds characters that no HTTP header can carry" in line
    assert "word" not in line


@pytest.mark.parametrize("text", ["videos", "./videos", "../videos", "videos/~"])
def test_an_output_folder_must_be_absolute(text: str) -> None:
    assert "is not an absolute path" in fault("AIVIDEO_OUTPUT_DIR", text)


def test_an_output_folder_must_not_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "is not a folder" in fault("AIVIDEO_OUTPUT_DIR", str(file))


@pytest.mark.parametrize("variable", ["AIVIDEO_OUTPUT_DIR", "AIVIDEO_STATE_DIR", "AIVIDEO_IMAGE_DIRS"])
def test_a_folder_of_which_no_client_could_be_told_is_refused(variable: str) -> None:
    """JSON holds no bytes: the answer with a file's path could not be sent, after the video was paid for."""
    line = fault(variable, os.fsdecode(b"/videos/\xff"))
    assert "bytes that are no text" in line
    assert line.isascii()


def test_image_folders_are_separated_as_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    one, two = tmp_path / "my pictures", tmp_path / "not there yet"
    one.mkdir()
    assert read("AIVIDEO_IMAGE_DIRS", str(one)) == (one,)
    assert read("AIVIDEO_IMAGE_DIRS", f"{one}{os.pathsep}{two}{os.pathsep}~/x") == (one, two, tmp_path / "x")
    assert read("AIVIDEO_IMAGE_DIRS", f"{os.pathsep} {one} {os.pathsep}{os.pathsep}") == (one,)
    assert not two.exists()


def test_each_bad_image_folder_is_told_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    line = fault("AIVIDEO_IMAGE_DIRS", os.pathsep.join(["pictures", str(tmp_path), str(file), "/" + "a" * 300]))
    told = "entry 1 is not an absolute path; entry 3 is not a folder; entry 4 is not a path that can be looked at"
    assert line == f"AIVIDEO_IMAGE_DIRS {told}. Example: AIVIDEO_IMAGE_DIRS=/home/me/Pictures"


@pytest.mark.parametrize("text", [os.pathsep, f" {os.pathsep} {os.pathsep}"])
def test_separators_alone_name_no_image_folder(text: str) -> None:
    assert "names no folder" in fault("AIVIDEO_IMAGE_DIRS", text)


@pytest.mark.parametrize("text", ["~no-such-user-here/videos", "/" + "a" * 300], ids=["unknown user", "too long"])
def test_an_output_folder_that_cannot_be_looked_at_is_refused(text: str) -> None:
    fault("AIVIDEO_OUTPUT_DIR", text)


def test_the_first_bad_variable_is_told_in_the_documented_order() -> None:
    with pytest.raises(ConfigurationError, match=r"^AIVIDEO_BASE_URL "):
        read_settings({"AIVIDEO_MAX_WAIT_S": "x", "AIVIDEO_BASE_URL": "x"})


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@steady
@given(st.sampled_from(sorted(NAMES)), _texts)
@example("AIVIDEO_BASE_URL", "http://[")
@example("AIVIDEO_BASE_URL", "https://a:\N{SUPERSCRIPT TWO}")
def test_any_text_is_a_setting_or_a_clear_line(variable: str, text: str) -> None:
    try:
        settings = read_settings({variable: text})
    except ConfigurationError as refused:
        assert str(refused).startswith(f"{variable} ")  # noqa: PT017 - either outcome is right
        assert "\n" not in str(refused)  # noqa: PT017
    else:
        assert isinstance(settings, Settings)


# --- What beginners write -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", NAMES)
@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb"])
def test_quotes_around_a_value_are_told(variable: str, quotes: str) -> None:
    good = VARIABLES[NAMES[variable]].example
    assert "has quotes around its value" in fault(variable, f" {quotes[0]}{good}{quotes[1]} ")


@pytest.mark.parametrize(
    ("before", "told"), [("Bearer ", "Bearer"), ("bearer ", "bearer"), ("AIVIDEO_API_KEY=", "AIVIDEO_API_KEY=")]
)
def test_what_was_copied_along_with_a_key_is_told(before: str, told: str) -> None:
    assert f'begins with "{told}"' in fault("AIVIDEO_API_KEY", before + KEY)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "your-api-key",
            "YOUR_KEY_HERE",
            "YOUR_API_KEY",
            "<your key>",
            "[key]",
            "ak_...",
            "ak_xxxxxxxx",
            "...",
            "****",
        ),
        *("${AIVIDEO_API_KEY}", "$AIVIDEO_API_KEY", "%AIVIDEO_API_KEY%", "${input:aivideo-key}", "ak_your-key-here"),
        *("api-key-here", "changeme", "insert your token", "paste key here"),
    ],
)
def test_an_examples_text_is_no_key(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings({"AIVIDEO_API_KEY": text}).api_key is None
    monkeypatch.setenv("AIVIDEO_API_KEY", f" {text}\n")
    assert process_survey().placeholder


@pytest.mark.parametrize(
    "text", [KEY, "ak_my0key", "ak_yourself", "ak_xxxx1", "sandbox", "sandbox-key", "ak_key", "xyz"]
)
def test_a_key_is_no_examples_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings({"AIVIDEO_API_KEY": text}).api_key == text
    monkeypatch.setenv("AIVIDEO_API_KEY", text)
    assert not process_survey().placeholder


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("C:\\Users\\me\\Videos", "a path of Windows"),
        ("c:/Users/me/Videos", "a path of Windows"),
        ("\\\\server\\share", "a path of Windows"),
        ("$HOME/videos", "begins with a variable"),
        ("${HOME}/videos", "begins with a variable"),
        ("%USERPROFILE%\\Videos", "begins with a variable"),
        ("file:///home/me/Videos", "is a URL, not a path"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="these are good paths there")
def test_a_path_of_elsewhere_is_told_as_what_it_is(text: str, told: str) -> None:
    assert told in fault("AIVIDEO_OUTPUT_DIR", text)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AIVIDEO_KEY", "AIVIDEO_API_KEY"),
        ("AIVIDEOMAKER_API_KEY", "AIVIDEO_API_KEY"),
        ("AI_VIDEO_API_KEY", "AIVIDEO_API_KEY"),
        ("AIVIDEO_OUTPUT_DIRECTORY", "AIVIDEO_OUTPUT_DIR"),
        ("AIVIDEO_MAX_CREDIT", "AIVIDEO_MAX_CREDITS"),
        ("AIVIDEO_ZORK", None),
    ],
)
def test_a_name_that_looks_like_ours_is_told_with_what_was_meant(
    name: str, meant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ours in [ours for ours in os.environ if ours.startswith("AIVIDEO_")]:
        monkeypatch.delenv(ours)
    monkeypatch.setenv(name, "1")
    assert process_survey().strange == {name: meant}


# --- Flags, secrets, the process ------------------------------------------------------------------------------------


def test_a_flag_beats_its_variable_and_the_default() -> None:
    environment = {"AIVIDEO_BASE_URL": "https://example.com", "AIVIDEO_MAX_WAIT_S": "60"}
    settings = read_settings(environment, base_url="http://127.0.0.1:9", max_retries=0)
    assert (settings.base_url, settings.max_wait_s, settings.max_retries) == ("http://127.0.0.1:9", 60, 0)


def test_a_bad_variable_is_told_even_where_a_flag_beats_it() -> None:
    """A silent mistake would come to light on the day the flag is left out."""
    with pytest.raises(ConfigurationError, match=r"^AIVIDEO_BASE_URL "):
        read_settings({"AIVIDEO_BASE_URL": "nowhere"}, base_url="http://127.0.0.1:9")


def test_the_representation_hides_both_secrets() -> None:
    settings = read_settings({"AIVIDEO_API_KEY": KEY, "AIVIDEO_HTTP_TOKEN": TOKEN})
    assert (settings.api_key, settings.http_token) == (KEY, TOKEN)
    for text in (repr(settings), str(settings), f"{settings}"):
        assert KEY not in text
        assert TOKEN not in text
        assert "aivideomaker.ai" in text


def test_settings_are_frozen_and_hold_nothing_else() -> None:
    settings = read_settings({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.api_key = "other"  # type: ignore[misc]
    assert not hasattr(settings, "__dict__")
    assert hash(settings) == hash(read_settings({}))


def test_an_unknown_flag_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        read_settings({}, zork=1)


def test_the_environment_is_read_once_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AIVIDEO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIVIDEO_API_KEY", KEY)
    settings = process_settings(max_retries=1)
    monkeypatch.delenv("AIVIDEO_API_KEY")
    assert (settings.api_key, settings.max_retries) == (KEY, 1)
    assert process_settings().api_key is None
