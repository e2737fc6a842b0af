"""Compact masks: nothing is lost, and COCO's own code reads and writes the same run lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.results import CompactMask, Masks

coco = pytest.importorskip("faster_coco_eval.core.mask")
QUICK = settings(max_examples=60, deadline=None)


def masks_of(sides: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    """Noise, and a filled rectangle that may reach every border, combined."""

    @st.composite
    def build(draw: st.DrawFn) -> np.ndarray:
        shape = (draw(sides), draw(sides))
        mask = draw(arrays(np.bool_, shape, fill=st.just(draw(st.booleans()))))
        rows = sorted(draw(st.tuples(*[st.integers(0, shape[0])] * 2)))
        columns = sorted(draw(st.tuples(*[st.integers(0, shape[1])] * 2)))
        mask[rows[0] : rows[1], columns[0] : columns[1]] = draw(st.booleans())
        return mask

    return build()


MASKS = masks_of(st.integers(1, 40))


def their_rle(mask: np.ndarray) -> dict:
    return coco.encode(np.asfortranarray(mask[..., None].astype(np.uint8)))[0]


@QUICK
@given(MASKS)
def test_dense_comes_back(mask):
    compact = CompactMask.from_dense(mask)
    assert np.array_equal(compact.dense(), mask)
    assert compact.area == mask.sum()
    assert np.array_equal(CompactMask.from_dense(mask.astype(np.float32) * -3).dense(), mask)


@QUICK
@given(MASKS)
def test_rle_is_that_of_coco(mask):
    compact, theirs = CompactMask.from_dense(mask), their_rle(mask)
    mine = compact.to_rle()
    assert mine["size"] == theirs["size"] == list(mask.shape)
    assert mine["counts"].encode() == theirs["counts"]
    assert CompactMask.from_rle(theirs) == compact  # bytes, as pycocotools gives them
    assert CompactMask.from_rle(mine) == compact
    runs = compact.to_rle(compressed=False)
    assert CompactMask.from_rle(runs) == compact
    assert coco.frPyObjects(runs, *mask.shape)["counts"] == theirs["counts"]
    assert compact.area == coco.area([theirs])[0]
    if compact.area:
        x0, y0, x1, y1 = compact.box
        assert [x0, y0, x1 - x0, y1 - y0] == coco.toBbox([theirs])[0].tolist()


@QUICK
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(*[masks_of(st.just(n))] * 3)))
def test_iou_is_that_of_coco(three):
    first, second = Masks.from_dense(np.stack(three)), Masks.from_dense(np.stack(three[1:]))
    got = first.iou(second)
    assert got.shape == (3, 2)
    for i, mine in enumerate(first):
        for j, other in enumerate(second):
            both = mine.dense() & other.dense()
            assert mine.intersection(other) == both.sum()
            if mine.area and other.area:
                theirs = coco.iou([their_rle(mine.dense())], [their_rle(other.dense())], [0])
                assert got[i, j] == pytest.approx(np.asarray(theirs).item())
            else:
                assert got[i, j] == float(mine.area == other.area)


def test_large_masks_are_those_of_coco():
    rng = np.random.default_rng(0)
    masks = rng.random((3, 1080, 1920)) < np.array([0.5, 0.01, 0.999])[:, None, None]
    for mask in masks:
        compact = CompactMask.from_dense(mask)
        assert compact.to_rle()["counts"].encode() == their_rle(mask)["counts"]
        assert len(compact.bits) < 1.01 * mask.size / 8  # also where nothing can be deflated


def wavy(count: int, height: int, width: int) -> Masks:
    """Upright bands with a wavy edge."""
    rng = np.random.default_rng(1)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    items = []
    for _ in range(count):
        middle = rng.uniform(0, width) + 20 * np.sin(y / rng.uniform(3, 30))
        half = np.where(abs(y - height // 2) < rng.uniform(200, 500), rng.uniform(200, 500), 0)
        items.append(CompactMask.from_dense((x > middle - half) & (x < middle + half)))
    return Masks(size=(width, height), items=tuple(items))


def test_a_hundred_at_full_hd_stay_below_five_megabytes():
    masks = wavy(100, 1080, 1920)
    assert masks.areas.mean() > 300_000  # large ones
    assert masks.nbytes < 5e6


def test_a_set_keeps_order_boxes_and_union():
    dense = np.zeros((3, 6, 9), bool)
    dense[0, 1:3, 2:5] = dense[2, 5, 8] = True
    masks = Masks.from_dense(dense)
    assert masks.size == (9, 6)
    assert masks.boxes.tolist() == [[2, 1, 5, 3], [0, 0, 0, 0], [8, 5, 9, 6]]
    assert masks.areas.tolist() == [6, 0, 1]
    assert np.array_equal(masks.dense(), dense)
    assert np.array_equal(masks.union(), dense.any(0))
    assert np.array_equal(masks[2].dense(), dense[2])
    assert len(masks[1:]) == 2
    assert Masks.from_rle(masks.to_rle()) == masks
    assert Masks.from_dense(np.zeros((0, 6, 9), bool)).dense().shape == (0, 6, 9)
    with pytest.raises(InvalidType, match="by number or slice, got str"):
        masks["a"]


def test_label_images():
    labels = np.zeros((4, 5), np.uint8)
    labels[1:3, 1:3], labels[3, 4] = 7, 200
    masks, ids = Masks.from_labels(labels)
    assert ids == (7, 200)
    assert np.array_equal(masks.to_labels(ids), labels)
    both = Masks.from_dense(np.ones((2, 4, 5), bool))
    assert (both.to_labels((5, 3)) == 3).all()  # the lowest id on top
    assert both.to_labels((1000, 3)).dtype == np.int32
    with pytest.raises(InvalidValue, match=r"object id 0 .* give ids from 1 up"):
        both.to_labels((0, 1))


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [4, 5], "counts": [3, 2]}, "cover 5 pixels, but a mask of 5x4 has 20"),
        ({"size": [4, 5], "counts": [30, -10]}, "cover 20 pixels"),
        ({"size": [4, 5], "counts": "é~"}, "not the compressed run lengths"),
        ({"size": [4, 5], "counts": "oooooooooooooo0"}, "not the compressed run lengths"),
        ({"size": [4, 5], "counts": "o"}, "not the compressed run lengths"),
        ({"size": [4, 5], "counts": ""}, "not the compressed run lengths"),
        ({"counts": "0"}, r"a run-length mask is .* got dict with \['counts'\]"),
    ],
)
def test_damaged_run_lengths(rle, message):
    with pytest.raises(InvalidValue, match=message):
        CompactMask.from_rle(rle)


def test_foreign_run_lengths_with_empty_runs():
    mask = CompactMask.from_rle({"size": [2, 3], "counts": [0, 1, 0, 2, 3, 0]})
    assert mask.dense().T.ravel().tolist() == [True] * 3 + [False] * 3


def test_shapes_that_are_no_masks():
    with pytest.raises(InvalidValue, match=r"\(height, width\), got \(3,\)"):
        CompactMask.from_dense(np.ones(3))
    with pytest.raises(InvalidValue, match=r"\(N, height, width\), got \(3, 4\)"):
        Masks.from_dense(np.ones((3, 4)))
    with pytest.raises(InvalidValue, match="no masks and no size"):
        Masks.from_rle([])
    small, large = (CompactMask.from_dense(np.ones(s, bool)) for s in ((2, 3), (4, 5)))
    with pytest.raises(InvalidValue, match="mask 1 is of an image of 5x4, the others of 3x2"):
        Masks(size=(3, 2), items=(small, large))
    with pytest.raises(InvalidValue, match="3x2 and 5x4 cannot be compared"):
        small.iou(large)
