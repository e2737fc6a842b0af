"""Say where a library lies and what it is made of, and lead through its phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketeye.data import ImageSet
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.models.space import SearchSpace
from pocketeye.runs import ARCHITECTURE, RunFolder
from pocketeye.searching.choosing.choose import best_networks
from pocketeye.searching.choosing.trained import TrainedNetworks
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.deriving.derive import Optimum
from pocketeye.searching.library.budget import Phases
from pocketeye.searching.library.config import LibraryConfig
from pocketeye.searching.library.learn import (
    FILES,
    digest,
    learn_library,
    library_key,
    weights_sha256,
)
from pocketeye.searching.library.stored import Library
from pocketeye.searching.library.teacher import largest, train_teacher
from pocketeye.searching.problem import Problem
from pocketeye.training.classify.recipe import ClassifyRecipe

TEACHER, LIBRARIES = "teacher", "libraries"
# Networks of the integer program differ at so many layers: near twins would be ranked for nothing.
_MIN_CHANGES = 2


@dataclass(frozen=True, kw_only=True)
class LibraryPlan:
    """Hold what a library is made of.

    Attributes:
        folder: of libraries and their teachers; those of the same inputs are found there again.
        config: settings.
        named: folder of this library, where the user names one.
        given: a trained network of the space that teaches; None where one is trained by ``recipe``.
        recipe: of the teacher's training.
        train: images, of which a part is kept back for judging.
        val: validation images, which choose the teacher's epoch.
        phases: what is spent on what.
        trained: networks of the space whose accuracies are known, if any are.
    """

    folder: Path
    config: LibraryConfig
    named: Path | None = None
    given: FBNet | None = None
    recipe: ClassifyRecipe
    train: ImageSet
    val: ImageSet
    phases: Phases
    trained: TrainedNetworks | None = None

    def teacher_folder(self, space: SearchSpace, search: SearchConfig) -> Path:
        """Return the folder of the teacher that is trained for these inputs."""
        return self.folder / f"{space.name}-{TEACHER}-{digest(self._teacher_key(space, search))}"

    def teacher(self, space: SearchSpace, search: SearchConfig) -> FBNet:
        """Open the given teacher, or train one, or find the one trained before."""
        if self.given is not None:
            return self.given
        folder = self.teacher_folder(space, search)
        # Its own key names the folder: what is there belongs to it, whole or begun.
        with RunFolder.held(
            folder, self._teacher_key(space, search), resume=(folder / "config.yaml").is_file()
        ) as run:
            architecture = run / f"asked-{ARCHITECTURE}"
            if not architecture.is_file():
                largest(space).save(architecture)
            taught, _ = self.train.split(search.theta_fraction, search.seed)
            return train_teacher(architecture, taught, self.val, self.recipe, run, resume=True)

    def scores(self, library: Library) -> NDArray[np.float64]:
        """Return what the integer program adds up, (layers, ops): a swap's cost, NaN where illegal.

        With trained networks these are parts of the accuracy, fitted to them from the swaps on.
        """
        swaps = library.swaps.score(self.config.score)
        if self.trained is None:
            return swaps
        return self.trained.predictor(library.space, swaps).scores

    def library(
        self, teacher: FBNet, space: SearchSpace, problem: Problem, search: SearchConfig
    ) -> Library:
        """Make the library, go on with it, or find it whole."""
        key = library_key(space, weights_sha256(teacher), self.train.sha256, self.config, search)
        folder = self.named or self.folder / f"{space.name}-library-{digest(key)}"
        with RunFolder.held(
            folder, key, resume=(folder / "config.yaml").is_file(), ours=FILES
        ) as run:
            return learn_library(space, teacher, problem, self.config, search, run, resume=True)

    def _teacher_key(self, space: SearchSpace, search: SearchConfig) -> dict[str, Any]:
        recipe = {k: v for k, v in self.recipe.to_dict().items() if k not in ("device", "workers")}
        return {
            "verb": TEACHER, "space": {**space.to_dict(), "name": ""}, "recipe": recipe,
            "data_sha256": self.train.sha256, "theta_fraction": search.theta_fraction,
            "split_seed": search.seed,
        }  # fmt: skip


def optimum_of(scores: NDArray[np.float64], costs: LatencyMatrix) -> Optimum:
    """Return a function that gives the best networks within a budget."""

    def best(high_ms: float, count: int) -> Sequence[tuple[int, ...]]:
        changes = min(_MIN_CHANGES, len(scores))
        return best_networks(scores, costs, high_ms=high_ms, count=count, min_changes=changes)

    return best


def with_teacher(recipe: ClassifyRecipe, teacher: str, alpha: float) -> ClassifyRecipe:
    """Return a recipe that also learns from a teacher, unless it has one."""
    if recipe.teacher is not None:
        return recipe
    return replace(recipe, teacher=teacher, distill="soft", distill_alpha=alpha)
