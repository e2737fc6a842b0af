"""Agreement of masks in a video as the DAVIS benchmark defines it: region J and boundary F.

F. Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation",
CVPR 2016, section 4. The boundary of a mask lies between pixels and is written to the pixel at its
upper left, as in the benchmark's code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

TOLERANCE = 0.008
"""Of the diagonal of the image, rounded up to pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Summarise the values of one object in the frames of a clip.

    Attributes:
        mean: of all frames.
        recall: share of the frames above 0.5.
        decay: mean of the first quarter less that of the last; above 0 where quality is lost.
    """

    mean: float
    recall: float
    decay: float


def region_similarity(mask: np.ndarray, truth: np.ndarray) -> float:
    """Compute J, intersection over union of two bool ``(height, width)``; 1 where both are empty."""
    _check(mask, truth)
    # Nothing to find and nothing found is right.
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_accuracy(mask: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Compute F, the harmonic mean of precision and recall of the boundary of a mask.

    A pixel of one boundary is right where the other boundary is within a disk of ``tolerance`` times
    the diagonal of the image, rounded up to pixels. Two boundaries that are empty agree (1), one
    alone disagrees (0). A mask that fills the image has no boundary.

    Args:
        mask: bool ``(height, width)``.
        truth: the same.
        tolerance: share of the diagonal.
    """
    _check(mask, truth)
    radius = math.ceil(tolerance * math.hypot(*mask.shape))
    found, true = np.argwhere(boundary(mask)), np.argwhere(boundary(truth))
    if not len(found) or not len(true):  # one empty boundary alone is wrong
        return float(len(found) == len(true))
    precision, recall = _share_near(found, true, radius), _share_near(true, found, radius)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """Return bool ``(height, width)``: pixels that differ from the one to the right, below, or both."""
    line = np.zeros(mask.shape, bool)
    line[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    line[:-1] |= mask[:-1] ^ mask[1:]
    line[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return line


def statistics(values: Sequence[float]) -> Statistics:
    """Compute mean, recall and decay of the values of all frames, in order; at least one.

    The quarters are the benchmark's: neighbours share the frame between them.
    """
    scores = np.asarray(values, np.float64)
    # The 1e-10 is the benchmark's: with it halves are rounded up.
    edges = np.round(np.linspace(1, len(scores), 5) + 1e-10).astype(int) - 1
    first, last = scores[edges[0] : edges[1] + 1], scores[edges[3] : edges[4] + 1]
    return Statistics(
        mean=float(scores.mean()),
        recall=float((scores > 0.5).mean()),
        decay=float(first.mean() - last.mean()),
    )


def _share_near(points: np.ndarray, others: np.ndarray, radius: int) -> float:
    """Share of ``(N, 2)`` points that have one of the others within ``radius``."""
    # What dilating by a disk decides, point by point; points beyond it need no exact distance.
    distance, _ = cKDTree(others).query(points, distance_upper_bound=radius + 0.5)
    return float(np.mean(distance <= radius))


def _check(mask: np.ndarray, truth: np.ndarray) -> None:
    assert mask.shape == truth.shape, (mask.shape, truth.shape)
    assert mask.ndim == 2, mask.shape
    assert mask.dtype == truth.dtype == np.bool_, (mask.dtype, truth.dtype)
