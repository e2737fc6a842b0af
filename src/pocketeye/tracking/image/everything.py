"""Segment everything in an image: a grid of clicks, the sure and stable masks, each object once.

This follows the automatic mask generator of SAM (arXiv 2304.02643, appendix B). Masks are stored
compactly as soon as they are found, so memory does not grow with the image times the masks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from pocketeye.artifacts.detection_numpy import nms
from pocketeye.errors import InvalidValue
from pocketeye.progress import Task, task
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.tracking.image.components import fill_holes, remove_specks
from pocketeye.tracking.image.prompts import Size
from pocketeye.tracking.image.segmenter import EmbeddedImage, ImageSegmenter, read_image

Box = tuple[int, int, int, int]
_EDGE = 20  # pixels within which a mask counts as cut off by its crop, as in SAM's code


@dataclass(frozen=True, kw_only=True, slots=True)
class _ScoredMask:
    """Hold a mask of the whole image; ``priority`` decides between two of one object."""

    mask: CompactMask
    score: float
    priority: float


@dataclass(frozen=True)
class MaskGenerator:
    """Find all objects of an image.

    Attributes:
        segmenter: what answers the clicks.
        points_per_side: clicks along each side of the image; halved with each layer of crops.
        points_per_batch: clicks at once.
        pred_iou_threshold: least expected IoU, 0 to 1.
        stability_threshold: least stability, 0 to 1: how much of the mask that a logit lower by
            ``stability_offset`` gives is also in that of a logit higher by as much. It is measured at
            the network's resolution, the official code's at the image's.
        stability_offset: see there.
        box_nms_threshold: of two masks whose boxes have a larger IoU than this the surer one stays.
        crop_layers: looks also at ``4 ** n`` overlapping parts of the image in layer ``n``, for
            small objects; each costs as much as the image.
        crop_overlap: of neighbouring parts, as a share of the image's shorter side.
        min_area: holes and specks of fewer pixels are filled and removed, and so are masks of fewer.
    """

    segmenter: ImageSegmenter
    _: KW_ONLY
    # The defaults are SAM 2's (SAM's first generator asked for an expected IoU of 0.88).
    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_threshold: float = 0.8
    stability_threshold: float = 0.95
    stability_offset: float = 1.0
    box_nms_threshold: float = 0.7
    crop_layers: int = 0
    crop_overlap: float = 512 / 1500  # SAM's, in its own terms: 512 pixels of an image of 1500
    min_area: int = 0

    def __post_init__(self) -> None:
        least = {"points_per_side": 1, "points_per_batch": 1}
        shares = ("pred_iou_threshold", "stability_threshold", "box_nms_threshold", "crop_overlap")
        for field in fields(self)[1:]:
            value, low = getattr(self, field.name), least.get(field.name, 0)
            high = 1 if field.name in shares else 4 if field.name == "crop_layers" else math.inf
            if not low <= value <= high:
                allowed = f"{low} or more" if high == math.inf else f"{low} to {high}"
                raise InvalidValue(f"{field.name} is {value}, it can be {allowed}")

    def __call__(self, image: Any) -> Result:
        """Segment the objects of an image, the smallest first, so that no drawing hides one.

        Args:
            image: as in :meth:`ImageSegmenter.set_image`; the image that is set there stays.

        Returns:
            Compact masks with their expected IoUs as scores; they may overlap (a wheel, its car).

        Raises:
            MissingFile, InvalidValue, InvalidType: not an image.
        """
        pixels = read_image(image)
        size = (pixels.shape[1], pixels.shape[0])
        crops = [
            (layer, box)
            for layer in range(self.crop_layers + 1)
            for box in crop_boxes(size, layer, self.crop_overlap)
        ]
        found: list[_ScoredMask] = []
        with task("segmenting", sum(self._side(layer) ** 2 for layer, _ in crops)) as bar:
            for layer, box in crops:
                found += self._suppress_duplicates(
                    list(self._masks_of_crop(pixels, layer, box, bar))
                )
        # Once more over all crops: neighbours overlap, and find the objects between them twice.
        found = self._suppress_duplicates(found)
        if self.min_area:
            # Filling and removing may make two masks alike.
            found = self._suppress_duplicates(
                [f for raw in found if (f := self._postprocess(raw)) is not None]
            )
        found.sort(key=lambda f: f.mask.area)
        return Result(
            size=size,
            masks=Masks(size=size, items=tuple(f.mask for f in found)),
            scores=np.array([f.score for f in found], np.float32),
            image=pixels,
        )

    def _side(self, layer: int) -> int:
        # Halved in each layer: a crop is half as large, and its clicks stay as far apart in pixels.
        return max(1, self.points_per_side >> layer)

    def _masks_of_crop(
        self, image: np.ndarray, layer: int, box: Box, bar: Task
    ) -> Iterator[_ScoredMask]:
        x0, y0, x1, y1 = box
        (embedded,) = self.segmenter.embed([image[y0:y1, x0:x1]])
        size = (image.shape[1], image.shape[0])
        clicks = grid(self._side(layer)) * np.array([x1 - x0, y1 - y0], np.float32)
        for start in range(0, len(clicks), self.points_per_batch):
            points = clicks[start : start + self.points_per_batch]
            for mask, score in self._masks_of_clicks(embedded, points):
                if not _cut_off(mask.box, box, size):
                    # Between crops: the smaller crop has seen more of the object.
                    # 2 is more than any score, which is 1 at most.
                    priority = score + 2 * layer
                    yield _ScoredMask(mask=placed(mask, box, size), score=score, priority=priority)
            bar.advance(len(points))

    def _masks_of_clicks(
        self, embedded: EmbeddedImage, points: np.ndarray
    ) -> Iterator[tuple[CompactMask, float]]:
        """Yield the masks of a batch of clicks that are good enough, in the crop's own pixels."""
        labels = np.ones((len(points), 1), np.int64)
        # Three masks per click: on a wheel it may mean the wheel or the car, and both are wanted.
        found = self.segmenter.decode(embedded, points[:, None], labels, multimask=True)
        logits, ious = (each.reshape(-1, *each.shape[2:]) for each in found)
        sure = ious >= self.pred_iou_threshold
        logits, ious = logits[sure], ious[sure]
        stable = stability(logits, self.stability_offset) >= self.stability_threshold
        compact = self.segmenter.compact(logits[stable], embedded.size)
        for mask, score in zip(compact, ious[stable].tolist(), strict=True):
            if mask.area:
                yield mask, score

    def _suppress_duplicates(self, found: list[_ScoredMask]) -> list[_ScoredMask]:
        """Leave out masks whose boxes mean the same object as a better one's."""
        if not found:
            return found
        boxes = np.array([f.mask.box for f in found], np.float32)
        priorities = np.array([f.priority for f in found], np.float32)
        # Boxes, not masks, as in SAM: comparing all masks with each other would take far longer.
        kept = nms(boxes, priorities, self.box_nms_threshold)
        return [found[n] for n in kept.tolist()]

    def _postprocess(self, found: _ScoredMask) -> _ScoredMask | None:
        """Fill holes and remove specks; None where nothing is left. Untouched masks come first."""
        dense = found.mask.dense()
        largest = self.min_area - 1
        clean = remove_specks(fill_holes(dense, largest), largest)
        if not clean.any():
            return None
        touched = not np.array_equal(clean, dense)
        mask = CompactMask.from_dense(clean) if touched else found.mask
        # 100 is more than any priority: a mask that was whole is better than one that was mended.
        priority = found.priority - (100 if touched else 0)
        return _ScoredMask(mask=mask, score=found.score, priority=priority)


