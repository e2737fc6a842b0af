"""Labelled pictures: an image folder, parquet, or the handwritten digits that come along.

===========================================  ======================================================
source                                       what is read
===========================================  ======================================================
``digits``                                   1,797 grey 8x8 digits of scikit-learn, split 80/20
``ROOT/{train,val}/CLASS/*.jpg``             image folder (validation, valid and test also do)
``ROOT/CLASS/*.jpg``                         image folder, a fifth of every class is split off
``ROOT/{train,val}.parquet``, ``ROOT/data``  Hugging Face layout, ``train-00000-of-00003.parquet``
``FILE.parquet``                             one file, a fifth of every class is split off
===========================================  ======================================================
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from pocketeye import progress
from pocketeye.data import _listing
from pocketeye.data._decode import UnreadableImage, decode, header_size
from pocketeye.data._listing import Listing, list_folder, stratified_split
from pocketeye.data._parquet import find_parquet, has_parquet, list_parquet
from pocketeye.data._stores import EncodedStore, MemoryStore, Store, to_memory
from pocketeye.errors import InvalidValue, MissingFile, nearest, unknown

logger = logging.getLogger(__name__)
Split = Literal["train", "val"]
DIGITS = "digits"
MEMORY_BYTES = 2 << 30
VAL_FRACTION, SPLIT_SEED = 0.2, 0


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Labelled pictures in a fixed order.

    Attributes:
        classes: names, in the order of the labels.
        labels: int64 ``(N,)``.
        source: what the user named.
        sha256: hash of what it is (bytes, labels, class names); for a set that is not held in memory
            names and sizes stand for the bytes.
        problems: what was left out and why, one sentence each.
        in_chans: 3 (``RGB``) or 1 (``L``).
        mirrored_alike: whether a picture and its mirror image mean the same (not so for digits).
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    source: str
    sha256: str
    store: Store
    indices: np.ndarray
    in_chans: int = 3
    problems: tuple[str, ...] = ()
    mirrored_alike: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Picture and label; raises ``UnreadableImage`` if it is damaged and was not decoded yet."""
        return self.store.image(int(self.indices[index])), int(self.labels[index])

    def name(self, index: int) -> str:
        """File or row the sample came from."""
        return self.store.name(int(self.indices[index]))

    def pixels(self, indices: np.ndarray) -> np.ndarray | None:
        """uint8 ``(n, H, W, C)``, or None where the set is not one array in memory."""
        stacked = self.store.stacked()
        return None if stacked is None else stacked[self.indices[indices]]

    @property
    def in_memory(self) -> bool:
        """Whether all pictures are one decoded array."""
        return self.store.stacked() is not None

    def class_counts(self) -> np.ndarray:
        """Samples per class, int64 ``(num_classes,)``."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def subset(self, indices: np.ndarray) -> ImageSet:
        """The samples at ``indices``, in that order; nothing is copied."""
        indices = np.asarray(indices, np.int64)
        digest = hashlib.sha256(self.sha256.encode() + indices.astype("<i8").tobytes())
        return replace(
            self,
            labels=self.labels[indices],
            indices=self.indices[indices],
            sha256=digest.hexdigest(),
        )

    def split(self, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
        """(The rest, ``fraction`` of every class), drawn by ``seed``."""
        rest, part = stratified_split(self.labels, fraction, seed)
        return self.subset(rest), self.subset(part)


def load_images(
    source: str | Path,
    split: Split = "train",
    *,
    in_chans: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> ImageSet:
    """Read a labelled set (see the table above).

    Pictures that cannot be read are left out and named in ``problems``. A set that fits into
    ``memory_bytes`` is decoded once; of a larger one only the headers are read, and pictures are
    decoded when they are asked for.

    Args:
        source: ``digits``, a folder, or a parquet file.
        split: ``train`` or ``val``.
        in_chans: 3 for colour, 1 for grey; default 1 for the digits and 3 else.
        memory_bytes: budget for decoded pictures.

    Raises:
        MissingFile: no such source.
        InvalidValue: nothing to read there, an empty class, or classes that do not fit together.
    """
    if split not in ("train", "val"):
        raise unknown("split", str(split), ("train", "val"))
    if in_chans not in (None, 1, 3):
        raise InvalidValue(f"in_chans must be 1 or 3, got {in_chans}")
    if str(source) == DIGITS:
        return _digits(split, in_chans or 1)
    root = Path(source)
    if not root.exists():
        close = nearest(str(source), [DIGITS])
        guess = f"; did you mean {close!r}?" if close else ""
        raise MissingFile(
            f"no data at {source}{guess} (give a folder, a parquet file or the word {DIGITS!r})"
        )
    listing = _list(root, split)
    return _decode_all(listing, str(source), split, in_chans or 3, memory_bytes)


def _list(root: Path, split: Split) -> Listing:
    if root.is_file():
        if root.suffix != ".parquet":
            raise InvalidValue(f"{root} is no data set: expected a folder or a .parquet file")
        return _part(list_parquet([root]), split)
    if has_parquet(root):
        return _list_parquet(root, split)
    train = _child(root, _listing.TRAIN_NAMES)
    val = _child(root, _listing.VAL_NAMES)
    if train is None and val is None:
        return _part(list_folder(root), split)
    if split == "train" and train is None:
        raise InvalidValue(f"{root} has no folder named train, only {val.name if val else ''}")
    if val is None or train is None:
        whole = train or val
        assert whole is not None
        return list_folder(whole) if train is None else _part(list_folder(whole), split)
    learnt = list_folder(train)
    return learnt if split == "train" else list_folder(val, learnt.classes)


def _list_parquet(root: Path, split: Split) -> Listing:
    train, val = find_parquet(root, "train"), find_parquet(root, "val")
    if not (train or val):
        raise InvalidValue(f"{root} has parquet files, but none named train* or val*, test*")
    if split == "train" and not train:
        raise InvalidValue(f"{root} has no train*.parquet")
    if not val:
        return _part(list_parquet(train), split)
    return list_parquet(train if split == "train" else val)


def _child(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _part(listing: Listing, split: Split) -> Listing:
    rest, part = stratified_split(listing.labels, VAL_FRACTION, SPLIT_SEED)
    return listing.take(rest if split == "train" else part)


def _decode_all(
    listing: Listing, source: str, split: Split, in_chans: int, memory_bytes: int
) -> ImageSet:
    needed = _decoded_bytes(listing, in_chans)
    fits = needed <= memory_bytes
    bad: dict[int, str] = {}
    arrays: list[np.ndarray] = []
    with progress.task(f"reading {source} ({split})", len(listing.labels)) as bar:
        for index, encoded in enumerate(listing.encoded):
            try:
                if fits:
                    pixels = np.asarray(decode(encoded, in_chans))
                    arrays.append(pixels[..., None] if pixels.ndim == 2 else pixels)
                elif isinstance(encoded, Path):
                    header_size(encoded)
            except UnreadableImage as error:
                bad[index] = f"{listing.names[index]}: {error}"
            bar.advance()
    problems = (*listing.problems, *bad.values())
    keep = np.setdiff1d(np.arange(len(listing.labels)), np.asarray(sorted(bad), np.int64))
    good = listing.take(keep) if bad else listing
    problems += _check_classes(good, source, split)
    store: Store = (
        to_memory(arrays, good.names) if fits else EncodedStore(good.encoded, good.names, in_chans)
    )
    if problems:
        logger.info("%s (%s): %d problems, first: %s", source, split, len(problems), problems[0])
    return ImageSet(
        classes=good.classes,
        labels=good.labels,
        source=source,
        sha256=good.sha256(contents=fits),
        store=store,
        indices=np.arange(len(good.labels)),
        in_chans=in_chans,
        problems=problems,
    )


def _decoded_bytes(listing: Listing, in_chans: int, sample: int = 64) -> float:
    """Estimated size of the decoded set, from some of its pictures."""
    step = max(1, len(listing.encoded) // sample)
    sizes = []
    for encoded in listing.encoded[::step]:
        try:
            image = decode(encoded, in_chans)
        except UnreadableImage:
            continue
        sizes.append(image.width * image.height * in_chans)
    return float(np.mean(sizes)) * len(listing.encoded) if sizes else 0.0


def _check_classes(listing: Listing, source: str, split: Split) -> tuple[str, ...]:
    """Refuse training data that cannot be learnt; name what validation lacks."""
    counts = np.bincount(listing.labels, minlength=len(listing.classes))
    empty = [name for name, n in zip(listing.classes, counts, strict=True) if n == 0]
    if len(listing.labels) == 0:
        raise InvalidValue(f"{source} ({split}): none of the pictures can be read")
    if split == "val":
        return tuple(f"class {name!r} has no pictures in the validation split" for name in empty)
    if empty:
        shown = ", ".join(map(repr, empty[:5])) + (" …" if len(empty) > 5 else "")
        raise InvalidValue(
            f"{source} ({split}): {len(empty)} of {len(listing.classes)} classes have no readable "
            f"pictures ({shown}); add some or remove them"
        )
    if len(listing.classes) < 2:
        raise InvalidValue(f"{source} has one class only ({listing.classes[0]!r}); two are needed")
    return ()


@lru_cache(maxsize=1)
def _digit_arrays() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255.0 / 16.0)).astype(np.uint8)
    return pixels[..., None], data.target.astype(np.int64)


def _digits(split: Split, in_chans: int) -> ImageSet:
    pixels, labels = _digit_arrays()
    pixels = np.repeat(pixels, in_chans, axis=-1)
    names = [f"digit {index}" for index in range(len(labels))]
    whole = ImageSet(
        classes=tuple("0123456789"),
        labels=labels,
        source=DIGITS,
        sha256=hashlib.sha256(pixels.tobytes() + labels.astype("<i8").tobytes()).hexdigest(),
        store=MemoryStore(pixels, names),
        indices=np.arange(len(labels)),
        in_chans=in_chans,
        mirrored_alike=False,
    )
    train, val = whole.split(VAL_FRACTION, SPLIT_SEED)
    return train if split == "train" else val
