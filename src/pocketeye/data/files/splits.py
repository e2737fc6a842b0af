"""Name the parts of a data set, and choose which samples are held out where there is one.

One table of names and one hold-out rule for all kinds of sets:

* ``train``, ``val`` and ``test`` are found under any of their names in :data:`SPLITS`.
* Where a set has no part for validation, a fifth of the training samples is held out: of every class
  the same share, drawn by a fixed seed, so that it is the same fifth in every run and on every machine.
* Only labelled images (``load_images``) take ``test`` for validation, as many such sets come with
  ``train`` and ``test`` alone. Then :func:`validates_on_test` says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np

from pocketeye.errors import InvalidValue

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "sav_train"),
    "val": ("val", "valid", "validation", "dev", "sav_val"),
    "test": ("test", "testing", "sav_test"),
}
"""Names of a part as data sets spell it, the usual one first (``sav_`` is SA-V's)."""

STANDS_IN = "split stands in"
"""Words of :func:`validates_on_test` by which that problem of a set is known."""
HOLD_OUT, HOLD_OUT_SEED = 0.2, 0
"""Share of the samples that is held out, and the seed it is drawn by."""


def spellings(split: str) -> tuple[str, ...]:
    """Return the name itself first, then what else the same part is called, if anything."""
    names = SPLITS.get(known_split(split) or "", ())
    return (split, *(name for name in names if name != split))


def known_split(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for any spelling of it; None for other names."""
    return next((split for split, names in SPLITS.items() if name in names), None)


def split_in(text: str) -> str | None:
    """Return which part a file is named for, by the first word that tells: ``instances_val2017``."""
    words = re.findall(r"[a-z]+", text.lower())
    return next((split for split in map(known_split, words) if split), None)


def splits_among(names: Collection[str]) -> tuple[str, ...]:
    """Return those of ``names`` that are parts, as they are spelt there: train, val, test."""
    return tuple(name for known in SPLITS.values() for name in known if name in names)


def find_split(split: str, there: Collection[str]) -> str | None:
    """Return the part as it is spelt ``there``; None where it is not."""
    return next((name for name in spellings(split) if name in there), None)


def validation_names(split: str) -> tuple[str, ...]:
    """Return the names under which labelled images have ``train`` or ``val``, the best first.

    ``test`` in its spellings comes last for ``val``: it stands in where there is nothing else.
    """
    return SPLITS["train"] if split == "train" else (*SPLITS["val"], *SPLITS["test"])


def validates_on_test(source: object, name: str) -> str | None:
    """Say in one sentence that the part ``name`` is a test split which validation uses; else None.

    Whoever chooses an epoch by a test split has no unseen images left to be judged on.
    """
    if known_split(name) != "test":
        return None
    return (
        f"{source} has no validation split, its {name!r} {STANDS_IN}: where that chooses the best "
        "epoch, figures on it are no test results (hold out training data in a folder named val)"
    )


def stratified_split(
    labels: np.ndarray, fraction: float = HOLD_OUT, seed: int = HOLD_OUT_SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Divide samples into (the rest, ``fraction`` of every class): sorted indices, int64.

    A class of two or more samples gives at least one to each side; a class of one stays in the rest.

    Args:
        labels: ``(N,)``; samples without classes have one label for all.

    Raises:
        InvalidValue: the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction < 1.0:
        raise InvalidValue(f"the fraction to split off must be between 0 and 1, got {fraction}")
    rng = np.random.default_rng(seed)
    part: list[np.ndarray] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        # One at least on each side, so that no class is missing from either.
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        part.append(members[:count])
    chosen = np.sort(np.concatenate(part)) if part else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def hold_out(count: int) -> tuple[list[int], list[int]]:
    """Divide ``count`` samples without classes into (training, validation), in their order."""
    rest, held = stratified_split(np.zeros(count, np.int64))
    return rest.tolist(), held.tolist()
