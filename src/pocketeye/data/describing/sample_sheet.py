"""Images of a set with what is annotated in them, on one sheet, drawn as everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketeye.data.detection.samples import DetectionSample, DetectionSet
from pocketeye.data.files.decode import UnreadableImage
from pocketeye.data.semantic.class_maps import IGNORE
from pocketeye.data.semantic.samples import SemanticSet
from pocketeye.results.draw import draw_boxes, draw_masks
from pocketeye.results.legend import legend
from pocketeye.results.masks import CompactMask, Masks

CELL, COLUMNS, MOST = 400, 4, 12
_GAP, _LINE, _INK, _PAPER = 8, 18, "#1c1c1c", "#ffffff"
_FILL = 0.55


def sample_sheet(samples: DetectionSet | SemanticSet, count: int = MOST) -> Image.Image:
    """Up to ``count`` images, evenly spread, and the classes that are to be seen in them.

    A colour is a class. Outlines are filled, boxes are frames; what a semantic set ignores keeps the
    image's own colours. An image that cannot be read leaves an empty cell that says why.
    """
    chosen = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    cells, seen = [], set[int]()
    for index in chosen.tolist():
        try:
            cell, labels = (
                _detection(samples[index])
                if isinstance(samples, DetectionSet)
                else _semantic(samples, index)
            )
        except UnreadableImage as error:
            cell, labels = _empty(str(error)), set[int]()
        cells.append((samples.name(index), cell))
        seen |= labels
    return _on_paper(cells, [(samples.classes[label], label) for label in sorted(seen)])


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    scale = CELL / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _detection(sample: DetectionSample) -> tuple[Image.Image, set[int]]:
    """Drawn at the size it is shown, so that lines keep their width."""
    size = _fitted(sample.size)
    image = sample.image().resize(size)
    ids = (sample.labels + 1).tolist()
    outlined = [i for i in range(len(sample)) if sample.outlines[i] is not None]
    bare = [i for i in range(len(sample)) if sample.outlines[i] is None]
    items = tuple(CompactMask.from_dense(sample.mask(i)).resized(size) for i in outlined)
    draw_masks(image, Masks(size=size, items=items), [ids[i] for i in outlined],
               ["crowd" if sample.crowd[i] else "" for i in outlined])  # fmt: skip
    boxes = sample.boxes[bare] * (np.array(size * 2) / np.array(sample.size * 2))
    draw_boxes(image, boxes, [ids[i] for i in bare], ["" for _ in bare])
    return image, set(sample.labels.tolist())


def _semantic(samples: SemanticSet, index: int) -> tuple[Image.Image, set[int]]:
    image, labels = samples.read(index)
    size = _fitted(image.size)
    image = image.resize(size)
    shown = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    found = [int(label) for label in np.unique(shown) if label != IGNORE]
    items = tuple(CompactMask.from_dense(shown == label) for label in found)
    ids = [label + 1 for label in found]
    draw_masks(image, Masks(size=size, items=items), ids, [""] * len(ids), _FILL)
    return image, set(found)


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
