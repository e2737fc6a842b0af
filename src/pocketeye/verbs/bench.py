"""Run ``pocketeye bench``: networks × runtimes × precisions in one table, timed side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.exporting.bench.models import BenchOptions, bench_models
from pocketeye.exporting.bench.table import BenchTable
from pocketeye.exporting.exported import ExportOptions
from pocketeye.outputs import require_folder
from pocketeye.runtimes import Precision
from pocketeye.text import text_table
from pocketeye.verb_result import VerbResult


@dataclass(frozen=True, kw_only=True)
class BenchResult(VerbResult):
    """Hold the table and the files it was written to."""

    table: BenchTable
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        return self.table.to_dict()

    def lines(self) -> list[str]:
        table = self.table
        lines = text_table(table.header(), table.cells(), right=table.numbers())
        return [*lines, *table.captions(), *table.problems()]

    def written(self) -> list[Path]:
        return list(self.files)

    @property
    def exit_code(self) -> int:
        # One row that could be timed is a result; none is a failure.
        return 0 if any(row.record for row in self.table.rows) else 1


def bench(
    models: list[str],
    *,
    runtimes: tuple[str, ...] = ("onnxruntime",),
    precisions: tuple[Precision, ...] = ("fp32",),
    threads: int = 1,
    input_size: int | None = None,
    rounds: int = 24,
    samples: int = 16,
    data: str | None = None,
    split: str | None = None,
    out: Path = Path("out/bench"),
) -> BenchResult:
    """Time networks, runtimes and precisions side by side and print one table.

    Of detectors and segmenters the whole way is timed: preparing an image, the network, decoding.

    Args:
        models: names from `pocketeye list`, run folders, or folders of exported artefacts.
        runtimes: runtimes to export to (artefacts keep their own).
        precisions: precisions to export in (artefacts keep their own).
        threads: threads of every runtime.
        input_size: side of the image in pixels; each network's own by default.
        rounds: how often every cell is visited; of detectors and segmenters, how many images it sees.
        samples: images that calibrate int8.
        data: of detectors and segmenters a set as in pocketeye train, eight of whose images are timed
            in turn, as decoding takes longer the more is found; runs are exported with it too. By
            default a photograph that comes with scikit-learn.
        split: which part of the data is timed; by default that for validation.
        out: folder of the tables, which are named for this device, and the artefacts made on the way.

    Raises:
        InvalidValue: unknown model or runtime, two cells that are the same, or data for a classifier.
        MissingFile: no network at a path.
    """
    # Before minutes of exports: the folder must be there to write to.
    require_folder(out)
    export = ExportOptions(input_size=input_size, data=data, samples=samples, threads=threads)
    options = BenchOptions(
        runtimes=runtimes, precisions=precisions, rounds=rounds, export=export, split=split, out=out
    )
    table = bench_models(models, options)
    return BenchResult(table=table, files=tuple(table.save(out)))
