"""Layouts of annotation tools: samples are read, what is written is read again, bad ones named."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.files import Problems
from pocketeye.data.files.annotations.shapes import polygon_mask
from pocketeye.data.labelled.labelme import write_labelme
from pocketeye.data.labelled.layouts import read_labels
from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, xml_text
from pocketeye.data.labelled.outline import outline_of
from pocketeye.data.labelled.voc import write_voc
from pocketeye.data.labelled.yolo import write_names, write_yolo
from pocketeye.errors import InvalidValue
from pocketeye.results import CompactMask

SIZE = (40, 30)


def disc(cx: float = 15, cy: float = 12, radius: float = 8) -> np.ndarray:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return (x - cx) ** 2 + (y - cy) ** 2 < radius**2


def frames(path: Path, text: Any, size: tuple[int, int] | None = None) -> list[LabelledFrame]:
    path.write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")
    return list(read_labels(path, size, Problems()))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    "mask",
    [
        disc(),
        disc() & ~disc(radius=3),  # a hole
        disc(8, 8, 5) | disc(30, 20, 4),  # two parts
        np.eye(9, dtype=bool),
        np.pad(np.ones((1, 1), bool), 3),
        np.random.default_rng(0).random((12, 15)) > 0.5,
    ],
    ids=["disc", "ring", "parts", "diagonal", "pixel", "noise"],
)
def test_one_polygon_holds_a_mask(mask: np.ndarray) -> None:
    outline = outline_of(CompactMask.from_dense(mask))
    filled = polygon_mask([outline], (mask.shape[1], mask.shape[0]))
    assert iou(filled, mask) >= 0.97
    assert outline_of(CompactMask.from_dense(np.zeros((4, 4), bool))) == ()


# The example of CVAT's manual, "XML annotation format", with its numbers shortened.
CVAT_VIDEO = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <meta><task><id>1</id><name>clip</name><size>8</size><mode>interpolation</mode>
    <labels><label><name>car</name><attributes></attributes></label></labels>
    <original_size><width>40</width><height>30</height></original_size></task></meta>
  <track id="0" label="car">
    <box frame="1" xtl="2" ytl="4" xbr="12" ybr="14" outside="0" occluded="0" keyframe="1"></box>
    <box frame="5" xtl="10" ytl="8" xbr="20" ybr="18" outside="0" occluded="0" keyframe="1"></box>
    <box frame="6" xtl="10" ytl="8" xbr="20" ybr="18" outside="1" occluded="0" keyframe="1"></box>
  </track>
  <track id="1" label="person">
    <polygon frame="4" points="1,1;9,1;9,9" outside="0" occluded="0" keyframe="1"></polygon>
  </track>
</annotations>"""


def test_cvat_moves_between_keyframes(tmp_path: Path) -> None:
    found = {f.frame: f.objects for f in frames(tmp_path / "a.xml", CVAT_VIDEO)}
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7]
    assert found[3][0].box == (6, 6, 16, 16)
    assert [each.label for each in found[5]] == ["car", "person"]
    # outside from 6 on; the other one stays until the end of the task
    assert [each.object_id for each in found[7]] == [2]


# The example of CVAT's manual for images: a mask's runs go row by row through its box.
CVAT_IMAGES = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <image id="0" name="&#228;/&lt;b&gt;.jpg" width="40" height="30">
    <mask label="a" source="manual" occluded="0" rle="1, 2, 2, 3" left="5" top="7" width="4" height="2"
      z_order="0" group_id="4"></mask>
    <box label="b" xtl="1" ytl="2" xbr="3" ybr="4.5" group_id="5"></box>
    <mask label="bad" rle="1, 200" left="5" top="7" width="4" height="2"></mask>
  </image>
