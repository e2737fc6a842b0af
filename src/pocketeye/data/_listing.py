"""What lies in a source, before anything is decoded: encoded pictures, labels, class names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketeye.data._decode import SUFFIXES
from pocketeye.errors import InvalidValue

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "validation", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One split, not decoded. ``labels`` are int64 ``(N,)``; ``problems`` name what was left out."""

    classes: tuple[str, ...]
    labels: np.ndarray
    encoded: Sequence[bytes | Path]
    names: Sequence[str]
    problems: tuple[str, ...] = ()

    def take(self, indices: np.ndarray) -> Listing:
        """The samples at ``indices``, in that order."""
        return replace(
            self,
            labels=self.labels[indices],
            encoded=[self.encoded[i] for i in indices],
            names=[self.names[i] for i in indices],
        )

    def sha256(self, *, contents: bool) -> str:
        """Hash of classes, labels and the pictures' bytes (``contents``) or names and sizes."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        for name, encoded in zip(self.names, self.encoded, strict=True):
            if contents:
                data = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
                digest.update(hashlib.sha256(data).digest())
            else:
                size = len(encoded) if isinstance(encoded, bytes) else encoded.stat().st_size
                digest.update(f"{name}\0{size}\n".encode())
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


def list_folder(root: Path, classes: tuple[str, ...] | None = None) -> Listing:
    """``root/CLASS/**/picture``; the classes are the folders' names, sorted.

    Args:
        root: the folder of one split.
        classes: the classes of the training split, which fix the labels.

    Raises:
        InvalidValue: no class folders, no pictures, or a class the training split does not have.
    """
    problems: list[str] = []
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = [p for p in root.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES]
    if not folders:
        what = f"{len(loose)} pictures but no class folders" if loose else "no pictures"
        raise InvalidValue(f"{root} holds {what}: expected {root}/CLASS/picture.jpg")
    found = tuple(folder.name for folder in folders)
    if classes is not None and (foreign := sorted(set(found) - set(classes))):
        raise InvalidValue(
            f"{root} has {_count(len(foreign), 'class', 'classes')} that the training data does not "
            f"have: {_some(foreign)}"
        )
    if loose:
        problems.append(f"{_some([p.name for p in loose])}: in no class folder")
    known = classes or found
    encoded: list[bytes | Path] = []
    labels: list[int] = []
    for folder in folders:
        pictures, skipped = _pictures(folder)
        problems += [f"{p.relative_to(root)}: not a picture by its name" for p in skipped]
        encoded += pictures
        labels += [known.index(folder.name)] * len(pictures)
    if not encoded:
        raise InvalidValue(
            f"{root} holds no pictures in its {len(folders)} class folders ({_some(found)})"
        )
    return Listing(
        classes=known,
        labels=np.asarray(labels, np.int64),
        encoded=encoded,
        names=[str(Path(str(p)).relative_to(root)) for p in encoded],
        problems=tuple(problems),
    )


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures below ``folder`` and other files that are not hidden."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    files = [p for p in files if p.name != "Thumbs.db"]
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    return pictures, [p for p in files if p.suffix.lower() not in SUFFIXES]


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
