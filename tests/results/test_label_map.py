"""A class for every pixel: shares, images, palette, run lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.errors import InvalidValue
from pocketeye.results import LabelMap, Masks, color_of

CLASSES = ("sky", "road", "car")


def street(**changes: object) -> LabelMap:
    labels = np.zeros((60, 80), np.int64)
    labels[30:] = 2
    labels[50:, :40] = 255
    given = {"labels": labels, "classes": CLASSES, "image": np.full((60, 80, 3), 100, np.uint8)}
    return LabelMap(**{**given, **changes})  # type: ignore[arg-type]


def test_what_occurs() -> None:
    found = street()
    assert (found.size, found.present) == ((80, 60), (0, 2))
    assert found.shares() == {"sky": 0.5, "car": 2000 / 4800}
    assert list(found.shares()) == ["sky", "car"]


def test_it_is_drawn_as_objects_are() -> None:
    plain = np.asarray(street().plot(text=False, fill=1.0))
    assert tuple(plain[10, 10]) == color_of(1)
    assert tuple(plain[40, 60]) == color_of(3)
    assert tuple(plain[57, 3]) == (100, 100, 100)  # no class: its own colours
    result = street().result()
    assert np.array_equal(np.asarray(result.plot(text=False, fill=1.0)), plain)
    assert result.labels == ("sky", "car")


def test_the_legend_names_what_occurs() -> None:
    drawn = street().plot()
    assert drawn.width == 80
    assert drawn.height > 60 + 20
    below = np.asarray(drawn)[60:].reshape(-1, 3)
    assert (below == color_of(1)).all(axis=1).any()
    assert (below == color_of(3)).all(axis=1).any()
    assert not (below == color_of(2)).all(axis=1).any()


def test_an_image_narrower_than_its_legend_is_drawn_whole() -> None:
    narrow = {"labels": np.zeros((9, 1), np.int64), "image": np.full((9, 1, 3), 100, np.uint8)}
    drawn = np.asarray(street(**narrow).plot(fill=1.0))
    assert drawn.shape[1] > 40  # the name beside its patch
    assert (drawn[:9, 0] == color_of(1)).all()
    assert (drawn[:9, 1:] == 255).all()


def test_labels_are_read_back(tmp_path: Path) -> None:
    path = street().save(tmp_path / "deep" / "labels.png", "labels")
    with Image.open(path) as image:
        assert image.mode == "P"
        pixels = np.asarray(image)
        assert tuple(image.getpalette()[6:9]) == color_of(3)
    assert np.array_equal(pixels, street().labels)


def test_coco() -> None:
    rows = street().to_coco(image_id=7, category_ids=(10, 20, 30), first_id=5)
    assert [(r["id"], r["image_id"], r["category_id"]) for r in rows] == [(5, 7, 10), (6, 7, 30)]
    masks = Masks.from_rle([row["segmentation"] for row in rows])
    assert np.array_equal(masks.dense()[1], street().labels == 2)
    assert [row["category_id"] for row in street().to_coco()] == [1, 3]


def test_another_size() -> None:
    small = street().resized((40, 30))
    assert small.size == (40, 30)
    assert np.array_equal(small.labels, street().labels[1::2, 1::2])
    assert small.image is not None
    assert small.image.shape == (30, 40, 3)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"must be integers \(height, width\), got float64"):
        street(labels=np.zeros((3, 4)))
    with pytest.raises(InvalidValue, match="no image to be drawn"):
        street(image=None).plot()
    with pytest.raises(InvalidValue, match=r"saved as \.png"):
        street().save(tmp_path / "x.jpg", "labels")
    with pytest.raises(InvalidValue, match=r"unknown form 'label'\. Did you mean 'labels'"):
        street().save(tmp_path / "x.png", "label")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="300 classes do not fit"):
        street(classes=[str(i) for i in range(300)]).label_image()
