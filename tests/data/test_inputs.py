"""What users name: files, folders, patterns, addresses (a server on this machine), a pipe."""

import io
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from PIL import Image

from pocketeye.data import UnreadableImage
from pocketeye.data.files import fetch
from pocketeye.data.files.decode import decode
from pocketeye.data.inputs import FileInput, find_inputs, names_images, still_of
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.verbs.predict.inputs import names_videos
from tests.data.layouts import encoded, make_image

PNG = encoded(7)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/ok.png":
                self.answer(PNG)
            case "/moved":
                self.answer(b"", 302, location="/ok.png")
            case "/trick":
                self.answer(b"", 302, location="file:///etc/hostname")
            case "/cut":
                self.answer(PNG, length=len(PNG) + 9)
            case "/huge":
                self.answer(b"x" * 5000, length=None)
            case "/stated":
                self.answer(b"", length=1 << 40)
            case "/drip":
                with suppress(OSError):  # until the other side hangs up
                    for letter in itertools.cycle(b"HTTP/1.1 200 OK\r\nX: x"):
                        self.wfile.write(bytes([letter]))
                        time.sleep(0.02)
            case "/page":
                self.answer(b"<html></html>")
            case _:
                self.answer(b"nothing", 404)

    def answer(
        self, data: bytes, code: int = 200, location: str = "", length: int | None = -1
    ) -> None:
        self.send_response(code)
        if location:
            self.send_header("Location", location)
        if length is not None:
            self.send_header("Content-Length", str(len(data) if length < 0 else length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a server on this machine."""
    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def names(*named: str | Path, stdin: bytes | None = None) -> list[str]:
    pipe = None if stdin is None else io.BytesIO(stdin)
    return [item.name for item in find_inputs(named, pipe)[0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "deep/c.webp", "[1].png"):
        make_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def test_files_folders_and_patterns(folder: Path) -> None:
    everything = [str(folder / n) for n in ("[1].png", "a.JPG", "b.png", "deep/c.webp")]
    assert names(folder) == everything
    assert names(folder / "b.png", folder / "a.JPG") == [everything[2], everything[1]]
    assert names(folder / "notes.txt") == [str(folder / "notes.txt")]  # named: tried
    assert names(folder / "*") == everything[:3]
    assert names(str(folder / "**" / "*.webp")) == everything[3:]
    assert names(folder / "[1].png") == everything[:1]  # a file before it is a pattern


def test_links_that_lead_nowhere_do_not_end_a_folder(folder: Path) -> None:
    before = names(folder)
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "dangling.png").symlink_to("gone.png")
    assert names(folder) == before


def test_names_that_lead_nowhere(folder: Path) -> None:
    (folder / "empty").mkdir()
    missing = [folder / "no.png", folder / "*.bmp", folder / "empty"]
    found, problems = find_inputs([*missing, folder / "b.png"])
    assert [item.name for item in found] == [str(folder / "b.png")]
    assert problems == [
        f"no image at {missing[0]}", f"no image matches {missing[1]}",
        f"no images in {missing[2]}",
    ]  # fmt: skip
    with pytest.raises(MissingFile, match=r"no image at .*no\.png \(and 2 more like it\)"):
        find_inputs(missing)
    with pytest.raises(InvalidValue, match="no images in"):
        find_inputs(missing[2:])
    with pytest.raises(InvalidValue, match="empty list"):
        find_inputs([])


def test_standard_input_is_a_image_or_a_list(folder: Path) -> None:
    found, problems = find_inputs(["-"], io.BytesIO(PNG))
    assert [(item.name, item.read()) for item in found] == [("standard input", PNG)]
    assert not problems
    text = f"{folder}/b.png\r\n\n  {folder}/deep\nhttps://example.org/x.png\n{folder}/[1].png\n"
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode()):
        assert names("-", stdin=data) == [
            f"{folder}/b.png", f"{folder}/deep/c.webp", "https://example.org/x.png",
            f"{folder}/[1].png",
        ]  # fmt: skip
    assert names("/dev/stdin", stdin=b"P2 1 1 255 7\n") == ["standard input"]  # an image in letters
    assert names("-", stdin=b"\0\1\2") == ["standard input"]
    _, problems = find_inputs(["-", folder], io.BytesIO(b"gone.png\n"))
    assert problems == ["no image at gone.png"]
    for stdin in (b"", b" \n"):
        with pytest.raises(InvalidValue, match="standard input is empty"):
            find_inputs(["-"], io.BytesIO(stdin))
    with pytest.raises(InvalidValue, match="pipe an image"):
        find_inputs(["-"], None)


def test_addresses(server: str) -> None:
    for path in ("/ok.png", "/moved"):
        (item,), _ = find_inputs([server + path])
        assert item.name == server + path
        assert item.read() == PNG


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing", "the server answers 404"),
        ("/cut", "the connection ended after"),
        ("/stated", "larger than 64 MiB"),
        ("/trick", "the server answers 302|cannot be fetched"),
    ],
)
def test_addresses_that_fail(server: str, path: str, message: str) -> None:
    (item,), _ = find_inputs([server + path])
    with pytest.raises(UnreadableImage, match=message):
        item.read()


def test_limits_of_fetching(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MOST_BYTES", 4000)
    with pytest.raises(UnreadableImage, match="larger than"):
        fetch.fetch(server + "/huge")
    monkeypatch.setattr(fetch, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(fetch, "DEADLINE_S", 0.3)
    begun = time.monotonic()
    with pytest.raises(UnreadableImage, match=r"not here after 0\.3 s"):
        fetch.fetch(server + "/drip")  # a byte of its headers now and then, for ever
    assert time.monotonic() - begun < 3


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for name, words in (
        (str(tmp_path / "pipe.png"), "a pipe"),
        ("/dev/zero", "a device"),
    ):
        (item,), _ = find_inputs([name])
        with pytest.raises(UnreadableImage, match=words):
            item.read()
        with pytest.raises(UnreadableImage, match=words):
            decode(Path(name))
    with pytest.raises(MissingFile, match="a name of 300 characters is none"):
        find_inputs(["a" * 300])


def test_without_a_network() -> None:
    for address in ("http://127.0.0.1:9/x.png", "http://no.such.host.invalid/x.png", "http://[/"):
        (item,), _ = find_inputs([address])
        with pytest.raises(UnreadableImage, match="save the image and name the file"):
            item.read()


def test_an_animation_is_its_first_frame_and_said_to_be_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for name in ("a.gif", "a.png", "a.webp", "a.tiff"):
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
        caplog.clear()
        red, _, blue = still_of(FileInput(path)).getpixel((4, 4))
        assert (red, blue) == (255, 0)
        assert "3 frames" in caplog.text
        assert name in caplog.text
    caplog.clear()
    frames[0].save(tmp_path / "still.png")
    still_of(FileInput(tmp_path / "still.png"))
    assert caplog.text == ""


def test_an_empty_name_is_not_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFile, match="empty"):
        find_inputs([""])
    assert not names_images("")
    assert not names_videos([""])
    assert len(find_inputs(["."])[0]) == 1


def test_a_name_too_long_is_that_of_nothing() -> None:
    name = "x" * 5000
    with pytest.raises(MissingFile, match="5000 characters"):
        find_inputs([name])
    assert not names_videos([name])
    with pytest.raises(MissingFile):
        find_inputs([name + "*"])


def test_an_image_without_pixels() -> None:
    with pytest.raises(InvalidValue, match="no pixels: its size is 0x3"):
        find_inputs([Image.new("RGB", (0, 3))])
