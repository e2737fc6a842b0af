"""Hold what every candidate at every layer of a space costs, as an array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyMatrix:
    """Hold calibrated milliseconds of a table over a space.

    The rest plus the chosen entries, added from the first layer to the last, is exactly
    :meth:`pocketeye.latency.table.LatencyTable.predict`.

    Attributes:
        ms: what each candidate adds, (num_layers, num_ops), NaN where a candidate is illegal.
        fixed_ms: the rest: stem, head and constant.
    """

    ms: NDArray[np.float64]
    fixed_ms: float

    def predict(self, choices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the latency (N,) of networks given as op columns (N, layers)."""
        return np.asarray(self.ms[np.arange(len(self.ms)), choices].sum(-1) + self.fixed_ms)

    @property
    def range_ms(self) -> tuple[float, float]:
        """Return milliseconds of the fastest and the slowest network of the space."""
        low, high = np.nanmin(self.ms, axis=1).sum(), np.nanmax(self.ms, axis=1).sum()
        return float(low + self.fixed_ms), float(high + self.fixed_ms)
