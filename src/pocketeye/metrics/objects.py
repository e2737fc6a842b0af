"""Hold objects of one image, true or found, as the metrics of detectors take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketeye.results.masks import Masks


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class TrueObjects:
    """Hold what is annotated.

    Attributes:
        boxes: float64 ``(N, 4)`` x0, y0, x1, y1 in pixels.
        labels: int64 ``(N,)`` from 0.
        crowd: bool ``(N,)``: a region of many; what is found in it counts for nothing (COCO).
        difficult: bool ``(N,)``: counts for nothing in VOC's AP, and as any other in COCO's.
        areas: float64 ``(N,)`` in pixels; by them COCO tells small, medium and large.
        masks: of the objects, where they have outlines.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray
    masks: Masks | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class FoundObjects:
    """Hold what a network says: ``boxes``, ``labels`` and ``masks`` as in :class:`TrueObjects`.

    Attributes:
        scores: float64 ``(N,)``; the higher, the surer.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: Masks | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def above(self, score: float) -> FoundObjects:
        """Return the objects of at least this score."""
        keep = np.flatnonzero(self.scores >= score)
        masks = self.masks
        if masks is not None:
            masks = Masks(size=masks.size, items=tuple(masks.items[i] for i in keep))
        return FoundObjects(
            boxes=self.boxes[keep], labels=self.labels[keep], scores=self.scores[keep], masks=masks
        )


NOTHING = FoundObjects(boxes=np.zeros((0, 4)), labels=np.zeros(0, np.int64), scores=np.zeros(0))


def true_objects(
    boxes: Any,
    labels: Any,
    *,
    crowd: Any = None,
    difficult: Any = None,
    areas: Any = None,
    masks: Masks | None = None,
) -> TrueObjects:
    """Make them of what numpy reads; by default no crowd, none difficult, areas of the boxes."""
    # Also of nothing: an empty list has no columns of its own.
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    count = len(corners)
    sides = corners[:, 2:] - corners[:, :2]
    none = np.zeros(count, bool)
    made = TrueObjects(
        boxes=corners,
        labels=np.asarray(labels, np.int64).reshape(-1),
        crowd=none if crowd is None else np.asarray(crowd, bool).reshape(-1),
        difficult=none if difficult is None else np.asarray(difficult, bool).reshape(-1),
        areas=sides.prod(axis=1) if areas is None else np.asarray(areas, np.float64).reshape(-1),
        masks=masks,
    )
    columns = (made.labels, made.crowd, made.difficult, made.areas)
    assert all(len(column) == count for column in columns), [len(column) for column in columns]
    assert masks is None or len(masks) == count, (len(masks), count)
    return made


def found_objects(
    boxes: Any, labels: Any, scores: Any, masks: Masks | np.ndarray | None = None
) -> FoundObjects:
    """Make them of anything numpy reads; masks also as bool ``(N, height, width)``."""
    made = FoundObjects(
        boxes=np.asarray(boxes, np.float64).reshape(-1, 4),
        labels=np.asarray(labels, np.int64).reshape(-1),
        scores=np.asarray(scores, np.float64).reshape(-1),
        masks=Masks.from_dense(masks) if isinstance(masks, np.ndarray) else masks,
    )
    assert len(made.boxes) == len(made.labels) == len(made.scores)
    assert made.masks is None or len(made.masks) == len(made)
    return made


def known(value: float) -> float | None:
    """None for nan."""
    return None if np.isnan(value) else value
