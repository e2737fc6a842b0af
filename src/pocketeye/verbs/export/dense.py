"""``pocketeye export`` of a run of a detector or segmenter: graphs, their companions, and the proof."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.artifacts.dense import (
    Stages,
)
from pocketeye.exporting.dense import (
    AGREEMENT,
    SCRIPT,
    DenseExport,
)
from pocketeye.exporting.dense import (
    export_dense as write_dense,
)
from pocketeye.runtimes import Precision
from pocketeye.runtimes.parity import PARITY
from pocketeye.verbs._result import VerbResult


@dataclass(frozen=True, kw_only=True)
class DenseExportResult(DenseExport, VerbResult):
    """An artefact on disk with its proof, as `pocketeye export` shows it."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "folder": self.artifact.folder,
            "file": self.artifact.path,
            "size_bytes": self.size_bytes,
            "runtime": self.artifact.runtime,
            "precision": self.artifact.precision,
            "canvas": list(self.canvas),
            "parity": self.parity.to_dict(),
            "agreement": asdict(self.agreement),
            "calibration": self.calibration.to_dict() if self.calibration else None,
            "stages_ms": self.stages._asdict(),
        }

    def lines(self) -> list[str]:
        height, width = self.canvas
        return [
            *([self.calibration.line()] if self.calibration else []),
            *self.parity.lines(),
            f"against torch on {self.agreement.num_images} images: {self.agreement.line()}",
            f"an image of up to {width}x{height} takes {stages_line(self.stages)}",
        ]

    def written(self) -> list[Path]:
        folder = self.artifact.folder
        return [self.artifact.path, folder / SCRIPT, folder / PARITY, folder / AGREEMENT]

    def next_commands(self) -> list[str]:
        folder = self.artifact.folder
        return [f"pocketeye predict {folder} IMAGE", f"pocketeye bench {folder}"]

    @property
    def exit_code(self) -> int:
        return 1 if self.parity.status == "FAIL" else 0


def stages_line(stages: Stages) -> str:
    """One sentence on where the time goes."""
    shares = "; ".join(
        f"{name} {ms:.1f} ms ({100 * ms / stages.total:.0f} %)"
        for name, ms in stages._asdict().items()
    )
    return f"{stages.total:.1f} ms: {shares}"


def export_dense(
    folder: Path,
    *,
    to: str,
    precision: Precision,
    out: Path | None,
    input_size: int | None,
    data: str | None,
    samples: int,
    threads: int,
) -> DenseExportResult:
    """See :func:`pocketeye.verbs.export.verb.export`."""
    exported = write_dense(
        folder, to=to, precision=precision, out=out, input_size=input_size, data=data,
        samples=samples, threads=threads,
    )  # fmt: skip
    return DenseExportResult(**vars(exported))
