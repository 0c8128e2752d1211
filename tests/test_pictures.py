"""Local pictures: read inside the folders of AIVIDEO_IMAGE_DIRS, and nowhere else, whatever a path pretends."""

from __future__ import annotations

import base64
import contextlib
import errno
import itertools
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from aivideo_mcp import pictures
from aivideo_mcp.contracts import MAX_IMAGE_BYTES, read_request
from aivideo_mcp.errors import InvalidPayload
from aivideo_mcp.ledger import Wanted
from aivideo_mcp.pictures import PictureFolders, local_path
from aivideo_mcp.tasks import Envelope
from aivideo_mcp.tools import TOOLS, Call
from tests.fakes import SUBMITTED, FakeNetwork, reply, task
from tests.pictures import GIF, JPEG, KINDS, PNG, WEBP, data_uri, png_of_size

pytestmark = pytest.mark.anyio

PNG_URI = data_uri("png", PNG)
OUTSIDE = "is outside the folders of AIVIDEO_IMAGE_DIRS; only files inside are read"
MISSING = "is not there"
NO_PATH = "is neither a public http(s) URL nor a data:image/...;base64 URI, and no absolute path or file:// URL either"
SECRET = b"AWS_SECRET_ACCESS_KEY=hunter2-canary\n"


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    """The folder that may be read, with things in it and around it that somebody may try."""
    folder, outside = tmp_path / "pics", tmp_path / "outside"
    for made in (folder / "sub" / "deep", folder / "folder.png", outside, tmp_path / "pics-evil"):
        made.mkdir(parents=True)
    for place in ("pics/cat.png", "pics/.hidden", "pics/sub/dog", "outside/key.png", "pics-evil/key.png"):
        (tmp_path / place).write_bytes(PNG)
    (folder / "notes.png").write_bytes(SECRET)
    (folder / "paper.png").write_bytes(b"%PDF-1.7 " + SECRET)
    (folder / "empty.png").touch()
    (outside / "notes.txt").write_bytes(SECRET)
    links = {
        "out.png": outside / "key.png",
        "relative-out.png": Path("../outside/key.png"),
        "chain.png": folder / "out.png",
        "outdir": outside,
        "up": Path(".."),
        "root": Path("/"),
        "dangling-out.png": outside / "nothing.png",
        "environ.png": Path("/proc/self/environ"),
        "zero.png": Path("/dev/zero"),
        "stdin.png": Path("/dev/stdin"),
        "loop.png": Path("loop.png"),
        "dangling-in.png": Path("nothing.png"),
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo.png")
    os.mkfifo(outside / "fifo.png")
    os.mknod(folder / "socket.png", stat.S_IFSOCK | 0o600)
    with (folder / "huge.png").open("wb") as file:
        file.write(PNG)
        file.truncate(MAX_IMAGE_BYTES + 1)
    with (folder / "endless.png").open("wb") as file:
        file.truncate(2**40)
    return folder


async def call(name: str, network: FakeNetwork, arguments: dict[str, Any], *folders: Path) -> Envelope:
    """One call of a tool whose server may read these folders."""

    async def tell(_: str) -> None: ...

    tool = next(tool for tool in TOOLS if tool.name == name)
    async with network.workflow(image_dirs=folders) as workflow:
        return await tool.call(workflow, Call(arguments, tell, seen=False))


async def sent(arguments: dict[str, Any], *folders: Path) -> dict[str, Any]:
    """The body that a create sends."""
    network = FakeNetwork(generate=reply(SUBMITTED))
    envelope = await call("create_generation", network, arguments, *folders)
    assert envelope.ok, envelope.error_message
    body: dict[str, Any] = json.loads(network.requests[0].content)
    return body


async def refused(arguments: dict[str, Any], *folders: Path, tool: str = "create_generation") -> str:
    """The message that refuses a call; nothing is sent."""
    network = FakeNetwork()
    with anyio.fail_after(60):
        envelope = await call(tool, network, arguments, *folders)
    assert (envelope.ok, envelope.error_code, network.calls()) == (False, "INVALID_PAYLOAD", [])
    assert envelope.error_message
    assert "\n" not in envelope.error_message
    assert "canary" not in envelope.text
    assert len(envelope.error_message) < 400
    return envelope.error_message


def i2v(picture: object) -> dict[str, Any]:
    return {"model": "i2v", "image": picture, "duration": 5}


# --- What is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_picture_of_each_kind_is_told_by_its_content_and_not_by_its_name(pics: Path, kind: str) -> None:
    file = pics / "picture.txt"
    file.write_bytes(KINDS[kind])
    assert (await sent(i2v(str(file)), pics))["image"] == data_uri(kind, KINDS[kind])


@pytest.mark.parametrize(
    "path",
    [
        *("{pics}/cat.png", "{pics}/.hidden", "{pics}/sub/dog", "{pics}//cat.png", "{pics}/./cat.png"),
        *("{pics}/sub/../cat.png", "{pics}/../pics/cat.png", "{pics}/up/pics/cat.png", "{pics}/root{pics}/cat.png"),
        *("file://{pics}/cat.png", "file://localhost{pics}/cat.png", "FILE://LOCALHOST{pics}/cat.png"),
        *(
            "file:{pics}/cat.png",
            "file://{pics}/%63at.png",
            "file://{pics}/sub/%2e%2e/cat.png",
            "/proc/self/root{pics}/cat.png",
        ),
    ],
)
async def test_a_file_inside_is_read_however_its_path_is_written(pics: Path, path: str) -> None:
    assert (await sent(i2v(path.replace("{pics}", str(pics))), pics))["image"] == PNG_URI


@pytest.mark.parametrize(
    "name", ["Katze mit Hut.png", "猫 & ü.png", "e\u0301.png", "100% #1?.png", "a\nb.png", "%41.png"]
)
async def test_any_name_is_read_by_path_and_percent_encoded(pics: Path, name: str) -> None:
    (pics / name).write_bytes(GIF)
    for text in (str(pics / name), f"file://{quote(str(pics / name))}", (pics / name).as_uri()):
        assert (await sent(i2v(text), pics))["image"] == data_uri("gif", GIF)


async def test_a_file_is_read_where_folders_cannot_be_walked(pics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_WALKS", False)
    assert (await sent(i2v(str(pics / "up" / "pics" / "sub" / "dog")), pics))["image"] == PNG_URI


async def test_a_link_that_stays_inside_is_followed(pics: Path) -> None:
    (pics / "link.png").symlink_to("sub/dog")
    (pics / "linked").symlink_to(pics / "sub")
    for path in ("link.png", "linked/dog"):
        assert (await sent(i2v(str(pics / path)), pics))["image"] == PNG_URI


async def test_a_folder_may_be_a_link_and_be_named_either_way(pics: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(pics)
    for folder in (alias, pics):
        for way in (alias, pics):
            assert (await sent(i2v(str(way / "cat.png")), folder))["image"] == PNG_URI


async def test_several_folders_are_read_and_what_is_between_them_is_not(pics: Path, tmp_path: Path) -> None:
    folders = (tmp_path / "not there yet", pics / "sub", tmp_path / "outside")
    for path in (pics / "sub" / "dog", pics / "outdir" / "key.png", pics / "out.png"):
        assert (await sent(i2v(str(path)), *folders))["image"] == PNG_URI
    assert OUTSIDE in await refused(i2v(str(pics / "cat.png")), *folders)


async def test_lists_take_paths_beside_urls_and_data_uris(pics: Path) -> None:
    (pics / "a.jpg").write_bytes(JPEG)
    given = [str(pics / "cat.png"), "https://example.com/x.png", data_uri("webp", WEBP), (pics / "a.jpg").as_uri()]
    uris = [PNG_URI, *given[1:3], data_uri("jpeg", JPEG)]
    arguments = {"model": "minimax", "prompt": "a cat"}
    assert (await sent(arguments | {"referenceImages": given}, pics))["referenceImageUrls"] == uris
    assert (await sent(arguments | {"referenceImages": given[0]}, pics))["referenceImageUrls"] == uris[:1]
    horse = {"model": "happyhorse", "prompt": "a cat", "duration": 5, "resolution": "720p"}
    assert (await sent(horse | {"images": given}, pics))["image"] == uris
    assert (await sent(horse | {"image": json.dumps(given)}, pics))["image"] == uris


async def test_the_upstreams_names_and_the_skills_shape_take_paths(pics: Path) -> None:
    cat = str(pics / "cat.png")
    wire = await sent({"model": "minimax", "content": "a cat", "imageUrl": cat, "lastFrameUrl": f"file://{cat}"}, pics)
    assert (wire["imageUrl"], wire["lastFrameUrl"]) == (PNG_URI, PNG_URI)
    payload = {"image": cat, "duration": "5", "filterMode": "strict"}
    for written in (payload, json.dumps(payload)):
        assert (await sent({"model": "i2v", "payload": written}, pics))["image"] == PNG_URI


async def test_generate_video_reads_them_too(pics: Path) -> None:
    network = FakeNetwork(
        generate=reply(SUBMITTED), task=reply(task("COMPLETED")), status=reply({"status": "COMPLETED"})
    )
    await call("generate_video", network, i2v(str(pics / "cat.png")) | {"maxWaitSeconds": 0}, pics)
    assert json.loads(network.requests[0].content)["image"] == PNG_URI
    assert OUTSIDE in await refused(i2v("/etc/hostname"), pics, tool="generate_video")


async def test_the_largest_picture_is_read_and_passes_for_the_same_as_its_data_uri(pics: Path) -> None:
    content = png_of_size(MAX_IMAGE_BYTES)
    (pics / "large.png").write_bytes(content)
    by_path = read_request(i2v(str(pics / "large.png")), PictureFolders((pics,)).read)
    by_uri = read_request(i2v(data_uri("png", content)))
    assert Wanted.of(by_path, None) == Wanted.of(by_uri, None)


async def test_a_repeat_by_data_uri_joins_what_was_paid_for_by_path(pics: Path) -> None:
    network = FakeNetwork(generate=reply(SUBMITTED))
    for number, picture in enumerate((str(pics / "cat.png"), PNG_URI, (pics / ".hidden").as_uri())):
        arguments = i2v(picture) | {"idempotencyKey": "the-same-key"}
        envelope = await call("create_generation", network, arguments, pics)
        assert (envelope.ok, envelope.task_id) == (True, "ck1")
        assert ("nothing was charged now" in envelope.text) is (number > 0)
    assert network.calls() == ["generate"]


# --- What is refused ------------------------------------------------------------------------------------------------

HOSTILE = {
    # outside, plainly
    "/etc/passwd": OUTSIDE,
    "/etc/no-such-file": OUTSIDE,
    "/": OUTSIDE,
    "/proc/self/environ": OUTSIDE,
    "/proc/self/fd/0": OUTSIDE,
    "/proc/self/mem": OUTSIDE,
    "/dev/zero": OUTSIDE,
    "/dev/stdin": OUTSIDE,
    "/dev/tty": OUTSIDE,
    "{out}/key.png": OUTSIDE,
    "{out}/fifo.png": OUTSIDE,
    "{out}": OUTSIDE,
    "{pics}-evil/key.png": OUTSIDE,
    "{pics}/../pics-evil/key.png": OUTSIDE,
    "{pics} /cat.png": OUTSIDE,
    "{pics}./cat.png": OUTSIDE,
    # out by ..
    "{pics}/../outside/key.png": OUTSIDE,
    "{pics}/sub/deep/../../../outside/key.png": OUTSIDE,
    "{pics}/nothing/../../outside/key.png": OUTSIDE,
    "{pics}/cat.png/../../outside/key.png": OUTSIDE,
    "{pics}/..": OUTSIDE,
    "/../../../../etc/passwd": OUTSIDE,
    "file://{pics}/../outside/key.png": OUTSIDE,
    "file://{pics}/%2e%2e/outside/key.png": OUTSIDE,
    "file://{pics}/%2E%2E%2Foutside%2Fkey.png": OUTSIDE,
    "file://{pics}/.%2e/outside/key.png": OUTSIDE,
    "file:///%2e%2e/etc/passwd": OUTSIDE,
    # out by a link
    "{pics}/out.png": OUTSIDE,
    "{pics}/relative-out.png": OUTSIDE,
    "{pics}/chain.png": OUTSIDE,
    "{pics}/outdir/key.png": OUTSIDE,
    "{pics}/outdir/nothing.png": OUTSIDE,
    "{pics}/up/outside/key.png": OUTSIDE,
    "{pics}/root/etc/passwd": OUTSIDE,
    "{pics}/dangling-out.png": OUTSIDE,
    "{pics}/environ.png": OUTSIDE,
    "{pics}/zero.png": OUTSIDE,
    "{pics}/stdin.png": "AIVIDEO_IMAGE_DIRS",
    # inside, and no file
    "{pics}": "is a folder, not a picture",
    "{pics}/": "is a folder, not a picture",
    "{pics}/sub/..": "is a folder, not a picture",
    "{pics}/folder.png": "is not a regular file",
    "{pics}/fifo.png": "is not a regular file",
    "{pics}/socket.png": "is not a regular file",
    "{pics}/loop.png": "is not a regular file",
    "{pics}/nothing.png": MISSING,
    "{pics}/dangling-in.png": MISSING,
    "{pics}/cat.png/more": MISSING,
    "{pics}/cat.png ": MISSING,
    "{pics}/cat.png.": MISSING,
    "{pics}/CON": MISSING,
    "{pics}/nul.png": MISSING,
    "{pics}/cat.png:stream": MISSING,
    "{pics}/\uff0e\uff0e/outside/key.png": MISSING,
    "{pics}/..\uff0foutside\uff0fkey.png": MISSING,
    "{pics}/\u2024\u2024/outside/key.png": MISSING,
    "{pics}/..\\outside\\key.png": MISSING,
    "{pics}/c\u0430t.png": MISSING,
    "{pics}/cat\u200b.png": MISSING,
    "file://{pics}/%252e%252e/outside/key.png": MISSING,
    "file://{pics}/%zz": MISSING,
    # inside, and no picture
    "{pics}/notes.png": "does not hold an image that can be sent; use image/png, image/jpeg, image/webp, image/gif",
    "{pics}/paper.png": "does not hold an image that can be sent (it looks like application/pdf); use image/png",
    "{pics}/empty.png": "does not hold an image",
    "{pics}/huge.png": "is 10,485,761 bytes; at most 10,485,760 bytes (10 MB) are allowed",
    "{pics}/endless.png": "is 1,099,511,627,776 bytes; at most 10,485,760 bytes (10 MB) are allowed",
    # no path of this machine
    "cat.png": NO_PATH,
    "./cat.png": NO_PATH,
    "../pics/cat.png": NO_PATH,
    "": NO_PATH,
    " {pics}/cat.png": NO_PATH,
    "~/cat.png": NO_PATH,
    "~root/cat.png": NO_PATH,
    "$HOME/cat.png": NO_PATH,
    "C:\\Windows\\win.ini": NO_PATH,
    "C:/Windows/win.ini": NO_PATH,
    "NUL": NO_PATH,
    "ftp://example.com/x.png": NO_PATH,
    "javascript:alert(1)": NO_PATH,
    "view-source:file://{pics}/cat.png": NO_PATH,
    "\\\\server\\share\\x.png": "is a network path",
    "//server/share/x.png": "is a network path",
    "/\\server\\share\\x.png": "is a network path",
    "//{pics}/cat.png": "is a network path",
    "\\\\?\\C:\\x.png": "is a network path",
    "file:////server/share/x.png": "is a network path",
    "file:///%2fserver/share/x.png": "is a network path",
    "file://{pics}/%5c%5cserver/x.png": MISSING,
    "file://evil/share/x.png": "is a file URL of another machine",
    "file://evil@localhost{pics}/cat.png": "is a file URL of another machine",
    "file://localhost:80{pics}/cat.png": "is a file URL of another machine",
    "file://127.0.0.1{pics}/cat.png": "is a file URL of another machine",
    "file://localhost.{pics}/cat.png": "is a file URL of another machine",
    "file://\uff4cocalhost{pics}/cat.png": "is a file URL of another machine",
    "file:///C:/Windows/win.ini": OUTSIDE,
    "file://C:/Windows/win.ini": "is a file URL of another machine",
    "file:": "is not a file URL that can be read",
    "file://": "is not a file URL that can be read",
    "file:cat.png": "is not a file URL that can be read",
    "file:\\\\\\x": "is not a file URL that can be read",
    "file://{pics}/cat.png?x": "is not a file URL that can be read",
    "file://{pics}/cat.png#x": "is not a file URL that can be read",
    "file://{pics}/%ff%fe.png": "is a file URL whose %-signs are not UTF-8",
    "file:///%c0%ae%c0%ae/etc/passwd": "is a file URL whose %-signs are not UTF-8",
    "fi\nle://{pics}/cat.png": NO_PATH,
    # what breaks a careless reader
    "{pics}/cat.png\0": "is a path that no file can have",
    "{pics}/\0/../cat.png": "is a path that no file can have",
    "file://{pics}/cat.png%00.txt": "is a path that no file can have",
    "{pics}/\ud83d.png": "is a path with half of a character",
    "{pics}/sub/\udcff": "is a path with half of a character",
    "file://{pics}/\udce4.png": "is a path with half of a character",
    "{pics}/" + "a" * 300: "cannot be read: File name too long",
    "/etc/" + "a" * 300: OUTSIDE,
    "{pics}/" + "a/" * 1500 + "b": MISSING,
    "{pics}/" + "sub/../" * 400 + "nothing": MISSING,
    "/" + "a" * 5000: "too long for a path: 5,001 characters",
    "file:///" + "%41" * 5000: "too long for a path: 15,008 characters",
    base64.b64encode(PNG * 99).decode(): "is neither URL nor data URI, and too long for a path",
}


@pytest.mark.parametrize(("text", "fault"), HOSTILE.items(), ids=[ascii(text)[:50] for text in HOSTILE])
async def test_whatever_leads_out_or_is_no_picture_is_one_clear_error(pics: Path, text: str, fault: str) -> None:
    path = text.replace("{pics}", str(pics)).replace("{out}", str(pics.parent / "outside"))
    message = await refused(i2v(path), pics)
    assert message.startswith("i2v: image ")
    assert fault in message
    assert str(pics) not in message
    assert len(path) <= 40 or path[-40:] not in message


@pytest.mark.parametrize("value", [1, True, {"path": "/etc/passwd"}, [], ["/etc/passwd"]])
async def test_what_is_no_string_is_no_path(pics: Path, value: object) -> None:
    assert (await refused(i2v(value), pics)).startswith("i2v: image ")


async def test_what_may_not_be_read_says_so(pics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(pics))

    before(monkeypatch, "open", "cat.png", refuse)
    assert "cannot be read: Permission denied" in await refused(i2v(str(pics / "cat.png")), pics)


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("{out}/key.png", "{out}/nothing.png"),
        ("{out}/notes.txt", "{out}/key.png/x"),
        ("{pics}/outdir/key.png", "{pics}/outdir/nothing.png"),
        ("{pics}/out.png", "{pics}/dangling-out.png"),
        ("/etc", "/no-such-folder"),
        ("{out}/", "{out}/" + "a" * 300),
    ],
)
async def test_a_path_outside_does_not_tell_whether_there_is_a_file(pics: Path, there: str, missing: str) -> None:
    told = {
        await refused(i2v(path.replace("{pics}", str(pics)).replace("{out}", str(pics.parent / "outside"))), pics)
        for path in (there, missing)
    }
    assert told == {f"i2v: image {OUTSIDE}"}


async def test_going_up_from_something_outside_does_not_tell_what_it_is(pics: Path, tmp_path: Path) -> None:
    """The kernel would go up from where a link leads to, or fail where there is nothing."""
    (tmp_path / "outside" / "link").symlink_to("/usr/bin")
    for name in ("link", "key.png", "nothing"):
        path = f"{tmp_path}/outside/{name}/../../pics/cat.png"
        assert (await sent(i2v(path), pics))["image"] == PNG_URI


async def test_without_folders_the_message_says_how_to_have_some(pics: Path) -> None:
    message = await refused(i2v(str(pics / "cat.png")))
    assert "local files are read only inside the folders of AIVIDEO_IMAGE_DIRS, which is not set" in message


async def test_video_and_sound_are_never_read_from_disk(pics: Path) -> None:
    minimax = {"model": "minimax", "prompt": "a cat"}
    for field in ("referenceVideo", "referenceAudio"):
        message = await refused(minimax | {field: str(pics / "cat.png")}, pics)
        assert f"{field}" in message
        assert "must be a public http(s) URL" in message


async def test_all_faults_of_a_call_are_told_together(pics: Path) -> None:
    given = [str(pics / "cat.png"), "/etc/passwd", str(pics / "nothing.png")]
    message = await refused({"model": "minimax", "duration": 99, "referenceImages": given}, pics)
    for part in ("prompt is missing", "duration 99 is out of range", f"referenceImages[1] {OUTSIDE}"):
        assert part in message
    assert f"referenceImages[2] {MISSING}" in message
    assert "referenceImages[0]" not in message


async def test_a_list_that_is_too_long_is_not_read_through() -> None:
    tried: list[str] = []

    def read(text: str) -> str:
        tried.append(text)
        return PNG_URI

    with pytest.raises(InvalidPayload, match="referenceImages has 1000 entries"):
        read_request({"model": "minimax", "prompt": "x", "referenceImages": ["/x"] * 1000}, read)
    assert len(tried) <= 5


@pytest.mark.parametrize(("uri", "most"), [("x", 32), ("x" * (14 * 2**20), 5), (None, 32)])
async def test_one_call_reads_only_so_many_pictures(uri: str | None, most: int) -> None:
    """`images` of happyhorse has no bound upstream, and a path is short: a thousand of them would be gigabytes."""
    tried: list[str] = []

    def read(text: str) -> str:
        tried.append(text)
        if uri is None:
            raise ValueError("is broken")
        return uri

    horse = {"model": "happyhorse", "prompt": "a cat", "duration": 5, "resolution": "720p"}
    with pytest.raises(InvalidPayload, match="images\\[|and [0-9]+ more") as caught:
        read_request(horse | {"images": ["/x"] * 1000}, read)
    assert len(tried) == most
    if uri is not None:
        assert "is too much: 32 local pictures and 67,108,864 bytes in base64 is the most" in caught.value.message


# --- Swaps between the look and the reading -------------------------------------------------------------------------


def before(monkeypatch: pytest.MonkeyPatch, call: str, name: str, act: Callable[[], object]) -> list[str]:
    """Let `act` happen once, right before a call of `os` with this name; what happened is noted in the list."""
    real, done = getattr(os, call), []

    def late(path: Any, *args: Any, **kwargs: Any) -> Any:
        if Path(str(path)).name == name and not done:
            done.append(call)
            act()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(pictures.os, call, late)
    return done


def swap(path: Path, make: Callable[[], object]) -> Callable[[], object]:
    def act() -> None:
        path.rename(path.with_name("moved away"))
        make()

    return act


@pytest.mark.parametrize("walks", [True, False], ids=["step by step", "as on Windows"])
@pytest.mark.parametrize(
    ("moment", "what"),  # a hard link made before the look is simply the file
    [*itertools.product(("stat", "open"), ("link", "fifo", "folder", "nothing")), ("open", "hard link")],
)
async def test_a_file_swapped_before_it_is_opened_is_not_read(
    pics: Path, monkeypatch: pytest.MonkeyPatch, walks: bool, moment: str, what: str
) -> None:
    cat, key = pics / "cat.png", pics.parent / "outside" / "key.png"
    make = {
        "link": lambda: cat.symlink_to(key),
        "hard link": lambda: cat.hardlink_to(key),
        "fifo": lambda: os.mkfifo(cat),
        "folder": cat.mkdir,
        "nothing": lambda: None,
    }[what]
    done = before(monkeypatch, moment, "cat.png", swap(cat, make))
    monkeypatch.setattr(pictures, "_WALKS", walks)
    message = await refused(i2v(str(cat)), pics)
    assert done == [moment]
    assert any(part in message for part in ("is not a regular file", "was replaced", MISSING, "cannot be read"))


@pytest.mark.parametrize(
    ("walks", "moment", "name"), [(True, "open", "pics"), (True, "open", "sub"), (False, "stat", "dog")]
)
async def test_a_folder_on_the_way_swapped_for_a_link_is_not_followed(
    pics: Path, monkeypatch: pytest.MonkeyPatch, walks: bool, moment: str, name: str
) -> None:
    (pics.parent / "outside" / "dog").write_bytes(PNG)
    sub = pics / "sub"
    done = before(monkeypatch, moment, name, swap(sub, lambda: sub.symlink_to("../outside")))
    monkeypatch.setattr(pictures, "_WALKS", walks)
    await refused(i2v(str(sub / "dog")), pics)
    assert done == [moment]


async def test_a_file_that_grows_while_it_is_read_is_refused(pics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a picture would be paid for like a whole one, and an endless one never ends."""
    cat = pics / "cat.png"

    def grow() -> None:
        with cat.open("ab") as file:
            file.truncate(2**40)

    real = os.fdopen

    def late(descriptor: int, mode: str) -> Any:
        file, looked = real(descriptor, mode), os.fstat(descriptor)
        grow()
        monkeypatch.setattr(pictures.os, "fstat", lambda _: looked)
        return file

    monkeypatch.setattr(pictures.os, "fdopen", late)
    assert "changed while it was read" in await refused(i2v(str(cat)), pics)


async def test_no_descriptor_stays_open(pics: Path) -> None:
    held = len(list(Path("/proc/self/fd").iterdir()))
    folders = PictureFolders((pics,))
    for name in (
        "cat.png",
        "sub/dog",
        "fifo.png",
        "nothing.png",
        "sub/nothing/x",
        "huge.png",
        "notes.png",
        "folder.png",
    ):
        for _ in range(3):
            with contextlib.suppress(ValueError):
                folders.read(str(pics / name))
    assert len(list(Path("/proc/self/fd").iterdir())) == held


# --- Windows, and clients' roots ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("C:\\pics\\cat.png", "C:\\pics\\cat.png"),
        ("C:/pics/sub/../cat.png", "C:\\pics\\cat.png"),
        ("file:///C:/pics/a%20b.png", "C:\\pics\\a b.png"),
        ("file:///c%3A/pics/cat.png", "c:\\pics\\cat.png"),
        ("file://localhost/C:/pics/cat.png", "C:\\pics\\cat.png"),
        ("C:\\pics\\console.png", "C:\\pics\\console.png"),
    ],
)
def test_paths_of_windows_are_understood_there(text: str, path: str) -> None:
    assert local_path(text, windows=True) == path


@pytest.mark.parametrize(
    "text",
    [
        *("C:cat.png", "C:", "\\pics\\cat.png", "/pics/cat.png", "file:///pics/cat.png", "\\\\server\\share\\x.png"),
        *("//server/share/x.png", "\\\\?\\C:\\x.png", "\\\\.\\NUL", "C:\\CON", "C:\\pics\\NUL", "C:\\pics\\nul.png"),
        *("C:\\pics\\aux .txt", "C:\\COM1\\x.png", "C:\\lpt¹", "C:\\pics\\cat.png:stream", "C:\\pics\\cat.png::$DATA"),
        *("file:////server/share/x.png", "file:///C:/pics/con", "file://server/C:/x.png", "C:\\pics\\conin$"),
    ],
)
def test_devices_streams_and_shares_of_windows_are_never_opened(text: str) -> None:
    with pytest.raises(ValueError, match="is "):
        local_path(text, windows=True)


def readable(folders: PictureFolders, *paths: Path) -> list[bool]:
    """Which of these pictures may be read."""

    def may(path: Path) -> bool:
        try:
            return folders.read(str(path)) == PNG_URI
        except ValueError as fault:
            assert "outside the folders of AIVIDEO_IMAGE_DIRS" in str(fault)  # noqa: PT017 - either outcome is right
            return False

    return [may(path) for path in paths]


def test_roots_narrow_the_folders_and_never_widen_them(pics: Path, tmp_path: Path) -> None:
    folders = PictureFolders((pics,))
    paths = pics / "cat.png", pics / "sub" / "dog", tmp_path / "outside" / "key.png"
    assert folders.narrowed([]) == folders
    for roots, expected in [
        ([], [True, True, False]),
        ([tmp_path.as_uri()], [True, True, False]),
        (["file:///"], [True, True, False]),
        ([pics.as_uri()], [True, True, False]),
        ([(pics / "sub").as_uri()], [False, True, False]),
        ([(pics / "sub").as_uri() + "/"], [False, True, False]),
        ([(pics / "outdir").as_uri(), (pics / "sub").as_uri()], [False, True, False]),
        ([(tmp_path / "outside").as_uri()], [False, False, False]),
        (["https://example.com/", "file://evil/", "file:///%ff", "pics", ""], [False, False, False]),
    ]:
        assert readable(folders.narrowed(roots), *paths) == expected


def test_narrowing_twice_narrows_twice(pics: Path) -> None:
    twice = PictureFolders((pics,)).narrowed([(pics / "sub").as_uri()]).narrowed([pics.as_uri()])
    assert readable(twice, pics / "cat.png", pics / "sub" / "dog") == [False, True]
    with pytest.raises(ValueError, match="AIVIDEO_IMAGE_DIRS and the client's roots"):
        twice.read(str(pics / "cat.png"))


def test_a_root_that_becomes_a_link_out_of_the_folder_opens_nothing(pics: Path, tmp_path: Path) -> None:
    narrowed = PictureFolders((pics,)).narrowed([(pics / "sub").as_uri()])
    (pics / "sub").rename(pics / "old")
    (pics / "sub").symlink_to(tmp_path / "outside")
    assert readable(narrowed, pics / "sub" / "key.png", tmp_path / "outside" / "key.png") == [False, False]
