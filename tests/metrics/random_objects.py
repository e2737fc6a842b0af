"""Images with true and found objects: crowds, empty images, equal scores, all sizes."""

from __future__ import annotations

import numpy as np

from pocketeye.metrics.objects import FoundObjects, TrueObjects, found_objects, true_objects
from pocketeye.results import Masks

SIZE = (180, 160)


def random_images(
    seed: int, count: int = 6, classes: int = 3
) -> tuple[dict[int, TrueObjects], dict[int, FoundObjects]]:
    """Truth and finds by image; the first image has no truth, the second no finds."""
    rng = np.random.default_rng(seed)
    truths, found = {}, {}
    for image_id in range(1, count + 1):
        boxes = _boxes(rng, 0 if image_id == 1 else int(rng.integers(1, 7)))
        labels = rng.integers(classes, size=len(boxes))
        masks = _ellipses(boxes)
        truths[image_id] = true_objects(
            boxes, labels, crowd=rng.random(len(boxes)) < 0.2, areas=masks.areas, masks=masks,
            difficult=rng.random(len(boxes)) < 0.15,
        )  # fmt: skip
        if image_id == 2:
            continue
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        near = (boxes + rng.integers(-6, 7, boxes.shape) * sides / 60).round()
        twice = near[rng.random(len(near)) < 0.3] + 1
        guesses = _inside(np.concatenate([near, twice, _boxes(rng, 3)]))
        guessed = rng.integers(classes, size=len(guesses))
        right = rng.random(len(labels)) < 0.8
        guessed[: len(labels)][right] = labels[right]
        # some scores are equal
        scores = rng.random(len(guesses)).round(1)
        found[image_id] = found_objects(guesses, guessed, scores, _ellipses(guesses))
    return truths, found


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    sides = np.array([9, 25, 60, 120])[rng.integers(4, size=count)][:, None]
    sides = sides + rng.integers(0, 20, (count, 2))
    corners = rng.integers(0, 100, (count, 2))
    return _inside(np.concatenate([corners, corners + sides], axis=1))


def _inside(boxes: np.ndarray) -> np.ndarray:
    low = np.clip(boxes[:, :2], 0, np.array(SIZE) - 2)
    high = np.clip(boxes[:, 2:], low + 1, SIZE)
    return np.concatenate([low, high], axis=1).astype(float)


def _ellipses(boxes: np.ndarray) -> Masks:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    dense = np.zeros((len(boxes), SIZE[1], SIZE[0]), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[:] = (2 * (x - x0) / (x1 - x0) - 1) ** 2 + (2 * (y - y0) / (y1 - y0) - 1) ** 2 <= 1
    return Masks.from_dense(dense)
