"""Give images with boxes, classes and outlines: COCO, VOC, YOLO and what annotation tools write.

========  ==========================================================================================
layout    files
========  ==========================================================================================
``coco``  ``ROOT/annotations/instances_SPLIT.json`` (any name with the split's word), or
          ``ROOT/SPLIT/_annotations.coco.json``; polygons, run lengths, crowds
``voc``   ``ROOT/JPEGImages``, ``ROOT/Annotations/*.xml``, ``ROOT/ImageSets/Main/SPLIT.txt``; or
          ``ROOT/SPLIT`` with images and xml side by side
``yolo``  ``ROOT/data.yaml`` (names, train, val, test), ``images/**`` and ``labels/**.txt`` with boxes
          or polygons
tools     ``cvat``, ``label-studio``, ``labelme``: see :mod:`pocketeye.data.labelled.image_sets`
========  ==========================================================================================

Boxes are x0, y0, x1, y1 in pixels from the image's upper left corner, x1 and y1 outside. What is
unsound is left out or cut off by the rules of ``docs/data.md``, counted, and named in ``problems``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pocketeye.data.detection.layouts import LAYOUTS, detection_layout, read_boxes
from pocketeye.data.detection.objects import Objects
from pocketeye.data.files import Problems, decode_as, require_some
from pocketeye.data.files.annotations.shapes import outline_mask
from pocketeye.data.sample import Sample
from pocketeye.errors import InvalidValue, MissingFile, unknown
from pocketeye.results.masks import CompactMask, Masks

Layout = Literal["auto", "coco", "voc", "yolo", "cvat", "label-studio", "labelme"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageObjects:
    """Hold the objects of one image; their masks are made when asked for.

    Attributes:
        size: (width, height) of the image that boxes and masks are in.
        image_id: as the annotations have it; the file's name for VOC and YOLO.
        boxes: float32 ``(N, 4)`` x0, y0, x1, y1 in pixels.
        labels: int64 ``(N,)``, 0 to the number of classes - 1.
        crowd: bool ``(N,)``: many objects in one region, not to be learnt as one (COCO).
        difficult: bool ``(N,)``: not counted in VOC's mAP.
        areas: float32 ``(N,)``: filled pixels as the annotations say, else of the box.
        outlines: polygons or run lengths as COCO writes them, None for an object without.
    """

    size: tuple[int, int]
    image_id: int | str
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray
    outlines: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def mask(self, index: int) -> np.ndarray:
        """Return bool ``(height, width)`` of one object; its box filled where it has no outline."""
        outline = self.outlines[index]
        # Many sets have outlines of some objects only.
        if outline is not None:
            return outline_mask(outline, self.size)
        mask = np.zeros(self.size[::-1], bool)
        x0, y0, x1, y1 = self.boxes[index].round().astype(int)
        mask[y0:y1, x0:x1] = True
        return mask

    def masks(self) -> Masks:
        """Return the masks of all objects, stored small."""
        items = tuple(CompactMask.from_dense(self.mask(i)) for i in range(len(self)))
        return Masks(size=self.size, items=items)


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionSet:
    """Give images with boxes in a fixed order; images without objects are in it.

    Attributes:
        source: what the user named.
        layout: one of ``LAYOUTS``.
        split: as the user named it.
        classes: names, in the order of the labels.
        category_ids: by which COCO's json knows the classes; 1 to the number of classes elsewhere.
        objects: all boxes at once, for counting.
        collector: what was left out or cut off and why.
    """

    source: str
    layout: str
    split: str | None
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    objects: Objects = field(repr=False)
    collector: Problems = field(repr=False)

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> ImageObjects:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.targets(index % len(self))

    def targets(self, index: int) -> ImageObjects:
        """Return what is annotated in an image, without reading the image."""
        of = self.objects
        here = slice(int(of.starts[index]), int(of.starts[index + 1]))
        width, height = of.sizes[index].tolist()
        return ImageObjects(
            size=(width, height),
            image_id=of.image_ids[index],
            boxes=of.boxes[here],
            labels=of.labels[here],
            crowd=of.crowd[here],
            difficult=of.difficult[here],
            areas=of.areas[here],
            # Text until now: parsed outlines would take many times the memory.
            outlines=tuple(json.loads(text) for text in of.outlines[here]),
        )

    def read(self, index: int) -> Sample[ImageObjects]:
        """Read an image, RGB, and its objects.

        Raises:
            UnreadableImage: damaged, or not of the size the annotations are for.
        """
        targets = self.targets(index)
        # The annotations' size tells whether they are of the image as it is stored or turned.
        image = decode_as(self.path(index), targets.size)
        return Sample(index=index, name=self.name(index), image=image, targets=targets)

    def path(self, index: int) -> Path:
        """Return the file of an image."""
        return self.objects.root / self.objects.files[index]

    def name(self, index: int) -> str:
        """Return the file of an image, as the annotations name it."""
        return self.objects.files[index]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was left out or cut off, and about images found damaged since."""
        return tuple(self.collector)

    @property
    def has_masks(self) -> bool:
        """Tell whether there are outlines (see ``masks`` of :func:`load_detection`)."""
        return self.objects.has_outlines

    @property
    def num_negatives(self) -> int:
        """Return the number of images without an object."""
        return int(np.count_nonzero(np.diff(self.objects.starts) == 0))

    def class_counts(self) -> np.ndarray:
        """Count the objects of each class, crowds too: int64 ``(num_classes,)``."""
        return np.bincount(self.objects.labels, minlength=len(self.classes))


