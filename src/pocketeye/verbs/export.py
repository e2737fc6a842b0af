"""Run ``pocketeye export``: an artefact, the proof that it computes the same, its latency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue
from pocketeye.exporting.dense import export_dense
from pocketeye.exporting.exported import AGREEMENT, Exported, ExportOptions
from pocketeye.exporting.network import export_network
from pocketeye.exporting.tracker.agreement import TrackAgreement
from pocketeye.exporting.tracker.export import export_tracker
from pocketeye.exporting.web import WEB, Site, write_site
from pocketeye.metrics import wilson_interval
from pocketeye.models.reference import Run, expect
from pocketeye.models.task import CLASSIFY, DENSE, TRACK
from pocketeye.predicting.network import open_network
from pocketeye.runs import LATENCY
from pocketeye.runtimes import PARITY, Precision
from pocketeye.runtimes.browser.assets import ort_folder
from pocketeye.text import human_bytes
from pocketeye.verb_result import VerbResult
from pocketeye.verbs._options import refuse


@dataclass(frozen=True, kw_only=True)
class ExportResult(Exported, VerbResult):
    """Hold an artefact on disk with its proof, as `pocketeye export` shows it.

    ``site`` is the page around it, of an export to the web.
    """

    site: Site | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "folder": self.artifact.folder,
            "file": self.artifact.path,
            "size_bytes": self.size_bytes,
            "runtime": self.artifact.runtime,
            "precision": self.artifact.precision,
            "trained": self.trained,
            "canvas": list(self.canvas) if self.canvas else None,
            "status": self.status,
            "parity": self.parity.to_dict(),
            "agreement": self.agreement.to_dict() if self.agreement else None,
            "calibration": self.int8_images.to_dict() if self.int8_images else None,
            "latency": self.latency.to_dict() if self.latency else None,
            "site": str(self.site.folder) if self.site else None,
            "site_bytes": self.site.size_bytes if self.site else None,
        }

    def lines(self) -> list[str]:
        lines = [self.int8_images.line()] if self.int8_images else []
        lines += self.parity.lines()
        lines += self._beyond_these()
        if self.agreement is not None:
            first, *doubts = self.agreement.lines()
            lines += [f"against torch on {self.agreement.sample}: {first}", *doubts]
        lines += self.latency.lines() if self.latency else []
        # The artefact stays, so that the difference can be looked into.
        if self.status == "FAIL":
            lines.append(
                "[bold red]parity failed[/bold red]: the artefact is kept, but it does not compute "
                f"what {self.name} computes"
            )
        # Random outputs are nearly equal for all images: int8 then looks better or worse than it
        # is.
        if self.artifact.precision == "int8" and not self.trained:
            lines.append("the weights are random: judge int8 with trained weights")
        if self.site is not None:
            lines.append(
                f"the page and all it loads: {human_bytes(self.site.size_bytes)} in "
                f"{len(self.site.files)} files; the latency above is that of onnxruntime here"
            )
        return lines

    def _beyond_these(self) -> list[str]:
        """Say how often int8 gives the network's answer on images like the sample."""
        share, n = self.parity.top1_agreement, self.parity.n
        if share is None or self.artifact.precision != "int8" or not n:
            return []
        # A sample of images says only so much: the interval tells how much.
        low, high = wilson_interval(round(share * n), n)
        return [
            f"int8 gives the same class on {round(share * n)} of {n} images: of all images like "
            f"these on {100 * low:.0f} to {100 * high:.0f} % (95 % interval); pocketeye eval tells "
            "what that costs in accuracy"
        ]

    def written(self) -> list[Path]:
        folder = self.artifact.folder
        if self.site is not None:
            return [self.site.folder / "index.html", self.artifact.path, folder / PARITY]
        script = [self.script] if self.script else []
        agreement = [folder / AGREEMENT] if self.agreement else []
        latency = [folder / LATENCY] if self.latency else []
        return [self.artifact.path, *script, folder / PARITY, *agreement, *latency]

    def next_commands(self) -> list[str]:
        folder = self.artifact.folder
        if self.site is not None:
            site = self.site.folder
            return [f"pocketeye web {site}", f"python -m http.server --directory {site}"]
        if self.latency is None:
            return []
        if isinstance(self.agreement, TrackAgreement):
            script = [f"python {self.script} VIDEO 1:X,Y"] if self.script else []
            return [f"pocketeye track VIDEO --model {folder} --object 1:X,Y", *script]
        predict = [f"pocketeye predict {folder} IMAGE"] if self.trained else []
        return [*predict, f"pocketeye bench {folder}"]

    @property
    def exit_code(self) -> int:
        # So that scripts notice.
        return 1 if self.status == "FAIL" else 0


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
    pool_memory: bool = False,
) -> ExportResult:
    """Export a network to a runtime, prove that it computes the same, and time it.

    Args:
        model: a name from `pocketeye list`, an architecture.json, or a run folder, also of a detector,
            a segmenter or a tracker, whose video part is exported too.
        to: the runtime (`pocketeye doctor` lists those installed), or web: a folder with a page that
            runs the network in the browser, for any web server.
        precision: fp32, int8 by the runtime's own quantiser (of a tracker its image encoder, and by
            onnxruntime all that every frame needs), or fp16 where the runtime has it.
        out: folder of the artefact; out/NAME/RUNTIME-PRECISION by default.
        input_size: side of the image in pixels; the network's own by default. Of detectors and
            segmenters the shorter side of the graph's input, whose shape is that of most images.
        checkpoint: weights to load; a run folder brings its own.
        pretrained: take the published weights of a named model: from their pip package, or fetched.
        data: images for parity and calibration: an image folder, a parquet file or 'digits';
            by default images that come with scikit-learn. Of detectors and segmenters a set as in
            pocketeye train.
        samples: number of images compared; of a tracker frames of a clip, 60 at most.
        threads: threads the artefact is timed with.
        fuse: fold and re-parameterise what exactly can be; parity is with the network as it was.
        pool_memory: let a tracker read its memory by means of 2x2 tokens: faster, and nearly the same.

    Raises:
        InvalidValue: unknown model, runtime or precision; an artefact; weights that do not fit; a full
            disk.
        MissingFile: no network, weights or data at a path.
    """
    if to == WEB:
        return _for_web(
            model, precision, out, input_size=input_size, checkpoint=checkpoint,
            pretrained=pretrained, data=data, samples=samples, threads=threads, fuse=fuse,
            pool_memory=pool_memory,
        )  # fmt: skip
    options = ExportOptions(
        to=to, precision=precision, out=out, input_size=input_size, data=data, samples=samples,
        threads=threads, fuse=fuse, pool_memory=pool_memory,
    )  # fmt: skip
    named = expect(model, "pocketeye export", (CLASSIFY, *DENSE, TRACK), artifacts=False)
    if named.task is TRACK:
        refuse(named.task.kind, data=data, pretrained=pretrained)
        return ExportResult(**vars(export_tracker(named, options, checkpoint=checkpoint)))
    refuse(named.task.kind, pool_memory=pool_memory)
    if named.task.is_dense:
        assert isinstance(named, Run)  # no name stands for a whole detector
        # A run has its own weights.
        refuse(named.task.kind, checkpoint=checkpoint, pretrained=pretrained)
        if not fuse:
            raise InvalidValue(
                "graphs of detectors and segmenters are always folded: leave --no-fuse out"
            )
        return ExportResult(**vars(export_dense(named.folder, options)))
    network = open_network(
        model, input_size=input_size, checkpoint=checkpoint, pretrained=pretrained
    )
    return ExportResult(**vars(export_network(network, options)))


def _for_web(model: str, precision: Precision, out: Path | None, **options: Any) -> ExportResult:
    """Export for ONNX Runtime into its usual folder, and write the page for it."""
    ort_folder()  # before minutes of exporting: it may have to be fetched
    exported = export(model, precision=precision, **options)
    return replace(
        exported,
        site=write_site(exported.artifact.folder, out or Path("out") / exported.name / WEB),
    )
