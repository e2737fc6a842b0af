"""What a user points at, checked and in the pixels of the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.models.tam.prompt_encoder import BOTTOM_RIGHT, TOP_LEFT
from pocketeye.results import CompactMask

Size = tuple[int, int]  # (width, height)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prompt:
    """Either points with labels (a box is two of them), in pixels of the video, or a mask."""

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    mask: np.ndarray | None = None  # bool (height, width)

    def tensors(self, size: Size, image_size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
        """``(1, P, 2)`` in pixels of the network's input (height, width), and labels ``(1, P)``."""
        scale = torch.tensor([image_size[1] / size[0], image_size[0] / size[1]])
        points = torch.tensor(self.points, dtype=torch.float32)[None] * scale
        return points.to(device), torch.tensor(self.labels, device=device)[None]

    def mask_tensor(self, image_size: Size, device: torch.device) -> Tensor:
        """``(1, 1, H, W)`` of 0 and 1, at the size of the network's input."""
        assert self.mask is not None
        mask = torch.from_numpy(self.mask).to(device, torch.float32)[None, None]
        if mask.shape[2:] != image_size:
            mask = F.interpolate(
                mask, size=image_size, mode="bilinear", align_corners=False, antialias=True
            )
        return (mask >= 0.5).float()


def parse_prompt(size: Size, points: Any, labels: Any, box: Any, mask: Any) -> Prompt:
    """Check what :meth:`Session.add` was given, for a video of ``size``.

    Raises:
        InvalidValue, InvalidType: nothing, a contradiction, or something outside of the frame.
    """
    if mask is not None:
        if points is not None or labels is not None or box is not None:
            raise InvalidValue("a mask says everything: give it without points, labels or box")
        return Prompt(mask=_mask(mask, size))
    if labels is not None and points is None:
        raise InvalidValue("labels belong to points: give points= as well")
    corners = [] if box is None else _box(box, size)
    given = [] if points is None else _points(points, size)
    marks = [1] * len(given) if labels is None else _labels(labels)
    if len(marks) != len(given):
        raise InvalidValue(
            f"{len(given)} points and {len(marks)} labels: give one label per point, "
            "1 on the object and 0 beside it"
        )
    if not corners and not given:
        raise InvalidValue("nothing points at the object: give points=, box= or mask=")
    return Prompt(
        points=(*corners, *given), labels=(*((TOP_LEFT, BOTTOM_RIGHT) if corners else ()), *marks)
    )


def _numbers(value: Any, columns: int, what: str) -> np.ndarray:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"{what}, got {value!r}") from error
    flat = array.size == columns and array.ndim == 1
    if not flat and (array.ndim != 2 or array.shape[1] != columns):
        raise InvalidValue(f"{what}, got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise InvalidValue(f"{what}, got {array.tolist()}")
    return array.reshape(-1, columns)


def _points(points: Any, size: Size) -> list[tuple[float, float]]:
    array = _numbers(points, 2, "points are [[x, y], …] in pixels of the video")
    for x, y in array.tolist():
        if not (0 <= x < size[0] and 0 <= y < size[1]):
            raise InvalidValue(
                f"the point ({x:g}, {y:g}) is outside the frame, which is {size[0]}x{size[1]}"
            )
    return [(x, y) for x, y in array.tolist()]


def _labels(labels: Any) -> list[int]:
    values = np.asarray(labels).reshape(-1).tolist()
    for value in values:
        if value not in (0, 1):
            raise InvalidValue(f"a label is 1 (on the object) or 0 (beside it), got {value!r}")
    return [int(value) for value in values]


def _box(box: Any, size: Size) -> list[tuple[float, float]]:
    array = _numbers(box, 4, "a box is [x0, y0, x1, y1] in pixels of the video")
    if len(array) != 1:
        raise InvalidValue(f"an object has one box, got {len(array)}")
    x0, y0, x1, y1 = array[0].tolist()
    if x0 >= x1 or y0 >= y1:
        raise InvalidValue(
            f"the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) is upside down: "
            "it is x0, y0, x1, y1 with x0 < x1 and y0 < y1"
        )
    if x0 < 0 or y0 < 0 or x1 > size[0] or y1 > size[1]:
        raise InvalidValue(
            f"the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) reaches outside the frame, "
            f"which is {size[0]}x{size[1]}"
        )
    return [(x0, y0), (x1, y1)]


def _mask(mask: Any, size: Size) -> np.ndarray:
    if isinstance(mask, CompactMask):
        mask = mask.dense()
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu().numpy()
    if not isinstance(mask, np.ndarray):
        raise InvalidType(
            f"a mask is an array (height, width) of bool or integers, got {type(mask).__name__}"
        )
    if mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.integer):
        raise InvalidType(
            f"a mask is bool or integers with 0 for the background, got {mask.dtype}: "
            "compare it with a threshold first, such as mask > 0"
        )
    if mask.shape != (size[1], size[0]):
        raise InvalidValue(
            f"the mask has the shape {mask.shape}, but the frames are {size[0]}x{size[1]}: "
            f"expected {(size[1], size[0])}, height before width"
        )
    return mask != 0


def check_object_id(object_id: Any) -> int:
    """Raises InvalidType, InvalidValue: not a whole number from 1 up."""
    if isinstance(object_id, bool) or not isinstance(object_id, int | np.integer):
        raise InvalidType(f"an object's id is a whole number from 1 up, got {object_id!r}")
    if object_id < 1:
        raise InvalidValue(f"an object's id is a whole number from 1 up, got {object_id}")
    return int(object_id)


def named(ids: Sequence[int]) -> str:
    """Ids for a sentence."""
    return ", ".join(map(str, ids)) if ids else "none"
