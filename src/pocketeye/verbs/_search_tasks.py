"""What ``pocketeye search`` learns from, by task: its data opened, and the training that follows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from pocketeye.data import ImageSet, load_images
from pocketeye.data.semantic import SemanticSet, load_semantic
from pocketeye.errors import InvalidValue
from pocketeye.latency.table import LatencyTable
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense_described import DenseDescription
from pocketeye.models.size import sides
from pocketeye.models.space import SearchSpace
from pocketeye.runs import RunFolder
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.problem import Classification, Problem, side
from pocketeye.searching.report import Trained
from pocketeye.searching.segmentation import Segmentation
from pocketeye.training.config import TrainConfig, load_recipe
from pocketeye.training.dense_config import DenseConfig, load_dense_recipe
from pocketeye.training.report import RESULT

SearchableTask = Literal["classify", "semantic"]


class Retraining(ABC):
    """The training of the chosen network from scratch, by ``recipe``."""

    recipe: TrainConfig | DenseConfig

    def to_dict(self) -> dict[str, Any]:
        """The recipe, as run folders keep it."""
        return self.recipe.to_dict()

    @abstractmethod
    def train(self, architecture: Path, run: RunFolder, resume: bool) -> None:
        """Train into ``run``, which then holds ``best.safetensors``, ``model.json``, ``result.json``."""

    @abstractmethod
    def outcome(self, folder: Path) -> Trained:
        """What the finished training in ``folder`` came to."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Data of a task; ``decisive`` is what must be the same where a search goes on."""

    problem: Problem
    train: ImageSet | SemanticSet
    val: ImageSet | SemanticSet
    retraining: Retraining | None
    decisive: dict[str, Any]


@dataclass(frozen=True)
class ClassifierRetraining(Retraining):
    """See :class:`Retraining`."""

    images: ImageSet
    val: ImageSet
    recipe: TrainConfig

    def train(self, architecture: Path, run: RunFolder, resume: bool) -> None:
        from pocketeye.training.fit import fit
        from pocketeye.training.start import start_network

        network = start_network(str(architecture), self.images, self.recipe)
        fit(network, self.images, self.val, self.recipe, run, resume)

    def outcome(self, folder: Path) -> Trained:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        return Trained(value=result["top1"], num_images=len(self.val), epochs=result["epochs"])


@dataclass(frozen=True)
class SegmenterRetraining(Retraining):
    """See :class:`Retraining`; ``described`` still lacks the architecture."""

    images: SemanticSet
    val: SemanticSet
    recipe: DenseConfig
    described: DenseDescription

    def train(self, architecture: Path, run: RunFolder, resume: bool) -> None:
        from pocketeye.training.fit_dense import fit_dense

        found = Architecture.load(architecture)
        described = replace(
            self.described, backbone=found.name, architecture=json.loads(found.to_json())
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            network = described.make(drop_rate=self.recipe.drop_rate)
        fit_dense(
            network, self.images, self.val, self.recipe, run, resume, description=described
        )  # fmt: skip

    def outcome(self, folder: Path) -> Trained:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        return Trained(
            value=result["value"], num_images=len(self.val), epochs=result["epochs"],
            metric=result["metric"],
        )  # fmt: skip


def task_of(asked: SearchableTask | None, table: LatencyTable) -> SearchableTask:
    """That of the table, which must be the one asked for.

    Raises:
        InvalidValue: it is not.
    """
    own: SearchableTask = "semantic" if table.segmenter else "classify"
    if asked not in (None, own):
        what = {"classify": "classifiers", "semantic": "segmenters"}
        raise InvalidValue(
            f"this latency table is of {what[own]}, and --task {asked} needs one of "
            f"{what[str(asked)]}: measure it with `pocketeye measure --task {asked}`"
        )
    return own


def open_classification(
    space: SearchSpace,
    config: SearchConfig,
    data: str,
    classes: str | None,
    recipe: str | None,
    epochs: int | None,
    retrain: bool,
) -> Opened:
    """Images with a class each; ``recipe`` and ``epochs`` of the training that follows."""
    if classes is not None:
        raise InvalidValue("--classes says what the masks of --task semantic mean: leave it out")
    chosen = None
    if retrain:
        chosen = load_recipe(
            recipe or ("digits" if data == "digits" else "small-cpu"),
            epochs=epochs, input_size=side(space), **_machine(config),
        )  # fmt: skip
    train, val = (load_images(data, split, in_chans=space.in_chans) for split in ("train", "val"))
    if len(train.classes) != space.num_classes:
        raise InvalidValue(
            f"{train.source} has {len(train.classes)} classes, but the latency table was made for "
            f"networks with {space.num_classes}: measure one with --num-classes "
            f"{len(train.classes)}"
        )
    return Opened(
        problem=Classification(train),
        train=train,
        val=val,
        retraining=ClassifierRetraining(train, val, chosen) if chosen else None,
        decisive={"data_sha256": train.sha256},
    )


def open_segmentation(
    table: LatencyTable,
    space: SearchSpace,
    config: SearchConfig,
    data: str,
    classes: str | None,
    recipe: str | None,
    epochs: int | None,
    retrain: bool,
) -> Opened:
    """Pictures with masks; the recipe is of the search's crops too, sizes and widths are the table's."""
    assert table.segmenter is not None
    spec = table.segmenter.spec
    shorter, longer = min(sides(space.input_size)), max(sides(space.input_size))
    chosen = load_dense_recipe(
        recipe or "semantic-small", "semantic", epochs=epochs, min_sizes=(shorter,),
        min_size=shorter, max_size=longer, fpn_channels=spec.fpn_channels,
        head_channels=spec.head_channels, **_machine(config),
    )  # fmt: skip
    if chosen.needs_sync and retrain:
        raise InvalidValue(
            "this recipe takes the statistics of BN over all processes (norms or head_norms: sync): "
            "use a copy of it that says live"
        )
    train, val = (load_semantic(data, split, classes=classes) for split in ("train", "val"))
    if len(train.classes) != spec.num_classes:
        raise InvalidValue(
            f"{train.source} has {len(train.classes)} classes of pixels, but the latency table was "
            f"made for {spec.num_classes}: measure one with --task semantic --num-classes "
            f"{len(train.classes)}"
        )
    described = DenseDescription(
        task="semantic", backbone="searched", classes=train.classes, min_size=shorter,
        max_size=longer, fpn_channels=spec.fpn_channels, head_channels=spec.head_channels,
        norms=chosen.norms, data=data,
    )  # fmt: skip
    return Opened(
        problem=Segmentation(train, chosen, described),
        train=train,
        val=val,
        retraining=SegmenterRetraining(train, val, chosen, described) if retrain else None,
        decisive={"classes": list(train.classes), "num_train": len(train), "crops": chosen.crop},
    )


def _machine(config: SearchConfig) -> dict[str, Any]:
    names = ("seed", "device", "precision", "num_processes", "workers")
    return {name: getattr(config, name) for name in names}
