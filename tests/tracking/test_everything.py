import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.results import CompactMask
from pocketeye.tracking import ImageSegmenter, MaskGenerator
from pocketeye.tracking.image import everything
from tests.tracking.by_colour import COLOURS, ByColour, Disc, disc_mask, make_image

CELL = 32


@st.composite
def scenes(draw) -> tuple[tuple[int, int], list[Disc]]:
    """Discs of different colours, each in a cell of its own, in an image of 2 x 2 to 4 x 3 cells."""
    columns, rows = draw(st.integers(2, 4)), draw(st.integers(2, 3))
    count = draw(st.integers(1, min(len(COLOURS), columns * rows)))
    cells = draw(st.permutations(range(columns * rows)))[:count]
    discs = []
    for cell, colour in zip(cells, COLOURS, strict=False):
        radius = draw(st.integers(10, 13))
        shift = st.integers(radius + 1, CELL - radius - 2)
        x, y = cell % columns * CELL + draw(shift), cell // columns * CELL + draw(shift)
        discs.append((x, y, radius, colour))
    return (columns * CELL, rows * CELL), discs


def generator(image_size=(128, 128), **options) -> MaskGenerator:
    return MaskGenerator(ImageSegmenter(ByColour(image_size)), **{"points_per_side": 10, **options})


@settings(max_examples=10, deadline=None, derandomize=True)
@given(scenes(), st.sampled_from([1, 7, 64, 1000]))
def test_every_object_is_found_once(scene, points_per_batch) -> None:
    size, discs = scene
    result = generator(points_per_batch=points_per_batch)(make_image(size, discs))
    assert len(result) == len(discs)
    assert result.masks.areas.tolist() == sorted(result.masks.areas)
    assert result.scores.tolist() == pytest.approx([0.9] * len(result))
    for disc in discs:
        there = CompactMask.from_dense(disc_mask(size, disc))
        assert sum(mask.iou(there) > 0.7 for mask in result.masks) == 1, disc


@settings(max_examples=5, deadline=None, derandomize=True)
@given(scenes(), st.integers(1, 2))
def test_crops_find_nothing_twice(scene, crop_layers) -> None:
    size, discs = scene
    result = generator(crop_layers=crop_layers)(make_image(size, discs))
    for disc in discs:
        there = CompactMask.from_dense(disc_mask(size, disc))
        assert sum(mask.iou(there) > 0.7 for mask in result.masks) == 1, disc


def test_crops_find_what_is_too_small_for_the_whole_image() -> None:
    size, disc = (256, 256), (100, 60, 7, COLOURS[0])
    small = CompactMask.from_dense(disc_mask(size, disc))
    options = {"image_size": (64, 64), "points_per_side": 40}
    without = generator(**options)(make_image(size, [disc]))
    assert max((mask.iou(small) for mask in without.masks), default=0) < 0.1
    found = generator(**options, crop_layers=2)(make_image(size, [disc]))
    assert max(mask.iou(small) for mask in found.masks) > 0.6


def test_what_is_cut_off_by_a_crop_is_left_to_others() -> None:
    size, disc = (160, 160), (80, 80, 40, COLOURS[0])
    image = make_image(size, [disc])
    result = generator(crop_layers=1, crop_overlap=0.1)(image)
    whole = CompactMask.from_dense(disc_mask(size, disc))
    assert len(result) == 1, "no quarters of it"
    assert result.masks[0].iou(whole) > 0.9


def test_thresholds() -> None:
    image = make_image((64, 64), [(32, 32, 12, COLOURS[0])])
    assert len(generator()(image)) == 1
    assert len(generator(pred_iou_threshold=0.91)(image)) == 0
    wavering = generator(stability_threshold=0.0, box_nms_threshold=1.0, points_per_side=1)(image)
    assert wavering.masks.areas.max() == 64 * 64, "the one that wavers passes now"
    unsure = generator(pred_iou_threshold=0.25, box_nms_threshold=1.0, points_per_side=1)(image)
    assert len(unsure) == 2
    assert sorted(unsure.scores.tolist()) == pytest.approx([0.3, 0.9])
    everything_twice = generator(box_nms_threshold=1.0)(image)
    assert len(everything_twice) > 5, "NMS is what makes one of many"


