"""What is hostile about names, folders and other programs stays outside of the videos, and the videos inside."""

from __future__ import annotations

import itertools
import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.media import fetching, file_name, places
from aivideo_mcp.tasks import Task
from tests.filehost import BEFORE, CLIP, FINISHED, NAME, Host, finished, saying

pytestmark = pytest.mark.anyio

DAY = 24 * 3600.0


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of somebody's, outside of the folder."""
    file = tmp_path / "passwd"
    file.write_bytes(b"root:x:0:0")
    return file


# Names

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "\\\\server\\share",
    "a\\b",
    "C:evil",
    "con",
    "NUL",
    "aux.mp4",
    "com1",
    "lpt9.",
    "~",
    "~root",
    "-rf",
    "$(reboot)",
    "`id`",
    "a;b|c>d<e?f*g",
    "a\x00b",
    "a\nb\rc\td",
    "\x1b[31mred",
    "trailing dots...",
    "trailing spaces   ",
    "   ",
    ".hidden",
    "\u202egpj.exe",
    "\u2066\u200b\ufeff",
    "\ud800",
    "ＦＵＬＬ／ＷＩＤＴＨ",  # noqa: RUF001 - full-width letters and a slash
    "٣.mp4",
    "éÉß",
    "кот",
    "🐈" * 100,
    "x" * 5000,
    "ä" * 5000,
    "a/" * 2500,
    "_" * 50,
    "ck1~2",
    "ck1.mp4.part",
    "%2e%2e%2f",
    "file:stream",
]
SAFE = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|undated)(?:_[A-Za-z0-9-]+)+(?:~[0-9a-f]{8})?\.mp4")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", ["id", "model", "prompt", "created_at", "all"])
def test_a_file_name_stays_one_plain_short_name_whatever_a_task_holds(text: str, where: str) -> None:
    fields = ["id", "model", "prompt", "created_at"] if where == "all" else [where]
    name = file_name(FINISHED.model_copy(update=dict.fromkeys(fields, text)))
    assert SAFE.fullmatch(name), name
    assert len(os.fsencode(f".{name}~2.part")) <= 143, "encrypted home folders take no more"
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name)


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_tasks_are_saved_inside_the_folder_and_nowhere_else(videos: Path, text: str) -> None:
    hostile = FINISHED.model_copy(update={"id": text, "model": text, "prompt": text, "created_at": text})
    saved = await Host().folder(videos).save(hostile)
    assert [saved] == list(videos.iterdir())
    assert sorted(path.name for path in videos.parent.iterdir()) == ["state", "videos"]


@pytest.mark.parametrize(
    ("given", "slug"),
    [
        ({"prompt": "A cat on a skateboard"}, "_a-cat-on-a-skateboard"),
        ({"prompt": "Crème brûlée à l'été, ½ off!"}, "_creme-brulee-a-l-ete-1-2-off"),
        ({"prompt": "Straße im ＮＥＢＥＬ"}, "_strasse-im-nebel"),  # noqa: RUF001 - full-width letters
        ({"prompt": "кот cat"}, "_cat"),
        ({"prompt": "кот"}, ""),
        ({"prompt": "!!!"}, ""),
        ({"prompt": ["First segment", "second"]}, "_first-segment"),
        ({"prompt": []}, ""),
        ({"prompt": None, "content": "for minimax"}, "_for-minimax"),
        ({"prompt": {"deep": 1}}, ""),
        ({"prompt": 5}, ""),
        ("no object", ""),
        (None, ""),
        ({"prompt": "one two three four five six seven eight nine"}, "_one-two-three-four-five-six-seven-eight"),
        ({"prompt": "w" * 5000}, "_" + "w" * 40),
    ],
)
def test_a_name_says_what_was_asked_for_in_plain_letters(given: object, slug: str) -> None:
    assert file_name(finished(input=given)) == f"2026-11-23_t2v{slug}_ck1.mp4"


def test_tasks_never_share_a_file_on_any_file_system() -> None:
    ids = {"ck1", "CK1", "Ck1", "c.k1", "c_k1", "c-k1", "c--k1", "ck1_2", "2", "x" * 400, "x" * 401, *HOSTILE}
    tasks = [FINISHED.model_copy(update={"id": it, "prompt": p}) for it in ids for p in ("", "ck1", "c k1", "x" * 400)]
    for prompt in ("", "ck1", "c k1", "x" * 400):
        names = [file_name(it).lower() for it in tasks if it.prompt == prompt]
        assert len(set(names)) == len(names)
    across = {file_name(it).lower(): it.id for it in tasks}
    assert all(across[file_name(it).lower()] == it.id for it in tasks)


def test_the_prompt_is_no_part_of_any_answer() -> None:
    read = finished(input={"prompt": 'a "canary"' + "x" * 1000})
    assert read.prompt is not None
    assert len(read.prompt) <= 200
    assert "canary" not in read.model_dump_json() + "".join(read.lines())
    assert "prompt" not in Task.model_json_schema()["properties"]


