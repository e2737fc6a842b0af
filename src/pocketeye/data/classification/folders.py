"""Image folders: a folder of images for each class."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from pocketeye.data.files import SUFFIXES, FileSource, Listing, Names, Problems, require_known, walk
from pocketeye.errors import InvalidValue
from pocketeye.text import some

_IGNORED = frozenset(("Thumbs.db",))  # Windows leaves it in every folder of images


def class_folders(root: Path) -> tuple[str, ...]:
    """Return the names of the folders in ``root``, sorted: the classes of an image folder."""
    return tuple(
        sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    )


def holds_loose_images(root: Path) -> bool:
    """Tell whether a folder holds images and no folders that could be their classes."""
    return (
        root.is_dir()
        and not class_folders(root)
        and any(p.suffix.lower() in SUFFIXES for p in root.iterdir() if p.is_file())
    )


def list_loose(root: Path) -> Listing:
    """List ``root/**/image``, all of one class: what they show is not known.

    Raises:
        InvalidValue: no images.
    """
    names, sizes = Names(), array("q")
    for path, size in walk(root):
        if Path(path).suffix.lower() in SUFFIXES:
            names.append(path)
            sizes.append(size)
    if not names:
        raise InvalidValue(f"{root} holds no images")
    return Listing(
        classes=("image",),
        labels=np.zeros(len(names), np.int64),
        source=FileSource(root, names, np.asarray(sizes, np.int64)),
        rows=np.arange(len(names)),
    )


def list_folder(root: Path, classes: tuple[str, ...] | None = None) -> Listing:
    """List ``root/CLASS/**/image``; the classes are the folders' names, sorted.

    Args:
        root: the folder of one split.
        classes: the classes of the training split, which fix the labels.

    Raises:
        InvalidValue: no class folders, no images, or a class the training split does not have.
    """
    problems = Problems()
    found = class_folders(root)
    # Images beside the class folders: their class is unknown.
    loose = [p for p in root.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES]
    if not found:
        what = f"{len(loose)} images but no class folders" if loose else "no images"
        raise InvalidValue(f"{root} holds {what}: expected {root}/CLASS/image.jpg")
    known = classes or found
    require_known(found, known, str(root))
    for file in loose:
        problems.add(file.name, "in no class folder")
    names, sizes, labels = Names(), array("q"), array("q")
    for name in found:
        before = len(names)
        for path, size in walk(root / name):
            if Path(path).suffix.lower() in SUFFIXES:
                names.append(f"{name}/{path}")
                sizes.append(size)
            elif Path(path).name not in _IGNORED:
                problems.add(f"{name}/{path}", "not an image by its name")
        # Labels of all images of a folder at once.
        labels.extend([known.index(name)] * (len(names) - before))
    if not names:
        raise InvalidValue(
            f"{root} holds no images in its {len(found)} class folders ({some(found)})"
        )
    return Listing(
        classes=known,
        labels=np.asarray(labels, np.int64),
        source=FileSource(root, names, np.asarray(sizes, np.int64)),
        rows=np.arange(len(names)),
        problems=tuple(problems),
    )
