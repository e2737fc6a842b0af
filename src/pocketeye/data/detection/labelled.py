"""Read boxes and outlines of images that CVAT, LabelMe or Label Studio annotated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketeye import progress
from pocketeye.data.detection.objects import ObjectGathering, Objects
from pocketeye.data.files import no_comments, upright_size
from pocketeye.data.labelled.image_sets import image_flaw, read_labelled
from pocketeye.data.labelled.objects import NAMELESS, LabelledFrame, LabelledObject
from pocketeye.errors import InvalidValue


def read_labelled_boxes(
    layout: str, root: Path, split: str | None, masks: bool
) -> tuple[tuple[str, ...], Objects]:
    """Read the names of the classes and what is in the images.

    Objects without a class are of the class ``object``.

    Raises:
        MissingFile: no such split.
        InvalidValue: no object at all.
    """
    found = read_labelled(root, layout, split)
    frames = found.frames.values()
    nameless = any(not each.label for frame in frames for each in frame.objects)
    classes = found.classes + (NAMELESS,) * (nameless and NAMELESS not in found.classes)
    if not classes:
        raise InvalidValue(f"{root} has no object in any of its images: there are no classes")
    labels = {name: number for number, name in enumerate(classes)}
    gathering = ObjectGathering(found.root, masks, found.problems)
    with progress.task(f"looking at {root}", len(found.frames)) as bar, no_comments():
        for name, frame in sorted(found.frames.items()):
            _add(gathering, name, frame, labels)
            bar.advance(1)
    return classes, gathering.done()


def _add(
    gathering: ObjectGathering, name: str, frame: LabelledFrame, labels: dict[str, int]
) -> None:
    path = gathering.root / name
    wrong = image_flaw(path, frame)
    if wrong is not None:
        lost = " with its objects" * bool(frame.objects)
        gathering.problems.add(name, f"{wrong}: left out{lost}")
        return
    size = frame.size or upright_size(path)
    for place, each in enumerate(frame.objects, 1):
        where, box = f"{name}, object {place} ({each.label})", each.bounds()
        if box is None:
            gathering.offered += 1
            gathering.problems.add(where, "points without a box: left out")
            continue
        gathering.add(where, box, size, labels[each.label or NAMELESS], outline=_outline(each))
    gathering.image(name, path.name, size)


def _outline(each: LabelledObject) -> Any:
    """Return polygons or run lengths as COCO writes them; None of a box."""
    if each.mask is not None:
        return each.mask.to_rle()
    return [list(polygon) for polygon in each.polygons] or None
