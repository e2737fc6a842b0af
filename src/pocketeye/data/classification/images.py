"""Labelled images: folders, tar shards, parquet, or one of the two sets that come along.

===========================================  ======================================================
source                                       what is read
===========================================  ======================================================
``digits``                                   1,797 grey 8x8 digits of scikit-learn, split 80/20
``blood-cells``                              1,064 photographs of single blood cells, 48x48, three
                                             kinds; 859 to train, 205 of other slides to validate
``ROOT/{train,val}/CLASS/*.jpg``             image folder (validation, valid and test also do)
``ROOT/CLASS/*.jpg``                         image folder, a fifth of every class is split off
``ROOT/*{train,val}*.tar``                   WebDataset shards, or all in ``ROOT/{train,val}``
``ROOT/{train,val}.parquet``, ``ROOT/data``  Hugging Face layout, ``train-00000-of-00003.parquet``
``ROOT/{train,val}/*.parquet``               the same
``FILE.parquet``, ``FILE.tar``               one file, a fifth of every class is split off
===========================================  ======================================================
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from pocketeye import progress
from pocketeye.data.classification.folders import holds_loose_images, list_loose
from pocketeye.data.classification.layouts import Split, list_split
from pocketeye.data.files import (
    HOLD_OUT,
    HOLD_OUT_SEED,
    EncodedStore,
    ImageGathering,
    Listing,
    MemoryStore,
    Problems,
    Store,
    UnreadableImage,
    decode,
    stratified_split,
)
from pocketeye.data.sample import Sample
from pocketeye.errors import InvalidValue, MissingFile, nearest, unknown

logger = logging.getLogger(__name__)
DIGITS, BLOOD_CELLS = "digits", "blood-cells"
EMBEDDED = (DIGITS, BLOOD_CELLS)
"""Names of the sets that come along. Each has a search space of the same name."""
MEMORY_BYTES = 2 << 30
"""Budget for decoded images: a laptop of 8 GB can spare it, and CIFAR-10 fits 13 times."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Labelled images in a fixed order.

    Attributes:
        classes: names, in the order of the labels.
        labels: int64 ``(N,)``.
        source: what the user named.
        sha256: hash of what it is (bytes, labels, class names); for a set that is not held in memory
            names and sizes stand for the bytes.
        collector: what was left out and why; the subsets of a set share it.
        in_chans: 3 (``RGB``) or 1 (``L``).
        mirrored_alike: whether an image and its mirror image mean the same (not so for digits).
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    source: str
    sha256: str
    store: Store
    indices: np.ndarray
    in_chans: int = 3
    collector: Problems = field(default_factory=Problems, repr=False)
    mirrored_alike: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Sample[int]:
        """Read an image and its label.

        Raises:
            UnreadableImage: it is damaged (in a set that is too large to be decoded at once).
        """
        image = self.store.image(int(self.indices[index]))
        label = int(self.labels[index])
        return Sample(index=index, name=self.name(index), image=image, targets=label)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was left out and why."""
        return tuple(self.collector)

    def name(self, index: int) -> str:
        """Return the file or row the sample came from."""
        return self.store.name(int(self.indices[index]))

    def pixels(self, indices: np.ndarray) -> np.ndarray | None:
        """Return uint8 ``(n, H, W, C)``, or None where the set is not one array in memory."""
        stacked = self.store.stacked()
        return None if stacked is None else stacked[self.indices[indices]]

    @property
    def in_memory(self) -> bool:
        """Tell whether all images are one decoded array."""
        return self.store.stacked() is not None

    def class_counts(self) -> np.ndarray:
        """Count the samples of each class, int64 ``(num_classes,)``."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def subset(self, indices: np.ndarray) -> ImageSet:
        """Return the samples at ``indices``, in that order; nothing is copied."""
        indices = np.asarray(indices, np.int64)
        # Of the whole and the choice: the pixels need not be hashed again for every subset.
        digest = hashlib.sha256(self.sha256.encode() + indices.astype("<i8").tobytes())
        return replace(
            self,
            labels=self.labels[indices],
            indices=self.indices[indices],
            sha256=digest.hexdigest(),
        )

    def split(self, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
        """Return (the rest, ``fraction`` of every class), drawn by ``seed``."""
        # Of every class the same share, so that none is missing.
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

    Images that cannot be read are left out and named in ``problems``. A set that fits into
    ``memory_bytes`` is decoded once; of a larger one an index is made, and images are read and
    decoded when they are asked for.

    Args:
        source: ``digits``, ``blood-cells``, a folder, a parquet file or a tar shard.
        split: ``train`` or ``val``.
        in_chans: 3 for colour, 1 for grey; default 1 for the digits and 3 else.
        memory_bytes: budget for decoded images.

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
    # cut out of BCCD, MIT: the licence lies beside the files
    cells = Path(__file__).parent / "blood_cells"
    root = cells if str(source) == BLOOD_CELLS else Path(source)
    if not root.exists():
        close = nearest(str(source), list(EMBEDDED))
        guess = f"; did you mean {close!r}?" if close else ""
        raise MissingFile(
            f"no data at {source}{guess} "
            f"(give a folder, a .parquet or .tar file or one of the words {DIGITS!r}, {BLOOD_CELLS!r})"
        )
    listing = list_split(root, split)
    return _open(listing, str(source), split, in_chans or 3, memory_bytes)


def load_unlabelled(
    source: str | Path,
    split: Split = "train",
    *,
    in_chans: int = 3,
    memory_bytes: int = MEMORY_BYTES,
) -> ImageSet:
    """Read images of which nobody has said what they show: all have the label 0.

    A folder of images, in folders or not, of which a fifth is split off; or any labelled set, whose
    labels are left out.

    Raises:
        MissingFile, InvalidValue: as :func:`load_images`.
    """
    root = Path(source)
    if not holds_loose_images(root):
        labelled = load_images(source, split, in_chans=in_chans, memory_bytes=memory_bytes)
        return replace(labelled, labels=np.zeros_like(labelled.labels), classes=("image",))
    listing = list_loose(root)
    rest, part = stratified_split(listing.labels, HOLD_OUT, HOLD_OUT_SEED)
    listing = listing.take(rest if split == "train" else part)
    return _open(listing, str(source), split, in_chans, memory_bytes, labelled=False)


def _open(
    listing: Listing, source: str, split: Split, in_chans: int, memory_bytes: int,
    labelled: bool = True,
) -> ImageSet:  # fmt: skip
    """Decode the images, or look at them if they do not fit; leave out those that are damaged."""
    # Decided before anything is read whole.
    fits = _fits(listing, in_chans, memory_bytes)
    total = len(listing.labels)
    gathering = ImageGathering(total)
    digests: list[bytes] = []
    with progress.task(f"reading {source} ({split})", total) as bar:
        if fits:
            bad = _decode_all(listing, in_chans, gathering, digests, bar.advance)
        else:
            bad = listing.source.check(listing.rows, bar.advance)
    damaged = Problems()
    for place in sorted(bad):
        damaged.add(listing.source.name(int(listing.rows[place])), bad[place])
    # Places, not names: names may come twice.
    keep = np.setdiff1d(np.arange(total), np.asarray(sorted(bad), np.int64))
    good = listing.take(keep) if bad else listing
    checked = labelled or len(good.labels) == 0
    odd = _check_classes(good, source, split) if checked else ()
    problems = (*listing.problems, *damaged, *odd)
    if problems:
        logger.info("%s (%s): %d problems, first: %s", source, split, len(problems), problems[0])
    return ImageSet(
        classes=good.classes,
        labels=good.labels,
        source=source,
        sha256=good.sha256(digests if fits else None),
        store=(
            gathering.store(good.names())
            if fits
            else EncodedStore(good.source, good.rows, in_chans)
        ),
        indices=np.arange(len(good.labels)),
        in_chans=in_chans,
        collector=Problems(source, problems),
    )


def _decode_all(
    listing: Listing,
    in_chans: int,
    gathering: ImageGathering,
    digests: list[bytes],
    advance: Callable[[int], None],
) -> dict[int, str]:
    """Gather pixels and the sha256 of the bytes; return what cannot be read, by its place."""
    bad = {}
    for place, row in enumerate(listing.rows):
        try:
            encoded = listing.source.read(int(row))
            pixels = np.asarray(decode(encoded, in_chans))
        except UnreadableImage as error:
            bad[place] = str(error)
        else:
            # Grey images get an axis of channels, so that all have one shape.
            gathering.add(pixels[..., None] if pixels.ndim == 2 else pixels)
            # Of the stored bytes: decoders may differ in the last bit.
            digests.append(hashlib.sha256(encoded).digest())
        advance(1)
    return bad


def _fits(listing: Listing, in_chans: int, memory_bytes: int, sample: int = 64) -> bool:
    """Tell whether the decoded set fits into ``memory_bytes``, estimated from some of its images."""
    total = len(listing.rows)
    if listing.source.total_bytes > memory_bytes:
        return False  # pixels take more than what they are stored as
    sizes = []
    # Evenly spread, as the images of a class are often of one size.
    for row in listing.rows[:: max(1, total // sample)]:
        try:
            image = decode(listing.source.read(int(row)), in_chans)
        except UnreadableImage:
            continue
        sizes.append(image.width * image.height * in_chans)
    # The mean of a sample stands for all.
    return not sizes or float(np.mean(sizes)) * total <= memory_bytes


def _check_classes(listing: Listing, source: str, split: Split) -> tuple[str, ...]:
    """Refuse training data that cannot be learnt; name what validation lacks."""
    counts = np.bincount(listing.labels, minlength=len(listing.classes))
    empty = [name for name, n in zip(listing.classes, counts, strict=True) if n == 0]
    if len(listing.labels) == 0:
        # One image of each class is all for training where the set has no parts of its own.
        few = "; a set without parts is divided class by class: give each class several images"
        raise InvalidValue(
            f"{source} ({split}): there is no image that can be read{few if split == 'val' else ''}"
        )
    # In validation a class may be missing; it is said, as means then are over fewer.
    if split == "val":
        return tuple(f"class {name!r} has no images in the validation split" for name in empty)
    if empty:
        shown = ", ".join(map(repr, empty[:5])) + (" …" if len(empty) > 5 else "")
        raise InvalidValue(
            f"{source} ({split}): {len(empty)} of {len(listing.classes)} classes have no readable "
            f"images ({shown}); add some or remove them"
        )
    if len(listing.classes) < 2:
        raise InvalidValue(f"{source} has one class only ({listing.classes[0]!r}); two are needed")
    return ()


@lru_cache(maxsize=1)
def _digit_arrays() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255.0 / 16.0)).astype(np.uint8)  # they come as 0 to 16
    return pixels[..., None], data.target.astype(np.int64)


def _digits(split: Split, in_chans: int) -> ImageSet:
    pixels, labels = _digit_arrays()
    # The digits are grey: three equal channels for networks of colour.
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
        mirrored_alike=False,  # a mirrored 2 is no 2
    )
    train, val = whole.split(HOLD_OUT, HOLD_OUT_SEED)
    return train if split == "train" else val
