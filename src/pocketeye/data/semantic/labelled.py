"""Draw label maps from the outlines of images that CVAT, LabelMe or Label Studio annotated.

What no outline covers is the class ``background``, the first, as in the exports of masks of these tools.
Where ``classes.yaml`` names the classes and ``background`` is none of them, it counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketeye.data.files import UnreadableImage, no_comments, upright_size
from pocketeye.data.labelled.image_sets import (
    image_flaw,
    labelled_layout,
    labelled_splits,
    read_labelled,
)
from pocketeye.data.labelled.objects import LabelledFrame
from pocketeye.data.semantic.class_maps import IGNORE, numbered
from pocketeye.data.semantic.pairs import MaskPairs
from pocketeye.errors import InvalidValue

BACKGROUND = "background"
_BACKGROUNDS = (BACKGROUND, "_background_", "unlabeled", "unlabelled")


def is_labelled(root: Path, layout: str) -> bool:
    """Tell whether a folder holds a set of a tool."""
    return labelled_layout(root) == layout


def find_labelled(root: Path, layout: str, split: str | None) -> MaskPairs:
    """Find the images of a part, with their outlines in the place of masks.

    Raises:
        MissingFile: no such part.
        InvalidValue: no outline at all.
    """
    found = read_labelled(root, layout, split)
    names = found.classes
    if not any(name in _BACKGROUNDS for name in names):
        names = (BACKGROUND, *names)
    drawn: dict[str, LabelledFrame] = {}
    for name, frame in sorted(found.frames.items()):
        boxes = sum(not each.polygons and each.mask is None for each in frame.objects)
        if boxes:
            found.problems.add(name, f"{boxes} objects without outline: left out")
        with no_comments():
            wrong = image_flaw(found.root / name, frame)
        if wrong is None:
            drawn[name] = frame
        else:
            found.problems.add(name, f"{wrong}: left out")
    if not any(each.polygons or each.mask for f in drawn.values() for each in f.objects):
        raise InvalidValue(f"{root} has no outlines, only boxes: it serves to detect objects")
    return MaskPairs(
        root=found.root, pairs=tuple((name, name) for name in drawn),
        problems=tuple(found.problems), class_map=numbered(names), drawn=drawn,
    )  # fmt: skip


def split_names(root: Path, layout: str) -> tuple[str, ...]:
    """Return the names of the parts; of a set that is not split those that are held out of it."""
    there = labelled_splits(root, layout)
    return there if len(there) > 1 else ("train", "val")


def draw_labels(
    frame: LabelledFrame, path: Path, names: Sequence[str]
) -> tuple[np.ndarray, dict[str, int]]:
    """Draw outlines in their order, the last on top: uint8 ``(H, W)``, and pixels of unknown classes.

    Args:
        frame: the outlines.
        path: of the image, for its size where the frame does not say it.
        names: of the classes.

    Raises:
        UnreadableImage: the image is damaged, or a mask is of another size.
    """
    size = frame.size or upright_size(path)
    below = next((names.index(name) for name in _BACKGROUNDS if name in names), IGNORE)
    labels = np.full(size[::-1], below, np.uint8)
    strange: dict[str, int] = {}
    for each in frame.objects:
        try:
            filled = each.filled(size)
        except InvalidValue as error:
            raise UnreadableImage(str(error)) from error
        if filled is None:
            continue
        known = each.label in names
        labels[filled.dense()] = names.index(each.label) if known else IGNORE
        if not known:
            strange[f"class {each.label}"] = strange.get(f"class {each.label}", 0) + filled.area
    return labels, strange
