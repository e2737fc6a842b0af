"""Video files: every frame exact, upright, and one sentence for each kind of damage."""

from __future__ import annotations

import logging
import random
import wave
import weakref
from collections.abc import Collection
from pathlib import Path

import av
import numpy as np
import pytest

from pocketeye.data.video import video as video_module
from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.tracking import open_video
from tests.tracking.clips import number_of, numbered, write_clip

COUNT = 120
OPEN_GOP = {
    "bf": "3", "g": "25", "preset": "ultrafast", "crf": "10",
    "x264-params": "open-gop=1:b-adapt=0:bframes=3",
}  # fmt: skip

# no whole keyframe after the first: columns of each image are refreshed in turn
REFRESH = {
    "bf": "0",
    "preset": "ultrafast",
    "crf": "10",
    "x264-params": "intra-refresh=1:keyint=20",
}


def irregular(count: int = COUNT) -> list[int]:
    """Time stamps of a variable frame rate."""
    rng = random.Random(0)
    stamps = [0]
    while len(stamps) < count:
        stamps.append(stamps[-1] + rng.randint(5, 90))
    return stamps


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", COUNT, faststart=True)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("b-frames.mp4", {}),
        ("variable.mp4", {"stamps": irregular()}),
        ("variable.mkv", {"stamps": irregular()}),
        ("open-gop.mp4", {"options": OPEN_GOP}),
        ("open-gop.ts", {"options": OPEN_GOP}),
        ("refresh.mp4", {"options": REFRESH}),
        ("refresh.mkv", {"options": REFRESH}),
        ("vp8.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
        ("images.avi", {"codec": "mjpeg", "options": {}, "pix_fmt": "yuvj420p"}),
        ("no-stamps.h264", {}),
        ("no-stamps.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "25"}}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    ],
)
def test_any_frame_is_that_of_reading_in_order(tmp_path, name, how):
    with open_video(write_clip(tmp_path / name, COUNT, **how)) as video:
        assert video.size == (96, 64)
        assert video.num_frames == COUNT
        frames = list(video)
        assert [number_of(f) for f in frames] == list(range(COUNT))
        order = random.Random(1).sample(range(COUNT), 30)
        for index in [*order, 60, 59, 58, 57, 61, 62, -1]:
            assert np.array_equal(video[index], frames[index]), index


@pytest.mark.slow
def test_frames_of_real_footage(datasets):
    """B-frames, 250 frames between keyframes."""
    with open_video(datasets / "videos" / "01_dog.mp4") as video:
        assert video.num_frames == 289
        assert video.fps == pytest.approx(29.97, abs=1e-3)
        wanted = {270: None, 251: None, 249: None, 100: None, 99: None}
        for index, frame in enumerate(video):
            if index in wanted:
                wanted[index] = frame
        for index, frame in wanted.items():
            assert np.array_equal(video[index], frame), index


def test_two_readers_do_not_disturb_each_other(clip):
    with open_video(clip) as video:
        first, second = iter(video), iter(video)
        got = [number_of(next(first)), number_of(next(first)), number_of(next(second))]
        got += [number_of(video[80]), number_of(next(first)), number_of(next(second))]
        assert got == [0, 1, 0, 80, 2, 1]


@pytest.fixture
def entered(monkeypatch) -> list[int | None]:
    """Stamps of the keyframes at which a video was entered, None for its start."""
    stamps = []
    original = video_module._Cursor.__init__

    def counted(self, path, index, key):
        stamps.append(key)
        original(self, path, index, key)

    monkeypatch.setattr(video_module._Cursor, "__init__", counted)
    return stamps


def test_going_backwards_decodes_each_group_once(clip, entered):
    with open_video(clip) as video:
        assert [number_of(video[i]) for i in range(99, -1, -1)] == list(range(99, -1, -1))
        # four groups of 25 frames, and one more: the first jump does not know which way it goes on
        assert len(entered) == 5
        entered.clear()
        assert [number_of(video[i]) for i in range(100, COUNT)] == list(range(100, COUNT))
        assert len(entered) <= 1


def test_false_keyframes_are_tried_once(tmp_path, entered):
    with open_video(write_clip(tmp_path / "refresh.mp4", COUNT, options=REFRESH)) as video:
        for index in range(COUNT):
            assert number_of(video[index]) == index
    assert len(entered) == len(set(entered)) == 6


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("libvpx-vp9", "webm"), ("libsvtav1", "mp4"), ("libx265", "mp4"), ("mpeg4", "mkv"),
        ("libx264", "mkv"), ("libx264", "ts"), ("mpeg4", "mp4"),
    ],
)  # fmt: skip
def test_files_of_each_codec_are_entered_at_their_keyframes(tmp_path, codec, suffix, entered):
    quick = {"libvpx-vp9": {"cpu-used": "8"}, "libsvtav1": {"preset": "12"}}
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    options = {"g": "20", **quick.get(codec, {}), **quiet}
    path = write_clip(tmp_path / f"clip.{suffix}", 70, codec=codec, options=options)
    with open_video(path) as video:
        frames = list(video)
        assert np.array_equal(video[65], frames[65])
        assert np.array_equal(video[45], frames[45])
    assert len(entered) == 2
    assert None not in entered


