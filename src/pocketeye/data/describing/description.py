"""Describe a folder of data: layout, images, classes with counts, sizes, problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.classification.labelled import has_tags
from pocketeye.data.classification.layouts import list_split
from pocketeye.data.detection import (
    DetectionSet,
    detection_layout,
    detection_splits,
    load_detection,
)
from pocketeye.data.files import UnreadableImage, header_size, no_comments, read_pixels, spellings
from pocketeye.data.labelled.image_sets import LAYOUTS as TOOLS, has_objects
from pocketeye.data.sample import SampleSet
from pocketeye.data.semantic.class_maps import FILE, IGNORE, ClassMap
from pocketeye.data.semantic.layouts import find_pairs, semantic_layout, semantic_splits
from pocketeye.data.semantic.samples import SemanticSet, load_semantic
from pocketeye.data.vos.layouts import load_videos
from pocketeye.errors import InvalidValue, MissingFile, UserError
from pocketeye.text import some

SMALL, MEDIUM = 32**2, 96**2
"""COCO's sizes of objects by their area: small below the first, large from the second on."""
MOST_MASKS, MOST_HEADERS = 100, 500
"""Read of each split, evenly spread: a look at a set must not take as long as an epoch of it."""
Sides = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class SplitDescription:
    """Describe one split.

    Attributes:
        name: None for a set that is not split.
        images: images (or videos).
        negatives: images without objects, None where that means nothing.
        objects: boxes; None where there are none.
        counts: by class, in the unit of ``DataDescription.counted``.
        sizes: (width, height) of images: the smallest, median and largest sides.
        box_sizes: objects that are small, medium, large by COCO's limits; None without boxes.
        crowds: objects that are crowds.
        problems: what is left out, one sentence each.
    """

    name: str | None
    images: int
    negatives: int | None = None
    objects: int | None = None
    counts: dict[str, float] = field(default_factory=dict)
    sizes: tuple[Sides, Sides, Sides] | None = None
    box_sizes: tuple[int, int, int] | None = None
    crowds: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataDescription:
    """Describe a data set.

    Attributes:
        kind: what is annotated, in words.
        counted: unit of the counts.
        shown: a set to draw samples of, None for kinds that are not drawn.
    """

    source: str
    kind: str
    layout: str
    classes: tuple[str, ...]
    counted: str
    splits: tuple[SplitDescription, ...]
    notes: tuple[str, ...] = ()
    shown: SampleSet[Any] | None = field(default=None, repr=False)


def describe(
    root: Path, split: str | None = None, classes: str | Path | None = None
) -> DataDescription | None:
    """Look at a set; None where no layout is recognised. Headers, and some masks of semantic sets.

    Args:
        split: only this one.
        classes: of a semantic set, as for ``load_semantic``.

    Raises:
        InvalidValue, MissingFile: a damaged set, or no such split.
    """
    # Boxes first: a folder of COCO may lie among folders of images that would pass as classes.
    layout = detection_layout(root)
    # A tool's file may say classes of whole images, and no objects.
    if layout in TOOLS and not has_objects(root, layout) and has_tags(root):
        return _classification(root, split)
    if layout is not None:
        return _detection(root, layout, split)
    if root.is_dir() and (layout := semantic_layout(root)) is not None:
        return _semantic(root, layout, split, classes)
    # VOC has JPEGImages too, and was told by its xml above.
    if root.is_dir() and (root / "JPEGImages").is_dir():
        return _videos(root, split)
    return _classification(root, split)


def _wanted(root: Path, there: Sequence[str | None], split: str | None) -> Sequence[str | None]:
    if split is None:
        return there
    found = [name for name in there if name in spellings(split)]
    if not found:
        raise MissingFile(
            f"{root} has no split {split!r}; there is {some([n for n in there if n]) or 'none'}"
        )
    return found[:1]


def _detection(root: Path, layout: str, split: str | None) -> DataDescription:
    there = detection_splits(root, layout)
    sets = [load_detection(root, name, layout) for name in _wanted(root, there, split)]  # type: ignore[arg-type]
    masks = any(one.has_masks for one in sets)
    return DataDescription(
        source=str(root),
        kind="boxes and outlines" if masks else "boxes",
        layout=layout,
        classes=sets[0].classes,
        counted="objects",
        splits=tuple(_boxes(one) for one in sets),
        notes=_class_notes(sets),
        shown=sets[0],
    )


def _class_notes(sets: Sequence[DetectionSet]) -> tuple[str, ...]:
    notes = []
    if any(one.classes != sets[0].classes for one in sets):
        notes.append("the splits do not have the same classes")
    missing = [n for n, c in zip(sets[0].classes, sets[0].class_counts(), strict=True) if c == 0]
    if missing:
        notes.append(f"no object of {some(missing)} in {sets[0].split or 'it'}")
    return tuple(notes)


def _boxes(one: DetectionSet) -> SplitDescription:
    of = one.objects
    places = np.digitize(of.areas, (SMALL, MEDIUM))
    # The sizes that COCO reports AP of: under 32², under 96², and above.
    small, medium, large = np.bincount(places, minlength=3).tolist()
    return SplitDescription(
        name=one.split,
        images=len(one),
        negatives=one.num_negatives,
        objects=len(of.labels),
        counts=dict(zip(one.classes, one.class_counts().tolist(), strict=True)),
        sizes=_sizes(of.sizes),
        box_sizes=(small, medium, large),
        crowds=int(of.crowd.sum()),
        problems=one.problems,
    )