</annotations>"""


def test_cvat_images(tmp_path: Path) -> None:
    (frame,) = frames(tmp_path / "a.xml", CVAT_IMAGES)
    assert (frame.name, frame.size) == ("ä/<b>.jpg", SIZE)
    wanted = np.zeros(SIZE[::-1], bool)
    wanted[7:9, 5:9] = [[False, True, True, False], [False, True, True, True]]
    assert [each.object_id for each in frame.objects] == [4, 5]
    assert frame.objects[0].mask == CompactMask.from_dense(wanted)
    assert frame.objects[1].box == (1, 2, 3, 4.5)


def test_text_that_xml_cannot_hold() -> None:
    assert xml_text('a "<&>" \x07\ud800\ttab') == 'a "<&>" ??\ttab'


def test_xml_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><annotations>&c;</annotations>'
    file = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><annotation>&b;</annotation>'
    deep = "<annotations>" + "<a>" * 100 + "</a>" * 100 + "</annotations>"
    for text, word in ((bomb, "entit"), (file, "entit"), (deep, "nested"), ("<a", "no XML")):
        with pytest.raises(InvalidValue, match=word):
            frames(tmp_path / "a.xml", text)


def test_labelme(tmp_path: Path) -> None:
    mask = CompactMask.from_dense(disc())
    objects = (
        LabelledObject(object_id=3, label="cat", mask=mask),
        LabelledObject(object_id=9, label="dog", box=(1, 2, 11, 12)),
        LabelledObject(object_id=10, label="eye", points=((5, 6),)),
    )
    frame = LabelledFrame(frame=0, size=SIZE, objects=objects)
    (again,) = frames(tmp_path / "a.json", write_labelme(frame, "00000.jpg"))
    assert [(o.object_id, o.label) for o in again.objects] == [(3, "cat"), (9, "dog"), (10, "eye")]
    filled = again.objects[0].filled(SIZE)
    assert filled is not None
    assert iou(filled.dense(), disc()) >= 0.97
    assert again.objects[1].box == (1, 2, 11, 12)
    assert again.objects[2].points == ((5, 6),)


def test_labelme_masks_circles_and_groups(tmp_path: Path) -> None:
    crop = np.array([[0, 1], [1, 1]], np.uint8) * 255
    data = io.BytesIO()
    Image.fromarray(crop).save(data, "PNG")
    text = base64.b64encode(data.getvalue()).decode()
    shapes = [
        {"label": "m", "points": [[3, 4], [4, 5]], "group_id": None, "shape_type": "mask", "mask": text},
        {"label": "c", "points": [[10, 10], [14, 10]], "shape_type": "circle"},
        {"label": "g", "points": [[0, 0], [4, 0], [4, 4]], "group_id": 7, "shape_type": "polygon"},
        {"label": "g", "points": [[9, 9], [12, 9], [12, 12]], "group_id": 7, "shape_type": "polygon"},
        {"label": "l", "points": [[0, 0], [4, 0]], "shape_type": "line"},
        {"label": "m", "points": [[39, 4], [40, 5]], "shape_type": "mask", "mask": text},
        {"label": "b", "points": [[0, "x"], [4, float("nan")]], "shape_type": "rectangle"},
        7,
    ]  # fmt: skip
    path, problems = tmp_path / "a.json", Problems()
    path.write_text(json.dumps({"shapes": shapes, "imageWidth": 40, "imageHeight": 30}))
    (frame,) = read_labels(path, None, problems)
    by_label = {each.label: each for each in frame.objects}
    assert set(by_label) == {"m", "c", "g"}
    assert by_label["m"].mask is not None
    assert by_label["m"].mask.box == (3, 4, 5, 6)
    assert by_label["m"].mask.area == 3
    circle = by_label["c"].filled(SIZE)
    assert circle is not None
    assert circle.area == pytest.approx(np.pi * 16, rel=0.1)
    assert len(by_label["g"].polygons) == 2
    assert len(list(problems)) == 4


def region(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 40, "original_height": 30, "value": value, **more}


def test_label_studio_images(tmp_path: Path) -> None:
    # The examples of Label Studio's manual for each tag, with smaller numbers.
    box = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": ["car"]}
    turned = {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90, "rectanglelabels": ["t"]}
    polygon = {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["tree"]}
    regions = [
        region("rectanglelabels", box), region("rectanglelabels", turned),
        region("polygonlabels", polygon),
        region("keypointlabels", {"x": 50, "y": 50, "width": 1, "keypointlabels": ["eye"]}),
        region("choices", {"choices": ["x"]}), region("rectanglelabels", {"x": None}),
    ]  # fmt: skip
    tasks = [
        {"data": {"image": "a.jpg"}, "annotations": [{"was_cancelled": True, "result": []},
                                                     {"result": regions}]},
        {"data": {"image": "b.jpg"}, "annotations": [], "predictions": [{"result": regions[:1]}]},
    ]  # fmt: skip
    one, other = frames(tmp_path / "a.json", tasks)
    assert [each.label for each in one.objects] == ["car", "t", "tree", "eye"]
    assert one.objects[0].box == pytest.approx((4, 6, 24, 18))
    assert one.objects[1].bounds() == pytest.approx((14, 15, 20, 19))
    assert one.objects[3].points == ((20, 15),)
    assert (other.frame, other.name, len(other.objects)) == (1, "b.jpg", 1)


def brush(mask: np.ndarray) -> list[int]:
    """Write Label Studio's run lengths, every pixel a run of four values."""
    bits = [f"{mask.size * 4:032b}", f"{7:05b}", *[f"{3:04b}"] * 4]
    for filled in mask.ravel():
        bits += ["1", "00", f"{3:04b}", f"{255 * int(filled):08b}"]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def test_label_studio_brushes(tmp_path: Path) -> None:
    good = region("brushlabels", {"format": "rle", "rle": brush(disc()), "brushlabels": ["b"]})
    short = region("brushlabels", {"rle": brush(disc())[:40], "brushlabels": ["b"]})
    lies = region("brushlabels", {"rle": [255] * 40, "brushlabels": ["b"]})
    task = {"data": {}, "annotations": [{"result": [good, short, lies]}]}
    (frame,) = frames(tmp_path / "a.json", [task])
    assert len(frame.objects) == 1
    assert frame.objects[0].mask == CompactMask.from_dense(disc())