def load_detection(
    root: str | Path,
    split: str | None = None,
    layout: Layout = "auto",
    *,
    masks: bool = False,
) -> DetectionSet:
    """Open a set of images with boxes (see the table above). Headers are read, nothing is decoded.

    Args:
        root: its folder; or the json of a COCO set, the yaml of a YOLO set.
        split: ``train``, ``val`` (also ``valid``, ``validation``), ``test`` …; None for the whole set,
            or where there is one only.
        layout: one of ``LAYOUTS``, or ``auto`` to tell by the files.
        masks: objects without a usable outline are left out (and named), as instance segmentation
            needs them all.

    Raises:
        MissingFile: no such folder or split.
        InvalidValue: none of the layouts, no class names or two alike, or not one image that can be
            used.
    """
    if layout not in ("auto", *LAYOUTS):
        raise unknown("layout", layout, ("auto", *LAYOUTS))
    place = Path(root)
    if not place.exists():
        raise MissingFile(f"no data at {root} (give the folder of a set of images with boxes)")
    # By what lies there, not by names of folders alone.
    found = layout if layout != "auto" else detection_layout(place)
    if found is None:
        raise InvalidValue(
            f"{root} is no set of images with boxes that can be told by its files: expected "
            "annotations/*.json (coco), JPEGImages and Annotations/*.xml (voc), data.yaml with "
            "names, train and val (yolo), or the files of CVAT, Label Studio or LabelMe"
        )
    classes, ids, objects = read_boxes(found, place, split, masks)
    if len(set(classes)) < len(classes):
        # What is found is told by the names of classes: the two would be taken for one.
        twice = Counter(classes).most_common(1)[0][0]
        raise InvalidValue(f"{root}: two classes are called {twice!r}: name each differently")
    require_some(root, len(objects), objects.problems, "image that can be used")
    if masks and not objects.has_outlines:
        raise InvalidValue(f"{root} has no outlines, only boxes: it serves to detect objects")
    return DetectionSet(
        source=str(root),
        layout=found,
        split=split,
        classes=classes,
        category_ids=ids,
        objects=objects,
        collector=Problems(str(root), objects.problems),
    )


__all__ = [
    "LAYOUTS",
    "DetectionSet",
    "ImageObjects",
    "load_detection",
]