# What others put into the folder


def fifo(path: Path, _outside: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, _outside: Path) -> None:
    path.mkdir()


def link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def dangling_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside.with_name("not-there"))


def loop(path: Path, _outside: Path) -> None:
    path.symlink_to(path)


def link_to_a_folder(path: Path, outside: Path) -> None:
    path.symlink_to(outside.parent)


def second_name(path: Path, outside: Path) -> None:
    path.hardlink_to(outside)


def unix_socket(path: Path, _outside: Path) -> None:
    (path.parent.parent / "s").mkdir()
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def somebodys_file(path: Path, _outside: Path) -> None:
    path.write_bytes(b"holiday pictures")


def empty_file(path: Path, _outside: Path) -> None:
    path.touch()


OBSTACLES = [fifo, folder, link, dangling_link, loop, link_to_a_folder, second_name, unix_socket]


def shape(path: Path) -> tuple[int, int, bytes]:
    its = path.lstat()
    return stat.S_IFMT(its.st_mode), its.st_ino, path.read_bytes() if stat.S_ISREG(its.st_mode) else b""


@pytest.mark.parametrize(
    ("name", "put"),
    [
        *((NAME, put) for put in (*OBSTACLES, somebodys_file, empty_file)),
        *((f".{NAME}.part", put) for put in OBSTACLES),  # a plain file there is a partial
    ],
)
async def test_whatever_lies_in_the_way_is_left_as_it_is_and_the_video_is_saved_beside_it(
    videos: Path, outside: Path, put: Callable[[Path, Path], None], name: str
) -> None:
    obstacle = videos / name
    put(obstacle, outside)
    before, others = shape(obstacle), sorted(path.name for path in videos.parent.iterdir())
    with anyio.fail_after(60):
        saved = await Host().folder(videos).save(FINISHED)
    assert saved == videos / (NAME if name.startswith(".") else NAME.replace(".mp4", "~2.mp4"))
    assert saved.read_bytes() == CLIP
    assert shape(obstacle) == before
    assert outside.read_bytes() == b"root:x:0:0"
    assert sorted({*others, "state"}) == sorted(path.name for path in videos.parent.iterdir())
    host = Host()
    assert await host.folder(videos).save(FINISHED) == saved, "and is found there again"
    assert host.asked == []


