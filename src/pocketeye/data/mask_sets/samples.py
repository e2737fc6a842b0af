"""Give images with the masks of what is in them, to train promptable segmentation on.

===========  ==================================================  ==================================
layout       files                                               objects of an image
===========  ==================================================  ==================================
``coco``     ``ROOT/annotations/instances_*.json`` with          its annotations; crowds left out
             polygons or run lengths, images in a folder of
             that name
``sa-1b``    ``sa_*.jpg`` each with ``sa_*.json``, also deeper   its annotations
``parts``    ``ROOT/images/*`` and ``ROOT/masks/*.png`` of       the union of all numbers above 0,
             label numbers, 0 for the background                 and each connected part of a number
``objects``  the same files                                      each number above 0, a thing of its
                                                                 own
===========  ==================================================  ==================================

The files do not tell ``parts`` from ``objects``: a folder of label numbers is read as ``parts`` unless
its layout is given, in ``--data`` as ``FOLDER:objects``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from pocketeye.data.files import (
    Problems,
    UnreadableImage,
    decode,
    files_in,
    find_split,
    require_some,
    walk,
)
from pocketeye.data.sample import Sample, SampleSet
from pocketeye.errors import InvalidValue, MissingFile, unknown

LAYOUTS = ("coco", "sa-1b", "parts", "objects")


class ObjectMasks(NamedTuple):
    """Hold the objects of one image; masks are made when asked for.

    Attributes:
        shapes: each gives a bool ``(H, W)``.
        whole: whether the object is a thing of its own (and not a part of one); as many as ``shapes``.
    """

    shapes: tuple[Callable[[], np.ndarray], ...]
    whole: tuple[bool, ...]


MaskedImages: TypeAlias = SampleSet[ObjectMasks]
"""Images with masks, as clips are made of them: a :class:`MaskSet`, or frames of videos."""


class Reader(Protocol):
    """Read one layout. A reader holds names and annotations only, so that processes can take it."""

    problems: tuple[str, ...]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return what a person would call the image."""

    def image(self, index: int) -> Path:
        """Return the file of the image."""

    def shapes(
        self, index: int, size: tuple[int, int]
    ) -> tuple[tuple[Callable[[], np.ndarray], ...], tuple[bool, ...]]:
        """Return the masks and ``whole`` of an image of ``size`` (width, height).

        Raises:
            UnreadableImage: the masks cannot be read, or are of another size.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskSet:
    """Give images with masks in a fixed order.

    Attributes:
        source: what the user named.
        layout: one of ``LAYOUTS``.
        classes: none, as objects have no class here.
        collector: what was left out and why.
    """

    source: str
    layout: str
    reader: Reader
    collector: Problems = field(repr=False)
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was left out and why.

        What shows only when an image is decoded (a truncated file, a mask of another size, no filled
        pixel) is named in the log when it turns up, and here from then on; the next image takes its
        place.
        """
        return tuple(self.collector)

    def name(self, index: int) -> str:
        """Return the file the sample came from."""
        return self.reader.name(index)

    def read(self, index: int) -> Sample[ObjectMasks]:
        """Read an image and its masks.

        Raises:
            UnreadableImage: one of the two is damaged, or there is no object.
        """
        image = decode(self.reader.image(index))
        shapes, whole = self.reader.shapes(index, image.size)
        if not shapes:
            raise UnreadableImage("no object in it")
        masks = ObjectMasks(shapes, whole)
        return Sample(index=index, name=self.name(index), image=image, targets=masks)


def load_masks(source: str | Path, split: str | None = None, layout: str = "auto") -> MaskSet:
    """Open a set of images with masks (see the table above).

    Args:
        source: its folder, or the json file of a COCO set.
        split: ``train``, ``val`` …: the word in the name of COCO's json; of the other layouts a folder
            inside. None where there is one only.
        layout: one of ``LAYOUTS``, or ``auto`` to tell by the files.

    Raises:
        MissingFile: no such folder or split.
        InvalidValue: none of the layouts, or nothing usable in it.
    """
    from pocketeye.data.mask_sets.coco import CocoReader
    from pocketeye.data.mask_sets.labels import LabelReader
    from pocketeye.data.mask_sets.sa1b import Sa1bReader

    if layout not in ("auto", *LAYOUTS):
        raise unknown("layout", layout, ("auto", *LAYOUTS))
    root = Path(source)
    if not root.exists():
        raise MissingFile(f"no data at {source} (give the folder of a set of images with masks)")
    found = layout if layout != "auto" else _layout_of(root, split)
    reader: Reader
    if found == "coco":
        reader = CocoReader(root, split)
    elif found == "sa-1b":
        reader = Sa1bReader(_inside(root, split))
    else:
        reader = LabelReader(_inside(root, split), objects=found == "objects")
    require_some(source, len(reader), reader.problems, "image with a usable mask")
    return MaskSet(
        source=str(source), layout=found, reader=reader,
        collector=Problems(str(source), reader.problems),
    )  # fmt: skip


def split_layout(source: str) -> tuple[str, str]:
    """Folder and layout of an entry of ``--data``, ``FOLDER:LAYOUT``; without layout it is ``auto``.

    Raises:
        InvalidValue: an unknown layout (with the nearest spelling).
    """
    folder, colon, layout = source.rpartition(":")
    # a path may have a colon itself, as on Windows
    if not colon or Path(source).exists() or set(layout) & set("/\\"):
        return source, "auto"
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS, "write FOLDER:LAYOUT")
    return folder, layout


def _layout_of(root: Path, split: str | None) -> str:
    if root.suffix.lower() == ".json" or files_in(root / "annotations", ".json"):
        return "coco"
    folder = _inside(root, split)
    if (folder / "masks").is_dir() and (folder / "images").is_dir():
        return "parts"
    names = (Path(name).name.lower() for name, _ in walk(folder))
    if any(name.startswith("sa_") and name.endswith(".json") for name in names):
        return "sa-1b"
    raise InvalidValue(
        f"{folder} is no set of images with masks that can be told by its files: expected "
        "annotations/instances_*.json (coco), sa_*.jpg with sa_*.json (sa-1b), or the folders images "
        "and masks (parts, objects)"
    )


def _inside(root: Path, split: str | None) -> Path:
    if not split:
        return root
    there = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    if (name := find_split(split, there)) is None:
        raise MissingFile(
            f"{root} has no folder {split!r}; there is {', '.join(there[:10]) or 'none'}"
        )
    return root / name
