"""Reading videos with masks: layouts, ids, and files that are missing or broken."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.vos import load_videos
from pocketeye.errors import InvalidValue, MissingFile
from tests.data.video_layouts import (
    SIZE,
    davis,
    frame_picture,
    ids,
    save_frames,
    save_masks,
    save_palette,
    square,
)

TWO = dict.fromkeys(range(4), (1, 2))


def test_davis_2017(tmp_path: Path) -> None:
    davis(tmp_path, {"a": TWO, "b": {0: (1,), 1: (1,)}})
    videos = load_videos(tmp_path, "val")
    assert (videos.layout, videos.problems, len(videos)) == ("davis", (), 2)
    clip = videos[0]
    assert (clip.name, clip.num_frames, clip.size, clip.object_ids) == ("a", 4, SIZE, (1, 2))
    assert clip.first_frames == {1: 0, 2: 0}
    assert np.abs(clip.frame(3).astype(int) - frame_picture(3)).max() <= 3
    np.testing.assert_array_equal(clip.mask(3), ids((1, 2), 3))
    np.testing.assert_array_equal(clip.object_masks(3)[2], square(2, 3))
    assert clip.frame_name(3) == "00003"
    again = pickle.loads(pickle.dumps(clip))
    np.testing.assert_array_equal(again.mask(1), clip.mask(1))


def test_davis_2016_has_one_object_in_255(tmp_path: Path) -> None:
    davis(tmp_path, {"a": {0: (), 1: (1,), 2: (1,)}}, "1080p")
    for path in (tmp_path / "Annotations").rglob("*.png"):
        grey = np.asarray(Image.open(path)) * 255
        Image.fromarray(grey).save(path)
    lists = tmp_path / "ImageSets" / "1080p"
    lists.mkdir()
    lines = [f"/JPEGImages/1080p/a/{i:05d}.jpg /Annotations/1080p/a/{i:05d}.png" for i in range(3)]
    (lists / "train.txt").write_text("\n".join(lines))
    (clip,) = load_videos(tmp_path, "train")
    assert clip.first_frames == {1: 1}
    np.testing.assert_array_equal(clip.mask(2), ids((1,), 2))


def test_void_beside_other_ids_is_background(tmp_path: Path) -> None:
    davis(tmp_path, {"a": {0: (1, 2), 1: (1,)}})
    labels = ids((1, 2), 0)
    labels[-1] = 255
    save_palette(tmp_path / "Annotations/480p/a/00000.png", labels)
    only_void = np.where(ids((1,), 1) > 0, 255, 0).astype(np.uint8)
    save_palette(tmp_path / "Annotations/480p/a/00001.png", only_void)
    (clip,) = load_videos(tmp_path)
    assert clip.object_ids == (1, 2)
    np.testing.assert_array_equal(clip.mask(0), ids((1, 2), 0))
    assert not clip.mask(1).any()


def youtube_vos(root: Path) -> Path:
    """Every frame there, every fifth annotated; object 2 comes at frame 5, goes and returns."""
    there = {0: (1,), 5: (1, 2), 10: (1,), 15: (1, 2)}
    base = root / "valid"
    save_frames(base / "JPEGImages" / "a", range(17))
    save_masks(base / "Annotations" / "a", there)
    objects = {
        str(i): {
            "category": "cat",
            "frames": [f"{n:05d}" for n, seen in there.items() if i in seen],
        }
        for i in (1, 2)
    }
    (base / "meta.json").write_text(json.dumps({"videos": {"a": {"objects": objects}}}))
    return root


def test_youtube_vos(tmp_path: Path) -> None:
    videos = load_videos(youtube_vos(tmp_path), "val")
    (clip,) = videos
    assert (videos.layout, videos.problems) == ("youtube-vos", ())
    assert (clip.num_frames, clip.annotated) == (17, (0, 5, 10, 15))
    assert clip.first_frames == {1: 0, 2: 5}
    assert clip.mask(4) is None
    assert set(clip.object_masks(10)) == {1}
    assert set(clip.object_masks(15)) == {1, 2}


@pytest.mark.parametrize("text", ["{", "[]", '{"videos": {"a": {}}}', '{"videos": []}'])
def test_a_list_of_objects_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    youtube_vos(tmp_path)
    (tmp_path / "valid" / "meta.json").write_text(text)
    videos = load_videos(tmp_path / "valid")
    assert videos[0].first_frames == {1: 0, 2: 5}
    assert "meta.json cannot be used" in videos.problems[0]


def test_real_clips(datasets: Path) -> None:
    videos = load_videos(datasets / "davis2016-train", "dev")
    assert videos.problems == ()
    assert sum(clip.num_frames for clip in videos) == 375
    clip = videos[0]
    assert (clip.name, clip.size, clip.first_frames) == ("boat", (480, 270), {1: 0})
    assert clip.frame(74).shape == (270, 480, 3)


@pytest.mark.parametrize(
    ("root", "split", "error", "message"),
    [
        ("set", "vall", InvalidValue, "unknown split 'vall'. Did you mean 'val'"),
        ("sett", None, MissingFile, r"Did you mean .*set\?"),
        ("set/JPEGImages", None, InvalidValue, "no folder JPEGImages and Annotations"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, root: str, split: str | None, error: type[Exception], message: str
) -> None:
    davis(tmp_path / "set", {"a": TWO})
    with pytest.raises(error, match=message):
        load_videos(tmp_path / root, split)
