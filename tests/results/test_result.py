"""Results: their forms read back, their drawing shows every object, their colours stay."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageShow

from pocketeye.errors import InvalidValue, UserError
from pocketeye.results import Masks, Result, color_of
from pocketeye.results.draw import dilate


def two(background: int = 120, **changes) -> Result:
    dense = np.zeros((2, 120, 160), bool)
    dense[0, 20:80, 30:90] = True
    dense[1, 60:120, 80:160] = True
    image = np.full((120, 160, 3), background, np.uint8)
    values = {
        "size": (160, 120), "masks": Masks.from_dense(dense), "image": image,
        "scores": [0.9, 0.5], "object_ids": (4, 2), "frame": 3,
    }  # fmt: skip
    return Result(**{**values, **changes})


def test_table_and_coco():
    result = two(labels=("cat", "dog"))
    first = result.table()[0]
    assert first == {
        "frame": 3, "id": 4, "label": "cat", "score": 0.9,
        "x": 30, "y": 20, "width": 60, "height": 60, "area": 3600,
    }  # fmt: skip
    annotations = result.to_coco(category_ids=(17, 18), first_id=10)
    assert [a["id"] for a in annotations] == [10, 11]
    assert annotations[1]["bbox"] == [80, 60, 80, 60]
    assert annotations[1]["category_id"] == 18
    assert annotations[1]["image_id"] == 3
    assert Masks.from_rle([a["segmentation"] for a in annotations]) == result.masks


def test_an_empty_mask_has_a_row_and_no_annotation():
    result = two(masks=Masks.from_dense(np.zeros((2, 120, 160), bool)))
    assert [row["area"] for row in result.table()] == [0, 0]
    assert result.to_coco() == []
    assert np.array_equal(result.overlay(), result.image)


def test_boxes_alone():
    image = np.zeros((60, 80, 3), np.uint8)
    result = Result(size=(80, 60), boxes=np.array([[10, 20, 50, 40.5]]), image=image)
    assert result.ids == (1,)
    assert result.table()[0]["area"] == 40 * 20.5
    assert "segmentation" not in result.to_coco()[0]
    drawn = result.overlay()
    assert tuple(drawn[30, 10]) == color_of(1)
    assert not drawn[30, 25].any()  # the inside is left alone
    with pytest.raises(InvalidValue, match="a label image needs masks"):
        result.label_image()


@pytest.mark.parametrize("background", [0, 255])
def test_objects_are_seen_on_dark_and_light(background):
    result = two(background)
    drawn = result.overlay(text=False)
    dense = result.masks.dense()
    for mask, object_id in zip(dense, result.ids, strict=True):
        edge = mask & dilate(~mask, 1) & ~(dense.sum(0) > 1)
        colors = np.unique(drawn[edge], axis=0).tolist()
        assert list(color_of(object_id)) in colors
    outside = ~dense.any(0)
    far = outside & ~dilate(dense.any(0), 2)
    assert (drawn[far] == background).all()
    # inside: neither the image alone nor the colour alone
    assert tuple(drawn[40, 50]) not in ((background,) * 3, color_of(4))


def test_the_lowest_id_lies_on_top():
    overlap = (70, 85)
    drawn = two(0).overlay(text=False, fill=1.0)
    assert tuple(drawn[overlap]) == color_of(2)
    assert np.asarray(two().label_image())[overlap] == 2


def test_the_image_is_not_drawn_into():
    result = two()
    before = result.image.copy()
    result.plot()
    assert np.array_equal(result.image, before)


def test_labels_stay_inside_the_image():
    dense = np.ones((1, 30, 40), bool)
    image = np.zeros((30, 40, 3), np.uint8)
    text = "a name wider than the image"
    result = Result(size=(40, 30), masks=Masks.from_dense(dense), labels=(text,), image=image)
    assert result.overlay().shape == (30, 40, 3)
    assert not np.array_equal(result.overlay(), result.overlay(text=False))


def test_colors_are_stable_and_differ():
    colors = [color_of(i) for i in range(1, 41)]
    assert colors[:3] == [(86, 180, 233), (230, 159, 0), (0, 158, 115)]
    assert len(set(colors)) == 40
    first = np.array(colors[:20], int)
    apart = abs(first[:, None] - first[None]).sum(-1) + 999 * np.eye(20, dtype=int)
    assert apart.min() > 40
    assert color_of(-1) != color_of(0)


def test_saved_forms_read_back(tmp_path):
    result = two()
    overlay = Image.open(result.save(tmp_path / "new" / "overlay.png"))
    assert np.array_equal(np.asarray(overlay), result.overlay())
    labels = Image.open(result.save(tmp_path / "labels.png", "labels"))
    assert labels.mode == "P"
    masks, ids = Masks.from_labels(np.asarray(labels))
    assert ids == (2, 4)
    assert labels.getpalette()[3:6] == [128, 0, 0]  # DAVIS' first object
    assert np.array_equal(masks[0].dense(), result.masks[1].dense())
    cut = np.asarray(Image.open(result.save(tmp_path / "cut.png", "cutout")))
    assert np.array_equal(cut[..., 3] == 255, result.masks.union())
    assert (cut[result.masks.union(), :3] == 120).all()
    assert not cut[0, 0].any()
    assert result.save(tmp_path / "overlay.jpg").stat().st_size > 0
    assert not list(tmp_path.rglob("*.partial*"))


def test_saving_what_cannot_be_saved(tmp_path):
    result = two()
    with pytest.raises(InvalidValue, match=r"labels must be saved as .png .* got a.jpg"):
        result.save(tmp_path / "a.jpg", "labels")
    with pytest.raises(InvalidValue, match=r"unknown form 'cutuot'. Did you mean 'cutout'"):
        result.save(tmp_path / "a.png", "cutuot")
    with pytest.raises(InvalidValue, match=r"cannot save a.xyz"):
        result.save(tmp_path / "a.xyz")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValue, match="cannot write"):
        result.save(tmp_path / "file" / "a.png")
    with pytest.raises(InvalidValue, match="object id 300 does not fit into a palette PNG"):
        two(object_ids=(300, 1)).label_image()
    with pytest.raises(InvalidValue, match="no image to be drawn"):
        two(image=None).plot()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [0.5]}, "1 scores for 2 objects"),
        ({"object_ids": (3, 3)}, r"object ids must differ, got \[3, 3\]"),
        ({"size": (120, 160)}, "masks of size"),
        ({"image": np.zeros((160, 120, 3), np.uint8)}, r"uint8 of shape \(120, 160, 3\), got"),
        ({"image": np.zeros((120, 160, 3))}, "got float64"),
    ],
)
def test_parts_must_fit(changes, message):
    with pytest.raises(InvalidValue, match=message):
        two(**changes)


class Viewer(ImageShow.Viewer):
    """Stands in for the desktop's."""

    def __init__(self) -> None:
        self.shown: list[tuple[Image.Image, str | None]] = []

    def show(self, image: Image.Image, **options: str | None) -> int:
        self.shown.append((image, options["title"]))
        return 1


