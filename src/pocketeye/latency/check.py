"""Check a table against fresh networks: what it predicts, what they take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import provenance, runs
from pocketeye.errors import InvalidValue
from pocketeye.latency.device import Device
from pocketeye.latency.drift import describe_drift, measure_session
from pocketeye.latency.noise import TableNoise, table_noise
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.sampling import spread, uniform
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import SearchSpace
from pocketeye.runtimes.base import Runtime

SCHEMA = "pocketeye.latency-check/1"
# A rank correlation of two networks is always +1 or -1.
MIN_NETS = 3
# Besides the uniform draws, which crowd around the middle of the range.
NUM_EXTREMES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Hold one fresh network; ``extreme`` if it was drawn towards an end of the range."""

    architecture: str
    predicted_ms: float
    measured_ms: float
    split_half: float
    extreme: bool = False

    @property
    def error(self) -> float:
        """Return the signed error as a fraction of what was measured."""
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """Report the distance of a table's predictions from fresh networks of its space.

    Errors are fractions of the measured latency. ``mape``, ``bias``, ``max_error`` and ``spearman``
    are over ``n`` uniform draws, ``mape_extremes`` over the networks drawn towards both ends of the
    range. ``split_half_nets`` and ``split_half_rows`` are the median disagreement of the two halves
    of a measurement: no table can be seen to be better than its networks repeat. ``drift`` says how
    much slower (+) the networks of the calibration are now than when the table was made: the
    machine, not the table; ``mape_without_drift`` is the error with that taken out. ``noise_ms`` and
    ``gap_ms`` decide ``usable`` (:mod:`pocketeye.latency.noise`).
    """

    mape: float
    bias: float
    max_error: float
    spearman: float
    mape_extremes: float
    drift: float
    mape_without_drift: float
    n: int
    split_half_nets: float
    split_half_rows: float
    noise_ms: float
    gap_ms: float
    usable: bool
    device: Device
    runtime: str
    precision: str
    threads: int
    date: str
    points: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return {"schema": SCHEMA, **asdict(self)}

    def save(self, path: Path) -> Path:
        """Write as JSON, atomically."""
        return runs.write_json(path, self.to_dict())

    def lines(self) -> list[str]:
        """Return the sentences that a person reads."""
        noise = TableNoise(
            noise_ms=self.noise_ms, gap_ms=self.gap_ms, split_half=self.split_half_rows
        )
        return [
            f"held-out error over {self.n} random networks: MAPE {self.mape:.1%}, bias "
            f"{self.bias:+.1%}, largest {self.max_error:.1%}, Spearman {self.spearman:.3f}; "
            f"MAPE towards the ends of the range {self.mape_extremes:.1%}",
            f"the device is {describe_drift(self.drift)}; without that the MAPE is "
            f"{self.mape_without_drift:.1%}",
            f"repeatability (split half): blocks {self.split_half_rows:.2%}, networks "
            f"{self.split_half_nets:.2%}",
            noise.line(),
        ]


def check_table(
    table: LatencyTable,
    space: SearchSpace,
    *,
    runtime: Runtime,
    nets: int = 24,
    protocol: Protocol | None = None,
    seed: int = 1,
) -> CheckReport:
    """Measure ``nets`` fresh uniform networks, and 8 towards the ends, and compare.

    Networks the table was calibrated on are never among them.

    Args:
        protocol: that of the table where None.

    Raises:
        InvalidValue: fewer than 3 networks, a space or runtime the table was not made for, another
            device or version.
    """
    if nets < MIN_NETS:
        raise InvalidValue(f"a check needs at least {MIN_NETS} networks, got {nets}")
    table.require(space=space, runtime=runtime.name)
    table.require_device(Device.of(runtime), runtime.version())
    known = {_layers_text(text) for text in table.calibration.networks}
    # Twice as many as needed: those of the calibration are left out, or the error would be too small.
    fresh = [
        a for a in uniform(space, 2 * nets, seed, "check") if _layers_text(str(a)) not in known
    ]
    seen_chains = {_layers_text(str(a)) for a in fresh[:nets]}
    ends = [
        a
        for a in spread(space, NUM_EXTREMES, seed, "ends")
        if _layers_text(str(a)) not in known | seen_chains
    ]
    networks = [*fresh[:nets], *ends]
    num = len(networks) - len(ends)
    if num < MIN_NETS:
        raise InvalidValue(
            f"the space {space.name!r} has too few networks besides those the table was "
            "calibrated on to check it"
        )
    # With some of the calibration's networks: their change is the machine's, not the table's.
    session = measure_session(table, networks, runtime=runtime, protocol=protocol, seed=seed)
    points = tuple(
        Point(
            architecture=str(net),
            predicted_ms=table.predict(net),
            measured_ms=ms,
            split_half=m.split_half,
            extreme=index >= num,
        )
        for index, (net, m, ms) in enumerate(
            zip(networks, session.measured, session.latency_ms, strict=True)
        )
    )
    return _report(table, space, points, session.drift)


def _layers_text(architecture: str) -> str:
    return architecture.partition("=")[2]


def _report(
    table: LatencyTable, space: SearchSpace, points: tuple[Point, ...], drift: float
) -> CheckReport:
    # Imported late: only a check needs scipy.stats, which is slow to import.
    from scipy.stats import spearmanr

    middle = [p for p in points if not p.extreme]
    errors = np.array([p.error for p in middle])
    rank = spearmanr([p.predicted_ms for p in middle], [p.measured_ms for p in middle])
    noise = table_noise(table, space)
    # A small space may have no extremes besides its uniform draws.
    ends = [abs(p.error) for p in points if p.extreme] or [float(np.abs(errors).mean())]
    return CheckReport(
        mape=float(np.abs(errors).mean()),
        bias=float(errors.mean()),
        max_error=float(np.abs(errors).max()),
        spearman=float(rank.statistic),
        mape_extremes=float(np.mean(ends)),
        drift=drift,
        # Divided by the drift, what was measured now is what would have been measured then.
        mape_without_drift=float(np.abs((1 + errors) * (1 + drift) - 1).mean()),
        n=len(middle),
        split_half_nets=float(np.median([p.split_half for p in points])),
        split_half_rows=noise.split_half,
        noise_ms=noise.noise_ms,
        gap_ms=noise.gap_ms,
        usable=noise.usable,
        device=table.header.device,
        runtime=f"{table.header.runtime} {table.header.runtime_version}",
        precision=table.header.precision,
        threads=table.header.threads,
        date=provenance.now(),
        points=points,
    )
