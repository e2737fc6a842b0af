"""Check prompts as users write them, in pixels of the image, and make one :class:`Prompt` per object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.models.tam.prompt_numbers import BOTTOM_RIGHT, MASK_PROMPT_LOGIT, TOP_LEFT
from pocketeye.results import CompactMask
from pocketeye.tracking.image.resize import antialiased

Size = tuple[int, int]  # (width, height) of images, the order in which users give places
_LOGIT = 10.0  # certain foreground, as in the memory's 20 p - 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """Hold the prompts of one object.

    Attributes:
        points: float32 ``(P, 2)``, (x, y) in pixels of the image; the corners of a box come first.
        labels: int64 ``(P,)``: 1 and 0 for points in the object and beside it, 2 and 3 for the upper
            left and lower right corner of a box.
        mask: float32 ``(h, w)`` logits at a quarter of the network's image, or None.
    """

    points: np.ndarray
    labels: np.ndarray
    mask: np.ndarray | None = None


def read_prompts(
    points: Any, labels: Any, box: Any, boxes: Any, mask: Any, *, size: Size, mask_size: Size
) -> list[Prompt]:
    """Read the prompts of :meth:`pocketeye.tracking.ImageSegmenter.predict`, one per object.

    Args:
        size: (width, height) of the image; ``mask_size`` that of logits.

    Raises:
        InvalidValue, InvalidType: see there.
    """
    if box is not None and boxes is not None:
        raise InvalidValue("give either box (one object) or boxes (one object each), not both")
    clicks = _per_object(points, 2, "points", "(N, 2) or, for several objects, (objects, N, 2)")
    signs = _per_object(labels, 1, "labels", "(N,) or, for several objects, (objects, N)")
    box_list = [box] if box is not None else _rows(boxes)
    masks = _masks(mask)
    if clicks is None and signs is not None:
        raise InvalidValue(f"{len(signs[0])} labels without points: each label is of one point")
    given = {"points": clicks, "labels": signs, "boxes": box_list, "masks": masks}
    counts = {what: len(rows) for what, rows in given.items() if rows is not None}
    # Who gives two boxes and three lists of points has made a mistake: nothing is repeated or guessed.
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{what} of {count}" for what, count in counts.items())
        raise InvalidValue(f"how many objects are meant: {said}? Give each of them its own")
    found = []
    for n in range(max(counts.values(), default=0)):
        object_points = (
            read_points(clicks[n], signs[n] if signs else None, size) if clicks else None
        )
        object_box = read_box(box_list[n], size) if box_list else None
        logits = read_mask(masks[n], size, mask_size) if masks else None
        found.append(_joined(object_points, object_box, logits))
    if not found:
        raise InvalidValue("nothing was asked for: give points, a box or a mask")
    return found


def read_points(points: Any, labels: Any, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Read the points and labels of one object, float32 ``(N, 2)`` and int64 ``(N,)``.

    Args:
        points: (x, y) in pixels of an image of ``size`` (width, height).
        labels: 1 in the object, 0 beside it; all 1 where None.

    Raises:
        InvalidValue, InvalidType: no such numbers, a point outside the image, or not one label
            per point.
    """
    xy = _numbers(points, "points")
    if xy.size == 0:
        xy = xy.reshape(0, 2)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise InvalidValue(f"points must have the shape (N, 2), x and y of each, got {xy.shape}")
    width, height = size
    # A point lies in a pixel, so x = width is outside; for a box's edge it is the border.
    inside = ((xy >= 0) & (xy < (width, height))).all(1)
    if not inside.all():
        x, y = xy[~inside][0]
        raise InvalidValue(
            f"the point {x:g},{y:g} is outside the image of {width}x{height} pixels "
            f"(x 0 to {width - 1}, y 0 to {height - 1})"
        )
    signs = np.ones(len(xy)) if labels is None else _numbers(labels, "labels").reshape(-1)
    if len(signs) != len(xy):
        raise InvalidValue(f"{len(signs)} labels for {len(xy)} points: give one for each")
    if not np.isin(signs, (0, 1)).all():
        odd = signs[~np.isin(signs, (0, 1))][0]
        raise InvalidValue(f"a label is 1 (in the object) or 0 (not in it), got {odd:g}")
    return xy.astype(np.float32), signs.astype(np.int64)


def read_box(box: Any, size: Size) -> np.ndarray:
    """Read a box as its corners, float32 ``(2, 2)``.

    Args:
        box: x0, y0, x1, y1 in pixels of an image of ``size`` (width, height).

    Raises:
        InvalidValue, InvalidType: no four numbers, upside down, or not inside the image.
    """
    corners = _numbers(box, "a box")
    if corners.shape != (4,):
        raise InvalidValue(f"a box is four numbers, x0, y0, x1, y1, got the shape {corners.shape}")
    x0, y0, x1, y1 = corners
    said = f"the box {x0:g},{y0:g},{x1:g},{y1:g}"
    if x0 >= x1 or y0 >= y1:
        low, high = np.minimum(corners[:2], corners[2:]), np.maximum(corners[:2], corners[2:])
        meant = ",".join(f"{value:g}" for value in (*low, *high))
        # Corners in another order are the usual mistake; what was meant can be told.
        guess = f": did you mean {meant}?" if (low < high).all() else " and has no area"
        raise InvalidValue(f"{said} is not x0,y0,x1,y1 with x0 < x1 and y0 < y1{guess}")
    if x0 < 0 or y0 < 0 or x1 > size[0] or y1 > size[1]:
        raise InvalidValue(f"{said} is not inside the image of {size[0]}x{size[1]} pixels")
    return corners.astype(np.float32).reshape(2, 2)