@pytest.fixture
def viewer(monkeypatch) -> Viewer:
    viewer = Viewer()
    monkeypatch.setattr(ImageShow, "_viewers", [viewer])
    monkeypatch.setenv("DISPLAY", ":0")
    return viewer


def test_show(viewer, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    result = two()
    result.show(text=False)
    [(image, title)] = viewer.shown
    assert np.array_equal(np.asarray(image), result.overlay(text=False))
    assert title == "frame 3"


@pytest.mark.parametrize(
    ("missing", "said"),
    [("display", "no display"), ("viewer", "no image viewer is installed")],
)
def test_nowhere_to_show(viewer, monkeypatch, missing, said):
    if missing == "display":
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    else:
        monkeypatch.setattr(ImageShow, "_viewers", [])
    with pytest.raises(UserError, match=rf"{said}.*: write the image with \.save\(") as caught:
        two().show()
    assert "\n" not in str(caught.value)
    assert not viewer.shown


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_desktops_that_do_not_name_their_display(viewer, monkeypatch, platform):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    two().show()
    assert len(viewer.shown) == 1


def test_there_is_nothing_to_show(viewer):
    with pytest.raises(InvalidValue, match="holds no image"):
        two(image=None).show()


def test_colours_by_class():
    boxes = np.array([[10, 20, 50, 40], [60, 20, 75, 40], [10, 50, 50, 58]])
    image = np.zeros((60, 80, 3), np.uint8)
    result = Result(size=(80, 60), boxes=boxes, image=image, class_ids=(1, 0, 1))
    drawn = result.overlay(text=False)
    assert [tuple(drawn[y, x]) for x, y in ((10, 30), (60, 30), (10, 54))] == [
        color_of(2), color_of(1), color_of(2),
    ]  # fmt: skip
    filled = two(class_ids=(0, 0)).overlay(text=False, fill=1.0)
    assert tuple(filled[40, 50]) == tuple(filled[100, 120]) == color_of(1)
    with pytest.raises(InvalidValue, match="1 class_ids for 2 objects"):
        two(class_ids=(1,))


def test_the_first_box_lies_on_top():
    boxes = np.array([[10, 10, 40, 40], [10, 10, 50, 50]])
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = Result(size=(80, 60), boxes=boxes, image=image).overlay(text=False)
    assert tuple(drawn[10, 20]) == color_of(1)
    assert tuple(drawn[10, 45]) == color_of(2)


def test_some_of_the_objects():
    result = two(labels=("cat", "dog"), class_ids=(5, 6))
    sure = result.above(0.6)
    assert (sure.labels, sure.ids, sure.class_ids, len(sure.masks)) == (("cat",), (4,), (5,), 1)
    assert sure.scores.tolist() == [pytest.approx(0.9)]
    assert np.array_equal(sure.boxes, result.boxes[:1])
    assert len(result.above(0.95)) == 0
    assert two(scores=None).above(0.99).ids == (4, 2)
    assert result.only([1, 0]).ids == (2, 4)


def test_another_size():
    result = two().resized((80, 60))
    assert result.boxes.tolist() == [[15, 10, 45, 40], [40, 30, 80, 60]]
    assert result.masks.boxes.tolist() == result.boxes.tolist()
    assert result.image.shape == (60, 80, 3)
    assert result.ids == (4, 2)


def test_a_name_that_is_empty_is_not_written():
    assert two(labels=("", "")).overlay().tolist() == two().overlay(text=False).tolist()


@pytest.mark.parametrize(("count", "named"), [(30, 30), (31, 1)])
def test_labels_that_would_hide_a_crowd_are_left_out(count, named):
    """One object is as wide as its label, the others are small."""
    boxes = [[10, 30, 110, 60], *([20 * k, 100, 20 * k + 8, 108] for k in range(count - 1))]
    given = {
        "size": (640, 120),
        "boxes": np.array(boxes),
        "image": np.zeros((120, 640, 3), np.uint8),
    }
    names = ["object"] * count
    drawn = Result(**given, labels=names).overlay()
    bare = Result(**given, labels=names).overlay(text=False)
    assert (drawn != bare)[:30].any()  # the label of the large one
    assert (drawn != bare)[80:100].any() == (named > 1)
