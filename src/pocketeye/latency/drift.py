"""Tell how fast the machine is now beside when a table was made.

A shared or warm machine changes its speed by tens of per cent between sessions, all networks alike.
Some of the networks that calibrated the table are timed again in the same session, so that this
can be told from an error of the table, and latencies can be stated at the table's speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketeye.errors import InvalidValue
from pocketeye.latency.build import measure_networks
from pocketeye.latency.protocol import Measured, Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models.architecture import Architecture
from pocketeye.runtimes.base import PRECISIONS, Runtime

# A median over these is off only when more than half of them fell into a slow spell.
NUM_AGAIN = 6


@dataclass(frozen=True, kw_only=True)
class Session:
    """Hold networks timed together with calibration networks of a table.

    ``drift`` is the median of now / then over the latter, minus 1: 0.1 means 10 % slower now.
    """

    measured: tuple[Measured, ...]
    latency_ms: tuple[float, ...]
    drift: float

    def at_table_speed(self) -> tuple[float, ...]:
        """Return ``latency_ms`` with the drift taken out."""
        return tuple(ms / (1 + self.drift) for ms in self.latency_ms)


def measure_session(
    table: LatencyTable,
    architectures: Sequence[Architecture],
    *,
    runtime: Runtime,
    protocol: Protocol | None = None,
    seed: int = 0,
) -> Session:
    """Time ``architectures`` and a few calibration networks of ``table``, interleaved.

    Raises:
        InvalidValue: the table holds no calibration networks.
    """
    header = table.header
    again = calibration_networks(table)
    measured = measure_networks(
        [*architectures, *again],
        runtime=runtime,
        threads=header.threads,
        precision=next(p for p in PRECISIONS if p == header.precision),
        # As the table was measured: another protocol would be taken for a drift.
        protocol=protocol or Protocol(**header.protocol),
        segmenter=table.segmenter.spec if table.segmenter else None,
        seed=seed,
    )
    latencies = [m.timing.latency_ms for m in measured]
    then = dict(zip(table.calibration.networks, table.calibration.measured_ms, strict=True))
    num = len(architectures)
    # Each network against itself: they differ in latency, and only the speed is wanted.
    ratios = [ms / then[str(a)] for ms, a in zip(latencies[num:], again, strict=True)]
    return Session(
        measured=tuple(measured[:num]),
        latency_ms=tuple(latencies[:num]),
        drift=float(np.median(ratios)) - 1,
    )


def calibration_networks(table: LatencyTable) -> list[Architecture]:
    """Return a few networks of the calibration, from the fastest to the slowest."""
    pairs = sorted(zip(table.calibration.measured_ms, table.calibration.networks, strict=True))
    if not pairs:
        raise InvalidValue("the latency table holds no calibration networks: measure it again")
    # Spread over the range: a machine may be slow in memory and not in arithmetic.
    picked = np.linspace(0, len(pairs) - 1, min(NUM_AGAIN, len(pairs))).round().astype(int)
    return [Architecture.parse(pairs[i][1]) for i in picked]


def describe_drift(drift: float) -> str:
    """Return a phrase such as ``3.8% slower than when the table was made``."""
    return f"{abs(drift):.1%} {'slower' if drift > 0 else 'faster'} than when the table was made"