def read_mask(mask: Any, size: Size, mask_size: Size) -> np.ndarray:
    """Read a mask as the network takes it, float32 ``(h, w)`` logits.

    Args:
        mask: logits of an earlier answer, ``mask_size`` (width, height); or a drawn mask of the
            image's ``size``: bool ``(height, width)`` or a :class:`CompactMask`.

    Raises:
        InvalidValue, InvalidType: of another size, or not such numbers.
    """
    if isinstance(mask, CompactMask):
        mask = mask.dense()
    values = _numbers(mask, "a mask", keep_bool=True)
    got, is_drawn = values.shape[::-1], values.dtype == np.bool_
    if got != (size if is_drawn else mask_size):
        drawn = f"a bool mask of the image, {size[0]}x{size[1]}"
        low = f"logits of an earlier answer, {mask_size[0]}x{mask_size[1]}"
        shown = "x".join(map(str, got))
        kind = "bool" if is_drawn else "numbers"
        raise InvalidValue(f"a mask prompt is {drawn}, or {low}: got {kind} of {shown}")
    # Told apart by type, not by size: an image may be as small as the logits.
    if not is_drawn:
        return as_prompt(values.astype(np.float32))
    # Antialiased, so that a thin stroke leaves a trace at a quarter of the network's size.
    shares = antialiased(values.astype(np.float32), *mask_size[::-1])
    return shares * np.float32(2 * _LOGIT) - np.float32(_LOGIT)


def as_prompt(logits: np.ndarray) -> np.ndarray:
    """Bring the logits of an earlier answer within the bounds of a mask prompt."""
    return logits.clip(-MASK_PROMPT_LOGIT, MASK_PROMPT_LOGIT)


def _joined(
    points: tuple[np.ndarray, np.ndarray] | None, box: np.ndarray | None, mask: np.ndarray | None
) -> Prompt:
    xy, labels = points or (np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    if box is not None:  # SAM 2 wants a box before any point
        xy = np.concatenate([box, xy])
        labels = np.concatenate([[TOP_LEFT, BOTTOM_RIGHT], labels])
    if not len(xy) and mask is None:
        raise InvalidValue("nothing was asked for: give points, a box or a mask")
    return Prompt(points=xy, labels=labels, mask=mask)


def _per_object(value: Any, depth: int, what: str, shape: str) -> Sequence[Any] | None:
    """Return a list with the values of each object; ``depth`` is that of one object's."""
    if value is None:
        return None
    levels = _depth(value)
    # An empty list is no points of one object.
    if levels == depth or (levels < depth and levels == 1 and len(value) == 0):
        return [value]
    if levels == depth + 1:
        return list(value)
    raise InvalidValue(f"{what} must have the shape {shape}, got {levels} levels of brackets")


def _rows(boxes: Any) -> Sequence[Any] | None:
    if boxes is None:
        return None
    if _depth(boxes) != 2:
        raise InvalidValue(
            f"boxes must have the shape (objects, 4), got {_depth(boxes)} levels of brackets"
        )
    return list(boxes)


def _masks(mask: Any) -> Sequence[Any] | None:
    if mask is None:
        return None
    if isinstance(mask, CompactMask):
        return [mask]
    if isinstance(mask, Sequence) and mask and isinstance(mask[0], CompactMask):
        return mask
    return [mask] if _depth(mask) < 3 else list(mask)


def _depth(value: Any) -> int:
    """Return how many axes an array or nested lists have, by the first of each.

    NumPy would refuse lists of different lengths, which are allowed here.
    """
    if hasattr(value, "ndim"):
        return int(value.ndim)
    if isinstance(value, list | tuple):
        return 1 + (_depth(value[0]) if value else 0)
    return 0


def _numbers(value: Any, what: str, keep_bool: bool = False) -> np.ndarray:
    """Return an array of finite numbers."""
    value = without_torch(value)
    try:
        array = np.asarray(value)
        # A bool among points or labels is a number to NumPy, and stays one.
        if array.dtype == np.bool_ and keep_bool:
            return array
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"{what} must be numbers, got {value!r:.80}") from error
    if not np.isfinite(array).all():
        raise InvalidValue(f"{what} must be finite numbers")
    return array


def without_torch(value: Any) -> Any:
    """Return a tensor as an array, whatever device it is on, and anything else as it is."""
    # Asked by name: whoever has no tensor need not import torch.
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
