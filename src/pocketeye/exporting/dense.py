"""Write the artefact of a detector or segmenter: its graphs, script, agreement, latency."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketeye import provenance, runs
from pocketeye.artifacts.dense import (
    BOX_HEAD,
    MASK_HEAD,
    DenseManifest,
    load_dense_artifact,
)
from pocketeye.artifacts.mask_rcnn_numpy import BOX_SIDE, MASK_SIDE
from pocketeye.artifacts.script import SCRIPT_RUNTIME, dense_script
from pocketeye.artifacts.semantic_numpy import prepare
from pocketeye.errors import InvalidValue
from pocketeye.exporting.agreement import Agreement, agreement_of
from pocketeye.exporting.exported import (
    AGREEMENT,
    OF_AN_ARTEFACT,
    SCRIPT,
    Exported,
    ExportOptions,
    Int8Images,
)
from pocketeye.exporting.head_crops import HeadCrops, head_crops
from pocketeye.exporting.sample_images import sample_images
from pocketeye.exporting.timing import time_dense
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
from pocketeye.models.task import Task
from pocketeye.outputs import whole_folder
from pocketeye.predicting.dense import TorchDensePredictor
from pocketeye.progress import task
from pocketeye.runs import LATENCY, MANIFEST, ORIGIN
from pocketeye.runtimes import (
    Artifact,
    ExportRequest,
    Precision,
    Runtime,
    check_parity,
    get_runtime,
)
from pocketeye.runtimes._store import seal
from pocketeye.runtimes.layer_noise import with_layer_noise
from pocketeye.runtimes.parity import PARITY

# The coarsest map of a backbone has a stride of 32, to which torchvision pads images too.
_DIVISOR = 32
# Static sizes of the heads: 1000 proposals go through the box head in four runs, 100 objects through
# the mask head in four.
_BOX_CROPS, _MASK_CROPS = 250, 25
# Every image costs a pass of the calibrator.
_CALIBRATION = 32
# Enough to see where the time goes; `pocketeye bench` measures longer.
_TIMED, _ROUNDS = 4, 3


def canvas_for(
    images: Sequence[np.ndarray], shorter: int, longer: int, divisor: int
) -> tuple[int, int]:
    """Choose height and width of the graph's input: multiples of ``divisor``, shaped as most images.

    Args:
        shorter: its shorter side,
        longer: unless the other would be above this.

    Raises:
        InvalidValue: a shorter side below 32.
    """
    if shorter < _DIVISOR:
        raise InvalidValue(f"--input-size must be {_DIVISOR} pixels or more, not {shorter}")
    shapes = [image.shape[:2] for image in images]
    # The most frequent shape: others are fitted into it, with borders.
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
    return runtime.export(_request(module, precision, inputs, name), folder)


def _request(
    module: Any, precision: Precision, inputs: Sequence[tuple[np.ndarray, ...]], name: str = "image"
) -> ExportRequest:
    return ExportRequest(
        module,
        tuple(torch.from_numpy(array) for array in inputs[0]),
        precision=precision,
        calibration=inputs[:_CALIBRATION],
        input_names=(name,),
        output_names=module.output_names,
    )


def _write_heads(
    network: MaskRCNN, runtime: Runtime, precision: Precision, folder: Path,
    crops: HeadCrops | None, manifest: DenseManifest,
) -> None:  # fmt: skip
    """Write the two heads; without crops only their shapes are needed."""
    box, mask = manifest.crops_per_run
    channels = network.backbone.out_channels
    for part, head, shape, taken in (
        (BOX_HEAD, RawBoxHead(network), (box, channels, BOX_SIDE, BOX_SIDE), crops and crops.box),
        (MASK_HEAD, RawMaskHead(network), (mask, channels, MASK_SIDE, MASK_SIDE), crops and crops.mask),
    ):  # fmt: skip
        inputs = [(batch,) for batch in taken or [np.zeros(shape, np.float32)]]
        _write(head.eval(), runtime, precision, folder / part, inputs, "crops")


def export_dense(folder: Path, options: ExportOptions) -> Exported:
    """Export the detector or segmenter of a run, prove that it answers the same, and time it.

    Raises:
        InvalidValue: an artefact instead of a run, an unknown runtime, or options that do not fit.
        MissingFile: no such data.
    """
    runtime, precision, data = get_runtime(options.to), options.precision, options.data
    runtime.require_here("exporting a detector or segmenter")
    network, described = open_dense(folder)
    # Resolved: the folder may have been given as "." or through a link.
    name = folder.resolve().name
    images = sample_images(described, data, options.samples)
    # A detector fills its input up to multiples of 32 in torch too, a segmenter takes what it gets.
    divisor = 1 if described.task.labels_pixels else _DIVISOR
    shorter = options.input_size or described.min_size
    canvas = canvas_for(images, shorter, described.max_size, divisor)
    fits = [prepare(p, canvas, described.mean, described.std) for p in images]
    prepared = [(image,) for image, _ in fits]
    raw, manifest = _raw(network, described, canvas)
    crops = None
    # The heads are given crops, which only the first graph and NMS make: int8 needs real ones.
    if isinstance(network, MaskRCNN) and precision == "int8":
        crops = head_crops(network, raw, fits, manifest.crops_per_run)
    folder = options.folder(name)
    with whole_folder(folder, MANIFEST, OF_AN_ARTEFACT) as staging:
        with task(f"exporting {described.network} ({runtime.name}, {precision})"):
            artifact = _write(raw, runtime, precision, staging, prepared)
            if isinstance(network, MaskRCNN):
                _write_heads(network, runtime, precision, staging, crops, manifest)
        used = None
        if precision == "int8":
            used = Int8Images(data=data, num_images=len(prepared[:_CALIBRATION]), crops=crops)
        manifest.save(staging)
        described.save(staging)
        script = _write_script(described.task, artifact)
        # What is proved and timed is what lies on the disk, not what is in memory.
        executable = load_dense_artifact(staging, threads=options.threads)
        # Of the first graph alone: from it on, NMS decides, and agreement is what can be compared.
        parity = check_parity(raw, executable.graphs[0], prepared, precision)
        if precision == "int8" and parity.status == "FAIL":
            request = _request(raw, precision, prepared)
            parity = with_layer_noise(parity, request, runtime, prepared)
        parity.save(staging / PARITY)
        agreement = agreement_of(TorchDensePredictor(network, described), executable, images)
        record = time_dense(
            {name: executable}, images[:_TIMED], rounds=_ROUNDS * _TIMED, threads=options.threads
        )[name]
        record.save(staging / LATENCY)
        _write_notes(staging, name, network, used, agreement)
        size_bytes = executable.size_bytes
        artifact = replace(seal(artifact), folder=folder)
    return Exported(
        name=name,
        artifact=artifact,
        size_bytes=size_bytes,
        trained=True,
        parity=parity,
        latency=record,
        canvas=canvas,
        agreement=agreement,
        int8_images=used,
        script=script and folder / script.name,
    )


def _write_notes(
    folder: Path, name: str, network: DenseNetwork, used: Int8Images | None, agreement: Agreement
) -> None:
    """Write what the artefact was made of, and how alike its answers are."""
    origin = {"name": name, "trained": True, "fused": True,
              "params": sum(p.numel() for p in network.parameters()),
              "calibration": used.to_dict() if used else None,
              "created": provenance.now(), "git": provenance.git_hash()}  # fmt: skip
    for file, content in ((AGREEMENT, asdict(agreement)), (ORIGIN, origin)):
        runs.write_atomic(folder / file, json.dumps(content, indent=1) + "\n")


def _write_script(kind: Task, artifact: Artifact) -> Path | None:
    """Write what runs the artefact without pocketeye and torch; a torch artefact cannot do without."""
    if artifact.runtime != SCRIPT_RUNTIME:
        return None
    text = dense_script(kind, metadata.version("pocketeye"))
    return runs.write_atomic(artifact.folder / SCRIPT, text)
