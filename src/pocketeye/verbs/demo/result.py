"""What `pocketeye demo` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.text import human_seconds
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.demo.track import TrackDemo
from pocketeye.verbs.evaluate.verb import EvaluateResult
from pocketeye.verbs.export import ExportResult
from pocketeye.verbs.measure import MeasureResult
from pocketeye.verbs.search import SearchResult


@dataclass(frozen=True, kw_only=True)
class DemoResult(VerbResult):
    """What every step came to; ``seconds`` per step in order."""

    out: Path
    report: Path
    measured: MeasureResult
    checked: MeasureResult
    searched: SearchResult
    exported: ExportResult
    evaluated: EvaluateResult
    tracked: TrackDemo
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "report": self.report,
            "measure": self.measured.to_dict(),
            "check": self.checked.to_dict(),
            "search": self.searched.to_dict(),
            "export": self.exported.to_dict(),
            "eval": self.evaluated.to_dict(),
            "track": self.tracked.to_dict(),
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        steps = (
            ("measure", self.measured), ("check", self.checked), ("search", self.searched),
            ("export", self.exported), ("eval", self.evaluated),
            ("track", self.tracked),
        )  # fmt: skip
        lines = []
        for name, result in steps:
            lines.append(f"[bold]{name}[/bold]  ({human_seconds(self.seconds[name])})")
            lines += [f"  {line}" for line in result.lines()]
        return lines

    def written(self) -> list[Path]:
        return [
            self.report,
            self.measured.written()[0],
            self.searched.written()[0],
            self.exported.written()[0],
            *self.tracked.written()[:1],
        ]

    def next_commands(self) -> list[str]:
        table = self.measured.written()[0]
        faster = float(f"{0.9 * self.searched.target_ms:.3g}")
        return [
            f"pocketeye search --table {table} --target-ms {faster:g}",
            f"pocketeye bench {self.exported.artifact.folder}",
            "pocketeye measure fbnet --out mine.latency.json",
            self.tracked.commands[1],
        ]

    @property
    def exit_code(self) -> int:
        return self.exported.exit_code
