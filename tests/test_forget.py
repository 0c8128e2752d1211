"""The command that deletes records."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from aivideo_mcp import cli
from tests.fakes import BASE, KEY
from tests.machine import DAY, Machine, running

pytestmark = pytest.mark.anyio


def forget(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["forget", *arguments])
    return ended.value.code, *capsys.readouterr()


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A folder with one delivered and one open generation of 40 days ago, and one delivered yesterday."""
    machine = Machine(tmp_path / "state")
    monkeypatch.setenv("AIVIDEO_STATE_DIR", str(machine.folder))
    monkeypatch.setenv("AIVIDEO_API_KEY", KEY)
    monkeypatch.setenv("AIVIDEO_BASE_URL", BASE)

    async def make() -> None:
        today = time.time()  # the command goes by the real clock
        server = machine.server()
        for task_id, days in (("old", 40), ("open", 40), ("new", 1)):
            machine.now = today - days * DAY
            await running(server, task_id, task_id)
            if task_id != "open":
                await server.delivered(task_id)
        await machine.off()

    anyio.run(make)
    return machine


def tasks(machine: Machine) -> set[str]:
    return {row["task_id"] for row in machine.rows()}


@pytest.mark.parametrize(
    ("arguments", "number", "left"),
    [
        (("--days", "30"), "1 record deleted", {"open", "new"}),
        (("--days", "30", "--all"), "2 records deleted", {"new"}),
        (("--days", "400"), "0 records deleted", {"old", "open", "new"}),
        (("--days", "0.5"), "2 records deleted", {"open"}),
        ((), "2 records deleted", {"open"}),
        (("--all",), "3 records deleted", set()),
    ],
)
def test_forget_deletes_what_it_was_told_and_says_how_much(
    history: Machine, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], number: str, left: set[str]
) -> None:
    code, out, err = forget(capsys, *arguments)
    assert (code, out, err) == (0, "", f"aivideo-mcp: {number}\n")
    assert tasks(history) == left


def test_forget_leaves_other_accounts_alone(
    history: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIVIDEO_API_KEY", f"{KEY}_other")
    assert forget(capsys, "--all")[0] == 0
    assert len(history.rows()) == 3


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "soon", "", "1e99"])
def test_forget_takes_no_odd_number_of_days(history: Machine, capsys: pytest.CaptureFixture[str], days: str) -> None:
    code, out, err = forget(capsys, f"--days={days}")
    assert (code, out) == (2, "")
    assert "is not a number of days" in err
    assert len(history.rows()) == 3


def test_forget_says_in_one_line_that_the_folder_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AIVIDEO_STATE_DIR", str(tmp_path / "file" / "state"))
    code, out, err = forget(capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "AIVIDEO_STATE_DIR" in err
    assert "Traceback" not in err


def test_forget_on_a_machine_without_a_ledger_deletes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIVIDEO_STATE_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("AIVIDEO_API_KEY", KEY)
    assert forget(capsys)[0::2] == (0, "aivideo-mcp: 0 records deleted\n")


def test_forget_without_a_key_says_that_it_does_not_know_whose_records(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, told = forget(capsys, "--all")
    assert (code, told.count("\n")) == (2, 1)
    assert "AIVIDEO_API_KEY is not set" in told
