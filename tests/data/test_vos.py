"""Reading videos with masks: layouts, ids, and files that are missing or broken."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.vos.layouts import load_videos
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.results import CompactMask
from pocketeye.results.colors import davis_palette
from tests.data.video_layouts import (
    SIZE,
    davis,
    frame_image,
    ids,
    sav_images,
    save_frames,
    save_masks,
    save_palette,
    square,
)
from tests.tracking.clips import number_of, write_clip

TWO = dict.fromkeys(range(4), (1, 2))


def test_davis_2017(tmp_path: Path) -> None:
    davis(tmp_path, {"a": TWO, "b": {0: (1,), 1: (1,)}})
    videos = load_videos(tmp_path, "val")
    assert (videos.layout, videos.problems, len(videos)) == ("davis", (), 2)
    clip = videos[0]
    assert (clip.name, clip.num_frames, clip.size, clip.object_ids) == ("a", 4, SIZE, (1, 2))
    assert clip.first_frames == {1: 0, 2: 0}
    assert np.abs(clip.frame(3).astype(int) - frame_image(3)).max() <= 3
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
    assert clip.num_lost == 0
    for number in (10, 15):  # as in the set's valid part, whose masks its server keeps
        (tmp_path / f"valid/Annotations/a/{number:05d}.png").unlink()
    (clip,) = load_videos(tmp_path, "val")
    assert (clip.num_lost, clip.first_frames) == (2, {1: 0, 2: 5})


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


def test_sav_images_may_overlap(tmp_path: Path) -> None:
    videos = load_videos(sav_images(tmp_path, range(6)), "val")
    (clip,) = videos
    assert (videos.layout, videos.problems) == ("sa-v", ())
    assert (clip.num_frames, clip.annotated, clip.object_ids) == (6, (0, 4), (1, 2))
    np.testing.assert_array_equal(clip.mask(4), ids((1, 2), 4))
    np.testing.assert_array_equal(clip.object_masks(4)[2], square(1, 4) | square(2, 4))
    assert clip.object_masks(3) is None


@pytest.fixture
def sav_files(tmp_path: Path) -> Path:
    """A video of 9 frames; object 2 is there from frame 4 on."""
    folder = tmp_path / "sav_train" / "sav_000"
    folder.mkdir(parents=True)
    big = (96, 64)
    write_clip(folder / "v.mp4", 9)
    masklet = []
    for number in (0, 4, 8):
        one, two = np.zeros((2, big[1], big[0]), bool)
        one[:10, number : number + 10] = True
        two[20:30, 5:9] = number > 0
        masklet.append([CompactMask.from_dense(m).to_rle() for m in (one, two)])
    (folder / "v_manual.json").write_text(json.dumps({"masklet": masklet, "masklet_id": [0, 1]}))
    return tmp_path


def test_sav_files(sav_files: Path) -> None:
    write_clip(sav_files / "sav_train/sav_000/lone.mp4", 2)
    (sav_files / "sav_train/sav_000/bad.mp4").write_bytes(b"no video")
    (sav_files / "sav_train/sav_000/bad_manual.json").write_text("{}")
    videos = load_videos(sav_files, "train")
    (clip,) = videos
    assert (clip.name, clip.num_frames, clip.size) == ("v", 9, (96, 64))
    assert [number_of(clip.frame(i)) for i in (7, 0, 8)] == [7, 0, 8]
    assert (clip.annotated, clip.first_frames) == ((0, 4, 8), {1: 0, 2: 4})
    assert clip.mask(4)[25, 6] == 2
    assert clip.mask(5) is None
    text = "\n".join(videos.problems)
    assert "videos without a manual.json: 1 (lone.mp4)" in text
    assert "bad: " in text
    assert len(videos.problems) == 2
    with pytest.raises(InvalidValue, match=r"unknown split 'sav_trian'\. Did you mean 'sav_train'"):
        load_videos(sav_files, "sav_trian")


@pytest.mark.parametrize("change", ["not json", "size", "runs"])
def test_sav_masks_that_are_broken(sav_files: Path, change: str) -> None:
    path = sav_files / "sav_train/sav_000/v_manual.json"
    data = json.loads(path.read_text())
    if change == "size":
        data["masklet"][1][0] = CompactMask.from_dense(np.ones((4, 4), bool)).to_rle()
    elif change == "runs":
        data["masklet"][1][0]["counts"] = "\x00"
    path.write_text("{" if change == "not json" else json.dumps(data))
    videos = load_videos(sav_files, "train")
    clip = videos[0]
    assert clip.first_frames == ({} if change == "not json" else {1: 0, 2: 8})
    assert clip.mask(4) is None
    assert len(videos.problems) == 1
    assert "v_manual.json" in videos.problems[0]


def test_ids_vanish_and_return_and_clips_of_one_frame(tmp_path: Path) -> None:
    davis(tmp_path, {"a": {0: (1,), 1: (2,), 2: (1, 2)}, "b": {0: (3,)}})
    videos = load_videos(tmp_path, "val")
    assert videos[0].first_frames == {1: 0, 2: 1}
    assert (videos[1].num_frames, videos[1].first_frames) == (1, {3: 0})
    assert videos.problems == ()


def test_files_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    clips = dict.fromkeys(("cut", "gone", "lost", "odd", "sized", "tail"), TWO)
    davis(tmp_path, clips)
    images, masks = tmp_path / "JPEGImages/480p", tmp_path / "Annotations/480p"
    frame = images / "cut" / "00002.jpg"
    frame.write_bytes(frame.read_bytes()[:-3])
    (images / "gone" / "00001.jpg").unlink()
    for path in (masks / "lost").iterdir():
        path.unlink()
    (masks / "odd" / "00001.png").write_bytes(b"")
    save_palette(masks / "sized" / "00000.png", np.ones((4, 4), np.uint8))
    lone = tmp_path / "ImageSets/2017/val.txt"
    lone.write_text(lone.read_text() + "never\n")
    Image.fromarray(np.full((*SIZE[::-1], 3), (1, 2, 3), np.uint8)).save(masks / "tail/00003.png")
    videos = load_videos(tmp_path, "val")
    assert [clip.name for clip in videos] == ["gone", "odd", "sized", "tail"]
    expected = [
        f"never: no frames in {images / 'never'}; left out",
        "cut: frames that cannot be used: 1 (00002.jpg: cut short); clip left out",
        "gone: frames missing: 1 (00001); the clip jumps there",
        "gone: masks without a frame: 1 (00001.png); not used",
        "lost: not one mask that can be used; left out",
        "odd: masks that cannot be used: 1 (00001.png: empty file); taken as not annotated",
        "sized: masks that cannot be used: 1 (00000.png: 4x4 instead of 24x16); "
        "taken as not annotated",
    ]
    assert list(videos.problems) == expected
    assert videos[2].annotated == (1, 2, 3)
    assert videos[3].mask(3) is None  # found when it is read
    assert videos.problems[-1] == (
        "tail: mask 00003.png: its colours are no ids (1 colours, such as #010203): expected a "
        "palette or grey image, or the colours of the DAVIS palette; not used"
    )


def test_a_frame_that_is_broken_inside_is_named(tmp_path: Path) -> None:
    davis(tmp_path, {"a": TWO})
    path = tmp_path / "JPEGImages/480p/a/00001.jpg"
    Image.fromarray(frame_image(1)).save(path.with_suffix(".png"))
    path.unlink()
    whole = bytearray(path.with_suffix(".png").read_bytes())
    whole[60] ^= 255
    path.with_suffix(".png").write_bytes(whole)
    (clip,) = load_videos(tmp_path)
    with pytest.raises(InvalidValue, match=r"frame a/00001\.png: "):
        clip.frame(1)


def save_as(path: Path, form: str, labels: np.ndarray) -> None:
    colours = np.array(davis_palette(), np.uint8).reshape(-1, 3)
    if form == "palette":
        save_palette(path, labels)
    elif form == "16 bits":
        Image.fromarray(labels.astype(np.uint16) * 300).save(path)
    elif form == "one bit":
        Image.fromarray(labels > 0).save(path)
    else:
        values = {
            "grey": labels,
            "colours": colours[labels],
            "colours and alpha": np.dstack([colours[labels], np.full(labels.shape, 255, np.uint8)]),
            "grey as colours": np.repeat(labels[..., None] * 5, 3, 2),
            "white": np.repeat((labels > 0)[..., None] * np.uint8(255), 3, 2),
        }
        Image.fromarray(values[form]).save(path)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("palette", {0: 0, 1: 1, 2: 2}),
        ("grey", {0: 0, 1: 1, 2: 2}),
        ("colours", {0: 0, 1: 1, 2: 2}),
        ("colours and alpha", {0: 0, 1: 1, 2: 2}),
        ("grey as colours", {0: 0, 1: 5, 2: 10}),
        ("white", {0: 0, 1: 1, 2: 1}),
        ("one bit", {0: 0, 1: 1, 2: 1}),
        ("16 bits", {0: 0, 1: 300, 2: 600}),
    ],
)
def test_ways_to_store_ids(tmp_path: Path, form: str, expected: dict[int, int]) -> None:
    davis(tmp_path, {"a": TWO})
    for number in TWO:
        path = tmp_path / f"Annotations/480p/a/{number:05d}.png"
        save_as(path, form, ids((1, 2), number))
    (clip,) = load_videos(tmp_path)
    assert clip.object_ids == tuple(sorted({i for i in expected.values() if i}))
    want = np.vectorize(expected.__getitem__)(ids((1, 2), 2))
    np.testing.assert_array_equal(clip.mask(2), want)
    assert tuple(clip.collector) == ()


def test_resolutions(tmp_path: Path) -> None:
    davis(tmp_path / "one", {"a": TWO}, "Full-Resolution")
    assert load_videos(tmp_path / "one")[0].num_frames == 4
    davis(tmp_path / "two", {"a": TWO}, "1080p")
    save_frames(tmp_path / "two/JPEGImages/480p/a", [0])
    save_masks(tmp_path / "two/Annotations/480p/a", {0: (1,)})
    assert load_videos(tmp_path / "two")[0].num_frames == 1
    assert load_videos(tmp_path / "two", resolution="1080p")[0].num_frames == 4
    with pytest.raises(InvalidValue, match=r"unknown resolution '1080'\. Did you mean '1080p'"):
        load_videos(tmp_path / "two", resolution="1080")
