"""Everything written is read again; an interruption leaves what was written readable."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pocketeye.errors import InvalidValue
from pocketeye.results import CompactMask, Masks, Result, color_of
from pocketeye.tracking import open_video, open_writer, write_all
from pocketeye.tracking.io import write_video as video_module
from tests.conftest import largest_file

SIZE = (96, 64)


def dense(frame: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Two rectangles that move; the second has gone from frame 5 on."""
    masks = np.zeros((2, size[1], size[0]), bool)
    masks[0, 10:30, 5 + frame : 35 + frame] = True
    if frame < 5:
        masks[1, 30:60, 50:90] = True
    return masks


def result(frame: int, size: tuple[int, int] = SIZE, **changes) -> Result:
    image = np.full((size[1], size[0], 3), 40 + 5 * frame, np.uint8)
    values = {
        "size": size, "masks": Masks.from_dense(dense(frame, size)), "object_ids": (1, 7),
        "scores": (0.75, 0.5), "image": image, "frame": frame,
    }  # fmt: skip
    return Result(**{**values, **changes})


def results(count: int = 8):
    return (result(i) for i in range(count))


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_overlay_video(tmp_path, name):
    path = tmp_path / "new" / name
    writer = open_writer(path, fps=30000 / 1001)
    assert write_all(results(), [writer]) == 8
    assert writer.codec == "libx264"
    with open_video(path) as video:
        assert (video.size, video.num_frames) == (SIZE, 8)
        assert video.fps == pytest.approx(30000 / 1001)
        for i, frame in enumerate(video):
            away = abs(frame.astype(int) - result(i).overlay()).mean()
            assert away < 6, i
            # the middle of the object carries its colour
            assert abs(frame[20, 20 + i].astype(int) - result(i).overlay()[20, 20 + i]).max() < 25
    assert list(path.parent.iterdir()) == [path]