def grid(side: int) -> np.ndarray:
    """Return the centres of equal cells of the unit square, row by row, ``(side * side, 2)``."""
    at = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    y, x = np.meshgrid(at, at, indexing="ij")
    return np.stack([x, y], -1).reshape(-1, 2)


def crop_boxes(size: Size, layer: int, overlap: float) -> list[Box]:
    """Cut an image of ``size`` (width, height) into ``2 ** layer`` parts along each side, x0 y0 x1 y1.

    Neighbours share ``overlap`` times the shorter side, less by as much as there are more of them.
    """
    count = 2**layer
    shared = int(overlap * min(size) * 2 / count) if layer else 0
    spans = []
    # Parts overlap, and together with what they share they cover the side.
    for side in size:
        length = math.ceil((shared * (count - 1) + side) / count)
        starts = (n * (length - shared) for n in range(count))
        spans.append([(start, min(start + length, side)) for start in starts if start < side])
    return [(x0, y0, x1, y1) for y0, y1 in spans[1] for x0, x1 in spans[0]]


def stability(logits: np.ndarray, offset: float) -> np.ndarray:
    """Return the pixels of ``(N, h, w)`` above ``offset`` as a share of those above ``-offset``."""
    inner, outer = ((logits > at).sum((1, 2)) for at in (offset, -offset))
    return inner / np.maximum(outer, 1)


def placed(mask: CompactMask, crop: Box, size: Size) -> CompactMask:
    """Return a mask of a crop as one of the whole image of ``size``."""
    left, top = crop[:2]
    x0, y0, x1, y1 = mask.box
    box = (x0 + left, y0 + top, x1 + left, y1 + top)
    return CompactMask(size=size, box=box, area=mask.area, bits=mask.bits)


def _cut_off(box: Box, crop: Box, size: Size) -> bool:
    """Tell whether a mask's box (in the crop) is near an edge of the crop that is none of the image.

    Such a mask is probably half an object, which another crop sees whole.
    """
    at = (crop[0], crop[1], crop[0], crop[1])
    edges = zip(box, at, crop, (0, 0, *size), strict=True)
    return any(
        abs(value + start - edge) <= _EDGE and abs(value + start - end) > _EDGE
        for value, start, edge, end in edges
    )
