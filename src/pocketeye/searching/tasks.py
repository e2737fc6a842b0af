"""Open what ``pocketeye search`` learns from, by task, and the training that follows."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pocketeye.data import ImageSet, load_images
from pocketeye.data.semantic.samples import SemanticSet, load_semantic
from pocketeye.errors import InvalidValue
from pocketeye.latency.table import LatencyTable
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.preprocess import fitted
from pocketeye.models.size import make_size, sides, size_text
from pocketeye.models.space import SearchSpace
from pocketeye.models.task import CLASSIFY, SEMANTIC, Task
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import RESULT, RunFolder, read_json
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.metric import AGREEMENT
from pocketeye.searching.outcome import Trained
from pocketeye.searching.problem import Classification, Problem, side
from pocketeye.searching.segmentation import Segmentation
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.run import usual_recipe
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.run import network_options
from pocketeye.training.engine.before import warn_of_test_split

# From scratch, as a searched backbone has no pretrained weights; 16 files tell the usual size.
_RECIPE, _LOOKED_AT = "semantic-scratch", 16


class Retraining(ABC):
    """Train the chosen network, by ``recipe``."""

    recipe: ClassifyRecipe | DenseRecipe

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe, as run folders keep it."""
        return self.recipe.to_dict()

    @abstractmethod
    def train(
        self, architecture: Path, run: RunFolder, resume: bool, start: Path | None = None
    ) -> None:
        """Train into ``run``, which then holds ``best.safetensors``, ``model.json``, ``result.json``.

        Args:
            start: a file of weights to begin with; None: from scratch.
        """

    @abstractmethod
    def outcome(self, folder: Path) -> Trained:
        """Return what the finished training in ``folder`` came to."""


@dataclass(frozen=True, kw_only=True)
class SearchInputs:
    """Data of a task.

    Attributes:
        retraining: of the chosen network; None where none was asked for.
        recipe: of ``semantic``: as it is used, sizes and widths those of the table.
        decisive: what must be the same where a search goes on.
    """

    problem: Problem
    train: ImageSet | SemanticSet
    val: ImageSet | SemanticSet
    retraining: Retraining | None
    recipe: DenseRecipe | None = None
    decisive: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """Hold what the user asked for; ``recipe`` and ``epochs`` are of the training that follows."""

    space: SearchSpace
    config: SearchConfig
    data: str
    classes: str | None
    recipe: str | None
    epochs: int | None
    retrain: bool


@dataclass(frozen=True)
class ClassifierRetraining(Retraining):
    """See :class:`Retraining`; ``expects`` and ``answered`` as of :class:`Classification`."""

    images: ImageSet
    val: ImageSet
    recipe: ClassifyRecipe
    expects: ModelInfo | None = None
    answered: bool = False

    def train(
        self, architecture: Path, run: RunFolder, resume: bool, start: Path | None = None
    ) -> None:
        from pocketeye.training.classify.fit import fit
        from pocketeye.training.classify.start import start_network

        network: Any = start_network(str(architecture), self.images, self.recipe, checkpoint=start)
        if self.expects is not None:
            # What the weights were trained with goes on to whoever uses them.
            inputs = {"mean": self.expects.mean, "std": self.expects.std}
            network.default_cfg = network.pretrained_cfg = {**network.default_cfg, **inputs}
        fit(network, self.images, self.val, self.recipe, run, resume)

    def outcome(self, folder: Path) -> Trained:
        result, counts = read_json(folder / RESULT, epochs=int, metric=str), self.val.class_counts()
        # What saying the commonest class every time would reach.
        trained = Trained.of(result, len(self.val), chance=float(counts.max() / counts.sum()))
        return replace(trained, metric=AGREEMENT.name) if self.answered else trained


@dataclass(frozen=True)
class SegmenterRetraining(Retraining):
    """See :class:`Retraining`; ``described`` still lacks the architecture."""

    images: SemanticSet
    val: SemanticSet
    recipe: DenseRecipe
    described: DenseDescription

    def train(
        self, architecture: Path, run: RunFolder, resume: bool, start: Path | None = None
    ) -> None:
        from pocketeye.training.dense.fit import fit_dense

        assert start is None, "libraries are of classifiers"
        found = Architecture.load(architecture)
        described = replace(
            self.described, backbone=found.name, architecture=json.loads(found.to_json())
        )
        # A resumed training begins with the same network, whatever was drawn before it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            network = described.make(**network_options(self.recipe))
        fit_dense(
            network, self.images, self.val, self.recipe, run, resume, description=described
        )  # fmt: skip

    def outcome(self, folder: Path) -> Trained:
        result = read_json(folder / RESULT, epochs=int, metric=str)
        return Trained.of(result, len(self.val))


def task_of(table: LatencyTable) -> Task:
    """Return the task of the networks that a table was measured for, which a search takes over."""
    return SEMANTIC if table.segmenter else CLASSIFY


def usual_batch(task: Task, recipe: str | None) -> int | None:
    """Return the images of a weight step where the user gives no number: of segmenters the recipe's.

    Maps of crops fill the memory long before those of a classifier do.
    """
    if not task.labels_pixels:
        return None
    # Maps of crops fill the memory long before those of a classifier do: its default is no measure.
    return DenseRecipe.load(recipe or _RECIPE, task.name).batch_size


