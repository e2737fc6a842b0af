"""Write the artefact of a detector or segmenter: its graphs, script, agreement, latency."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketeye import runs
from pocketeye.artifacts.dense import (
    BOX_HEAD,
    MASK_HEAD,
    DenseExecutable,
    DenseManifest,
    Stages,
    load_dense_artifact,
)
from pocketeye.artifacts.mask_rcnn_numpy import BOX_SIDE, MASK_SIDE
from pocketeye.artifacts.script import dense_script
from pocketeye.artifacts.semantic_numpy import prepare
from pocketeye.errors import InvalidValue
from pocketeye.exporting.agreement import Agreement, agreement_of
from pocketeye.exporting.head_crops import HeadCrops, head_crops
from pocketeye.exporting.sample_images import sample_images
from pocketeye.models import (
    MaskRCNN,
    RawBoxHead,
    RawMaskHead,
    RawProposals,
    RawRetinaNet,
    RawSemantic,
)
from pocketeye.models.dense.described import DenseDescription, DenseNetwork, open_dense
from pocketeye.models.dense.preprocess import fitted
from pocketeye.models.dense.retinanet import RetinaNet
from pocketeye.predicting.dense import TorchDensePredictor
from pocketeye.progress import task
from pocketeye.runs import ORIGIN
from pocketeye.runtimes import Artifact, ParityReport, Precision, Runtime, check_parity, get_runtime
from pocketeye.runtimes.parity import PARITY

AGREEMENT, STAGES, SCRIPT = "agreement.json", "stages.json", "predict.py"
_DIVISOR = 32
_BOX_CROPS, _MASK_CROPS = 250, 25
_CALIBRATION = 32
_WARM_UP = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What int8 took its ranges from.

    Attributes:
        data: as the user named it; None: the photographs that come with scikit-learn.
        num_images: that went through the first graph.
        crops: of ``instance``: what went through the heads.
    """

    data: str | None
    num_images: int
    crops: HeadCrops | None = None

    def to_dict(self) -> dict[str, Any]:
        crops = self.crops.to_dict() if self.crops else {}
        return {"data": self.data, "images": self.num_images, **crops}

    def line(self) -> str:
        """One sentence."""
        data = self.data or "those that come with scikit-learn (better: --data)"
        crops = f"; {self.crops.line()}" if self.crops else ""
        return f"quantised with {self.num_images} images, {data}{crops}"


def canvas_for(
    images: Sequence[np.ndarray], shorter: int, longer: int, divisor: int
) -> tuple[int, int]:
    """Height and width of the graph's input, in multiples of ``divisor``: the shape of most images.

    Args:
        shorter: its shorter side,
        longer: unless the other would be above this.

    Raises:
        InvalidValue: a shorter side below 32.
    """
    if shorter < _DIVISOR:
        raise InvalidValue(f"--input-size must be {_DIVISOR} pixels or more, not {shorter}")
    shapes = [image.shape[:2] for image in images]
    height, width = max(set(shapes), key=shapes.count) if shapes else (3, 4)
    sides = fitted((height, width), shorter, longer)
    up = [math.ceil(side / divisor) * divisor for side in sides]
    return up[0], up[1]


def _raw(
    network: DenseNetwork, described: DenseDescription, canvas: tuple[int, int]
) -> tuple[Any, DenseManifest]:
    raw: Any
    decoder: dict[str, Any] = {}
    if isinstance(network, RetinaNet):
        raw = RawRetinaNet(network)
        decoder = raw.decoder()
    elif isinstance(network, MaskRCNN):
        raw = RawProposals(network)
        decoder = raw.decoder()
    else:
        raw = RawSemantic(network)
    crops = (_BOX_CROPS, _MASK_CROPS) if isinstance(network, MaskRCNN) else (0, 0)
    return raw.eval(), DenseManifest(
        task=described.task, classes=described.classes, canvas=canvas, mean=described.mean,
        std=described.std, decoder=decoder, crops_per_run=crops,
    )  # fmt: skip


def _write(
    module: Any, runtime: Runtime, precision: Precision, folder: Path,
    inputs: Sequence[tuple[np.ndarray, ...]], name: str = "image",
) -> Artifact:  # fmt: skip
    return runtime.export(
        module,
        tuple(torch.from_numpy(array) for array in inputs[0]),
        folder,
        precision=precision,
        calibration=inputs[:_CALIBRATION],
        input_names=(name,),
        output_names=module.output_names,
    )


def _write_heads(
    network: MaskRCNN, runtime: Runtime, precision: Precision, folder: Path,
    crops: HeadCrops | None, manifest: DenseManifest,
) -> None:  # fmt: skip
    """The two heads; without crops only their shapes are needed."""
    box, mask = manifest.crops_per_run
    channels = network.backbone.out_channels
    for part, head, shape, taken in (
        (BOX_HEAD, RawBoxHead(network), (box, channels, BOX_SIDE, BOX_SIDE), crops and crops.box),
        (MASK_HEAD, RawMaskHead(network), (mask, channels, MASK_SIDE, MASK_SIDE), crops and crops.mask),
    ):  # fmt: skip
        inputs = [(batch,) for batch in taken or [np.zeros(shape, np.float32)]]
        _write(head.eval(), runtime, precision, folder / part, inputs, "crops")


def time_stages(executable: DenseExecutable, images: Sequence[np.ndarray]) -> Stages:
    """Medians over images, after two to warm up."""
    for image in images[:_WARM_UP]:
        executable(image)
    measured = []
    for image in images:
        executable(image)
        measured.append(executable.stages)
    return Stages(*(statistics.median(column) for column in zip(*measured, strict=True)))


@dataclass(frozen=True, kw_only=True)
class DenseExport:
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
) -> DenseExport:
    """Export the detector or segmenter of a run, prove that it answers the same, and time it.

    Raises:
        InvalidValue: an artefact instead of a run, an unknown runtime, or options that do not fit.
        MissingFile: no such data.
    """
    runtime = get_runtime(to)
    network, described = open_dense(folder)
    images = sample_images(described, data, samples)
    # a detector fills its input up to multiples of 32 in torch too, a segmenter takes what it gets
    divisor = 1 if described.task.labels_pixels else _DIVISOR
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
    runs.write_atomic(target / ORIGIN, json.dumps(origin, indent=1) + "\n")
    return DenseExport(
        name=folder.resolve().name,
        artifact=artifact,
        canvas=canvas,
        parity=parity,
        agreement=agreement,
        calibration=calibration,
        stages=stages,
        size_bytes=sum(path.stat().st_size for path in target.rglob("model.onnx")),
    )
