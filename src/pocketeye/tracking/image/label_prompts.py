"""Take what is segmented in images from files of labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketeye.data.files import Problems, path_parts
from pocketeye.data.labelled.layouts import read_labels
from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, Size, clipped_box
from pocketeye.errors import InvalidValue
from pocketeye.results import Masks, Result
from pocketeye.text import some
from pocketeye.tracking.image.segmenter import ImageSegmenter

logger = logging.getLogger(__name__)
_SAID = 5  # problems of a file that are logged one by one


def read_label_prompts(
    path: Path, names: Sequence[str], sizes: Sequence[Size]
) -> list[tuple[LabelledObject, ...]]:
    """Return the objects that a file or folder of labels shows in each image.

    Args:
        path: of any layout that is read.
        names: of the images; the labels of one are those whose name ends like it. A lone image takes
            lone labels, whatever their name.
        sizes: (width, height) of each image.

    Raises:
        MissingFile: nothing there.
        InvalidValue: no layout, labels of images of other sizes, or an image without an object.
    """
    problems = Problems(str(path))
    # Once for each size: YOLO counts in shares of the image.
    frames = {size: list(read_labels(path, size, problems)) for size in dict.fromkeys(sizes)}
    found = []
    for name, size in zip(names, sizes, strict=True):
        frame = _frame_of(frames[size], name, lone=len(names) == 1)
        objects = () if frame is None else frame.objects
        if frame is None or not objects:
            known = some([each.name for each in frames[size] if each.name]) or "no names"
            raise InvalidValue(f"{path} shows no object in {name} (it has {known})")
        if frame.size not in (None, size):
            raise InvalidValue(
                f"{path} has labels of {name} for an image of {frame.size}, and it is {size}"
            )
        found.append(objects)
    for sentence in list(problems)[:_SAID]:
        logger.warning("%s: %s", path, sentence)
    return found


def _frame_of(frames: Sequence[LabelledFrame], name: str, *, lone: bool) -> LabelledFrame | None:
    """Return the labels whose name has the longest end in common with that of an image."""
    if lone and len(frames) == 1:
        return frames[0]
    wanted = path_parts(name)
    best = max(frames, key=lambda frame: _same_end(path_parts(frame.name), wanted), default=None)
    return best if best is not None and _same_end(path_parts(best.name), wanted) else None


def _same_end(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the last parts that two paths share; the last may lack its suffix."""
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        same = mine == theirs or (count == 0 and mine == Path(theirs).stem)
        if not same:
            break
        count += 1
    return count


def segment_labelled(
    segmenter: ImageSegmenter, pixels: np.ndarray, objects: Sequence[LabelledObject]
) -> Result:
    """Segment each object of an image: by its pixels and their box, else its box, else its points.

    The classes and ids of the labels stay.

    Args:
        segmenter: what segments; the image is set.
        pixels: uint8 RGB ``(height, width, 3)``.
        objects: of the image.

    Raises:
        InvalidValue: an object outside of the image.
    """
    segmenter.set_image(pixels)
    masks, scores = [], []
    size: Size = (pixels.shape[1], pixels.shape[0])
    for each in objects:
        mask = each.filled(size)
        if mask is not None:
            if not mask.area:
                raise InvalidValue(f"object {each.object_id} has no pixel in the image")
            # With its box: a mask alone says little to a network that was mostly trained on clicks.
            found = segmenter.predict(mask=mask, box=mask.box)
        elif each.box is not None:
            # Boxes of annotators reach out by a pixel or two.
            found = segmenter.predict(box=clipped_box(each.box, size))
        else:
            found = segmenter.predict(points=each.points)
        assert found.masks is not None
        assert found.scores is not None
        masks.append(found.masks[0])
        scores.append(float(found.scores[0]))
    named = any(each.label for each in objects)
    return Result(
        size=size, masks=Masks(size=size, items=tuple(masks)),
        scores=np.array(scores, np.float32), image=pixels,
        object_ids=[each.object_id for each in objects],
        labels=[each.label for each in objects] if named else None,
    )  # fmt: skip
