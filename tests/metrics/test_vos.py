"""J and F against numbers worked out by hand, another way to compute them, and what must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from pocketeye.metrics import boundary_accuracy, region_similarity
from pocketeye.metrics.vos import boundary, statistics

EMPTY, FULL = np.zeros((100, 100), bool), np.ones((100, 100), bool)
MASKS = arrays(np.bool_, (12, 17))
SHAPES = st.integers(0, 2**32 - 1).map(lambda seed: blobs(seed, (40, 60)))


def blobs(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Smooth regions such as objects have."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 4)):
        cy, cx, ry, rx = rng.uniform((0, 0, 3, 3), (*shape, 15, 20))
        mask |= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return mask


def right_of(column: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[:, column:] = True
    return mask


def dilated(line: np.ndarray, radius: int) -> np.ndarray:
    """By a disk, one offset after another."""
    grown = np.zeros_like(line)
    height = line.shape[0]
    for y, x in np.argwhere(line):
        for dy in range(-radius, radius + 1):
            half = math.isqrt(radius**2 - dy**2)
            if 0 <= y + dy < height:
                grown[y + dy, max(x - half, 0) : x + half + 1] = True
    return grown


def benchmark_f(mask: np.ndarray, truth: np.ndarray, tolerance: float) -> float:
    """The definition, dilating both boundaries, pixel by pixel."""
    lines = []
    for image in (mask, truth):
        line = np.zeros_like(image)
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                beside = image[y : y + 2, x : x + 2]
                line[y, x] = beside.any() and not beside.all()
        lines.append(line)
    radius = math.ceil(tolerance * np.linalg.norm(mask.shape))
    found, true = lines
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    precision = (found & dilated(true, radius)).sum() / found.sum()
    recall = (true & dilated(found, radius)).sum() / true.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_j_by_hand() -> None:
    one, two = EMPTY.copy(), EMPTY.copy()
    one[10:14, 10:14] = True
    two[10:14, 12:16] = True
    assert region_similarity(one, two) == pytest.approx(8 / 24)
    assert region_similarity(EMPTY, EMPTY) == 1
    assert region_similarity(EMPTY, one) == 0
    assert region_similarity(FULL, one) == pytest.approx(16 / 10000)


def test_boundary_by_hand() -> None:
    mask = np.zeros((5, 6), bool)
    mask[2:4, 2:4] = True
    expected = [
        "......",
        ".###..",
        ".#.#..",
        ".###..",
        "......",
    ]
    assert ["".join(".#"[int(v)] for v in row) for row in boundary(mask)] == expected
    assert not boundary(FULL).any()  # the border of the image is none of the mask's
    at_corner = np.zeros((3, 3), bool)
    at_corner[2, 2] = True
    assert boundary(at_corner).tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize(("column", "expected"), [(50, 1.0), (52, 1.0), (48, 1.0), (53, 0.0)])
def test_f_has_a_tolerance_of_two_pixels_in_an_image_of_100(column: int, expected: float) -> None:
    # ceil(0.008 * 141.4) = 2
    assert boundary_accuracy(right_of(column), right_of(50)) == expected


def test_f_by_hand() -> None:
    # A step at row 50: 49 pixels at column 49, 11 in row 49, 50 at column 59, of which the first 49
    # and 3 of the 11 lie within 2 pixels of the straight line. That one is met in rows 0 to 51.
    step = right_of(50)
    step[50:, 50:60] = False
    precision, recall = 52 / 110, 52 / 100
    expected = 2 * precision * recall / (precision + recall)
    assert boundary_accuracy(step, right_of(50)) == pytest.approx(expected)
    assert expected == pytest.approx(104 / 210)


def test_f_of_what_is_empty() -> None:
    assert boundary_accuracy(EMPTY, EMPTY) == 1
    assert boundary_accuracy(FULL, EMPTY) == 1  # neither has a boundary: J tells them apart
    assert boundary_accuracy(EMPTY, right_of(50)) == 0
    assert boundary_accuracy(right_of(50), EMPTY) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tolerance", [0.008, 0.03])
def test_f_is_what_dilating_gives(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    truth = blobs(seed, (48, 64))
    mask = np.roll(truth, rng.integers(-4, 5, 2), (0, 1)) ^ (rng.random(truth.shape) < 0.01)
    got = boundary_accuracy(mask, truth, tolerance)
    assert got == pytest.approx(benchmark_f(mask, truth, tolerance), abs=1e-12)
    assert 0 < got < 1


@given(MASKS, MASKS)
def test_both_are_symmetric_and_shares(one: np.ndarray, two: np.ndarray) -> None:
    for measure in (region_similarity, boundary_accuracy):
        value = measure(one, two)
        assert 0 <= value <= 1
        assert value == pytest.approx(measure(two, one))
        assert measure(one, one) == 1


@given(MASKS, MASKS)
def test_j_is_one_only_for_equal_masks_and_grows_with_agreement(
    one: np.ndarray, two: np.ndarray
) -> None:
    assert (region_similarity(one, two) == 1) == np.array_equal(one, two)
    better = one.copy()
    wrong = np.argwhere(one != two)
    if len(wrong):
        y, x = wrong[0]
        better[y, x] = two[y, x]
        assert region_similarity(better, two) >= region_similarity(one, two)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SHAPES)
def test_f_is_one_where_every_boundary_pixel_has_one_near(one: np.ndarray, two: np.ndarray) -> None:
    # ceil(0.008 * 72.1) = 1
    met = [not (boundary(a) & ~dilated(boundary(b), 1)).any() for a, b in ((one, two), (two, one))]
    assert (boundary_accuracy(one, two) == 1) == all(met)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SHAPES, st.integers(0, 9), st.integers(0, 9))
def test_moving_both_changes_nothing(one: np.ndarray, two: np.ndarray, dy: int, dx: int) -> None:
    def place(mask: np.ndarray, y: int, x: int) -> np.ndarray:
        wide = np.zeros((60, 80), bool)
        wide[y + 1 : y + 41, x + 1 : x + 61] = mask
        return wide

    for measure in (region_similarity, boundary_accuracy):
        moved = measure(place(one, dy, dx), place(two, dy, dx))
        assert moved == pytest.approx(measure(place(one, 5, 5), place(two, 5, 5)))


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_f_does_not_fall_with_a_wider_tolerance(one: np.ndarray, seed: int) -> None:
    two = blobs(seed, one.shape)
    values = [boundary_accuracy(one, two, tolerance) for tolerance in (0.008, 0.02, 0.1, 1)]
    assert values == sorted(values)


def test_statistics_by_hand() -> None:
    values = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.0]
    # quarters of 8 frames share their edges: frames 0 to 2 and 5 to 7
    found = statistics(values)
    assert found.mean == pytest.approx(4.9 / 8)
    assert found.recall == pytest.approx(5 / 8)  # 0.5 is not above 0.5
    assert found.decay == pytest.approx(0.9 - 0.3)
    assert statistics([0.6]).decay == 0
    assert statistics([0.8] * 300 + [0.2] * 300).decay == pytest.approx(0.6)
