"""Read and write ``model.json`` of a trained detector or segmenter: what one must know to use it.

It is written by training and read wherever a run folder is named.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import nn

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.backbone import NormMode
from pocketeye.models.dense.detection import create_detector
from pocketeye.models.dense.mask_rcnn import MaskRCNN
from pocketeye.models.dense.retinanet import RetinaNet
from pocketeye.models.dense.semantic import create_semantic
from pocketeye.models.dense.semantic_fpn import SemanticFPN
from pocketeye.models.task import DENSE, Task
from pocketeye.models.weights.described import Description, Share, Spread, require_length
from pocketeye.models.weights.load import load_checkpoint
from pocketeye.reading import Channels, Pixels
from pocketeye.runs import BEST

DenseTask = Literal["detect", "instance", "semantic"]
DENSE_TASKS: tuple[DenseTask, ...] = get_args(DenseTask)
DenseNetwork = RetinaNet | MaskRCNN | SemanticFPN


@dataclass(frozen=True, kw_only=True)
class DenseDescription(Description):
    """Describe a detector or segmenter: task, backbone, classes and sizes.

    Attributes:
        task: ``detect`` (RetinaNet), ``instance`` (Mask R-CNN) or ``semantic`` (Semantic FPN).
        backbone: registered name; of a searched one its own name, with ``architecture``.
        architecture: content of its ``architecture.json``, where it is no registered one.
        classes: names in the order of the labels.
        category_ids: by which COCO results know the classes; of ``semantic`` empty.
        min_size: pixels of the shorter side to which images are resized, their shape kept,
        max_size: unless the longer one would be above this.
        fpn_channels: width of the pyramid.
        head_channels: of the head of ``semantic``.
        norms: how training treats the backbone's BN.
        mean, std: of values 0 to 1, one per channel.
        data: what it was trained on, as the user named it.
    """

    SCHEMA: ClassVar[str] = "pocketeye.dense/1"
    WHAT: ClassVar[str] = "a run of a detector or segmenter"
    TASKS: ClassVar[tuple[Task, ...]] = DENSE

    task: Task
    backbone: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...] = ()
    architecture: dict[str, Any] | None = None
    min_size: Pixels = 800
    max_size: Pixels = 1333
    fpn_channels: Channels = 256
    head_channels: Channels = 128
    norms: NormMode = "eval"
    mean: tuple[Share, ...] = (0.485, 0.456, 0.406)
    std: tuple[Spread, ...] = (0.229, 0.224, 0.225)
    data: str = ""

    def require_sound(self) -> None:
        if not self.classes:
            raise InvalidValue("classes is empty: a network without classes finds nothing")
        if self.category_ids:
            require_length(
                "category_ids", self.category_ids, self.num_classes, "the number of classes"
            )
        for name in ("mean", "std"):
            require_length(name, getattr(self, name), 3, "the number of channels")
        if self.min_size > self.max_size:
            raise InvalidValue(f"min_size {self.min_size} is above max_size {self.max_size}")

    @property
    def network(self) -> str:
        """Name of the network: ``retinanet``, ``mask_rcnn`` or ``semantic_fpn``."""
        return self.task.network

    @property
    def num_classes(self) -> int:
        """Number of classes, without the background of detectors."""
        return len(self.classes)

    def make(self, **kwargs: Any) -> DenseNetwork:
        """Make the network, with fresh weights.

        Args:
            kwargs: for ``create_detector`` or ``create_semantic``, for example ``backbone_kwargs``.

        Raises:
            InvalidValue: an unknown backbone, or one without the maps that are needed.
        """
        backbone: Any = self.backbone
        if self.architecture is not None:
            # Through the reader of files: one place that checks what an architecture may be.
            backbone = Architecture.from_json(json.dumps(self.architecture))
        options: dict[str, Any] = {"norms": self.norms, "fpn_channels": self.fpn_channels, **kwargs}
        if self.task.labels_pixels:
            return create_semantic(
                backbone, self.num_classes, channels=self.head_channels, **options
            )
        options = {"min_size": self.min_size, "max_size": self.max_size, **options}
        return create_detector(
            self.network, backbone, self.num_classes,
            image_mean=list(self.mean), image_std=list(self.std), **options,
        )  # fmt: skip


def open_dense(
    run: Path, device: torch.device | str = "cpu"
) -> tuple[DenseNetwork, DenseDescription]:
    """Open the network of a finished run, with its best weights and in eval mode, and its description.

    Raises:
        MissingFile: no such run, or no weights yet. InvalidValue: damaged, or not a dense run.
    """
    described = DenseDescription.load(run)
    if not (run / BEST).is_file():
        raise MissingFile(f"{run} has no weights yet ({BEST} is missing): finish its training")
    # Fresh weights are drawn and replaced at once: the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = described.make()
    # By this and not by load_state_dict: a file that does not fit gets a sentence.
    load_checkpoint(network, run / BEST)
    return network.eval().to(device), described  # type: ignore[return-value]
