"""Tell whether a table is precise enough to choose by.

At every layer the candidates are put in the order of their latency. Between two neighbours there is
a gap, and around them is noise: how far the two halves of the measurement disagree about a row,
divided by 2 (the full row averages both). A search can use the table while the typical noise stays
below the typical gap. Both are medians over all pairs of neighbours in the space, weighted with the
pair's latency, because dear blocks decide what a network costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pocketeye.errors import InvalidValue
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import SearchSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class TableNoise:
    """Say how uncertain the rows of a table are, in milliseconds, and how far candidates lie apart.

    ``split_half`` is the median disagreement of the two halves of a row, a fraction.
    """

    noise_ms: float
    gap_ms: float
    split_half: float

    def line(self) -> str:
        """Say in one sentence whether a search can use the table."""
        verdict = "usable" if self.usable else "TOO NOISY to search with"
        return (
            f"noise of a block {self.noise_ms * 1e3:.1f} µs against a gap between candidates of "
            f"{self.gap_ms * 1e3:.1f} µs: {verdict}"
        )

    @property
    def usable(self) -> bool:
        """Whether the noise is at most as large as the gaps between candidates."""
        return self.noise_ms <= self.gap_ms


def table_noise(table: LatencyTable, space: SearchSpace) -> TableNoise:
    """Compare noise with gaps over the layers of ``space``."""
    gain = table.calibration.gain
    noise, gaps, weights = [], [], []
    for position in space.positions:
        rows = []
        for op in position.candidates:
            placed = position.placed(op)
            row = table.rows.get(str(placed))
            halves = row.halves_ms if row else (0.0, 0.0)  # a skip is known exactly
            # Half of the difference of two halves is the uncertainty of their mean.
            rows.append((table.calibrated_ms(placed), gain * abs(halves[0] - halves[1]) / 2))
        rows.sort()
        for (low, low_noise), (high, high_noise) in pairwise(rows):
            gaps.append(high - low)
            noise.append((low_noise + high_noise) / 2)
            # By latency: whether two cheap blocks can be told apart decides nothing.
            weights.append((low + high) / 2)
    split = [
        2 * abs(r.halves_ms[0] - r.halves_ms[1]) / max(sum(r.halves_ms), 1e-12)
        for r in table.rows.values()
    ]
    return TableNoise(
        noise_ms=_weighted_median(noise, weights),
        gap_ms=_weighted_median(gaps, weights),
        split_half=float(np.median(split)),
    )


def require_usable(table: LatencyTable, space: SearchSpace) -> None:
    """Refuse a table noisier than the gaps between candidates.

    Raises:
        InvalidValue: with both numbers and what to do.
    """
    noise = table_noise(table, space)
    if not noise.usable:
        raise InvalidValue(
            f"this latency table is too noisy to search with: its rows are uncertain by "
            f"{noise.noise_ms:.4f} ms, and neighbouring candidates differ by only "
            f"{noise.gap_ms:.4f} ms; measure again on a quieter machine or with more --rounds"
        )


def _weighted_median(values: list[float], weights: list[float]) -> float:
    if not values:
        return 0.0  # one candidate everywhere: nothing to choose
    array: NDArray[np.float64] = np.asarray(values)
    order = np.argsort(array)
    mass = np.cumsum(np.asarray(weights)[order])
    return float(array[order][np.searchsorted(mass, mass[-1] / 2)])
