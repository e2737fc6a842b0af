"""Compute what a network reaches that has learnt nothing: the level to read any accuracy beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Chance:
    """Chance level of a set; shares are 0 to 1.

    Attributes:
        num_classes: that the network can say.
        commonest: name of the class with the most samples (images, or pixels).
        share: of those samples in all: what a network reaches that always says ``commonest``.
    """

    num_classes: int
    commonest: str
    share: float

    @classmethod
    def of(cls, counts: np.ndarray | Sequence[int], names: Sequence[str]) -> Chance | None:
        """Return the chance level of a set with so many samples of each class; None without any."""
        totals = np.asarray(counts)
        # Without a sample there is no commonest class.
        if not totals.sum():
            return None
        best = int(totals.argmax())
        share = float(totals[best] / totals.sum())
        return cls(num_classes=len(names), commonest=names[best], share=share)

    @property
    def level(self) -> float:
        """Return what must be beaten: guessing, or saying the commonest class whatever the sample."""
        # A network that has learnt nothing may do either.
        return max(1 / self.num_classes, self.share)

    def sentence(self, of: str = "") -> str:
        """Return it in a few words; ``of``: of what, such as ``of the pixels``."""
        return (
            f"chance: {100 / self.num_classes:.1f} %{of and ' '}{of} by guessing among "
            f"{self.num_classes} classes, {100 * self.share:.1f} % by always saying "
            f"'{self.commonest}'"
        )