def test_colours_come_back_and_the_file_says_how(tmp_path):
    colors = np.array([color_of(i) for i in range(1, 8)], np.uint8)
    image = np.repeat(np.repeat(colors[None], 64, 0), 32, 1)
    size = (image.shape[1], 64)
    with open_writer(tmp_path / "out.mp4", fps=25) as writer:
        for _ in range(3):
            writer.write(Result(size=size, image=image))
    with av.open(tmp_path / "out.mp4") as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, 16 to 235
        assert (context.color_primaries, context.color_trc) == (1, 1)
    with open_video(tmp_path / "out.mp4") as video:
        middles = video[2][32, 16::32].astype(int)
    assert abs(middles - colors).max() <= 5


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_odd_sizes_and_builds_without_h264(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(video_module, "_available", lambda name: name == codec)
    with open_writer(tmp_path / "odd.mp4", fps=25) as writer:
        assert writer.codec == codec
        for i in range(3):
            writer.write(result(i, (97, 63)))
    with open_video(tmp_path / "odd.mp4") as video:
        assert video.size == (98, 64)
        assert abs(video[2][:63, :97].astype(int) - result(2, (97, 63)).overlay()).mean() < 8


@pytest.mark.parametrize(
    ("name", "decoder", "closest"), [("out.webm", "libvpx-vp9", 60), ("out.mov", None, 8)]
)
def test_alpha_video_keeps_its_alpha(tmp_path, name, decoder, closest):
    with open_writer(tmp_path / name, fps=25) as writer:
        for i in range(6):
            writer.write(result(i))
    with av.open(tmp_path / name) as container:
        track = container.streams.video[0]
        # FFmpeg's own VP9 decoder passes alpha over; browsers and libvpx do not
        context = track.codec_context if decoder is None else av.CodecContext.create(decoder, "r")
        packets = [p for p in container.demux(track) if p.size]
        frames = [f for p in packets for f in context.decode(p)] + context.decode(None)
    assert len(frames) == 6
    for i, frame in enumerate(frames):
        rgba = frame.to_ndarray(format="rgba")
        filled = dense(i).any(0)
        assert ((rgba[..., 3] > 127) == filled).mean() > 0.995
        inside = filled & (rgba[..., 3] > 250)
        assert abs(rgba[inside][:, :3].astype(int) - (40 + 5 * i)).max() < closest


def test_palette_pngs_in_the_form_of_davis(tmp_path):
    with open_writer(tmp_path / "masks") as writer:
        for i in range(8):
            writer.write(result(i))
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == [
        f"{i:05d}.png" for i in range(8)
    ]
    for i in range(8):
        image = Image.open(tmp_path / "masks" / f"{i:05d}.png")
        assert image.mode == "P"
        masks, ids = Masks.from_labels(np.asarray(image))
        assert ids == ((1, 7) if i < 5 else (1,))
        assert np.array_equal(masks.dense(), dense(i)[: len(ids)])


@pytest.mark.parametrize("form", ["overlay", "cutout"])
def test_folders_of_images(tmp_path, form):
    with open_writer(tmp_path / form, form) as writer:
        writer.write(result(4))
    if form == "overlay":
        image = np.asarray(Image.open(tmp_path / form / "00004.jpg")).astype(int)
        assert abs(image - result(4).overlay()).mean() < 5  # what JPEG takes
    else:
        image = np.asarray(Image.open(tmp_path / form / "00004.png"))
        assert np.array_equal(image, result(4).cutout())


def test_coco(tmp_path):
    frames = [result(i, labels=("cat", "dog")) for i in range(8)]
    write_all(frames, [open_writer(tmp_path / "out.json", fps=25, name="clip")])
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["videos"] == [{"id": 1, "name": "clip", "width": 96, "height": 64, "fps": 25}]
    assert data["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert [i["id"] for i in data["images"]] == list(range(8))
    assert data["images"][3]["file_name"] == "out_frames/00003.jpg"
    frame = np.asarray(Image.open(tmp_path / "out_frames" / "00003.jpg")).astype(int)
    assert abs(frame - result(3).pixels()).max() <= 2
    annotations = data["annotations"]
    assert [a["id"] for a in annotations] == list(range(1, 14))  # 5 frames of two, 3 of one
    for annotation in annotations:
        row = (1, 7).index(annotation["track_id"])
        mask = dense(annotation["image_id"])[row]
        assert np.array_equal(CompactMask.from_rle(annotation["segmentation"]).dense(), mask)
        assert annotation["area"] == mask.sum()
        assert annotation["category_id"] == row + 1
        assert annotation["score"] == (0.75, 0.5)[row]


def test_coco_names_the_images_that_it_was_given(tmp_path):
    names = [f"clip/{i}.png" for i in range(8)]
    write_all(results(3), [open_writer(tmp_path / "out.json", file_names=names)])
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert [image["file_name"] for image in images] == names[:3]
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_names_stand_beside_labels_and_boxes(tmp_path):
    frames = [result(i, labels=("cat", "dog")) for i in range(2)]
    write_all(frames, [open_writer(tmp_path / "masks"), open_writer(tmp_path / "out.txt")])
    assert json.loads((tmp_path / "masks" / "names.json").read_text()) == {"1": "cat", "7": "dog"}
    assert (tmp_path / "out.labels.txt").read_text() == "cat\ndog\n"
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines[1] == "1,7,51,31,40,30,0.5,2,-1,-1"


def test_coco_is_read_by_the_evaluator(tmp_path):
    coco = pytest.importorskip("faster_coco_eval").COCO
    write_all(results(), [open_writer(tmp_path / "out.json")])
    loaded = coco(str(tmp_path / "out.json"))
    annotation = loaded.loadAnns(loaded.getAnnIds(imgIds=[2]))[1]
    assert np.array_equal(loaded.annToMask(annotation), dense(2)[1])


def test_mot(tmp_path):
    write_all(results(), [open_writer(tmp_path / "out.txt")])
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines[0] == "1,1,6,11,30,20,0.75,-1,-1,-1"
    assert lines[1] == "1,7,51,31,40,30,0.5,-1,-1,-1"
    rows = np.loadtxt(tmp_path / "out.txt", delimiter=",")
    assert rows.shape == (13, 10)
    for frame, object_id, left, top, width, height in rows[:, :6].astype(int):
        ys, xs = np.nonzero(dense(frame - 1)[(1, 7).index(object_id)])
        assert (left, top) == (xs.min() + 1, ys.min() + 1)
        assert (width, height) == (np.ptp(xs) + 1, np.ptp(ys) + 1)


NAMES = ["out.mp4", "out.webm", "out.mov", "out.json", "out.txt", "out"]


@pytest.mark.parametrize("name", NAMES)
def test_an_interruption_leaves_what_was_written(tmp_path, caplog, name):
    def interrupted():
        yield from results(4)
        raise KeyboardInterrupt

    path = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        write_all(interrupted(), [open_writer(path, fps=25)])
    assert not path.exists()
    partial = tmp_path / f"out.partial{path.suffix}"
    assert f"stopped after 4 frames, kept in {partial}" in caplog.text
    assert count_frames(partial) == 4


def count_frames(path: Path) -> int:
    if path.suffix == ".json":
        return len(json.loads(path.read_text())["images"])
    if path.suffix == ".txt":
        return len({line.split(",")[0] for line in path.read_text().splitlines()})
    with open_video(path) as video:
        return len(list(video))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_overwritten_unless_asked(tmp_path, name):
    path = tmp_path / name
    write_all(results(3), [open_writer(path, fps=25)])
    with pytest.raises(InvalidValue, match=f"{name} is already there"):
        open_writer(path, fps=25)
    assert count_frames(path) == 3
    write_all(results(2), [open_writer(path, fps=25, overwrite=True)])
    assert count_frames(path) == 2
    beside = [tmp_path / "out_frames"] if name == "out.json" else []
    assert sorted(tmp_path.iterdir()) == sorted([path, *beside])


def test_overwriting_a_folder_leaves_strangers_alone(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "holiday.png").write_text("mine")
    write_all(results(2), [open_writer(folder, overwrite=True)])
    assert sorted(p.name for p in folder.iterdir()) == ["00000.png", "00001.png", "holiday.png"]


def test_a_partial_folder_is_not_mixed_with_a_new_run(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "00099.png").write_text("")
    write_all(results(2), [open_writer(tmp_path / "out")])
    assert count_frames(tmp_path / "out") == 2


@pytest.mark.parametrize("name", NAMES)
def test_no_frame_no_file(tmp_path, name):
    with (
        pytest.raises(InvalidValue, match=f"{name} .*not written.* no frame"),
        open_writer(tmp_path / name, fps=25),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "out.mp5",
            {},
            r"unknown suffix '.mp5'. Did you mean '.mp4'\? \(allowed: .mp4, .mkv, .webm",
        ),
        ("out", {"form": "lables"}, "unknown form of a folder 'lables'. Did you mean 'labels'"),
        (
            "out.mp4",
            {"form": "labels"},
            r"unknown form of a .mp4 file 'labels' \(allowed: overlay\)",
        ),
        ("out.mp4", {}, r"out.mp4 needs its frames a second: give fps"),
        ("out.mp4", {"fps": 0.0}, "frames a second must lie between 0 and 1000, got 0.0"),
    ],
)
def test_outputs_that_do_not_exist(tmp_path, name, options, message):
    with pytest.raises(InvalidValue, match=message):
        open_writer(tmp_path / name, **options)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("out.mp4", {"image": None}, "no image to be drawn"),
        ("out.txt", {"object_ids": (0, 1)}, "object id 0 cannot stand in a MOT file"),
        ("out", {"object_ids": (0, 1)}, "object id 0 cannot stand in a label image"),
        ("out", {"object_ids": (1, 256)}, "object id 256 does not fit into a palette PNG"),
    ],
)
def test_results_that_do_not_fit(tmp_path, name, changes, message):
    with (
        pytest.raises(InvalidValue, match=message),
        open_writer(tmp_path / name, fps=25) as writer,
    ):
        writer.write(result(0, **changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.mp4", "out.json"])
def test_sizes_must_agree(tmp_path, name):
    writer = open_writer(tmp_path / name, fps=25)
    writer.write(result(0))
    with pytest.raises(InvalidValue, match=r"frame 1 .*out.*\(96, 64\)"):
        writer.write(result(1, (100, 64)))
    writer.write(result(1))
    writer.close()
    assert count_frames(tmp_path / name) == 2
    with pytest.raises(InvalidValue, match="is finished"):
        writer.write(result(2))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("out.mp4", "out.json", "out"):
        with pytest.raises(InvalidValue, match=r"cannot write .*file/out"):
            open_writer(tmp_path / "file" / name, fps=25)


@pytest.mark.parametrize("limit", [0, 20, 900])
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.mov", "out.txt", "out.json", "out"])
def test_a_full_disk_costs_the_output_and_not_the_process(tmp_path, name, limit):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (30, SIZE[1], SIZE[0], 3), np.uint8)
    path = tmp_path / name
    writer = open_writer(path, "overlay" if name == "out" else None, fps=25)
    with largest_file(limit), pytest.raises(InvalidValue, match=r"disk of .* is full") as said:
        write_all((result(i, image=noise[i]) for i in range(30)), [writer])
    assert str(tmp_path) in str(said.value)
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not left, "what cannot be read is not left lying about"
    write_all(results(2), [open_writer(path, fps=25)])  # the lock is gone as well


@pytest.mark.parametrize("name", NAMES)
def test_two_writers_do_not_mix(tmp_path, name):
    path = tmp_path / name
    with open_writer(path, fps=25) as first:
        first.write(result(0))
        with pytest.raises(InvalidValue, match="is being written by another process"):
            open_writer(path, fps=25, overwrite=True)
        first.write(result(1))
    assert count_frames(path) == 2
    assert [p for p in tmp_path.iterdir() if p.name != "out_frames"] == [path]


@pytest.mark.parametrize("name", ["out.mp4", "out.txt", "out"])
def test_what_cannot_be_replaced_is_said_before_the_work(tmp_path, name):
    path = tmp_path / name
    path.write_text("mine") if name == "out" else path.mkdir()
    with pytest.raises(InvalidValue, match=r"is a (file|folder)"):
        open_writer(path, fps=25, overwrite=True)


def test_objects_keep_their_colours_through_a_video(tmp_path):
    drawn = [result(i).overlay() for i in (0, 6)]
    for i, frame in zip((0, 6), drawn, strict=True):
        assert tuple(frame[10, 20 + i]) == color_of(1)