def test_a_long_video_is_never_in_memory(tmp_path):
    count = 400  # twenty times what the cache may hold
    path = write_clip(tmp_path / "long.mp4", count)
    with open_video(path) as video:
        video._cache._max_bytes = 20 * 96 * 64 * 3
        by_number = (video[i] for i in range(video.num_frames))
        for frames, most in ((video, 4), (by_number, 24)):
            given = []
            for frame in frames:
                given.append(weakref.ref(frame))
                if len(given) % 100 == 0:
                    assert sum(one() is not None for one in given) <= most
            assert len(given) == count


def test_the_cache_is_bounded(clip):
    with open_video(clip) as video:
        video._cache._max_bytes = 10 * 96 * 64 * 3
        for index in (*range(40), *range(60, 20, -1)):
            video[index]
            assert len(video._cache._frames) <= 10


@pytest.mark.parametrize(("angle", "corner"), [(90, "left"), (180, "bottom"), (-90, "right")])
def test_rotation_is_applied(tmp_path, angle, corner):
    path = write_clip(tmp_path / "turned.mp4", 5, rotation=angle)
    with open_video(path) as video:
        frame = video[3]
        assert video.size == (frame.shape[1], frame.shape[0])
        assert video.size == ((96, 64) if angle == 180 else (64, 96))
        # the grey edge at the top of what was recorded
        edges = {
            "left": frame[:, :10], "right": frame[:, -10:], "top": frame[:10], "bottom": frame[-10:],
        }  # fmt: skip
        assert abs(edges[corner].astype(int) - 90).max() < 20
        upright = np.rot90(frame, -angle // 90)
        assert number_of(upright) == 3


def noisy(count: int = 60):
    return (np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8) for i in range(count))


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
def test_a_file_cut_short_keeps_what_decodes(tmp_path, caplog, name):
    path = write_clip(tmp_path / name, 60, frames=noisy(), faststart=name.endswith("mp4"))
    with open_video(path) as video:
        whole = list(video)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with caplog.at_level(logging.WARNING), open_video(path) as video:
        frames = list(video)
        count = len(frames)
        assert 30 < count < 40
        assert video.num_frames == count
        # The last one or two were coded across the cut: later ones came before it in the file.
        assert all(np.array_equal(a, b) for a, b in zip(frames[:-2], whole, strict=False))
        assert np.array_equal(video[count - 1], frames[-1])
        with pytest.raises(InvalidValue, match=f"{count} frames .*0 to {count - 1}"):
            video[count]
    # a transport stream does not say how long it is, but its last image is torn
    expected = "cut.ts: the image at 1.480 s is damaged"
    if not name.endswith("ts"):
        expected = f"{name} is cut short: frame {count - 1} is its last, at"
    assert expected in caplog.text


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv"])
def test_the_last_slide_of_a_show_stays(tmp_path, caplog, name):
    path = write_clip(tmp_path / name, 3, stamps=[0, 5000, 10_000])
    with caplog.at_level(logging.WARNING), open_video(path) as video:
        video[0]
        assert video.num_frames == 3
    assert not caplog.text


