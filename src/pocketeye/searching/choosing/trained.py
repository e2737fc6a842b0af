"""Read networks of a space that were trained anyway: their accuracies teach a predictor."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import Architecture, SearchSpace
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import ARCHITECTURE, RECIPE, RESULT, read_json
from pocketeye.searching.choosing.predictor import LEAST, Predictor, fit_predictor
from pocketeye.searching.library.chain import columns, require_in_space

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainedNetworks:
    """Hold networks of a space and what each was trained to, the mean over its runs.

    Attributes:
        choices: op columns (N, layers).
        accuracies: fractions (N,).
        num_runs: finished trainings that were read.
    """

    choices: NDArray[np.int64]
    accuracies: NDArray[np.float64]
    num_runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return what a search that goes on must find again."""
        return {"choices": self.choices.tolist(), "accuracies": self.accuracies.tolist()}

    def predictor(self, space: SearchSpace, prior: NDArray[np.float64]) -> Predictor:
        """Fit what each candidate adds to the accuracy, beginning with a library's scores."""
        return fit_predictor(space, self.choices, self.accuracies, prior=prior)


def read_trained(folders: Sequence[Path], space: SearchSpace, images: ImageSet) -> TrainedNetworks:
    """Read finished runs of ``pocketeye train classify``.

    Args:
        folders: runs, or folders that hold runs.
        space: of the networks.
        images: that they were trained on.

    Raises:
        MissingFile: a folder that is not there, or without a finished run.
        InvalidValue: a network of another space or trained on other data, or fewer than eight.
    """
    found: dict[tuple[int, ...], list[float]] = defaultdict(list)
    recipes: dict[str, Path] = {}
    for folder in folders:
        for run in _runs(folder):
            architecture = Architecture.load(run / ARCHITECTURE)
            require_in_space(architecture, space, f"the network of {run}")
            _require_data(run, images)
            value = read_json(run / RESULT, value=float)["value"]
            found[columns(space, architecture)].append(float(value))
            recipes.setdefault(_recipe_of(run), run)
    if len(found) < LEAST:
        raise InvalidValue(
            f"--trained needs {LEAST} different networks or more, got {len(found)}: train more, or "
            "leave it out"
        )
    if len(recipes) > 1:
        first, second, *_ = recipes.values()
        logger.warning(
            "%s and %s were trained by different recipes: their accuracies may not compare",
            first, second,
        )  # fmt: skip
    return TrainedNetworks(
        choices=np.array(list(found)),
        accuracies=np.array([np.mean(values) for values in found.values()]),
        num_runs=sum(map(len, found.values())),
    )


def _runs(folder: Path) -> Iterator[Path]:
    """Give the folder itself if it is a finished run, else those of its subfolders that are."""
    if not folder.is_dir():
        raise MissingFile(f"no folder at {folder}: --trained takes runs, or folders of runs")
    inside = [each for each in sorted(folder.iterdir()) if each.is_dir()]
    # What a search found is trained in a folder of its own.
    inside += [each / "train" for each in inside]
    finished = [
        each for each in (folder, *inside)
        if all((each / name).is_file() for name in (RESULT, ARCHITECTURE, RECIPE))
    ]  # fmt: skip
    if not finished:
        raise MissingFile(
            f"{folder} holds no finished run of a network of a search space: --trained takes folders "
            "of pocketeye train classify"
        )
    yield from finished[:1] if finished[0] == folder else finished


def _require_data(run: Path, images: ImageSet) -> None:
    info = ModelInfo.load(run)
    if info.classes != images.classes:
        raise InvalidValue(
            f"{run} was trained on other data than {images.source}: its classes are "
            f"{', '.join(info.classes[:3])}…"
        )


def _recipe_of(run: Path) -> str:
    """Return the recipe but for its seed, as text."""
    lines = (run / RECIPE).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("seed:"))
