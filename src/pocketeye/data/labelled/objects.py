"""Hold labelled objects as annotation tools have them, whatever layout they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketeye.data.files.annotations.shapes import polygon_mask
from pocketeye.errors import InvalidValue
from pocketeye.results import CompactMask, Masks, Result

Box = tuple[float, float, float, float]
Size = tuple[int, int]
NAMELESS = "object"
"""The class of objects without a name, in layouts where each must have one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledObject:
    """Hold one object in one image; it has a box, polygons, a mask or points.

    Attributes:
        object_id: from 1 up; of a video the same in every frame.
        label: name of its class; empty where it has none.
        box: x0, y0, x1, y1 in pixels, x1 and y1 outside; None where the layout has no box of it.
        polygons: x0, y0, x1, y1 … in pixels each; whole numbers are corners of pixels.
        mask: its pixels.
        points: (x, y) in pixels of clicks on it.
        score: from 0 to 1, or None.
    """

    object_id: int
    label: str = ""
    box: Box | None = None
    polygons: tuple[tuple[float, ...], ...] = ()
    mask: CompactMask | None = None
    points: tuple[tuple[float, float], ...] = ()
    score: float | None = None

    def filled(self, size: Size) -> CompactMask | None:
        """Return its pixels in an image of (width, height); None of a box or of points.

        Raises:
            InvalidValue: the mask is of an image of another size.
        """
        if self.mask is not None:
            if self.mask.size != size:
                raise InvalidValue(
                    f"object {self.object_id} has a mask of {_said(self.mask.size)}, and the image is "
                    f"{_said(size)}"
                )
            return self.mask
        return CompactMask.from_dense(polygon_mask(self.polygons, size)) if self.polygons else None

    def bounds(self) -> Box | None:
        """Return x0, y0, x1, y1 around it; None where only points say where it is."""
        if self.box is not None:
            return self.box
        if self.mask is not None:
            x0, y0, x1, y1 = self.mask.box
            return float(x0), float(y0), float(x1), float(y1)
        if not self.polygons:
            return None
        xs = [x for polygon in self.polygons for x in polygon[::2]]
        ys = [y for polygon in self.polygons for y in polygon[1::2]]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFrame:
    """Hold the objects of one image, or of one frame of a video.

    Attributes:
        frame: number from 0; of images their place in the file.
        name: of the image as the file has it, which may be no path of this machine; empty for none.
        size: (width, height), or None where the layout does not say it.
        objects: each id once.
        tags: classes of the whole image, the likeliest first.
    """

    frame: int
    name: str = ""
    size: Size | None = None
    objects: tuple[LabelledObject, ...] = ()
    tags: tuple[str, ...] = ()

    def with_size(self) -> Size:
        """Return the size.

        Raises:
            InvalidValue: the layout did not say it.
        """
        if self.size is None:
            raise InvalidValue(f"nothing says how large {self.name or f'frame {self.frame}'} is")
        return self.size

    def result(self) -> Result:
        """Return the objects as a result; where one has no mask, all have boxes only.

        Raises:
            InvalidValue: the size is not known, or a mask is of another size.
        """
        size = self.with_size()
        objects = [each for each in self.objects if each.bounds() is not None]
        filled = [each.filled(size) for each in objects]
        masks = [mask for mask in filled if mask is not None]
        scores = [each.score for each in objects]
        known = [score for score in scores if score is not None]
        return Result(
            size=size, frame=self.frame,
            masks=Masks(size=size, items=tuple(masks)) if len(masks) == len(objects) else None,
            boxes=np.array([each.bounds() for each in objects], np.float32).reshape(-1, 4),
            scores=np.array(known, np.float32) if len(known) == len(objects) else None,
            object_ids=[each.object_id for each in objects],
            labels=[each.label for each in objects] if any(each.label for each in objects) else None,
        )  # fmt: skip