async def test_a_link_to_a_whole_video_is_not_taken_for_the_video(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.mp4").write_bytes(CLIP)
    (videos / NAME).symlink_to(tmp_path / "theirs.mp4")
    saved = await Host().folder(videos).save(FINISHED)
    assert saved.name != NAME
    assert not saved.is_symlink()


async def test_when_all_names_are_taken_that_is_said_and_nothing_is_asked(videos: Path) -> None:
    for name in [NAME, *(NAME.replace(".mp4", f"~{n}.mp4") for n in range(2, 10))]:
        (videos / name).write_bytes(b"mine")
    host = Host()
    with pytest.raises(DownloadFailed, match="taken"):
        await host.folder(videos).save(FINISHED)
    assert host.asked == []


async def test_a_file_that_appears_during_the_download_is_not_overwritten(videos: Path) -> None:
    def racing(host: Host, _: httpx.Request) -> httpx.Response:
        (videos / NAME).write_bytes(b"theirs")
        return httpx.Response(200, content=host.content)

    saved = await Host([racing]).folder(videos).save(FINISHED)
    assert (videos / NAME).read_bytes() == b"theirs"
    assert saved.read_bytes() == CLIP
    assert len(list(videos.iterdir())) == 2


@pytest.mark.parametrize("put", [link, second_name, folder, fifo, None])
async def test_a_partial_that_is_exchanged_during_the_download_is_not_given_the_name(
    videos: Path, outside: Path, put: Callable[[Path, Path], None] | None
) -> None:
    def racing(host: Host, _: httpx.Request) -> httpx.Response:
        (videos / f".{NAME}.part").unlink()
        if put:
            put(videos / f".{NAME}.part", outside)
        return httpx.Response(200, content=host.content)

    with pytest.raises(DownloadFailed, match="Another program"):
        await Host([racing]).folder(videos).save(FINISHED)
    assert outside.read_bytes() == b"root:x:0:0"
    assert not (videos / NAME).exists()


async def test_a_folder_that_is_exchanged_for_a_link_during_the_download_is_not_followed(
    videos: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def racing(host: Host, _: httpx.Request) -> httpx.Response:
        videos.rename(tmp_path / "moved")
        videos.symlink_to(elsewhere)
        return httpx.Response(200, content=host.content)

    with pytest.raises(DownloadFailed):
        await Host([racing]).folder(videos).save(FINISHED)
    assert list(elsewhere.iterdir()) == []


async def test_the_folder_itself_may_be_a_link(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(videos)
    saved = await Host().folder(tmp_path / "linked").save(FINISHED)
    assert saved == videos / NAME
    host = Host()
    assert await host.folder(videos).save(FINISHED) == saved
    assert host.asked == []


@pytest.mark.parametrize("put", [somebodys_file, dangling_link, loop, fifo])
async def test_a_folder_that_is_none_is_one_clear_failure(
    tmp_path: Path, outside: Path, put: Callable[[Path, Path], None]
) -> None:
    put(tmp_path / "place", outside)
    with pytest.raises(DownloadFailed, match="could not be written"):
        await Host().folder(tmp_path / "place").save(FINISHED)
    with pytest.raises(DownloadFailed, match="could not be written"):
        await Host().folder(tmp_path / "place" / "sub").save(FINISHED)


async def test_a_path_that_is_too_long_is_one_clear_failure(videos: Path) -> None:
    with pytest.raises(DownloadFailed, match="too long"):
        await Host().folder(videos / ("x" * 300)).save(FINISHED)


async def test_partial_files_that_nobody_went_on_with_are_removed_and_nothing_else_is(
    videos: Path, outside: Path
) -> None:
    old, young = BEFORE - 2 * DAY - 60, BEFORE - DAY
    ages = {
        ".2026-11-20_t2v_x_ck7.mp4.part": old,
        ".undated_video_ck8~0123abcd.mp4.part": old,
        ".2026-11-22_t2v_x_ck9.mp4.part": young,
        ".somebody-elses.mp4.part": old,
        "2026-11-20_t2v_x_ck7.mp4": old,
        "2026-11-20_t2v_x_ck7.mp4.part": old,
    }
    for name, age in ages.items():
        (videos / name).write_bytes(b"1234")
        os.utime(videos / name, (age, age))
    link(videos / ".2026-11-20_t2v_x_linked.mp4.part", outside)
    folder(videos / ".2026-11-20_t2v_x_folder.mp4.part", outside)
    os.utime(outside, (old, old))
    os.utime(videos / ".2026-11-20_t2v_x_folder.mp4.part", (old, old))
    await Host().folder(videos).save(FINISHED)
    kept = [*list(ages)[2:], ".2026-11-20_t2v_x_linked.mp4.part", ".2026-11-20_t2v_x_folder.mp4.part", NAME]
    assert sorted(path.name for path in videos.iterdir()) == sorted(kept)
    assert outside.exists()


async def test_files_are_made_as_the_user_makes_files(videos: Path) -> None:
    (videos / "probe").touch()
    saved = await Host().folder(videos).save(FINISHED)
    assert saved.stat().st_mode == (videos / "probe").stat().st_mode
    assert saved.stat().st_nlink == 1


# What needs the other event loop: httpx's generators that are left in the middle, and real threads


async def test_a_body_that_outgrows_its_announcement_is_begun_again(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0, 0))
    host = Host([saying(200, CLIP + b"x" * 9000, content_length=str(len(CLIP)))])
    assert (await host.folder(videos).save(FINISHED)).read_bytes() == CLIP
    assert host.ranges == [None, None]


async def test_a_body_without_an_end_is_cut_off(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_VIDEO", 5000)
    host = Host([saying(200, CLIP)])
    with pytest.raises(DownloadFailed, match="larger than 5,000 bytes"):
        await host.folder(videos).save(FINISHED)
    assert host.sent == [6000]
    assert list(videos.iterdir()) == []


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").glob("*")))  # none where there is no such folder


@pytest.mark.parametrize("ended", [False, True])
async def test_a_save_cancelled_at_any_step_never_keeps_the_turn(videos: Path, *, ended: bool) -> None:
    """Cancelled when a step in a thread begins, and when it has ended."""
    descriptors = open_descriptors()
    cancelled = 0
    for last in range(20):
        steps = itertools.count()
        with anyio.CancelScope() as scope:

            async def step(
                work: Callable[[], Any], scope: anyio.CancelScope = scope, last: int = last, steps: Any = steps
            ) -> Any:
                if (now := next(steps)) == last and not ended:
                    scope.cancel()
                result = await anyio.to_thread.run_sync(work)
                if now == last:
                    scope.cancel()
                return result

            await Host().folder(videos, in_thread=step).save(FINISHED)
        cancelled += scope.cancelled_caught
        with anyio.fail_after(60):
            saved = await Host().folder(videos).save(FINISHED)
        assert saved.read_bytes() == CLIP
        assert list(videos.iterdir()) == [saved]
        saved.unlink()
    assert cancelled >= 9
    assert open_descriptors() <= descriptors + 5


def test_a_target_never_leads_out_of_its_folder(videos: Path) -> None:
    for name in ("../x.mp4", "a/b.mp4", "/x.mp4"):
        with pytest.raises(DownloadFailed):
            places.choose(videos, name)


async def test_a_task_of_another_name_gets_a_file_of_its_own(videos: Path) -> None:
    saving = Host().folder(videos)
    saved = {await saving.save(finished(id=it)) for it in ("ck1", "CK1", "Ck1", "ck2")}
    assert len({path.name.lower() for path in saved}) == 4
