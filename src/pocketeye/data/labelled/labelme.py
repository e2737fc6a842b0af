"""Read and write LabelMe's JSON, a file an image; X-AnyLabeling's is the same."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pocketeye.data.files import Problems
from pocketeye.data.labelled.objects import (
    NAMELESS,
    LabelledFrame,
    LabelledObject,
    Size,
    number_text,
    numbered,
    pairs_of,
    side,
)
from pocketeye.data.labelled.outline import outline_of
from pocketeye.results import CompactMask

_CIRCLE_CORNERS = 64  # of the polygon that stands for a circle
_VERSION = "5.5.0"  # of LabelMe whose fields these are; it asks for a version and compares it


def is_labelme(content: Any) -> bool:
    """Tell whether JSON is LabelMe's."""
    return isinstance(content, Mapping) and isinstance(content.get("shapes"), list)


def read_labelme(content: Mapping[str, Any], problems: Problems, frame: int = 0) -> LabelledFrame:
    """Read one image; ``group_id`` tells objects apart, shapes without one are objects of their own."""
    width, height = side(content, "imageWidth"), side(content, "imageHeight")
    size = (width, height) if width and height else None
    name = content.get("imagePath")
    name = name if isinstance(name, str) else ""
    objects = []
    for place, shape in enumerate(content["shapes"]):
        try:
            objects.append(_object(shape, size))
        except ValueError as error:
            problems.add(name or f"frame {frame}", f"shape {place} is {error}: left out")
    flags = content.get("flags")
    # A list of questions: those that were answered with yes.
    tags = [str(k) for k, v in flags.items() if v is True] if isinstance(flags, Mapping) else []
    return LabelledFrame(
        frame=frame, name=name, size=size, objects=numbered(objects), tags=tuple(tags)
    )


def _object(shape: Any, size: Size | None) -> LabelledObject:
    """Raises ValueError for a shape that is none, or of a kind that has no area."""
    if not isinstance(shape, Mapping):
        raise ValueError("no object")
    group, label, kind = shape.get("group_id"), shape.get("label"), shape.get("shape_type")
    number = group if isinstance(group, int) and not isinstance(group, bool) else 0
    sure = shape.get("score")
    sure = sure if isinstance(sure, int | float) and not isinstance(sure, bool) else -1.0
    said: dict[str, Any] = {
        "object_id": number if 0 < number < 2**31 else 0,
        "label": label if isinstance(label, str) else "",
        "score": float(sure) if 0 <= sure <= 1 else None,
    }
    points = pairs_of(shape.get("points"))
    pairs = tuple(zip(points[::2], points[1::2], strict=True))
    if kind == "point" and pairs:
        return LabelledObject(**said, points=pairs)
    if kind == "rectangle" and len(pairs) in (2, 4):  # newer programs write all corners
        box = (min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2]))
        if box[0] < box[2] and box[1] < box[3]:
            return LabelledObject(**said, box=box)
    if kind in ("polygon", None) and len(pairs) > 2:
        return LabelledObject(**said, polygons=(points,))
    if kind == "circle" and len(pairs) == 2:
        return LabelledObject(**said, polygons=(_circle(points),))
    if kind == "mask" and len(pairs) == 2:
        return LabelledObject(**said, mask=_mask(shape.get("mask"), pairs, size))
    raise ValueError(f"a {kind!r:.20} of {len(pairs)} points, which encloses nothing")


def _circle(points: tuple[float, ...]) -> tuple[float, ...]:
    """Return a polygon for a circle, which is given by its middle and a point on it."""
    x, y, ex, ey = points
    radius = float(np.hypot(ex - x, ey - y))
    angles = 2 * np.pi * np.arange(_CIRCLE_CORNERS) / _CIRCLE_CORNERS
    ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
    return tuple(ring.ravel().tolist())


def _mask(text: Any, pairs: tuple[tuple[float, float], ...], size: Size | None) -> CompactMask:
    """Return a mask, which is a PNG of the box from the first to the second point, both inside."""
    if size is None or not isinstance(text, str):
        raise ValueError("a mask without pixels or size")
    (x0, y0), _ = pairs
    try:
        with Image.open(
            io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)
        ) as image:
            # Before its pixels are unpacked: a small file may say that it is huge.
            inside = (
                x0 >= 0 and y0 >= 0 and x0 + image.width <= size[0] and y0 + image.height <= size[1]
            )
            if not inside:
                raise ValueError("a mask that reaches out of its image")
            crop = np.asarray(image.convert("L")) > 0
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError("a mask that is no PNG") from error
    mask = np.zeros((size[1], size[0]), bool)
    mask[int(y0) : int(y0) + crop.shape[0], int(x0) : int(x0) + crop.shape[1]] = crop
    return CompactMask.from_dense(mask)


def write_labelme(frame: LabelledFrame, image_path: str) -> str:
    """Return the JSON of one image: polygons of masks, else rectangles; ids are ``group_id``.

    Classes of the whole image are ``flags``. ``score`` is X-AnyLabeling's; LabelMe passes over it.
    """
    width, height = frame.with_size()
    shapes: list[dict[str, Any]] = []
    for each in frame.objects:
        polygons = [outline_of(each.mask)] if each.mask is not None else list(each.polygons)
        outlines: list[tuple[str, tuple[float, ...]]] = [("polygon", p) for p in polygons]
        box = each.bounds()
        if not outlines and box is not None:
            outlines = [("rectangle", box)]
        outlines += [("point", point) for point in each.points]
        sure = {} if each.score is None else {"score": round(each.score, 6)}
        shapes += [
            {
                "label": each.label or NAMELESS, "points": _pairs(numbers), "group_id": each.object_id,
                "description": "", "shape_type": kind, "flags": {}, "mask": None, **sure,
            }
            for kind, numbers in outlines
        ]  # fmt: skip
    page: dict[str, Any] = {
        "version": _VERSION, "flags": dict.fromkeys(frame.tags, True), "shapes": shapes,
        "imagePath": image_path, "imageData": None, "imageHeight": height, "imageWidth": width,
    }  # fmt: skip
    return json.dumps(page, indent=1) + "\n"


def _pairs(numbers: tuple[float, ...]) -> list[list[float]]:
    rounded = [float(number_text(value)) for value in numbers]
    return [list(pair) for pair in zip(rounded[::2], rounded[1::2], strict=True)]
