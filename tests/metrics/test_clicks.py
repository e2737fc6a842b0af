"""Where the largest mistake is clicked."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from pocketeye.metrics import error_click
from pocketeye.metrics.clicks import interior_point


def box(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[y0:y1, x0:x1] = True
    return mask


NOTHING = box(0, 0, 0, 0)


def test_first_click_is_in_the_middle() -> None:
    assert error_click(NOTHING, box(10, 20, 21, 31)) == (25, 15, 1)


def test_border_of_the_image_is_a_border() -> None:
    assert error_click(NOTHING, box(0, 0, 11, 11)) == (5, 5, 1)


def test_the_larger_mistake_is_corrected() -> None:
    truth, mask = box(0, 0, 20, 20), box(0, 0, 20, 15) | box(30, 30, 39, 39)
    assert error_click(mask, truth) == (17, 2, 1)  # 100 pixels are missing, 81 too many
    mask |= box(30, 39, 39, 43)
    click = error_click(mask, truth)
    assert click is not None
    assert click.label == 0


def test_regions_that_touch_with_corners_are_one() -> None:
    truth = box(0, 0, 4, 4) | box(4, 4, 8, 8) | box(20, 20, 25, 25)
    # 32 pixels in one against 25; by sides alone it would be 25 against 16
    click = error_click(NOTHING, truth)
    assert click is not None
    assert click[:2] == (1, 1)


def test_nothing_to_correct() -> None:
    assert error_click(box(3, 3, 9, 9), box(3, 3, 9, 9)) is None


@given(arrays(np.bool_, (9, 13)), arrays(np.bool_, (9, 13)))
def test_a_click_is_on_what_is_wrong(mask: np.ndarray, truth: np.ndarray) -> None:
    click = error_click(mask, truth)
    if click is None:
        assert np.array_equal(mask, truth)
    else:
        assert mask[click.y, click.x] != truth[click.y, click.x] == bool(click.label)


@given(arrays(np.bool_, (9, 13)).filter(np.any))
def test_no_pixel_is_further_inside(region: np.ndarray) -> None:
    outside = np.argwhere(~np.pad(region, 1)) - 1
    depth = {
        (int(y), int(x)): ((outside - (y, x)) ** 2).sum(1).min() for y, x in np.argwhere(region)
    }
    assert depth[interior_point(region)] == max(depth.values())
