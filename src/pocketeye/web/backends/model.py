"""Hold the one network that a server answers with: a request after another, images looked at once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketeye.data.labelled.objects import Size, clipped_box
from pocketeye.errors import InvalidValue
from pocketeye.results import Masks, Result
from pocketeye.tracking import ImageSegmenter
from pocketeye.tracking.video.tracker import Tracker
from pocketeye.web.backends.images import decoded

_MOST_IMAGES = 4  # of which the features are kept: several people click in one image each
_MOST_KEPT_PIXELS = 16_000_000  # of one that is kept; a larger one is looked at anew for each click


@dataclass(frozen=True, kw_only=True)
class Clicks:
    """Hold what a person showed of one image, in pixels.

    Attributes:
        points: (x, y) each.
        labels: 1 on the object, 0 beside it, of each point.
        boxes: x0, y0, x1, y1; of several each is an object of its own.
    """

    points: Sequence[tuple[float, float]] = ()
    labels: Sequence[int] = ()
    boxes: Sequence[tuple[float, float, float, float]] = ()

    def __bool__(self) -> bool:
        return bool(self.boxes) or 1 in self.labels


class BackendModel:
    """Segment and track for several people at once.

    Attributes:
        name: of the network.
        lock: who computes holds it: engines answer one at a time.
    """

    def __init__(self, name: str, tracker: Tracker[Any]) -> None:
        self.name, self.tracker = name, tracker
        self.lock = threading.Lock()
        self._model = ImageSegmenter(tracker.engine).model
        self._seen: OrderedDict[bytes, tuple[ImageSegmenter, Size]] = OrderedDict()

    def segment(self, encoded: bytes, clicks: Clicks | Callable[[Size], Clicks]) -> Result:
        """Return the mask of each object that was clicked on or boxed, the image upright.

        Args:
            encoded: the image.
            clicks: where; or what makes them of the image's (width, height).

        Raises:
            InvalidValue: no image, nothing that shows an object, or a place outside of the image.
        """
        with self.lock:
            segmenter, size = self._looked_at(encoded)
            clicks = clicks(size) if callable(clicks) else clicks
            if not clicks:
                raise InvalidValue("nothing shows an object: give a point on it, or a box")
            points, labels = [list(p) for p in clicks.points], list(clicks.labels)
            boxes = [_inside(box, size) for box in clicks.boxes]
            found = [
                segmenter.predict(points or None, labels or None, box) for box in boxes or (None,)
            ]
        masks = [each.masks[0] for each in found if each.masks is not None]
        scores = np.concatenate([each.scores for each in found if each.scores is not None])
        return Result(size=size, masks=Masks(size=size, items=tuple(masks)), scores=scores)

    def _looked_at(self, encoded: bytes) -> tuple[ImageSegmenter, Size]:
        key = hashlib.sha256(encoded).digest()
        if key in self._seen:
            self._seen.move_to_end(key)
            return self._seen[key]
        pixels = decoded(encoded)
        size = (pixels.shape[1], pixels.shape[0])
        segmenter = ImageSegmenter(self._model)
        segmenter.set_image(pixels)
        if size[0] * size[1] <= _MOST_KEPT_PIXELS:
            self._seen[key] = segmenter, size
            while len(self._seen) > _MOST_IMAGES:
                self._seen.popitem(last=False)
        return segmenter, size


def _inside(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Cut a box off at the border: a hand draws beyond it.

    Raises:
        InvalidValue: nothing is left.
    """
    (x0, x1), (y0, y1) = sorted(box[::2]), sorted(box[1::2])
    x0, y0, x1, y1 = clipped_box((x0, y0, x1, y1), size)
    if x0 >= x1 or y0 >= y1:
        raise InvalidValue(f"a box without area in an image of {size[0]}x{size[1]} pixels")
    return x0, y0, x1, y1
