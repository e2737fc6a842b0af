"""``pocketeye export`` of a run of a detector or segmenter: graphs, their companions, and the proof."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketeye import runs
from pocketeye.artifacts.dense import (
    Stages,
    is_dense_artifact,
    load_dense_artifact,
)
from pocketeye.artifacts.script import dense_script
from pocketeye.artifacts.semantic_numpy import prepare
from pocketeye.errors import InvalidValue
from pocketeye.exporting.agreement import Agreement, agreement_of
from pocketeye.exporting.dense import (
    _CALIBRATION,
    _DIVISOR,
    _ORIGIN,
    AGREEMENT,
    SCRIPT,
    STAGES,
    Calibration,
    _raw,
    _write,
    _write_heads,
    canvas_for,
    time_stages,
)
from pocketeye.exporting.head_crops import head_crops
from pocketeye.exporting.sample_images import sample_images
from pocketeye.models import (
    MaskRCNN,
)
from pocketeye.models.dense.described import open_dense
from pocketeye.predicting.dense import TorchDensePredictor
from pocketeye.progress import task
from pocketeye.runtimes import Artifact, ParityReport, Precision, check_parity, get_runtime
from pocketeye.runtimes.parity import PARITY
from pocketeye.verbs._result import VerbResult


@dataclass(frozen=True, kw_only=True)
class DenseExportResult(VerbResult):
    """An artefact on disk with its proof.

    Attributes:
        parity: of the first graph, on the same prepared images.
        agreement: of what is answered in the end.
        calibration: what int8 took its ranges from.
        stages: median milliseconds of an image.
    """

    name: str
    artifact: Artifact
    canvas: tuple[int, int]
    parity: ParityReport
    agreement: Agreement
    calibration: Calibration | None
    stages: Stages
    size_bytes: int

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
    runtime = get_runtime(to)
    if is_dense_artifact(folder):
        raise InvalidValue(f"{folder} is an artefact already: export the run that it was made of")
    network, described = open_dense(folder)
    images = sample_images(described, data, samples)
    # a detector fills its input up to multiples of 32 in torch too, a segmenter takes what it gets
    divisor = 1 if described.task == "semantic" else _DIVISOR
    canvas = canvas_for(images, input_size or described.min_size, described.max_size, divisor)
    target = out or Path("out") / folder.resolve().name / f"{to}-{precision}"
    fits = [prepare(p, canvas, described.mean, described.std) for p in images]
    prepared = [(image,) for image, _ in fits]
    raw, manifest = _raw(network, described, canvas)
    crops = None
    if isinstance(network, MaskRCNN) and precision == "int8":
        crops = head_crops(network, raw, fits, manifest.crops_per_run)
    with task(f"exporting {described.network} ({runtime.name}, {precision})"):
        artifact = _write(raw, runtime, precision, target, prepared)
        if isinstance(network, MaskRCNN):
            _write_heads(network, runtime, precision, target, crops, manifest)
    calibration = None
    if precision == "int8":
        calibration = Calibration(data=data, num_images=len(prepared[:_CALIBRATION]), crops=crops)
    manifest.save(target)
    described.save(target)
    runs.write_atomic(target / SCRIPT, dense_script(described.task, metadata.version("pocketeye")))
    executable = load_dense_artifact(target, threads=threads)
    parity = check_parity(raw, executable.graphs[0], prepared, precision)
    parity.save(target / PARITY)
    agreement = agreement_of(TorchDensePredictor(network, described), executable, images)
    stages = time_stages(executable, images[:16])
    for name, content in ((AGREEMENT, asdict(agreement)), (STAGES, stages._asdict())):
        runs.write_atomic(target / name, json.dumps(content, indent=1) + "\n")
    params = sum(p.numel() for p in network.parameters())
    origin = {"name": folder.resolve().name, "trained": True, "fused": True, "params": params,
              "calibration": calibration.to_dict() if calibration else None,
              "created": runs.now(), "git": runs.git_hash()}  # fmt: skip
    runs.write_atomic(target / _ORIGIN, json.dumps(origin, indent=1) + "\n")
    return DenseExportResult(
        name=folder.resolve().name,
        artifact=artifact,
        canvas=canvas,
        parity=parity,
        agreement=agreement,
        calibration=calibration,
        stages=stages,
        size_bytes=sum(path.stat().st_size for path in target.rglob("model.onnx")),
    )
