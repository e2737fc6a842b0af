"""Show and return what came of a training of any task."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.doubts import doubt_lines, unless_doubted
from pocketeye.runs import ANSWERS, BEST, CURVES, REPORT, SAMPLES
from pocketeye.text import human_percent, human_seconds, problem_lines
from pocketeye.training.engine import TrainedRun
from pocketeye.verb_result import VerbResult


@dataclass(frozen=True, kw_only=True)
class TrainResult(TrainedRun, VerbResult):
    """Hold a finished training, see :class:`pocketeye.training.engine.run.TrainedRun`."""

    @classmethod
    def of(cls, run: TrainedRun) -> TrainResult:
        """Return the result of a run."""
        return cls(**{field.name: getattr(run, field.name) for field in fields(run)})

    @property
    def value(self) -> float:
        """Return what counts (``metric``), 0 to 1, of the best epoch on validation."""
        return self.fitted.value

    def to_dict(self) -> dict[str, Any]:
        fitted = self.fitted
        return {
            "task": self.task,
            "network": self.network,
            "data": self.data,
            "out": self.out,
            "weights": self.out / BEST,
            "metric": fitted.metric,
            "value": fitted.value,
            "interval": self.interval,
            "chance": fitted.chance or None,
            "doubts": list(fitted.doubts),
            "best_epoch": fitted.best_epoch,
            "epochs": fitted.epochs,
            "seconds": fitted.seconds,
            "input_size": self.input_size,
            "num_train": self.num_train,
            "num_val": self.num_val,
            "params": self.params,
            "started": self.started,
            "sets": list(self.sets),
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        fitted = self.fitted
        between = ""
        if self.interval is not None:
            low, high = (100 * share for share in self.interval)
            between = f" ({low:.1f} to {high:.1f})"
        lines = [escape(line) for line in (*self.sets, self.started) if line]
        value = human_percent(fitted.value, 2)
        lines.append(
            f"{fitted.metric} [bold]{value}[/bold]{between} on {self.validation}, "
            f"in epoch {fitted.best_epoch} of {fitted.epochs} · {escape(self.network)} · "
            f"{self.input_size} px · {human_seconds(fitted.seconds)}"
        )
        if self.epochs_before:
            before = self.epochs_before[-1]
            added = f"{fitted.epochs - before} more"
            lines.append(
                f"{added} after {before} epochs: in them the learning rate is that of a training of "
                f"{fitted.epochs} (metrics.csv has it)"
            )
        lines += unless_doubted(fitted.chance, fitted.doubts)
        return [*lines, *doubt_lines(fitted.doubts), *problem_lines(self.problems)]

    def written(self) -> list[Path]:
        # Only those that the task draws.
        drawn = [name for name in (SAMPLES, ANSWERS) if (self.out / name).is_file()]
        return [self.out / name for name in (REPORT, BEST, CURVES, *drawn)]

    def next_commands(self) -> list[str]:
        return [command for _, command in self.commands]