def test_stability() -> None:
    logits = np.full((3, 2, 50), -9.0)
    logits[0, 0] = 9.0
    logits[1, 0, :40], logits[1, 0, 40:] = 9.0, 0.5
    assert everything.stability(logits, 1.0).tolist() == pytest.approx([1.0, 0.8, 0.0])
    assert everything.stability(logits, 0.4).tolist() == pytest.approx([1.0, 1.0, 0.0])


def test_small_regions() -> None:
    size = (128, 128)
    image = make_image(size, [(40, 40, 25, COLOURS[0]), (40, 40, 6, (0, 0, 0))])
    image[100:108, 100:108] = COLOURS[0]  # a speck of the same colour
    image[8:20, 100:112] = COLOURS[1]  # a small object
    raw, clean = (generator(min_area=area)(image).masks for area in (0, 200))
    disc = CompactMask.from_dense(disc_mask(size, (40, 40, 25, COLOURS[0])))
    red = [max(masks, key=disc.iou) for masks in (raw, clean)]
    assert not red[0].dense()[40, 40]
    assert red[0].dense()[104, 104]
    assert red[1].dense()[40, 40]
    assert not red[1].dense()[104, 104]
    assert red[1].iou(disc) > 0.85
    assert min(raw.areas) < 200 <= min(clean.areas)


def test_clicks_are_batched_and_only_one_mask_is_large(monkeypatch) -> None:
    made = generator(points_per_batch=50)
    large = []
    monkeypatch.setattr(
        CompactMask, "from_dense", staticmethod(_noting(large, CompactMask.from_dense))
    )
    made(make_image((96, 64), [(30, 30, 12, COLOURS[0])]))
    batches = [len(points) for points, *_ in made.segmenter.model.network.prompts]
    assert batches == [50, 50]
    assert set(large) == {(64, 96)}, "one after another"
    assert made.segmenter.model.network.encoded == 1


def _noting(shapes: list, function):
    def noted(mask: np.ndarray) -> CompactMask:
        shapes.append(mask.shape)
        return function(mask)

    return noted


def test_the_image_that_was_set_stays() -> None:
    made = generator()
    made.segmenter.set_image(make_image((64, 64), [(32, 32, 12, COLOURS[0])]))
    before = made.segmenter.predict([[32, 32]])
    made(make_image((96, 96), [(20, 20, 12, COLOURS[1])]))
    assert made.segmenter.predict([[32, 32]]).masks == before.masks


@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(0, 3),
    st.floats(0, 1, allow_nan=False),
)
def test_crops_cover_the_image(size, layer, overlap) -> None:
    seen = np.zeros(size[::-1], bool)
    boxes = everything.crop_boxes(size, layer, overlap)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= size[0]
        assert 0 <= y0 < y1 <= size[1]
        seen[y0:y1, x0:x1] = True
    assert seen.all()
    assert 1 <= len(boxes) <= 4**layer


def test_the_official_crops() -> None:
    # generate_crop_boxes((900, 1500), 1, 512 / 1500) of the official code
    boxes = everything.crop_boxes((1500, 900), 1, 512 / 1500)
    shared = int(512 / 1500 * 900)
    width, height = math.ceil((shared + 1500) / 2), math.ceil((shared + 900) / 2)
    assert boxes[0] == (0, 0, width, height)
    assert boxes[3] == (width - shared, height - shared, 1500, 900)


def test_grid() -> None:
    assert everything.grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_nothing_is_found_in_nothing_sure() -> None:
    result = generator(pred_iou_threshold=1.0)(np.zeros((20, 30, 3), np.uint8))
    assert len(result) == 0
    assert result.masks.size == (30, 20)


def test_bad_input(tmp_path) -> None:
    for options, sentence in (
        ({"points_per_side": 0}, "points_per_side is 0, it can be 1 or more"),
        ({"pred_iou_threshold": 1.5}, "pred_iou_threshold is 1.5, it can be 0 to 1"),
        ({"crop_layers": 9}, "crop_layers is 9, it can be 0 to 4"),
        ({"min_area": -1}, "min_area is -1, it can be 0 or more"),
    ):
        with pytest.raises(InvalidValue, match=sentence):
            generator(**options)
    with pytest.raises(MissingFile, match="no image at"):
        generator()(tmp_path / "none.png")
