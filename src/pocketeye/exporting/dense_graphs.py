"""Write the graphs of a detector or segmenter: one for the image, and the heads of Mask R-CNN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketeye.artifacts.dense import BOX_HEAD, MASK_HEAD, DenseManifest
from pocketeye.artifacts.mask_rcnn_numpy import BOX_SIDE, MASK_SIDE
from pocketeye.errors import InvalidValue
from pocketeye.exporting.head_crops import HeadCrops, head_crops
from pocketeye.models import (
    MaskRCNN,
    RawBoxHead,
    RawMaskHead,
    RawProposals,
    RawRetinaNet,
    RawSemantic,
)
from pocketeye.models.dense.described import DenseDescription, DenseNetwork
from pocketeye.models.dense.preprocess import fitted
from pocketeye.models.dense.retinanet import RetinaNet
from pocketeye.runtimes import Artifact, ExportRequest, Precision, Runtime

# The coarsest map of a backbone has a stride of 32, to which torchvision pads images too.
DIVISOR = 32

# Static sizes of the heads: 1000 proposals go through the box head in four runs, 100 objects through
# the mask head in four.
_BOX_CROPS, _MASK_CROPS = 250, 25
# Every image costs a pass of the calibrator.
CALIBRATION = 32


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
    if shorter < DIVISOR:
        raise InvalidValue(f"--input-size must be {DIVISOR} pixels or more, not {shorter}")
    shapes = [image.shape[:2] for image in images]
    # The most frequent shape: others are fitted into it, with borders.
    height, width = max(set(shapes), key=shapes.count) if shapes else (3, 4)
    sides = fitted((height, width), shorter, longer)
    up = [math.ceil(side / divisor) * divisor for side in sides]
    return up[0], up[1]


def raw_graph(
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


def write_graph(
    module: Any, runtime: Runtime, precision: Precision, folder: Path,
    inputs: Sequence[tuple[np.ndarray, ...]], name: str = "image",
) -> Artifact:  # fmt: skip
    return runtime.export(graph_request(module, precision, inputs, name), folder)


def graph_request(
    module: Any, precision: Precision, inputs: Sequence[tuple[np.ndarray, ...]], name: str = "image"
) -> ExportRequest:
    """Ask for the graph of a module with names of its outputs, of the shape of its first input."""
    return ExportRequest(
        module,
        tuple(torch.from_numpy(array) for array in inputs[0]),
        precision=precision,
        calibration=inputs[:CALIBRATION],
        input_names=(name,),
        output_names=module.output_names,
    )


def write_heads(
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
        write_graph(head.eval(), runtime, precision, folder / part, inputs, "crops")


def write_graphs(
    network: DenseNetwork,
    raw: Any,
    manifest: DenseManifest,
    runtime: Runtime,
    precision: Precision,
    folder: Path,
    fits: Sequence[tuple[np.ndarray, Any]],
) -> tuple[Artifact, HeadCrops | None]:
    """Write all graphs of a network into ``folder``; return the first, and what the heads were given.

    Args:
        raw, manifest: from :func:`raw_graph`.
        fits: images as the first graph takes them, with how each was fitted.
    """
    crops = None
    # The heads are given crops, which only the first graph and NMS make: int8 needs real ones.
    if isinstance(network, MaskRCNN) and precision == "int8":
        crops = head_crops(network, raw, fits, manifest.crops_per_run)
    artifact = write_graph(raw, runtime, precision, folder, [(image,) for image, _ in fits])
    if isinstance(network, MaskRCNN):
        write_heads(network, runtime, precision, folder, crops, manifest)
    return artifact, crops
