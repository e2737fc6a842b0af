"""List a source before anything is decoded: encoded images, labels, class names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pocketeye.data.files.names import Names
from pocketeye.data.files.sources import Source
from pocketeye.errors import InvalidValue
from pocketeye.text import some


@dataclass(frozen=True, kw_only=True)
class Listing:
    """List a split, not decoded: sample ``i`` has ``labels[i]`` and is image ``rows[i]`` of ``source``.

    ``labels`` and ``rows`` are int64 ``(N,)``; ``problems`` name what was left out.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    source: Source
    rows: np.ndarray
    problems: tuple[str, ...] = ()

    def with_problem(self, sentence: str | None) -> Listing:
        """Return the same with one more sentence, the first, if there is one."""
        return replace(self, problems=(sentence, *self.problems)) if sentence else self

    def take(self, places: np.ndarray) -> Listing:
        """Return the samples at ``places``, in that order."""
        return replace(self, labels=self.labels[places], rows=self.rows[places])

    def names(self) -> Names:
        """Return the names of the samples."""
        return Names(self.source.name(int(row)) for row in self.rows)

    def sha256(self, digests: Sequence[bytes] | None = None) -> str:
        """Hash classes, labels and the ``digests`` of the images' bytes, or names and sizes."""
        digest = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogateescape"))
        # Little endian on every machine: the same data has the same hash.
        digest.update(self.labels.astype("<i8").tobytes())
        for mark in self.source.marks(self.rows) if digests is None else digests:
            digest.update(mark)
        return digest.hexdigest()


def require_known(found: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse classes that the training data does not have."""
    if foreign := sorted(set(found) - set(known)):
        count = f"{len(foreign)} {'class' if len(foreign) == 1 else 'classes'}"
        raise InvalidValue(
            f"{where} has {count} that the training data does not have: {some(foreign)}"
        )
