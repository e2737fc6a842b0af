"""Gather boxes, classes and outlines of many images in few arrays; say what is wrong with boxes."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.files import Names, Problems

OUTSIDE = 1.0
"""A box may reach so many pixels out without being counted (rounding, numbers from 1 or from 0)."""


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Hold images with what is in them; image ``i`` has the objects ``starts[i]`` to ``starts[i + 1]``.

    Attributes:
        root: the files are named from here.
        files: of the images.
        image_ids: as the annotations have them, or the files' names.
        sizes: int32 ``(N, 2)``, width and height.
        starts: int64 ``(N + 1,)``.
        boxes: float32 ``(M, 4)`` x0, y0, x1, y1 in pixels, inside the image.
        labels: int64 ``(M,)``.
        crowd, difficult: bool ``(M,)``.
        areas: float32 ``(M,)`` in pixels, of the outline where the annotations say it, else of the box.
        outlines: of each object as json (COCO's polygons or run lengths, ``null`` for none), read when
            asked for.
    """

    root: Path
    files: Names
    image_ids: tuple[int | str, ...]
    sizes: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray
    outlines: Names
    problems: tuple[str, ...]
    has_outlines: bool

    def __len__(self) -> int:
        return len(self.files)


@dataclass
class ObjectGathering:
    """Gather objects as a reader finds them, image after image.

    Args:
        masks: an object without a usable outline is left out.
    """

    root: Path
    masks: bool
    problems: Problems = field(default_factory=Problems)
    files: Names = field(default_factory=Names)
    image_ids: list[int | str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    starts: array[int] = field(default_factory=lambda: array("q", [0]))
    boxes: array[float] = field(default_factory=lambda: array("f"))
    labels: array[int] = field(default_factory=lambda: array("q"))
    flags: array[int] = field(default_factory=lambda: array("b"))
    areas: array[float] = field(default_factory=lambda: array("f"))
    outlines: Names = field(default_factory=Names)
    outlined: int = 0
    offered: int = 0

    def add(
        self,
        name: str,
        box: Sequence[float],
        size: tuple[int, int],
        label: int,
        *,
        outline: Any = None,
        area: float | None = None,
        crowd: bool = False,
        difficult: bool = False,
    ) -> None:
        """Add an object of the image that :meth:`image` closes; an unsound one is named instead."""
        self.offered += 1
        inside, wrong = inside_of(box, size)
        # Cut off or left out: both change what is learnt.
        if wrong is not None:
            self.problems.add(name, wrong)
        if inside is None:
            return
        if outline is None and self.masks:
            self.problems.add(name, "no outline: left out")
            return
        x0, y0, x1, y1 = inside
        # The area decides what is small, medium and large in COCO's AP: of the outline if it is said.
        known = area is not None and math.isfinite(area) and area > 0
        self.boxes.extend(inside)
        self.labels.append(label)
        self.flags.append(int(crowd) + 2 * int(difficult))  # two bits; done() takes them apart
        self.areas.append(area if known and area else (x1 - x0) * (y1 - y0))
        self.outlines.append(json.dumps(outline))  # as text, which is small, until it is asked for
        self.outlined += outline is not None

    def image(self, file: str, image_id: int | str, size: tuple[int, int]) -> None:
        """Close an image: what was added since the last one is in it."""
        # An image that lost all its boxes would be taken for an empty one without a word.
        if self.offered and len(self.labels) == self.starts[-1]:
            self.problems.add(file, "none of its boxes can be used: an image without objects")
        self.files.append(file)
        self.image_ids.append(image_id)
        self.sizes.append(size)
        self.starts.append(len(self.labels))
        self.offered = 0

    def done(self) -> Objects:
        flags = np.asarray(self.flags, np.int8)
        return Objects(
            root=self.root,
            files=self.files,
            image_ids=tuple(self.image_ids),
            sizes=np.asarray(self.sizes, np.int32).reshape(-1, 2),
            starts=np.asarray(self.starts, np.int64),
            boxes=np.asarray(self.boxes, np.float32).reshape(-1, 4),
            labels=np.asarray(self.labels, np.int64),
            crowd=flags & 1 > 0,
            difficult=flags & 2 > 0,
            areas=np.asarray(self.areas, np.float32),
            outlines=self.outlines,
            problems=tuple(self.problems),
            has_outlines=self.outlined > 0,
        )


def inside_of(
    box: Sequence[float], size: tuple[int, int]
) -> tuple[tuple[float, float, float, float] | None, str | None]:
    """Return the part of a box x0, y0, x1, y1 inside an image of (width, height), and what was wrong.

    None with the reason where nothing is left: not four finite numbers, reversed, without area, or
    wholly outside. A box that reaches more than a pixel out is cut off and named.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        return None, "a box with something else than numbers: left out"
    if x1 < x0 or y1 < y0:
        return None, "a reversed box: left out"
    if x1 == x0 or y1 == y0:
        return None, "a box without area: left out"
    width, height = size
    # Networks refuse boxes outside of the image, and areas would be wrong.
    inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None, "a box outside the image: left out"
    reach = max(-x0, -y0, x1 - width, y1 - height)
    return inside, "a box that reaches out of the image: cut off" if reach > OUTSIDE else None
