"""Turn a mask into one polygon, for layouts that know no masks."""

from __future__ import annotations

import numpy as np

from pocketeye.data.files.annotations.shapes import polygon_mask
from pocketeye.results import CompactMask

_TOLERANCE = 1.2
"""Pixels that a corner may lie beside the outline: the steps of a slanted edge do by up to 1."""


def outline_of(mask: CompactMask) -> tuple[float, ...]:
    """Return one polygon x0, y0, x1, y1 … in pixels around a mask; empty of an empty mask.

    Several parts and holes are joined by cuts without width, which an even-odd fill does not see.
    Slanted edges are drawn straight; where that would lose more than 3 % (IoU), every step is kept.
    """
    if not mask.area:
        return ()
    crop = mask.crop()
    loops = _loops(crop)
    simple = _joined([_simplified(loop) for loop in loops])
    size = (crop.shape[1], crop.shape[0])
    filled = polygon_mask([simple.ravel().tolist()], size)
    union = np.count_nonzero(filled | crop)
    if np.count_nonzero(filled & crop) < _LEAST_IOU * union:
        simple = _joined(loops)
    return tuple((simple + np.array(mask.box[:2])).astype(float).ravel().tolist())


def _loops(crop: np.ndarray) -> list[np.ndarray]:
    """Return closed ways along the edges of filled pixels, corners only: int ``(N, 2)`` x, y each."""
    padded = np.pad(crop, 1)
    inside = padded[1:-1, 1:-1]
    # Filled pixels lie to the right of the way: along the top eastwards, down, back, and up.
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)), (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)), (padded[1:-1, :-2], (0, 1), (0, 0)),
    )  # fmt: skip
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, (ax, ay), (bx, by) in sides:
        rows, columns = np.nonzero(inside & ~neighbour)
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
            following.setdefault((x + ax, y + ay), []).append((x + bx, y + by))
    loops = []
    while following:
        start = next(iter(following))
        way, at = [start], _step(following, start)
        while at != start:
            way.append(at)
            at = _step(following, at)
        loops.append(_corners(np.array(way)))
    return sorted(loops, key=lambda loop: -len(loop))


def _step(
    following: dict[tuple[int, int], list[tuple[int, int]]], at: tuple[int, int]
) -> tuple[int, int]:
    ends = following[at]
    end = ends.pop()
    if not ends:
        del following[at]
    return end


def _corners(way: np.ndarray) -> np.ndarray:
    """Leave out points between two steps in the same direction."""
    turns = ((way - np.roll(way, 1, 0)) != (np.roll(way, -1, 0) - way)).any(1)
    return way[turns]


def _simplified(loop: np.ndarray) -> np.ndarray:
    """Leave out corners that lie beside the line by less than the tolerance (Douglas and Peucker)."""
    # Two corners that stay: the first, and the one furthest from it.
    far = int(((loop - loop[0]) ** 2).sum(1).argmax())
    ring = np.concatenate([loop, loop[:1]]).astype(float)
    kept = {0, far, len(loop)}
    spans = [(0, far), (far, len(loop))]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        start, line = ring[first], ring[last] - ring[first]
        offsets = ring[first + 1 : last] - start
        length = float(np.hypot(*line)) or 1.0
        away = np.abs(offsets[:, 0] * line[1] - offsets[:, 1] * line[0]) / length
        worst = int(away.argmax())
        if away[worst] > _TOLERANCE:
            middle = first + 1 + worst
            kept.add(middle)
            spans += [(first, middle), (middle, last)]
    simple = loop[sorted(kept - {len(loop)})]
    # Two points enclose nothing: a thin part keeps its corners.
    return simple if len(simple) > 2 else loop


def _joined(loops: list[np.ndarray]) -> np.ndarray:
    """Join ways by the shortest cut to what is joined already, there and back."""
    whole = loops[0]
    for loop in loops[1:]:
        here, there = _nearest(whole, loop)
        turned = np.concatenate([loop[there:], loop[: there + 1]])
        whole = np.concatenate([whole[: here + 1], turned, whole[here:]])
    return whole


def _nearest(whole: np.ndarray, loop: np.ndarray) -> tuple[int, int]:
    # Few corners of the second are enough: the cut need not be the very shortest.
    some = loop[:: max(1, len(loop) // 32)]
    distances = ((whole[:, None] - some[None]) ** 2).sum(-1)
    here, there = np.unravel_index(int(distances.argmin()), distances.shape)
    return int(here), int(there) * max(1, len(loop) // 32)
