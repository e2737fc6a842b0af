"""Give quantisers the inputs that they take their ranges from, whatever the runtime."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pocketeye.runtimes.base import ExportRequest


def calibration_batches(request: ExportRequest) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the calibration of a request, one tuple of arrays for every run; one at least.

    Without any calibration it is the example inputs; for a graph that is timed N(0, 1) noise, as its
    examples are zeros, from which no range comes.
    """
    empty = True
    for arrays in request.calibration:
        empty = False
        yield arrays
    if not empty:
        return
    if not request.for_timing:
        yield tuple(t.numpy(force=True) for t in request.example_inputs)
        return
    rng = np.random.default_rng(request.seed)
    yield tuple(rng.standard_normal(t.shape, dtype=np.float32) for t in request.example_inputs)
