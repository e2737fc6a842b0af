"""Holes and specks against the rule written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pocketeye.errors import InvalidValue
from pocketeye.tracking.image.components import components, fill_holes, remove_specks


def flooded(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """By flood over eight neighbours."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        todo, group = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            group.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            todo += near
        found.append(group)
    return found


def reference(mask: np.ndarray, max_area: int, *, holes: bool) -> np.ndarray:
    result = mask.copy()
    for group in flooded(~mask if holes else mask):
        if len(group) <= max_area:
            for y, x in group:
                result[y, x] = holes
    return result


SHAPES = st.tuples(st.integers(1, 18), st.integers(1, 18))


@settings(max_examples=60, deadline=None)
@given(
    SHAPES.flatmap(lambda s: arrays(np.bool_, s, fill=st.booleans())),
    st.sampled_from([0, 1, 2, 5, 30, 400]),
    st.tuples(*[st.integers(0, 25)] * 4),
)
def test_the_rule(core, max_area, border):
    mask = np.pad(core, (border[:2], border[2:]))
    for function, holes in ((fill_holes, True), (remove_specks, False)):
        expected = reference(mask, max_area, holes=holes)
        assert np.array_equal(function(mask, max_area), expected)
        logits = np.where(mask, np.float32(3), np.float32(-4))
        changed = function(logits, max_area)
        assert np.array_equal(changed > 0, expected)
        same = mask == expected
        assert np.array_equal(changed[same], logits[same])
        assert np.all(changed[~same] == np.float32(0.1 if holes else -0.1))


@settings(max_examples=60, deadline=None)
@given(SHAPES.flatmap(lambda s: arrays(np.bool_, s, fill=st.booleans())), st.booleans())
def test_components_are_labelled_as_by_scipy(mask, diagonal):
    labels, areas = components(mask, diagonal=diagonal)
    want, count = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
    assert np.array_equal(labels, want)
    assert np.array_equal(areas, np.bincount(want.ravel(), minlength=count + 1))


def test_objects_are_separate_and_nothing_is_changed_in_place():
    masks = np.zeros((2, 1, 20, 30), bool)
    masks[0, 0, 2:12, 2:12] = True
    masks[0, 0, 5:7, 5:9] = False  # 8 pixels
    masks[1, 0, 2:12, 2:12] = True
    masks[1, 0, 5:8, 5:8] = False  # 9 pixels
    before = masks.copy()
    filled = fill_holes(masks, 8)
    assert np.array_equal(masks, before)
    assert filled.shape == masks.shape
    assert filled[0].sum() == 100
    assert filled[1].sum() == 91
    assert fill_holes(masks, 0) is not masks
    assert fill_holes(np.zeros((0, 4, 4)), 8).shape == (0, 4, 4)


def test_half_precision_keeps_its_dtype():
    logits = np.full((1, 9, 9), 2.0, np.float16)
    logits[0, 4, 4] = -1.0
    filled = fill_holes(logits, 1)
    assert filled.dtype == np.float16
    assert (filled > 0).all()


def test_what_is_refused():
    with pytest.raises(InvalidValue, match=r"area .*-1"):
        fill_holes(np.zeros((3, 3)), -1)
    with pytest.raises(InvalidValue, match=r"shape \(3,\)"):
        remove_specks(np.zeros(3), 1)
