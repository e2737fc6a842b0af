"""List images whose class CVAT (tags), LabelMe (flags) or Label Studio (choices) says."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from pocketeye.data.files import FileSource, Listing, Names
from pocketeye.data.labelled import image_sets
from pocketeye.data.labelled.image_sets import labelled_layout, labelled_splits, read_labelled
from pocketeye.errors import InvalidValue


def has_tags(root: Path) -> bool:
    """Tell whether a folder or file is of a tool, and says the class of at least one image."""
    layout = labelled_layout(root)
    return layout is not None and image_sets.has_tags(root, layout)


def tag_splits(root: Path) -> tuple[str, ...]:
    """Return the names of the parts; none for a set that is not split."""
    return labelled_splits(root, labelled_layout(root) or "")


def list_tags(root: Path, split: str | None) -> Listing:
    """List the images of a part, or of the whole set; the classes are those of all parts, sorted.

    Raises:
        MissingFile: no such part.
        InvalidValue: no image with a class.
    """
    found = read_labelled(root, labelled_layout(root) or "", split)
    names, sizes, labels = Names(), array("q"), array("q")
    for name, frame in sorted(found.frames.items()):
        if len(frame.tags) != 1:
            said = "no class" if not frame.tags else f"{len(frame.tags)} classes"
            found.problems.add(name, f"{said} of the whole image: left out")
            continue
        names.append(name)
        sizes.append((found.root / name).stat().st_size)
        labels.append(found.tags.index(frame.tags[0]))
    if not names:
        raise InvalidValue(f"{root} has no image with one class")
    return Listing(
        classes=found.tags, labels=np.asarray(labels, np.int64),
        source=FileSource(found.root, names, np.asarray(sizes, np.int64)),
        rows=np.arange(len(names)), problems=tuple(found.problems),
    )  # fmt: skip