def _sizes(sizes: np.ndarray) -> tuple[Sides, Sides, Sides] | None:
    if not len(sizes):
        return None
    low, middle, high = (
        np.round(f(sizes, axis=0)).astype(int).tolist() for f in (np.min, np.median, np.max)
    )
    return (low[0], low[1]), (middle[0], middle[1]), (high[0], high[1])


def _semantic(
    root: Path, layout: str, split: str | None, classes: str | Path | None
) -> DataDescription:
    names: Sequence[str | None] = semantic_splits(root, layout) or (None,)
    names = _wanted(root, names, split)
    chosen: str | Path | ClassMap | None = classes
    notes: tuple[str, ...] = ()
    # Before training a user needs names; to look at a set its values will do.
    if classes is None and layout == "folders" and not (root / FILE).is_file():
        chosen = _numbers_found(root, names)
        notes = (f"no {FILE}: the values found in the masks stand for the names of classes",)
    sets = [load_semantic(root, n, layout, classes=chosen) for n in names]  # type: ignore[arg-type]
    splits = tuple(_labels(one) for one in sets)
    masks = max(min(MOST_MASKS, split.images) for split in splits)
    return DataDescription(
        source=str(root),
        kind="a class for every pixel",
        layout=layout,
        classes=sets[0].classes,
        counted=f"% of the pixels, in up to {masks} masks",
        splits=splits,
        notes=notes,
        shown=sets[0],
    )


def _spread(count: int, most: int) -> Iterable[int]:
    # From the whole set: the first ones are often of one scene.
    indices: list[int] = np.linspace(0, count - 1, min(count, most)).astype(int).tolist()
    return indices


def _numbers_found(root: Path, splits: Sequence[str | None]) -> ClassMap:
    """Make a class of each value or colour found in the masks; 255 is ignored."""
    values, colours = set[int](), set[tuple[int, int, int]]()
    for split in splits:
        found = find_pairs(root, "folders", split, colours=True)
        for at in _spread(len(found.pairs), MOST_MASKS):
            try:
                _, pixels = read_pixels(found.root / found.pairs[at][1])
            except UnreadableImage:
                continue
            # Masks in colours have no numbers of classes.
            if pixels.ndim == 3:
                flat = np.unique(pixels[..., :3].reshape(-1, 3), axis=0).tolist()
                colours |= {(r, g, b) for r, g, b in flat}
            else:
                values |= set(np.unique(pixels).tolist())
    # 255 is what is ignored in every set that has no other rule.
    known = sorted(values - {IGNORE})
    names = [*map(str, known), *(f"{r},{g},{b}" for r, g, b in sorted(colours))]
    if not 1 <= len(names) <= IGNORE:
        raise InvalidValue(f"the masks of {root} have {len(names)} values: give a {FILE}")
    return ClassMap(
        names=tuple(names),
        values={**{value: label for label, value in enumerate(known)}, IGNORE: IGNORE},
        colours={colour: len(known) + k for k, colour in enumerate(sorted(colours))},
    )


def _labels(one: SemanticSet) -> SplitDescription:
    pixels = np.zeros(256, np.int64)
    for at in _spread(len(one), MOST_MASKS):
        try:
            pixels += np.bincount(one.targets(at).ravel(), minlength=256)
        except UnreadableImage as error:
            one.collector.found(one.name(at), str(error))
    shares = 100 * pixels / max(1, pixels.sum())
    counts = {name: round(float(shares[k]), 2) for k, name in enumerate(one.classes)}
    with no_comments():
        sizes = [header_size(one.mask_path(at)) for at in _spread(len(one), MOST_HEADERS)]
    return SplitDescription(
        name=one.split,
        images=len(one),
        counts={**counts, "(ignored)": round(float(shares[IGNORE]), 2)},
        sizes=_sizes(np.array(sizes)),
        problems=one.problems,
    )


def _videos(root: Path, split: str | None) -> DataDescription:
    found = load_videos(root, split)
    frames = sum(video.num_frames for video in found)
    return DataDescription(
        source=str(root),
        kind="videos with masks of objects",
        layout=found.layout,
        classes=(),
        counted="frames",
        splits=(
            SplitDescription(
                name=split,
                images=len(found),
                counts={"(all)": frames},
                sizes=_sizes(np.array([video.size for video in found])),
                problems=found.problems,
            ),
        ),
        shown=found,
    )


def _classification(root: Path, split: str | None) -> DataDescription | None:
    splits = []
    classes: tuple[str, ...] = ()
    for name in ("train", "val"):
        if split is not None and name not in spellings(split):
            continue
        try:
            listing = list_split(root, name)  # type: ignore[arg-type]
        # What is no set of images either is of no layout at all: the caller says so.
        except UserError:
            return None
        classes = listing.classes
        counts = np.bincount(listing.labels, minlength=len(classes)).tolist()
        splits.append(
            SplitDescription(
                name=name,
                images=len(listing.labels),
                counts=dict(zip(classes, counts, strict=True)),
                problems=listing.problems,
            )
        )
    if not splits:
        return None
    return DataDescription(
        source=str(root),
        kind="a class for every image",
        layout="classification",
        classes=classes,
        counted="images",
        splits=tuple(splits),
    )
