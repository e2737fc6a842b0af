"""Say what a search found: for a person, for ``--json``, and what to do next."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.doubts import doubt_lines
from pocketeye.models.task import Task
from pocketeye.searching.deriving.baseline import Comparison
from pocketeye.searching.deriving.derived import Candidate
from pocketeye.searching.metric import metric_key
from pocketeye.searching.outcome import Cost, Trained
from pocketeye.searching.report.build import next_commands
from pocketeye.searching.report.report import cost_sentence
from pocketeye.text import human_seconds
from pocketeye.verb_result import VerbResult

SCHEMA = "pocketeye.search/1"


@dataclass(frozen=True, kw_only=True)
class SearchResult(VerbResult):
    """Hold the network found, and what is known of it; accuracies are fractions in [0, 1]."""

    task: Task
    out: Path
    table: Path
    data: str
    classes: str | None
    where: str
    runtime: str
    precision: str
    target_ms: float
    tolerance: float
    best: Candidate
    comparison: Comparison
    trained: Trained | None
    costs: tuple[Cost, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    taught: bool = False

    def to_dict(self) -> dict[str, Any]:
        best, key = self.best, metric_key(self.comparison.metric)
        return {
            "schema": SCHEMA,
            "task": self.task.name,
            "out": self.out,
            "architecture": str(best.architecture),
            "where": self.where,
            "runtime": self.runtime,
            "precision": self.precision,
            "target_ms": self.target_ms,
            "tolerance": self.tolerance,
            "predicted_ms": best.predicted_ms,
            "measured_ms": best.measured_ms,
            "off_target": best.off_target(self.target_ms),
            "prediction_error": best.prediction_error,
            "drift": best.drift,
            "p10_ms": best.spread_ms[0] if best.spread_ms else None,
            "p90_ms": best.spread_ms[1] if best.spread_ms else None,
            "timing": asdict(best.timing) if best.timing else None,
            "origin": best.origin,
            f"supernet_{key}": best.supernet_score,
            "random_baseline": self.comparison.to_dict(),
            key: self.trained.value if self.trained else None,
            "chance": self.trained.chance if self.trained else None,
            "doubts": list(self.trained.doubts) if self.trained else [],
            "num_val_images": self.trained.num_images if self.trained else None,
            "epochs_trained": self.trained.epochs if self.trained else None,
            "costs": {c.name: {"seconds": c.seconds, "cpu_seconds": c.cpu_seconds,
                               "core_hours": c.cpu_seconds / 3600, "device": c.device}
                      for c in self.costs},
            "table": self.table,
            "data": self.data,
            "notes": list(self.notes),
            "files": [str(path) for path in self.files],
        }  # fmt: skip

    def lines(self) -> list[str]:
        best, comparison = self.best, self.comparison
        # The chosen network is always among those measured.
        assert best.measured_ms is not None
        ranked = "fine-tuned by the teacher" if self.taught else "with shared weights"
        began = "from its taught blocks" if self.taught else "from scratch"
        ops = " ".join(block.op for block in best.architecture.blocks)
        lines = [
            f"[bold]budget {self.target_ms:g} ms[/bold] · {self._measured()}",
            f"on {self.where}",
            f"network {ops}",
            f"{ranked}: {comparison.sentence()}",
        ]
        if self.trained is not None:
            level = self.trained.chance
            chance = "" if level is None else f"; chance {level:.1%}"
            lines.append(
                f"trained {began}: {self.trained.metric} {self.trained.value:.2%} on "
                f"{self.trained.num_images} "
                f"validation images ({self.trained.epochs} epochs){chance}"
            )
            lines += doubt_lines(self.trained.doubts)
        spent = " · ".join(
            f"{c.name} {human_seconds(c.seconds)} ({c.cpu_seconds / 3600:.3f} core-hours)"
            for c in self.costs
        )
        return [*lines, f"cost: {spent}", *filter(None, [cost_sentence(self.costs)]),
                *(f"note: {note}" for note in self.notes)]  # fmt: skip

    def _measured(self) -> str:
        """Return what was measured of the chosen network, at the machine's speed of the table."""
        best, spread = self.best, self.best.spread_ms
        off, error, drift = best.off_target(self.target_ms), best.prediction_error, best.drift
        assert off is not None
        assert error is not None
        # A budget: below is kept, above is within the tolerance.
        side = "below" if off <= 0 else "above"
        facts = [f"{100 * abs(off):.1f} % {side} it"]
        if spread is not None:
            facts.append(f"p10 to p90 {spread[0]:.3g} to {spread[1]:.3g} ms")
        if drift is not None:
            facts.append(f"drift of {100 * drift:+.1f} % taken out")
        return (
            f"measured {best.measured_ms:.3g} ms ({', '.join(facts)}) · predicted "
            f"{best.predicted_ms:.3g} ms (est., {100 * error:+.1f} %)"
        )

    def written(self) -> list[Path]:
        page, architecture, *_ = self.files
        return [page, architecture, self.out]

    def next_commands(self) -> list[str]:
        return next_commands(
            self.task,
            self.out,
            self.data,
            self.classes,
            self.runtime,
            self.precision,
            trained=self.trained,
        )
