"""Frames from folders, globs, arrays, generators, cameras and addresses."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from pocketeye.errors import InvalidType, InvalidValue, MissingFile
from pocketeye.tracking import open_video
from pocketeye.tracking.io.source import natural_key
from tests.tracking.clips import number_of, numbered, write_clip


@pytest.fixture
def folder(tmp_path):
    for i in (0, 1, 2, 10, 11):
        Image.fromarray(numbered(i)).save(tmp_path / f"frame{i}.png")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden.png").write_text("")
    return tmp_path


def test_a_folder_in_natural_order(folder):
    with open_video(folder, fps=12.5) as video:
        assert (video.size, video.num_frames, video.fps) == ((96, 64), 5, 12.5)
        assert [number_of(f) for f in video] == [0, 1, 2, 10, 11]
        assert number_of(video[-2]) == 10
        with pytest.raises(InvalidValue, match=r"no frame 5: .*0 to 4"):
            video[5]


def test_natural_order():
    names = ["b1", "a10", "a2", "a02b", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a2", "a02b", "a10", "b1"]


def test_globs_and_lists_of_paths(folder):
    video = open_video(f"{folder}/frame1*.png")
    assert [number_of(f) for f in video] == [1, 10, 11]
    video = open_video([folder / "frame10.png", str(folder / "frame2.png")])
    assert [number_of(f) for f in video] == [10, 2]
    assert open_video(folder / "frame2.png").num_frames == 1
    with pytest.raises(MissingFile, match=r"no image matches .*\*.jpg"):
        open_video(f"{folder}/*.jpg")


def test_davis(datasets):
    video = open_video(datasets / "davis2016-train" / "JPEGImages" / "270p" / "bear")
    assert video.size[1] == 270
    assert video.num_frames == 82
    assert video[81].dtype == np.uint8


def test_images_that_do_not_fit(folder):
    Image.new("RGB", (50, 64)).save(folder / "frame3.png")
    with pytest.raises(InvalidValue, match=r"frame3\.png is 50x64.* 96x64"):
        list(open_video(folder))
    whole = (folder / "frame2.png").read_bytes()
    (folder / "frame2.png").write_bytes(whole[:60])
    with pytest.raises(InvalidValue, match=r"frame 2 .*cannot be read.*frame2\.png"):
        list(open_video(folder))


def test_folders_without_images(tmp_path):
    with pytest.raises(InvalidValue, match=r"no images .*no files"):
        open_video(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InvalidValue, match=r"no images .*only a\.txt"):
        open_video(tmp_path)


def test_a_name_that_is_not_there(folder):
    with pytest.raises(MissingFile, match=r"frame12\.png.* mean .*/frame\d+\.png"):
        open_video(folder / "frame12.png")


def test_arrays_and_images():
    frames = np.stack([numbered(i) for i in range(4)])
    for source in (frames, list(frames), [Image.fromarray(f) for f in frames]):
        video = open_video(source)
        assert video.num_frames == 4
        assert [number_of(f) for f in video] == [0, 1, 2, 3]
        assert np.array_equal(video[-1], frames[3])
    assert open_video(video) is video
    grey, rgba = frames[0][..., 0], np.dstack([frames[0], np.full((64, 96), 255, np.uint8)])
    for single in (grey, rgba):
        assert open_video([single])[0].shape == (64, 96, 3)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ([], InvalidValue, "no frames in the given sequence"),
        ([np.full((4, 4, 3), 7.0)], InvalidValue, "frame 0 has values from 7 to 7"),
        ([np.zeros((3, 4, 5), np.uint8)], InvalidValue, r"frame 0 is uint8 of shape \(3, 4, 5\)"),
        ([np.zeros((0, 4, 3), np.uint8)], InvalidValue, "frame 0 has no pixels"),
        ([1, 2], InvalidType, "frame 0 is a int: expected a uint8 array"),
        (
            np.zeros((4, 4, 3), np.uint8),
            InvalidValue,
            r"\(frames, height, width, 3\), got \(4, 4, 3",
        ),
        (iter(()), InvalidValue, "ended before its first frame"),
        (None, InvalidType, "got None"),
        (3.5, InvalidType, "got float"),
        (True, InvalidType, "got True"),
    ],
)
def test_what_cannot_be_frames(source, kind, message):
    with pytest.raises(kind, match=message):
        open_video(source)


def test_sizes_must_agree():
    frames = [np.zeros((4, 6, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)]
    with pytest.raises(InvalidValue, match=r"frame 1 is 8x4.* 6x4"):
        list(open_video(frames))
    with pytest.raises(InvalidValue, match=r"frame 1 .*8x4"):
        list(open_video(iter(frames)))


def test_a_generator_is_read_as_it_comes():
    given = []

    def live():
        for i in range(6):
            given.append(i)
            yield numbered(i)

    video = open_video(live(), fps=30)
    assert given == [0]
    assert (video.size, video.num_frames) == ((96, 64), None)
    frames = iter(video)
    assert [number_of(next(frames)) for _ in range(2)] == [0, 1]
    assert given == [0, 1]
    assert number_of(video[3]) == 3
    assert number_of(video[1]) == 1
    assert [number_of(f) for f in frames] == [4, 5]
    assert video.num_frames == 6
    with pytest.raises(InvalidValue, match=r"frame 6 .*not within reach"):
        video[6]


def test_a_stream_forgets():
    video = open_video(numbered(i) for i in range(100))
    video._cache._max_bytes = 10 * video[0].nbytes
    assert sum(1 for _ in video) == 100
    with pytest.raises(InvalidValue, match=r"last frames.* 90 to 99"):
        video[89]
    assert number_of(video[90]) == 90


def test_cameras_that_are_not_there():
    for source in (77, "77"):
        with pytest.raises(InvalidValue, match="no camera 77"):
            open_video(source)
    with pytest.raises(InvalidValue, match=r"camera.* from 0.* -1"):
        open_video(-1)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        return


def test_an_address(tmp_path):
    write_clip(tmp_path / "clip.ts", 40)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with open_video(f"http://127.0.0.1:{server.server_port}/clip.ts") as video:
                assert video.num_frames is None
                assert [number_of(f) for f in video] == list(range(40))
            with pytest.raises(InvalidValue, match=r"none\.ts cannot .*404"):
                open_video(f"http://127.0.0.1:{server.server_port}/none.ts")
        finally:
            server.shutdown()
