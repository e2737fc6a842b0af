"""Give images with a class for every pixel: masks in folders, or outlines of annotation tools.

==============  ===================================================================================
layout          files
==============  ===================================================================================
``ade20k``      ``ROOT/images/training``, ``ROOT/annotations/training`` (and ``validation``); 0 counts
                for nothing, value k is class k - 1, names from ``objectInfo150.txt``
``cityscapes``  ``ROOT/leftImg8bit/SPLIT/CITY``, ``ROOT/gtFine/SPLIT/CITY`` with ``*_labelTrainIds.png``
                or ``*_labelIds.png``; the 19 classes that are judged
``folders``     ``ROOT/SPLIT/{images,masks}``, ``ROOT/{images,masks}/SPLIT``, ``ROOT/SPLIT`` with
                ``ROOT/SPLITannot``, or ``ROOT/{images,masks}`` with ``SPLIT.txt``; and ``classes.yaml``
tools           ``cvat``, ``label-studio``, ``labelme``: outlines, drawn in their order; see
                :mod:`pocketeye.data.labelled.image_sets`
==============  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pocketeye.data.files import Problems, UnreadableImage, decode_as, read_pixels, require_some
from pocketeye.data.sample import Sample
from pocketeye.data.semantic.class_maps import (
    FILE,
    IGNORE,
    KNOWN,
    ClassMap,
    binary,
    read_class_map,
)
from pocketeye.data.semantic.labelled import draw_labels
from pocketeye.data.semantic.layouts import (
    LAYOUTS,
    find_pairs,
    semantic_layout,
    semantic_splits,
)
from pocketeye.data.semantic.pairs import MaskPairs
from pocketeye.errors import InvalidValue, MissingFile, unknown

Layout = Literal["auto", "ade20k", "cityscapes", "folders", "cvat", "label-studio", "labelme"]
_LOOKED_AT, _MOST_UNKNOWN = 8, 0.5  # masks, and the share of their pixels that may have no class


@dataclass(frozen=True, kw_only=True, eq=False)
class SemanticSet:
    """Give images with labels in a fixed order.

    Attributes:
        source: what the user named.
        layout: one of ``LAYOUTS``.
        class_map: what the pixel values mean.
        collector: what was left out and why; subsets of a set share it.
    """

    source: str
    layout: str
    split: str | None
    class_map: ClassMap
    found: MaskPairs = field(repr=False)
    collector: Problems = field(repr=False)

    def __len__(self) -> int:
        return len(self.found.pairs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return names, in the order of the labels."""
        return self.class_map.names

    @property
    def ignore_index(self) -> int:
        """Label of pixels that count for nothing."""
        return IGNORE

    def name(self, index: int) -> str:
        """Return the file of an image."""
        return self.found.pairs[index][0]

    def path(self, index: int) -> Path:
        """Return the file of an image, with its folder."""
        return self.found.root / self.found.pairs[index][0]

    def mask_path(self, index: int) -> Path:
        """Return the file of the labels of an image."""
        return self.found.root / self.found.pairs[index][1]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was left out, and about samples found damaged since."""
        return tuple(self.collector)

    def targets(self, index: int) -> np.ndarray:
        """Read labels, uint8 ``(H, W)``: 0 to the number of classes - 1, or ``ignore_index``.

        Pixel values that have no class are ignored, counted and named in ``problems``.

        Raises:
            UnreadableImage: the mask is damaged.
        """
        if self.found.drawn is not None:
            frame = self.found.drawn[self.name(index)]
            labels, strange = draw_labels(frame, self.path(index), self.classes)
        else:
            # The mask as it is stored: conversion to RGB would lose the values.
            _, pixels = read_pixels(self.mask_path(index))
            labels, strange = self.class_map.labels(pixels)
        for value in strange:
            why = f"{value} in its mask has no class, such pixels are ignored"
            # The first mask stands for all in the log: a wrong class map makes a line of each.
            self.collector.found(self.name(index), why, log=not self.collector.counts[why])
        return labels

    def read(self, index: int) -> Sample[np.ndarray]:
        """Read an image, RGB, and its labels.

        Raises:
            UnreadableImage: one of the two is damaged, or their sizes differ.
        """
        labels = self.targets(index)
        # The mask tells the size: the image may be stored on its side.
        image = decode_as(self.path(index), (labels.shape[1], labels.shape[0]))
        return Sample(index=index, name=self.name(index), image=image, targets=labels)

    def subset(self, indices: Iterable[int]) -> SemanticSet:
        """Return the images at ``indices``, in that order, with the same collector."""
        pairs = tuple(self.found.pairs[int(index)] for index in indices)
        return replace(self, found=replace(self.found, pairs=pairs))


def require_a_class(sample: Sample[np.ndarray]) -> None:
    """Raise ``UnreadableImage`` for labels that teach nothing: not one pixel has a class."""
    if (sample.targets == IGNORE).all():
        raise UnreadableImage("not one pixel with a class")


def load_semantic(
    root: str | Path,
    split: str | None = None,
    layout: Layout = "auto",
    *,
    classes: str | Path | ClassMap | None = None,
) -> SemanticSet:
    """Open a set of images with labels (see the table above). Headers and eight masks are read.

    Args:
        root: its folder.
        split: ``train``, ``val`` (also ``training``, ``valid``, ``validation``), ``test``; None for a
            set that is not split.
        layout: one of ``LAYOUTS``, or ``auto`` to tell by the files.
        classes: a yaml of classes, the name of one of ``class_maps.KNOWN``, or a map; by default the
            layout's own, or ``ROOT/classes.yaml``.

    Raises:
        MissingFile: no such folder or split.
        InvalidValue: none of the layouts, no class names, nothing that can be used, or masks most of
            whose pixels have no class.
    """
    if layout not in ("auto", *LAYOUTS):
        raise unknown("layout", layout, ("auto", *LAYOUTS))
    place = Path(root)
    if not place.exists():
        raise MissingFile(f"no data at {root} (give the folder of a set of images with masks)")
    kind = layout if layout != "auto" else semantic_layout(place)
    if kind is None:
        raise InvalidValue(
            f"{root} is no set of images with labels that can be told by its files: expected "
            "images and masks, each with the splits inside or in each split (folders), "
            "images/training and annotations/training (ade20k), leftImg8bit and gtFine (cityscapes), "
            "or outlines of CVAT, Label Studio or LabelMe"
        )
    chosen = _map_of(place, classes)
    found = find_pairs(place, kind, split, colours=chosen is None or bool(chosen.colours))
    chosen = chosen or found.class_map
    if chosen is None:
        raise InvalidValue(
            f"{root} does not say what its masks mean: put {FILE} beside them (names: [sky, road], "
            f"ignore: [255]), or name the classes: a yaml, or one of {', '.join(sorted(KNOWN))}"
        )
    require_some(root, len(found.pairs), found.problems, "image with a mask that can be used")
    collector = Problems(str(root), found.problems)
    # Two classes and 0 and 255 alone: 255 is white, and not ignored.
    if (
        found.drawn is None
        and chosen.by_number
        and len(chosen.names) == 2
        and _is_binary(place, kind)
    ):
        chosen = binary(chosen)
        collector.say(
            f"the masks hold 0 and 255 alone: 255 is taken for {chosen.names[1]!r} (to ignore it, write "
            f"ignore: [255] into {FILE})"
        )
    opened = SemanticSet(
        source=str(root), layout=kind, split=split, class_map=chosen, found=found,
        collector=collector,
    )  # fmt: skip
    if found.drawn is None:
        _refuse_other_masks(opened)
    return opened


def _map_of(root: Path, classes: str | Path | ClassMap | None) -> ClassMap | None:
    if isinstance(classes, ClassMap):
        return classes
    if classes is None:
        return read_class_map(root / FILE) if (root / FILE).is_file() else None
    known = KNOWN.get(str(classes))
    return known or read_class_map(Path(classes))


def _is_binary(root: Path, layout: str) -> bool:
    """Tell whether masks of the whole set, a few of each split, hold 0 and 255 and nothing else."""
    seen: set[int] = set()
    for split in semantic_splits(root, layout) or (None,):
        for pixels in _some_masks(find_pairs(root, layout, split, colours=True)):
            # Colours are no 0 and 255.
            seen.update(np.unique(pixels).tolist() if pixels.ndim == 2 else (-1,))
    return seen == {0, 255}


def _some_masks(found: MaskPairs) -> Iterator[np.ndarray]:
    """Read a few masks from all over a set; damaged ones are named when they are read as samples."""
    # All over the set: its beginning may be one scene.
    chosen = np.linspace(0, len(found.pairs) - 1, _LOOKED_AT).astype(int) if found.pairs else ()
    for index in dict.fromkeys(map(int, chosen)):
        try:
            yield read_pixels(found.root / found.pairs[index][1])[1]
        except UnreadableImage:
            continue


def _refuse_other_masks(opened: SemanticSet) -> None:
    """Refuse masks whose values mostly have no class: they are of other classes."""
    total, strange = 0, dict[str, int]()
    for pixels in _some_masks(opened.found):
        total += pixels.shape[0] * pixels.shape[1]
        for value, count in opened.class_map.labels(pixels)[1].items():
            strange[value] = strange.get(value, 0) + count
    if sum(strange.values()) > _MOST_UNKNOWN * total:
        most = sorted(strange, key=strange.__getitem__, reverse=True)[:5]
        share = 100 * sum(strange.values()) / total
        raise InvalidValue(
            f"{opened.source}: {share:.0f} % of the masks' pixels have no class "
            f"({', '.join(most)}): give the yaml of their classes"
        )


__all__ = [
    # A few strange values are noise at borders; most of the pixels are a wrong class map.
    "LAYOUTS",
    "SemanticSet",
    "load_semantic",
    "semantic_layout",
    "semantic_splits",
]
