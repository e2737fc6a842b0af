"""Say what was measured: for a person, for ``--json``, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.data import EMBEDDED
from pocketeye.latency.check import CheckReport
from pocketeye.latency.noise import TableNoise
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import SearchSpace
from pocketeye.text import human_seconds
from pocketeye.verb_result import VerbResult

SCHEMA = "pocketeye.measure/1"


@dataclass(frozen=True, kw_only=True)
class MeasureResult(VerbResult):
    """Hold a table, new or checked. ``check`` is None after measuring; errors are fractions.

    ``again`` is the command that measures it once more, longer; None where the space is not known
    by name.
    """

    table_path: Path
    table: LatencyTable
    space: SearchSpace
    again: str | None
    noise: TableNoise
    range_ms: tuple[float, float]
    seconds: float
    check: CheckReport | None = None
    files: tuple[Path, ...] = ()
    network: str | None = None

    def to_dict(self) -> dict[str, Any]:
        header, fit = self.table.header, self.table.calibration
        return {
            "schema": SCHEMA,
            "table": str(self.table_path),
            "space": header.space["name"],
            "input_size": header.space["input_size"],
            "width": header.space["width"],
            "device": str(header.device),
            "runtime": header.runtime,
            "runtime_version": header.runtime_version,
            "threads": header.threads,
            "precision": header.precision,
            "clock": header.clock,
            "num_rows": len(self.table.rows),
            "segmenter": asdict(self.table.segmenter.spec) if self.table.segmenter else None,
            "overhead_ms": header.overhead_ms,
            "range_ms": list(self.range_ms),
            "calibration": {
                "fit": fit.fit,
                "gain": fit.gain,
                "block_ms": fit.block_ms,
                "constant_ms": fit.constant_ms,
                "num_nets": len(fit.networks),
                "mape": fit.mape,
                "loo_mape": fit.loo_mape,
            },
            "split_half": self.noise.split_half,
            "noise_ms": self.noise.noise_ms,
            "gap_ms": self.noise.gap_ms,
            "usable": self.noise.usable,
            "check": self.check.to_dict() if self.check else None,
            "seconds": self.seconds,
            "files": [str(path) for path in self.files],
        }

    def lines(self) -> list[str]:
        lines = self.table.lines(self.range_ms)
        if self.check is not None:
            return [*lines, *self.check.lines()]
        return [*lines, self.noise.line(), f"took {human_seconds(self.seconds)}"]

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        table = shlex.quote(str(self.table_path))
        check = [f"pocketeye measure --check {table}"] if self.check is None else []
        # A noisy table is no base for a search: measure again first.
        if not self.noise.usable:
            return [*check, *filter(None, [self.again])]
        low, high = self.range_ms
        name = self.space.name
        data = f" --data {name if name in EMBEDDED else 'IMAGES'}"
        if self.table.segmenter is not None:
            data = " --data MASKS"
        named = f" --network {shlex.quote(self.network)}" if self.network else ""
        return [
            *check,
            # The geometric mean: in the middle of a range that is wide.
            f"pocketeye search{named} --table {table} --target-ms {(low * high) ** 0.5:.2g}{data}",
        ]