def frame_of(result: Result, frame: int = 0, name: str = "") -> LabelledFrame:
    """Return what a result holds, without objects that have no pixel."""
    objects = []
    for i, row in enumerate(result.table()):
        if not row["area"]:
            continue
        sure = row["score"] if row.get("confidence") is None else row["confidence"]
        objects.append(
            LabelledObject(
                object_id=row["id"], label=row["label"] or "",
                box=(row["x"], row["y"], row["x"] + row["width"], row["y"] + row["height"]),
                mask=None if result.masks is None else result.masks[i], score=sure,
            )
        )  # fmt: skip
    number = frame if result.frame is None else result.frame
    return LabelledFrame(frame=number, name=name, size=result.size, objects=tuple(objects))


def numbered(objects: Iterable[LabelledObject]) -> tuple[LabelledObject, ...]:
    """Return objects with ids that differ: shapes of one id and class are parts of one object.

    An id that says nothing (0 or less) becomes the next free one.
    """
    merged: dict[int, LabelledObject] = {}
    loose: list[LabelledObject] = []
    for each in objects:
        before = merged.get(each.object_id)
        if each.object_id < 1 or (before is not None and before.label != each.label):
            loose.append(each)
        else:
            merged[each.object_id] = each if before is None else _joined(before, each)
    free = max(merged, default=0) + 1
    for number, each in enumerate(loose, free):
        merged[number] = _with_id(each, number)
    return tuple(merged.values())


def _with_id(each: LabelledObject, number: int) -> LabelledObject:
    return LabelledObject(
        object_id=number, label=each.label, box=each.box, polygons=each.polygons, mask=each.mask,
        points=each.points, score=each.score,
    )  # fmt: skip


def _joined(one: LabelledObject, other: LabelledObject) -> LabelledObject:
    """Return two parts of an object as one."""
    mask = one.mask or other.mask
    if one.mask is not None and other.mask is not None and one.mask.size == other.mask.size:
        mask = CompactMask.from_dense(one.mask.dense() | other.mask.dense())
    boxes = [box for box in (one.box, other.box) if box is not None]
    corners = np.array(boxes).reshape(-1, 4)
    box = (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist()) if boxes else None
    return LabelledObject(
        object_id=one.object_id, label=one.label, box=box, mask=mask,
        polygons=(*one.polygons, *other.polygons), points=(*one.points, *other.points),
        score=one.score if one.score is not None else other.score,
    )  # fmt: skip


def clipped_box(box: Sequence[float], size: Size) -> Box:
    """Cut a box off at the border of an image of (width, height); hands and networks draw beyond it."""
    x0, x1 = (min(max(x, 0.0), float(size[0])) for x in box[::2])
    y0, y1 = (min(max(y, 0.0), float(size[1])) for y in box[1::2])
    return x0, y0, x1, y1


def number_text(value: float) -> str:
    """Write a number of pixels as ``12.5``: two digits behind the point at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def pairs_of(points: Any) -> tuple[float, ...]:
    """Return ``[[x, y], …]`` as one row of numbers.

    Raises:
        ValueError: something else than pairs of finite numbers.
    """
    if not isinstance(points, Sequence) or isinstance(points, str):
        raise ValueError("points that are no list")
    flat = []
    for point in points:
        if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
            raise ValueError("a point that is no x and y")
        flat += [finite(value) for value in point]
    return tuple(flat)


def finite(value: Any) -> float:
    """Return a number.

    Raises:
        ValueError: none, or one that no image has pixels for.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.40} where a number should stand")
    number = float(value)
    # Beyond a million no image has pixels; NaN fails the comparison too.
    if not abs(number) <= 1e6:
        raise ValueError(f"{value!r:.40} where a number should stand")
    return number


def side(mapping: Mapping[str, Any], key: str) -> int | None:
    """Return a side of an image in pixels; None where it is not said, or cannot be one."""
    try:
        number = int(finite(mapping.get(key)))
    except ValueError:
        return None
    return number if 1 <= number <= 65536 else None


def _said(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def xml_text(value: str) -> str:
    """Return text that XML can hold: other characters than it allows become question marks."""
    return "".join(c if _in_xml(c) else "?" for c in value)


def _in_xml(c: str) -> bool:
    # XML 1.0, 2.2: control characters and halves of surrogate pairs are no characters.
    return c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