def test_label_studio_video(tmp_path: Path) -> None:
    def step(frame: int, x: float, **more: Any) -> dict[str, Any]:
        return {"frame": frame, "x": x, "y": 0, "width": 10, "height": 10, "rotation": 0, **more}

    sequence = [step(1, 0, enabled=True), step(5, 40, enabled=False), step(8, 80, enabled=True)]
    value = {"framesCount": 10, "sequence": sequence, "labels": ["Car"]}
    task = {
        "data": {"video": "v.mp4"},
        "annotations": [{"result": [region("videorectangle", value)]}],
    }
    found = {f.frame: f.objects[0] for f in frames(tmp_path / "a.json", [task])}
    assert sorted(found) == [0, 1, 2, 3, 4, 7, 8, 9]
    assert found[2].box == pytest.approx((8, 0, 12, 3))
    assert found[9].label == "Car"


def test_mot_counts_from_one(tmp_path: Path) -> None:
    # The first lines of MOT's manual, and what is no line of it.
    text = (
        "1,3,794.27,247.59,71.245,174.88,-1,-1,-1,-1\n2,3,1,1,5,5,0.5,2,-1,-1\nx,y\n1,0,1,1,1,1\n"
    )
    (tmp_path / "a.labels.txt").write_text("dog\ncat\n")
    one, two = frames(tmp_path / "a.txt", text)
    assert one.objects[0].box == pytest.approx((793.27, 246.59, 864.515, 421.47))
    assert (two.frame, two.objects[0].label, two.objects[0].score) == (1, "cat", 0.5)
    assert two.objects[0].box == (0, 0, 5, 5)


def test_voc_and_yolo_come_back(tmp_path: Path) -> None:
    objects = (
        LabelledObject(object_id=2, label="cat", mask=CompactMask.from_dense(disc())),
        LabelledObject(object_id=5, label="a: 'b'", box=(1, 2, 11, 12)),
    )
    frame = LabelledFrame(frame=0, size=SIZE, objects=objects)
    (voc,) = frames(tmp_path / "a.xml", write_voc(frame, "a.jpg"))
    assert [(o.object_id, o.label, o.box) for o in voc.objects] == [
        (2, "cat", (8, 5, 23, 20)), (5, "a: 'b'", (1, 2, 11, 12)),
    ]  # fmt: skip
    folder = tmp_path / "set"
    (folder / "labels").mkdir(parents=True)
    classes: dict[str, int] = {}
    for name, outlines in (("00007", True), ("00009", False)):
        text = write_yolo(frame, classes, outlines=outlines)
        (folder / "labels" / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text(write_names(classes))
    outlined, boxed = read_labels(folder, SIZE, Problems())
    assert (outlined.frame, boxed.frame) == (7, 9)
    assert [each.label for each in boxed.objects] == ["cat", "a: 'b'"]
    assert boxed.objects[0].box == pytest.approx((8, 5, 23, 20), abs=1e-3)
    filled = outlined.objects[0].filled(SIZE)
    assert filled is not None
    assert iou(filled.dense(), disc()) >= 0.97
    with pytest.raises(InvalidValue, match="size is not known"):
        list(read_labels(folder / "labels" / "00007.txt", None, Problems()))


def test_what_is_no_layout_is_said(tmp_path: Path) -> None:
    for name, text in (("a.json", "[1]"), ("a.json", "{"), ("a.txt", "hello"), ("a.xml", "<a/>")):
        with pytest.raises(InvalidValue, match=r"layouts|damaged"):
            frames(tmp_path / name, text)
    with pytest.raises(InvalidValue, match="no file of labels"):
        frames(tmp_path / "a.pdf", "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValue, match="no labels"):
        list(read_labels(tmp_path / "empty", None, Problems()))