def blank_packets(path: Path, which: Collection[int]) -> None:
    """Overwrite coded frames with zeros."""
    data = bytearray(path.read_bytes())
    with av.open(path) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for index in which:
        position, size = packets[index]
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


def test_a_hole_in_the_middle_is_named(tmp_path, caplog):
    path = write_clip(tmp_path / "hole.mp4", 60, frames=noisy(), options={"bf": "0", "g": "10"})
    blank_packets(path, {25})
    with caplog.at_level(logging.WARNING), open_video(path) as video:
        frames = list(video)
        assert len(frames) == 59
        for index in (25, 24, 26, 58):
            assert np.array_equal(video[index], frames[index]), index
        assert "hole.mp4: frame 25 cannot be decoded" in caplog.text
        assert "59 of its 60 frames are used" in caplog.text
        assert video.num_frames == 59
    with (
        open_video(path) as video,
        pytest.raises(InvalidValue, match=r"frame 25 .*hole\.mp4 cannot"),
    ):
        video[25]


def test_frames_before_the_first_whole_one_are_not_counted(tmp_path):
    path = write_clip(tmp_path / "torn.mp4", 60, frames=noisy(), options={"bf": "0", "g": "10"})
    with open_video(path) as video:
        whole = list(video)
    blank_packets(path, range(10))
    with open_video(path) as video:
        assert video.num_frames == 50
        assert np.array_equal(video[3], whole[13])
        frames = list(video)
        assert len(frames) == 50
        assert np.array_equal(frames[0], whole[10])


def test_a_recording_that_begins_in_the_middle(tmp_path):
    path = write_clip(tmp_path / "late.ts", COUNT)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 188 * 3 // 10 * 188 :])
    with open_video(path) as video:
        frames = list(video)
        assert number_of(frames[0]) == 50  # the next keyframe
        assert video.num_frames == len(frames) == COUNT - 50
        for index in (69, 0, 30, 24, 25):
            assert number_of(video[index]) == 50 + index


def test_a_frame_that_is_not_there(clip):
    with open_video(clip) as video:
        with pytest.raises(InvalidValue, match=r"clip\.mp4 .*no frame 120: .*0 to 119"):
            video[120]
        with pytest.raises(InvalidValue, match="no frame -121"):
            video[-121]
        with pytest.raises(InvalidType, match="by number, got slice"):
            video[1:3]


def not_a_video(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("this is not a video\n" * 50)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def without_index(folder: Path) -> Path:
    path = write_clip(folder / "half.mp4", 30)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def audio_only(folder: Path) -> Path:
    path = folder / "song.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    return path


def odd_codec(folder: Path) -> Path:
    path = write_clip(folder / "odd.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    return path


def no_frames(folder: Path) -> Path:
    path = write_clip(folder / "none.mp4", 5)
    blank_packets(path, range(5))
    return path


def no_tracks(folder: Path) -> Path:
    path = folder / "bare.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_tracks, "bare.mp4 is a container with nothing in it"),
        (not_a_video, "text.mp4 cannot be read as a video"),
        (empty, "empty.mp4 is empty"),
        (without_index, "half.mp4 cannot be read as a video: it is none, or it is cut short"),
        (audio_only, "song.wav has no video track, only audio"),
        (odd_codec, "odd.mp4 is in a codec that PyAV cannot decode here"),
        (no_frames, "none.mp4 has a video track but no frame of it can be decoded"),
    ],
)
def test_what_is_no_video_says_so_in_one_sentence(tmp_path, make, message):
    with pytest.raises(InvalidValue, match=message) as caught:
        open_video(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_change_of_size_is_named(tmp_path):
    parts = []
    for i, size in enumerate([(96, 64), (120, 64)]):
        frames = (numbered(n, size) for n in range(10))
        parts.append(write_clip(tmp_path / f"{i}.h264", 10, frames=frames).read_bytes())
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    got = []
    with pytest.raises(InvalidValue, match=r"frame 10 .*both\.h264 .*120x64.* 96x64"):
        got.extend(open_video(path))
    assert len(got) == 10
