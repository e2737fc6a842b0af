"""Results leave as annotation tools have them, and come back as prompts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.detection import load_detection
from pocketeye.data.files import Problems
from pocketeye.data.labelled.layouts import read_labels
from pocketeye.errors import InvalidValue
from pocketeye.results import Masks, Result
from pocketeye.tracking import open_video, open_writer
from pocketeye.tracking.io.read_prompts import read_prompts
from pocketeye.tracking.io.write import forms_for

SIZE = (40, 30)
FORMS = {
    "a.xml": "cvat", "a.json": "label-studio", "labelme": "labelme", "voc": "voc",
    "yolo": "yolo-segment", "boxes": "yolo-detect", "b.json": "coco", "a.txt": "mot", "png": "labels",
}  # fmt: skip
WITH_IDS = [name for name in FORMS if name not in ("yolo", "boxes")]


def squares() -> list[Result]:
    """Object 2 in frames 0 and 1, object 7 in frames 1 and 2: it is the one that stays."""
    results = []
    for frame in range(3):
        masks = np.zeros((2, SIZE[1], SIZE[0]), bool)
        if frame < 2:
            masks[0, 2:12, 3 + frame : 13 + frame] = True
        if frame > 0:
            masks[1, 15:25, 20:30] = True
        results.append(
            Result(
                size=SIZE, masks=Masks.from_dense(masks), object_ids=(2, 7), labels=("cat", "dog"),
                frame=frame, image=np.full((SIZE[1], SIZE[0], 3), 90, np.uint8),
            )
        )  # fmt: skip
    return results


def written(folder: Path, name: str) -> Path:
    with open_writer(folder / name, FORMS[name], fps=10, name="v.mp4") as writer:
        for result in squares():
            writer.write(result)
    return folder / name


@pytest.mark.parametrize("name", FORMS)
def test_a_video_comes_back(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name)
    if name == "png":
        assert sorted(p.name for p in path.iterdir())[:3] == [f"0000{i}.png" for i in range(3)]
        return
    found = {frame.frame: frame for frame in read_labels(path, SIZE, Problems())}
    labels = {number: [o.label for o in frame.objects] for number, frame in found.items()}
    assert labels == {0: ["cat"], 1: ["cat", "dog"], 2: ["dog"]}
    box = found[1].objects[0].bounds()
    assert box == pytest.approx((4, 2, 14, 12), abs=1e-3)


@pytest.mark.parametrize("name", WITH_IDS)
def test_results_are_prompts(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name)
    frames = open_video([np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * 3)
    prompts, names = read_prompts(path, frames)
    assert [p.frame for p in prompts] == [0, 1]
    assert list(names.values()) == ["cat", "dog"]
    if name not in ("a.xml", "a.json"):  # these number tracks anew
        assert [p.object_id for p in prompts] == [2, 7]
    first = prompts[0]
    assert first.mask.box if first.mask else first.box == pytest.approx((3, 2, 13, 12), abs=1e-3)
    later, _ = read_prompts(path, frames, start=1)
    assert [p.frame for p in later] == [1, 1]
    with pytest.raises(InvalidValue, match="no object in the frames"):
        read_prompts(path, open_video([np.zeros((30, 40, 3), np.uint8)] * 9), start=5)


def test_sets_are_read_as_sets(tmp_path: Path) -> None:
    for name in ("yolo", "voc", "b.json"):
        path = written(tmp_path, name)
        objects = load_detection(path)
        assert len(objects) == 3
        assert sorted(objects.classes) == ["cat", "dog"]
        assert not list(objects.problems)


def test_prompts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    frames = open_video([np.zeros((30, 40, 3), np.uint8)] * 3)
    shape = {"label": "a", "points": [[50, 50], [60, 60]], "shape_type": "rectangle"}
    page = {"shapes": [shape], "imageWidth": 40, "imageHeight": 30, "imagePath": "../../etc/x.jpg"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(page))
    with pytest.raises(InvalidValue, match="outside of frame 0"):
        read_prompts(path, frames)
    path.write_text(json.dumps({**page, "imageWidth": 80}))
    with pytest.raises(InvalidValue, match="images of 80x30"):
        read_prompts(path, frames)
    Image.new("L", (9, 9), 1).save(tmp_path / "m.png")
    with pytest.raises(InvalidValue, match="9x9"):
        read_prompts(tmp_path / "m.png", frames)


def test_names_of_images_tell_the_frames(tmp_path: Path) -> None:
    for number in (4, 5, 6):
        Image.new("RGB", SIZE).save(tmp_path / f"img_{number}.png")
    shape = {"label": "a", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    page = {"shapes": [shape], "imageWidth": 40, "imageHeight": 30, "imagePath": "img_6.png"}
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.json").write_text(json.dumps(page))
    prompts, _ = read_prompts(tmp_path / "labels" / "x.json", open_video(tmp_path))
    assert [p.frame for p in prompts] == [2]


def test_an_interrupted_file_is_whole_up_to_there(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.xml")
    writer.write(squares()[0])
    writer.abort()
    assert not (tmp_path / "a.xml").exists()
    (frame,) = read_labels(tmp_path / "a.partial.xml", None, Problems())
    assert [each.label for each in frame.objects] == ["cat"]


def test_overwriting_a_set_leaves_what_is_not_ours(tmp_path: Path) -> None:
    path = written(tmp_path, "yolo")
    (path / "notes.md").write_text("mine")
    with pytest.raises(InvalidValue, match="already there"):
        open_writer(path, "yolo-detect")
    with open_writer(path, "labelme", overwrite=True) as writer:
        writer.write(squares()[0])
    assert sorted(p.name for p in path.iterdir()) == ["00000.jpg", "00000.json", "notes.md"]


def test_a_form_needs_an_output_that_can_have_it() -> None:
    paths = [Path("a.json"), Path("folder")]
    assert forms_for(paths, "label-studio") == ["label-studio", None]
    assert forms_for(paths, None) == [None, None]
    with pytest.raises(InvalidValue, match=r"--form cvat is for \.xml"):
        forms_for(paths, "cvat")
