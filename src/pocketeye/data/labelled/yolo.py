"""Read and write one text of YOLO, for detection or segmentation; sets are read by ``data.detection``.

A line is ``class cx cy width height`` or ``class x y x y x y …``, in shares of the image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pocketeye.data.files import Problems
from pocketeye.data.labelled.objects import (
    NAMELESS,
    LabelledFrame,
    LabelledObject,
    Size,
    clipped_box,
    finite,
    numbered,
)
from pocketeye.data.labelled.outline import outline_of

_BOX = 4  # numbers behind the class, with a score behind them in the texts of a prediction
_FEWEST_OF_POLYGON = 6


def is_yolo(text: str) -> bool:
    """Tell whether a text is YOLO's, by its first line."""
    line = next((line.split() for line in text.splitlines() if line.strip()), [])
    return len(line) > _BOX and line[0].isdecimal()


def read_yolo(
    text: str, size: Size, names: Sequence[str], problems: Problems, frame: int = 0, name: str = ""
) -> LabelledFrame:
    """Read one image of (width, height); every line is an object of its own.

    Args:
        names: of the classes; those without one have their number as name.
    """
    objects = []
    for place, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            objects.append(_object(line.split(), size, names))
        except ValueError as error:
            problems.add(f"{name or f'frame {frame}'}, line {place}", f"{error}: left out")
    return LabelledFrame(frame=frame, name=name, size=size, objects=numbered(objects))


def _object(words: list[str], size: Size, names: Sequence[str]) -> LabelledObject:
    if not words[0].isdecimal() or len(words[0]) > 9:
        raise ValueError(f"{words[0]!r:.20} is no class")
    kind, numbers = int(words[0]), [finite(word) for word in words[1:]]
    label = names[kind] if kind < len(names) else str(kind)
    if len(numbers) in (_BOX, _BOX + 1):
        cx, cy, width, height = numbers[:_BOX]
        if width <= 0 or height <= 0:
            raise ValueError("a box without area")
        x0, y0 = (cx - width / 2) * size[0], (cy - height / 2) * size[1]
        box = (x0, y0, x0 + width * size[0], y0 + height * size[1])
        return LabelledObject(
            object_id=0, label=label, box=box, score=numbers[_BOX] if len(numbers) > _BOX else None
        )
    if len(numbers) < _FEWEST_OF_POLYGON or len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are neither box nor polygon")
    polygon = tuple(number * size[place % 2] for place, number in enumerate(numbers))
    return LabelledObject(object_id=0, label=label, polygons=(polygon,))


def write_yolo(frame: LabelledFrame, classes: dict[str, int], *, outlines: bool) -> str:
    """Return the text of one image; ids and scores have no place in it.

    Args:
        classes: numbers from 0 by name; names that are new are added.
        outlines: write polygons, of objects that have only a box its corners.
    """
    size, lines = frame.with_size(), []
    for each in frame.objects:
        kind = classes.setdefault(each.label or NAMELESS, len(classes))
        box = each.bounds()
        if box is None:
            continue
        x0, y0, x1, y1 = clipped_box(box, size)
        if outlines:
            polygon = outline_of(each.mask) if each.mask is not None else ()
            polygon = polygon or (each.polygons[0] if each.polygons else ())
            numbers = polygon or (x0, y0, x1, y0, x1, y1, x0, y1)
        else:
            numbers = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
        shares = (f"{v / size[place % 2]:.6f}" for place, v in enumerate(numbers))
        lines.append(f"{kind} {' '.join(shares)}\n")
    return "".join(lines)


def write_names(classes: dict[str, int]) -> str:
    """Return the lines of a ``data.yaml`` that name the classes."""
    # Names in quotes as JSON writes them are YAML too, whatever is in them.
    return "names:\n" + "".join(f"  {n}: {json.dumps(name)}\n" for name, n in classes.items())
