"""Link boxes of one frame after another to tracks: the same object keeps its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from pocketeye.errors import require_range
from pocketeye.results import Result

MIN_IOU = 0.3  # as SORT has it (Bewley et al. 2016, arXiv 1602.00763)
MAX_GAP = 30  # frames, as ByteTrack has it (Zhang et al. 2022, arXiv 2110.06864)


@dataclass(slots=True)
class _Track:
    """Hold the last box of an object, and the frame it was seen in."""

    number: int
    label: str | None
    box: np.ndarray
    frame: int


def link_boxes(
    results: Iterable[Result], *, min_iou: float = MIN_IOU, max_gap: int = MAX_GAP
) -> Iterator[Result]:
    """Number the objects of a video's frames so that an object keeps its number.

    Between the objects of a frame and those seen before, the pairs are chosen whose IoUs have the
    largest sum (Hungarian algorithm). Only objects of the same class are paired, and an object is
    looked for where it was last seen: nothing is predicted, so one that is quick or was long out
    of sight begins anew.

    Args:
        results: of frames, in order.
        min_iou: least overlap of an object with where it was last, 0 to 1.
        max_gap: frames for which an object that is not found is remembered.

    Yields:
        The results with ``object_ids`` from 1 up, in the order in which objects appeared.

    Raises:
        InvalidValue: a limit outside its range.
    """
    require_range("min_iou", min_iou, 0, 1)
    require_range("max_gap", max_gap, 0, 1_000_000)
    tracks: list[_Track] = []
    count = 0
    for frame, result in enumerate(results):
        # An object that was out of sight for too long may be another one.
        tracks = [track for track in tracks if frame - track.frame <= max_gap + 1]
        assert result.boxes is not None  # set by Result
        labels = result.labels or (None,) * len(result)
        chosen = _pairs(tracks, result.boxes, labels, min_iou)
        ids = []
        for row, (box, label) in enumerate(zip(result.boxes, labels, strict=True)):
            track = chosen.get(row)
            if track is None:
                count += 1
                track = _Track(count, label, box, frame)
                tracks.append(track)
            track.box, track.frame = box, frame
            ids.append(track.number)
        yield replace(result, object_ids=ids)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes ``(N, 4)`` and ``(M, 4)``, float64 ``(N, M)``; of empty ones 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    # Boxes that do not meet have negative sides.
    both = sides.clip(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(-1) for boxes in (a, b)]
    either = areas[0][:, None] + areas[1][None] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def _pairs(
    tracks: list[_Track], boxes: np.ndarray, labels: Iterable[str | None], min_iou: float
) -> dict[int, _Track]:
    """Return the track of each row that has one."""
    if not tracks or not len(boxes):
        return {}
    overlap = box_iou(boxes, np.stack([track.box for track in tracks]))
    same = np.array([[label == track.label for track in tracks] for label in labels])
    # a pair that is not allowed gains nothing, so that it displaces none that is
    gain = np.where(same & (overlap >= max(min_iou, 1e-9)), overlap, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return {
        int(row): tracks[column]
        for row, column in zip(rows, columns, strict=True)
        if gain[row, column] > 0
    }
