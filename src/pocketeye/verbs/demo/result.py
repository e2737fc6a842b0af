"""Hold what `pocketeye demo` returns."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.text import human_percent, human_seconds
from pocketeye.tracking.demo import TrackDemo
from pocketeye.verb_result import VerbResult
from pocketeye.verbs.evaluate.classify import EvaluateResult
from pocketeye.verbs.export import ExportResult
from pocketeye.verbs.measure.result import MeasureResult
from pocketeye.verbs.search.result import SearchResult


@dataclass(frozen=True, kw_only=True)
class DemoResult(VerbResult):
    """Hold what every step came to; ``seconds`` per step in order, ``epochs`` of the search and of the
    training."""

    out: Path
    report: Path
    measured: MeasureResult
    checked: MeasureResult
    searched: SearchResult
    exported: ExportResult
    evaluated: EvaluateResult
    tracked: TrackDemo
    seconds: dict[str, float]
    epochs: tuple[int, int]

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
        lines = []
        for name, sentences in self.told().items():
            lines.append(f"[bold]{name}[/bold]  ({human_seconds(self.seconds[name])})")
            lines += [f"  {sentence}" for sentence in sentences]
        return [
            *lines,
            "[bold]now yours[/bold]  (pictures of it all: the report below)",
            f"  put photographs into FOLDER/CLASS/*.jpg, and say --data FOLDER instead of --data "
            f"{self.searched.data}",
        ]

    def told(self) -> dict[str, list[str]]:
        """Say what every step came to, in words for everybody."""
        report, check = self.evaluated.result.report, self.checked.check
        assert check is not None
        fastest, slowest = self.measured.range_ms
        latency = self.exported.latency
        return {
            "measure": [
                f"{len(self.measured.table.rows)} blocks timed, of which networks are made that take "
                f"{fastest:.2f} to {slowest:.2f} ms",
                f"on {self.searched.where}",
            ],
            "check": [
                f"{check.n} networks it had not seen, predicted and then measured: {check.mape:.1%} off "
                f"on average, {check.max_error:.1%} at most"
            ],
            "search": self._of_the_search(),
            "export": [self.exported.parity.lines()[0], *(latency.lines() if latency else [])],
            "eval": [
                f"the exported file names {human_percent(report.top1)} of {report.n} photographs "
                f"rightly, of other slides than it learnt from{self.beside()}"
            ],
            "track": self.tracked.lines(),
        }

    def beside(self) -> str:
        """Return the level an accuracy on the validation images is to be read beside."""
        return _guessing(self.searched.trained.chance if self.searched.trained else None)

    def _of_the_search(self) -> list[str]:
        best, seen, trained = self.searched.best, self.searched.comparison, self.searched.trained
        assert best.measured_ms is not None
        lines = [
            f"at most {self.searched.target_ms:g} ms wanted: the network found takes "
            f"{best.measured_ms:.3g} ms, and was predicted to take {best.predicted_ms:.3g}",
            f"before its training it names {human_percent(seen.searched_best)} rightly, "
            f"{seen.num_random} random networks for the same time {human_percent(seen.random_mean)} on "
            f"average and {human_percent(seen.random_best)} at best{_guessing(seen.chance)}",
        ]
        if trained is not None:
            lines.append(
                f"after {trained.epochs} epochs of training: {human_percent(trained.value)} of "
                f"{trained.num_images} photographs; three kinds of cells are an easy task"
            )
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
        """List commands: follow the flower, search for half the time, train longer, measure."""
        table, data = shlex.quote(str(self.measured.written()[0])), self.searched.data
        # where no network is that quick, half of the way to the quickest
        target, fastest = self.searched.target_ms, self.measured.range_ms[0]
        half = float(
            f"{max(target / 2, (target + fastest) / 2 if target < 2 * fastest else 0):.3g}"
        )
        return [
            *_activation(),
            self.tracked.commands[1],
            f"pocketeye search --table {table} --target-ms {half:g} --data {data} "
            f"--epochs {self.epochs[0]} --train-epochs {self.epochs[1]}",
            self.searched.next_commands()[-1],
            f"pocketeye bench {shlex.quote(str(self.exported.artifact.folder))}",
        ]

    @property
    def exit_code(self) -> int:
        return self.exported.exit_code


def _guessing(chance: float | None) -> str:
    return "" if chance is None else f" (guessing: {human_percent(chance)})"


def _activation() -> list[str]:
    """Return the command that puts ``pocketeye`` on the path of the terminal, where it is not."""
    script = Path(sys.prefix) / "bin" / "activate"
    # On the path already, or not in an environment: nothing to do.
    if shutil.which("pocketeye") or not script.is_file():
        return []
    here = Path.cwd()
    shown = script.relative_to(here) if script.is_relative_to(here) else script
    return [f"source {shlex.quote(str(shown))}"]
