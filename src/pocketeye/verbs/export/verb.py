"""``pocketeye export``: an artefact for a runtime, the proof that it computes the same, its latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue
from pocketeye.exporting.inputs import sample_inputs
from pocketeye.exporting.network import write_artifact
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.latency.record import LatencyRecord, choose_clock
from pocketeye.models.reference import Run, expect
from pocketeye.models.task import CLASSIFY, DENSE
from pocketeye.predicting.network import open_network
from pocketeye.runs import LATENCY
from pocketeye.runtimes import (
    Artifact,
    ParityReport,
    Precision,
    check_parity,
    get_runtime,
)
from pocketeye.runtimes.parity import PARITY
from pocketeye.verbs._options import refuse
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.export.dense import DenseExportResult, export_dense


@dataclass(frozen=True, kw_only=True)
class ExportResult(VerbResult):
    """An artefact on disk with its parity report and its latency record."""

    name: str
    artifact: Artifact
    parity: ParityReport
    latency: LatencyRecord
    trained: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "folder": self.artifact.folder,
            "file": self.artifact.path,
            "size_bytes": self.artifact.size_bytes,
            "runtime": self.artifact.runtime,
            "precision": self.artifact.precision,
            "trained": self.trained,
            "parity": self.parity.to_dict(),
            "latency": self.latency.to_dict(),
        }

    def lines(self) -> list[str]:
        timing, record = self.latency.timing, self.latency
        threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
        lines = [
            *self.parity.lines(),
            f"latency p50 {timing.p50_ms:.3g} ms (p10 {timing.p10_ms:.3g}, p90 {timing.p90_ms:.3g}) · "
            f"{record.runtime} {record.runtime_version} · {record.precision} · {threads} · "
            f"{record.device.cpu}",
        ]
        if self.parity.status == "FAIL":
            lines.append(
                "[bold red]parity failed[/bold red]: the artefact is kept, but it does not compute "
                f"what {self.name} computes"
            )
        if self.artifact.precision == "int8" and not self.trained:
            lines.append("the weights are random: judge int8 with trained weights")
        return lines

    def written(self) -> list[Path]:
        folder = self.artifact.folder
        return [self.artifact.path, folder / PARITY, folder / LATENCY]

    def next_commands(self) -> list[str]:
        return [f"pocketeye bench {self.artifact.folder}"]

    @property
    def exit_code(self) -> int:
        return 1 if self.parity.status == "FAIL" else 0


def export(
    model: str,
    *,
    to: str = "onnxruntime",
    precision: Precision = "fp32",
    out: Path | None = None,
    input_size: int | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    data: str | None = None,
    samples: int = 64,
    threads: int = 1,
    fuse: bool = True,
) -> ExportResult | DenseExportResult:
    """Export a network to a runtime, prove that it computes the same, and time it.

    Args:
        model: a name from `pocketeye list`, an architecture.json, or a run folder, also of a detector
            or segmenter.
        to: the runtime (`pocketeye doctor` lists those installed).
        precision: fp32, or int8 by static quantisation.
        out: folder of the artefact; out/NAME/RUNTIME-PRECISION by default.
        input_size: side of the image in pixels; the network's own by default. Of detectors and
            segmenters the shorter side of the graph's input, whose shape is that of most images.
        checkpoint: weights to load; a run folder brings its own.
        pretrained: fetch the published weights of a named model.
        data: images for parity and calibration: an image folder, a parquet file or 'digits';
            by default images that come with scikit-learn. Of detectors and segmenters a set as in
            pocketeye train.
        samples: number of images compared.
        threads: threads the artefact is timed with.
        fuse: fold and re-parameterise what exactly can be; parity is with the network as it was.

    Raises:
        InvalidValue: unknown model, runtime or precision; a tracker or an artefact; weights that do
            not fit; a full disk.
        MissingFile: no network, weights or data at a path.
    """
    named = expect(model, "pocketeye export", (CLASSIFY, *DENSE), artifacts=False)
    if named.task.is_dense:
        assert isinstance(named, Run)  # no name stands for a whole detector
        refuse(named.task.kind, checkpoint=checkpoint, pretrained=pretrained)
        if not fuse:
            raise InvalidValue(
                "graphs of detectors and segmenters are always folded: leave --no-fuse out"
            )
        return export_dense(
            named.folder, to=to, precision=precision, out=out, input_size=input_size, data=data,
            samples=samples, threads=threads,
        )  # fmt: skip
    return export_network(
        model, to=to, precision=precision, out=out, input_size=input_size, checkpoint=checkpoint,
        pretrained=pretrained, data=data, samples=samples, threads=threads, fuse=fuse,
    )  # fmt: skip


def export_network(
    model: str,
    *,
    to: str = "onnxruntime",
    precision: Precision = "fp32",
    out: Path | None = None,
    input_size: int | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    data: str | None = None,
    samples: int = 64,
    threads: int = 1,
    fuse: bool = True,
) -> ExportResult:
    """Of a classifier; see :func:`export`."""
    runtime = get_runtime(to)
    network = open_network(
        model, input_size=input_size, checkpoint=checkpoint, pretrained=pretrained
    )
    inputs = sample_inputs(network, data, samples)
    folder = out or Path("out") / network.name / f"{to}-{precision}"
    artifact = write_artifact(network, runtime, precision, folder, inputs, fuse=fuse)
    executable = runtime.load(artifact, threads=threads)
    network.info.save(folder)  # `eval` and `predict` of the artefact see images as training did
    parity = check_parity(network.module, executable, inputs, precision)
    parity.save(folder / PARITY)
    call = executable.bind(*inputs[0])
    protocol = Protocol()
    measured = measure_interleaved({network.name: call}, protocol, threads=threads)
    record = LatencyRecord(
        subject=network.name,
        runtime=runtime.name,
        runtime_version=runtime.version(),
        threads=threads,
        precision=precision,
        clock=choose_clock(threads),
        timing=measured[network.name].timing,
        flags=runtime.flags(),
        protocol=protocol.to_dict(),
        input_size=network.input_size,
    )
    record.save(folder / LATENCY)
    return ExportResult(
        name=network.name,
        artifact=artifact,
        parity=parity,
        latency=record,
        trained=network.trained,
    )
