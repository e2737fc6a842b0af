"""Exchange results with the package ``supervision``, which draws and counts them in many ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketeye.errors import InvalidType, MissingExtra
from pocketeye.results.masks import Masks
from pocketeye.results.result import Result


def to_supervision(result: Result) -> Any:
    """Return a result as ``supervision.Detections``: ids are ``tracker_id``, names ``class_name``.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise MissingExtra("supervision.Detections", "supervision", "supervision") from error
    labels = result.labels or [""] * len(result)
    # Names without numbers are numbered in their order.
    numbers = {name: number for number, name in enumerate(dict.fromkeys(labels))}
    classes = result.class_ids or [numbers[name] for name in labels]
    return Detections(
        xyxy=np.asarray(result.boxes, np.float32).reshape(-1, 4),
        mask=None if result.masks is None else result.masks.dense(),
        confidence=result.scores, class_id=np.array(classes, int),
        tracker_id=np.array(result.ids, int), data={"class_name": np.array(labels, str)},
    )  # fmt: skip


def from_supervision(detections: Any, size: tuple[int, int]) -> Result:
    """Return a result of ``supervision.Detections`` in an image of (width, height).

    Raises:
        InvalidType: it is something else.
        InvalidValue: masks of another size, or ids that come twice.
    """
    names = ("xyxy", "mask", "confidence", "class_id", "tracker_id", "data")
    if not all(hasattr(detections, name) for name in names):
        raise InvalidType(f"expected supervision.Detections, got {type(detections).__name__}")
    masks = detections.mask
    labels = detections.data.get("class_name")
    return Result(
        size=size, boxes=np.asarray(detections.xyxy, np.float32),
        masks=None if masks is None else Masks.from_dense(np.asarray(masks, bool)),
        scores=detections.confidence,
        object_ids=None if detections.tracker_id is None else detections.tracker_id.tolist(),
        class_ids=None if detections.class_id is None else detections.class_id.tolist(),
        labels=None if labels is None else [str(label) for label in labels],
    )  # fmt: skip
