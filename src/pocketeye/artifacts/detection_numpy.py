"""Turn the maps of an exported RetinaNet into boxes, in numpy alone.

The companion of :class:`pocketeye.models.dense.raw_heads.RawRetinaNet`: what torchvision does behind the
heads, to the same boxes in the same order. Nothing here needs torch, so that an artefact and this file
are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# exp(dw) makes a box at most this many times wider than its anchor: torchvision's limit.
MAX_LOG_SCALE = float(np.log(1000 / 16))


class Detections(NamedTuple):
    """Hold objects, best first: ``boxes (N, 4)`` as x1, y1, x2, y2; ``scores (N,)``; ``labels (N,)``."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RetinaDecoder:
    """Turn the maps of a RetinaNet into detections.

    Args:
        num_classes: logits per anchor.
        strides: pixels between cells, per level.
        sizes: of the anchors, square roots of areas in pixels, per level.
        aspect_ratios: height over width.
        score_thresh: what is not above is left out.
        nms_thresh: IoU with a better box of its class above which a box is left out.
        topk_candidates: per level, before NMS.
        detections_per_img: at most.
    """

    num_classes: int
    strides: Sequence[int]
    sizes: Sequence[Sequence[float]]
    aspect_ratios: Sequence[float]
    score_thresh: float = 0.05
    nms_thresh: float = 0.5
    topk_candidates: int = 1000
    detections_per_img: int = 100

    def __call__(
        self,
        outputs: Sequence[np.ndarray],
        image_size: tuple[int, int],
        original_size: tuple[int, int] | None = None,
    ) -> list[Detections]:
        """Return one :class:`Detections` per image of the batch.

        Args:
            outputs: of the graph: the class maps of all levels, then the box maps.
            image_size: height and width of the image inside the graph's input, without padding;
                boxes are clipped to it.
            original_size: of the image before it was resized; boxes are of that size then.
        """
        levels = len(self.strides)
        if len(outputs) != 2 * levels:
            raise ValueError(f"expected {2 * levels} maps, got {len(outputs)}")
        scale = np.ones(2)
        if original_size is not None:
            scale = np.asarray(original_size, np.float64) / np.asarray(image_size, np.float64)
        found = []
        for index in range(len(outputs[0])):
            classes = [m[index] for m in outputs[:levels]]
            boxes = [m[index] for m in outputs[levels:]]
            one = self._one(classes, boxes, image_size)
            corners = one.boxes * np.tile(scale[::-1], 2).astype(np.float32)
            found.append(one._replace(boxes=corners))
        return found

    def _one(
        self, classes: list[np.ndarray], boxes: list[np.ndarray], size: tuple[int, int]
    ) -> Detections:
        parts = [
            self._level(number, *pair, size)
            for number, pair in enumerate(zip(classes, boxes, strict=True))
        ]
        merged = Detections(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        keep = batched_nms(*merged, self.nms_thresh)[: self.detections_per_img]
        return Detections(*(column[keep] for column in merged))

    def _level(
        self, number: int, classes: np.ndarray, boxes: np.ndarray, size: tuple[int, int]
    ) -> Detections:
        num_anchors = len(self.sizes[number]) * len(self.aspect_ratios)
        logits = per_anchor(classes, self.num_classes).ravel()
        # Compared as logits: the sigmoid of all anchors would take longer than the rest.
        candidates = np.flatnonzero(logits > _logit(self.score_thresh))
        # Stable, as torchvision's topk must be repeated exactly.
        order = np.argsort(-logits[candidates], kind="stable")[: self.topk_candidates]
        candidates = candidates[order]
        chosen, labels = candidates // self.num_classes, candidates % self.num_classes
        cell, anchor = chosen // num_anchors, chosen % num_anchors
        centres = grid_centres(cell, classes.shape[-1], self.strides[number])
        sides = anchor_sides(self.sizes[number], self.aspect_ratios)[anchor]
        corners = decode(per_anchor(boxes, 4)[chosen], centres, sides)
        scores = 1 / (1 + np.exp(-logits[candidates].astype(np.float32)))
        return Detections(clip(corners, size), scores, labels)


def anchor_sides(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> np.ndarray:
    """Return the sides of a cell's anchors, ``(ratios * sizes, 2)``, by ratio and then by size."""
    roots = np.sqrt(np.asarray(aspect_ratios, np.float64))
    # Equal areas at each ratio, as torchvision makes them.
    sides = np.stack([1 / roots, roots], axis=1)[:, None] * np.asarray(sizes, np.float64)[:, None]
    return sides.reshape(-1, 2).astype(np.float32)


def grid_centres(cells: np.ndarray, width: int, stride: int) -> np.ndarray:
    """Return x and y ``(N, 2)`` of the anchors of these cells, counted by rows of ``width``."""
    return np.stack([cells % width, cells // width], axis=1).astype(np.float32) * stride


def decode(deltas: np.ndarray, centres: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return boxes ``(N, 4)`` of ``deltas (N, 4)`` (dx, dy, dw, dh) from anchors at these centres."""
    middle = centres + deltas[:, :2] * sides
    half = np.exp(np.minimum(deltas[:, 2:], MAX_LOG_SCALE)) * sides / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def clip(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut boxes to an image of ``size`` (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.asarray([width, height, width, height], boxes.dtype))


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return indices of boxes that stay, best first: each overlaps no better one by IoU > threshold."""
    order, kept = np.argsort(-scores, kind="stable"), []
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    areas, dropped = (x2 - x1) * (y2 - y1), np.zeros(len(order), bool)
    # slices of what is left in order are several times faster than picking what is still there
    for best in range(len(order)):
        if dropped[best]:
            continue
        kept.append(best)
        rest = slice(best + 1, None)
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        dropped[rest] |= shared > threshold * (areas[best] + areas[rest] - shared)
    return order[kept].astype(np.int64)


def batched_nms(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    """Run :func:`nms` within every label; returns indices, best first over all labels."""
    kept = [
        own[nms(boxes[own], scores[own], threshold)]
        for own in (np.flatnonzero(labels == label) for label in np.unique(labels))
    ]
    # In the order of the input, so that equal scores come out as torchvision has them.
    indices = np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
    return indices[np.argsort(-scores[indices], kind="stable")]


def per_anchor(values: np.ndarray, depth: int) -> np.ndarray:
    """Reorder ``(A * depth, h, w)`` to ``(h * w * A, depth)``."""
    return values.transpose(1, 2, 0).reshape(-1, depth)


def _logit(score: float) -> float:
    if score <= 0:
        # The logarithm of 0 is meant.
        return -np.inf
    return float(np.log(score / (1 - score))) if score < 1 else np.inf
