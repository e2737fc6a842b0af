"""Say what an export is asked for, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pocketeye.artifacts.dense import BOX_HEAD, MASK_HEAD
from pocketeye.errors import InvalidValue
from pocketeye.exporting.agreement import Agreement
from pocketeye.exporting.elsewhere import OF_A_CHECK
from pocketeye.exporting.head_crops import HeadCrops
from pocketeye.exporting.tracker.agreement import TrackAgreement
from pocketeye.latency.record import LatencyRecord
from pocketeye.runs import (
    BEST,
    CONFIG,
    DENSE_MANIFEST,
    JUDGED,
    LATENCY,
    MANIFEST,
    MODEL,
    ORIGIN,
    TRACKER_MANIFEST,
)
from pocketeye.runtimes import PACKAGES, Artifact, ParityReport, Precision
from pocketeye.runtimes.onnx.shared import WEIGHTS
from pocketeye.runtimes.parity import PARITY, Status

AGREEMENT, SCRIPT, TRACK_SCRIPT = "agreement.json", "predict.py", "track.py"
# What an export leaves, of whatever runtime and task, and what `eval` writes beside it.
OF_AN_ARTEFACT = (
    MANIFEST, DENSE_MANIFEST, TRACKER_MANIFEST, MODEL, ORIGIN, LATENCY, PARITY, AGREEMENT, SCRIPT,
    TRACK_SCRIPT, BOX_HEAD, MASK_HEAD, WEIGHTS, *OF_A_CHECK,
    *(name for row in PACKAGES.values() for name in row.files), *JUDGED,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Choose how to export, whatever the network.

    Attributes:
        to: name of the runtime.
        out: folder of the artefact; out/NAME/RUNTIME-PRECISION where None.
        input_size: side of the image in pixels (of detectors and segmenters the shorter side of the
            graph's input); the network's own where None.
        data: images for parity and int8 calibration, as the user names them; those that come with
            scikit-learn where None.
        samples: number of images compared.
        threads: that the artefact is timed with.
        fuse: fold and re-parameterise what exactly can be.
        pool_memory: let a tracker read its memory by means of 2x2 tokens.
    """

    to: str = "onnxruntime"
    precision: Precision = "fp32"
    out: Path | None = None
    input_size: int | None = None
    data: str | None = None
    samples: int = 64  # one is 1.6 % of top-1, of which parity allows int8 5 %
    threads: int = 1
    fuse: bool = True
    pool_memory: bool = False

    def folder(self, name: str) -> Path:
        """Return where the artefact of a network of this name goes.

        Raises:
            InvalidValue: a file, or the folder of a run, whose files it would replace.
        """
        # Runtime and precision in the name: exports of one network lie side by side.
        folder = self.out or Path("out") / name / f"{self.to}-{self.precision}"
        if folder.exists() and not folder.is_dir():
            raise InvalidValue(f"--out takes a folder, and {folder} is a file")
        if (folder / CONFIG).is_file() or (folder / BEST).is_file():
            raise InvalidValue(f"{folder} holds a run: give the artefact another folder (--out)")
        return folder


@dataclass(frozen=True, kw_only=True)
class Int8Images:
    """Name the images that int8 took its ranges from.

    Attributes:
        data: as the user named it; None: the photographs that come with scikit-learn.
        num_images: that went through the first graph.
        crops: of ``instance``: what went through the heads.
    """

    data: str | None
    num_images: int
    crops: HeadCrops | None = None

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as they are stored."""
        crops = self.crops.to_dict() if self.crops else {}
        return {"data": self.data, "images": self.num_images, **crops}

    def line(self) -> str:
        """Say it in one sentence."""
        data = self.data or "those that come with scikit-learn (better: --data)"
        crops = f"; {self.crops.line()}" if self.crops else ""
        return f"quantised with {self.num_images} images, {data}{crops}"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Hold an artefact on disk with its proof.

    Attributes:
        size_bytes: of the files of all graphs.
        parity: outputs of the (first) graph against the module's; not run for a runtime that only
            converts here.
        latency: of an image, with its stages for detectors and segmenters; None where it cannot run.
        canvas: of detectors, segmenters and trackers: height and width of the graph's input.
        agreement: of those: how alike the final answers are.
        int8_images: of those in int8.
        script: that runs the artefact without pocketeye, where there is one.
    """

    name: str
    artifact: Artifact
    size_bytes: int
    trained: bool
    parity: ParityReport
    latency: LatencyRecord | None
    canvas: tuple[int, int] | None = None
    agreement: Agreement | TrackAgreement | None = None
    int8_images: Int8Images | None = None
    script: Path | None = None

    @property
    def status(self) -> Status:
        """The verdict of the export: the worse of parity and agreement."""
        verdicts = [self.parity.status, self.agreement.status if self.agreement else "PASS"]
        return max(verdicts, key=get_args(Status).index)
