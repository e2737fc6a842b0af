"""What lies in a source, before anything is decoded: encoded images, labels, class names."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketeye.data.files.decode import SUFFIXES
from pocketeye.data.files.names import Names
from pocketeye.data.files.problems import Problems
from pocketeye.data.files.sources import FileSource, Source, walk
from pocketeye.errors import InvalidValue

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "validation", "valid", "test")
_IGNORED = frozenset(("Thumbs.db",))


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One split, not decoded: sample ``i`` has ``labels[i]`` and is image ``rows[i]`` of ``source``.

    ``labels`` and ``rows`` are int64 ``(N,)``; ``problems`` name what was left out.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    source: Source
    rows: np.ndarray
    problems: tuple[str, ...] = ()

    def take(self, places: np.ndarray) -> Listing:
        """The samples at ``places``, in that order."""
        return replace(self, labels=self.labels[places], rows=self.rows[places])

    def names(self) -> Names:
        """Of the samples."""
        return Names(self.source.name(int(row)) for row in self.rows)

    def sha256(self, digests: Sequence[bytes] | None = None) -> str:
        """Hash of classes, labels and the ``digests`` of the images' bytes, or names and sizes."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        for mark in self.source.marks(self.rows) if digests is None else digests:
            digest.update(mark)
        return digest.hexdigest()


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of (the rest, ``fraction`` of every class).

    A class of two or more samples gives at least one to each side; a class of one stays in the rest.

    Raises:
        InvalidValue: the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction < 1.0:
        raise InvalidValue(f"the fraction to split off must be between 0 and 1, got {fraction}")
    rng = np.random.default_rng(seed)
    part: list[np.ndarray] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        part.append(members[:count])
    chosen = np.sort(np.concatenate(part)) if part else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the folders in ``root``, sorted: the classes of an image folder."""
    return tuple(
        sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    )


def list_folder(root: Path, classes: tuple[str, ...] | None = None) -> Listing:
    """``root/CLASS/**/image``; the classes are the folders' names, sorted.

    Args:
        root: the folder of one split.
        classes: the classes of the training split, which fix the labels.

    Raises:
        InvalidValue: no class folders, no images, or a class the training split does not have.
    """
    problems = Problems()
    found = class_folders(root)
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


def require_known(found: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse classes that the training data does not have."""
    if foreign := sorted(set(found) - set(known)):
        count = f"{len(foreign)} {'class' if len(foreign) == 1 else 'classes'}"
        raise InvalidValue(
            f"{where} has {count} that the training data does not have: {some(foreign)}"
        )


def some(names: Sequence[object], most: int = 5) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
