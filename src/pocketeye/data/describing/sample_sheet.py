"""Draw images of a set with what is annotated in them on one sheet, drawn as everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketeye.data.detection.samples import ImageObjects
from pocketeye.data.files import UnreadableImage
from pocketeye.data.sample import Sample, SampleSet
from pocketeye.data.semantic.class_maps import IGNORE
from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.results.draw import draw_boxes, draw_masks
from pocketeye.results.legend import legend
from pocketeye.results.masks import CompactMask, Masks

CELL, COLUMNS, MOST = 400, 4, 12  # a sheet of 1640 pixels fits a screen
_GAP, _LINE, _INK, _PAPER = 8, 18, "#1c1c1c", "#ffffff"
_FILL = 0.55  # opacity of label maps, which leave no pixel bare: the image must show through


def sample_sheet(samples: SampleSet[Any], count: int = MOST) -> Image.Image:
    """Draw up to ``count`` images, evenly spread, and the classes that are to be seen in them.

    A colour is a class; objects of videos, which have none, have a colour each. Outlines are filled,
    boxes are frames; what a semantic set ignores keeps the image's own colours. An image that cannot
    be read leaves an empty cell that says why.
    """
    chosen = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    cells, seen = [], set[int]()
    for index in chosen.tolist():
        try:
            cell, labels = _cell(samples.read(index))
        except UnreadableImage as error:
            cell, labels = _empty(str(error)), set[int]()
        cells.append((samples.name(index), cell))
        seen |= labels
    return _on_paper(cells, [(samples.classes[label], label) for label in sorted(seen)])


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    scale = CELL / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _cell(sample: Sample[Any]) -> tuple[Image.Image, set[int]]:
    """Draw an image with its annotations; return it with the labels in it.

    All is drawn at the size it is shown, so that lines keep their width.
    """
    image = sample.image.resize(_fitted(sample.image.size))
    if isinstance(sample.targets, ImageObjects):
        return image, _draw_objects(image, sample.targets)
    if isinstance(sample.targets, VideoSequence):
        return image, _draw_first_frame(image, sample.targets)
    if isinstance(sample.targets, np.ndarray):
        return image, _draw_labels(image, sample.targets)
    raise TypeError(f"nothing is drawn of {type(sample.targets).__name__}")


def _draw_objects(image: Image.Image, objects: ImageObjects) -> set[int]:
    size, ids = image.size, (objects.labels + 1).tolist()
    outlined = [i for i in range(len(objects)) if objects.outlines[i] is not None]
    bare = [i for i in range(len(objects)) if objects.outlines[i] is None]
    items = tuple(CompactMask.from_dense(objects.mask(i)).resized(size) for i in outlined)
    draw_masks(image, Masks(size=size, items=items), [ids[i] for i in outlined],
               ["crowd" if objects.crowd[i] else "" for i in outlined])  # fmt: skip
    boxes = objects.boxes[bare] * (np.array(size * 2) / np.array(objects.size * 2))
    draw_boxes(image, boxes, [ids[i] for i in bare], ["" for _ in bare])
    return set(objects.labels.tolist())


def _draw_first_frame(image: Image.Image, clip: VideoSequence) -> set[int]:
    masks = clip.object_masks(clip.annotated[0]) or {}
    items = tuple(CompactMask.from_dense(mask).resized(image.size) for mask in masks.values())
    draw_masks(image, Masks(size=image.size, items=items), list(masks), [""] * len(masks))
    return set()


def _draw_labels(image: Image.Image, labels: np.ndarray) -> set[int]:
    size = image.size
    shown = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    found = [int(label) for label in np.unique(shown) if label != IGNORE]
    items = tuple(CompactMask.from_dense(shown == label) for label in found)
    ids = [label + 1 for label in found]
    draw_masks(image, Masks(size=size, items=items), ids, [""] * len(ids), _FILL)
    return set(found)


def _empty(reason: str) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL // 2), "#dddddd")
    ImageDraw.Draw(cell).text((10, 10), reason, _INK, ImageFont.load_default(13))
    return cell


def _on_paper(
    cells: Sequence[tuple[str, Image.Image]], classes: Sequence[tuple[str, int]]
) -> Image.Image:
    columns = min(COLUMNS, len(cells))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
    heights = [max(cell.height for _, cell in row) + _LINE + _GAP for row in rows]
    width = columns * (CELL + _GAP) + _GAP
    key = legend(classes, width - 2 * _GAP)
    sheet = Image.new("RGB", (width, sum(heights) + key.height + 2 * _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (name, cell) in enumerate(row):
            left = _GAP + column * (CELL + _GAP)
            draw.text((left, top), name[-52:], "#6b6b6b", font)
            sheet.paste(cell, (left, top + _LINE))
        top += height
    sheet.paste(key, (_GAP, top))
    return sheet