def open_classification(asked: SearchRequest) -> SearchInputs:
    """Open images with a class each."""
    space, config, data = asked.space, asked.config, asked.data
    if asked.classes is not None:
        raise InvalidValue(
            "--classes says what masks mean, and this latency table is of classifiers: leave it out, or "
            "measure a table of segmenters with `pocketeye measure --task semantic`"
        )
    chosen = None
    if asked.retrain:
        chosen = ClassifyRecipe.load(
            asked.recipe or usual_recipe(data),
            epochs=asked.epochs, input_size=side(space), **machine_of(config),
        )  # fmt: skip
    train, val = (load_images(data, split, in_chans=space.in_chans) for split in ("train", "val"))
    # Data without a validation split give their test split for it: the user should know.
    warn_of_test_split(val.problems)
    if len(train.classes) != space.num_classes:
        raise InvalidValue(
            f"{train.source} has {len(train.classes)} classes, but the latency table was made for "
            f"networks with {space.num_classes}: measure one with --num-classes "
            f"{len(train.classes)}"
        )
    return SearchInputs(
        problem=Classification(train),
        train=train,
        val=val,
        retraining=ClassifierRetraining(train, val, chosen) if chosen else None,
        decisive={"data_sha256": train.sha256},
    )


def open_segmentation(table: LatencyTable, asked: SearchRequest) -> SearchInputs:
    """Open images with masks; the recipe is of the search's crops too, sizes are the table's."""
    assert table.segmenter is not None
    space, config, data = asked.space, asked.config, asked.data
    spec = table.segmenter.spec
    # Images are fitted into the table's size: latency holds for that one alone.
    shorter, longer = min(sides(space.input_size)), max(sides(space.input_size))
    chosen = DenseRecipe.load(
        asked.recipe or _RECIPE, "semantic", epochs=asked.epochs, train_sizes=(shorter,),
        input_size=shorter, max_size=longer, fpn_channels=spec.fpn_channels,
        head_channels=spec.head_channels, **machine_of(config),
    )  # fmt: skip
    # Frozen statistics are those of pretraining, and there was none.
    if asked.retrain and (chosen.norms, chosen.head_norms) != ("live", "live"):
        raise InvalidValue(
            "the chosen network is trained from scratch, for which BN has to learn its statistics: "
            f"this recipe says norms: {chosen.norms} and head_norms: {chosen.head_norms}, use a copy "
            "of it that says live for both, or --no-retrain"
        )
    train, val = (load_semantic(data, split, classes=asked.classes) for split in ("train", "val"))
    if len(train.classes) != spec.num_classes:
        raise InvalidValue(
            f"{train.source} has {len(train.classes)} classes of pixels, but the latency table was "
            f"made for {spec.num_classes}: measure one with --task semantic --num-classes "
            f"{len(train.classes)}"
        )
    _require_size(train, space, shorter)
    described = DenseDescription(
        task=SEMANTIC, backbone="searched", classes=train.classes, min_size=shorter,
        max_size=longer, fpn_channels=spec.fpn_channels, head_channels=spec.head_channels,
        norms=chosen.norms, data=data,
    )  # fmt: skip
    return SearchInputs(
        problem=Segmentation(train, chosen, described),
        train=train,
        val=val,
        retraining=SegmenterRetraining(train, val, chosen, described) if asked.retrain else None,
        recipe=chosen,
        # The search goes on only with the same data: the digest tells.
        decisive={
            "classes": list(train.classes), "data_sha256": _fingerprint(train),
            "recipe": chosen.to_dict(),
        },
    )  # fmt: skip


def _require_size(images: SemanticSet, space: SearchSpace, shorter: int) -> None:
    """Refuse images that the network gets at another size than was measured."""
    found = Counter(
        fitted(size, shorter, max(size) * shorter)
        for number in np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).astype(int)
        if (size := _size_of(images.path(int(number))))
    )
    if not found:  # all damaged: reading them says so later, by name
        return
    usual = found.most_common(1)[0][0]
    # A pixel may be lost to rounding of the aspect ratio.
    if any(abs(a - b) > 1 for a, b in zip(usual, sides(space.input_size), strict=True)):
        raise InvalidValue(
            f"the images of {images.source} are seen at {size_text(make_size(*usual))}, but the "
            f"latency table was measured at {size_text(space.input_size)}: measure one with "
            f"--input-size {size_text(make_size(*usual))}"
        )


def _size_of(path: Path) -> tuple[int, int] | None:
    """Height and width by the file's header; None for one that is damaged."""
    try:
        with Image.open(path) as image:
            return image.height, image.width  # the header alone is read
    except OSError:
        return None


def _fingerprint(images: SemanticSet) -> str:
    """Return a digest of the names and sizes of all files: to read them whole would take long."""
    digest = hashlib.sha256()
    for pair in images.found.pairs:
        for name in pair:
            digest.update(f"{name} {(images.found.root / name).stat().st_size}\n".encode())
    return digest.hexdigest()


def machine_of(config: SearchConfig) -> dict[str, Any]:
    names = ("seed", "device", "precision", "num_processes", "workers")
    return {name: getattr(config, name) for name in names}
