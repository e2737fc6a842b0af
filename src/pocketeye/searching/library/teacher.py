"""Choose and train the network of a space that teaches its candidates, or open one that is given."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, FBNet, build_block, create_model
from pocketeye.models.reference import Run, expect
from pocketeye.models.space import Position, SearchSpace
from pocketeye.models.task import CLASSIFY
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import RESULT, RunFolder
from pocketeye.searching.library.chain import require_in_space
from pocketeye.training.classify.fit import fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.start import start_network


def largest(space: SearchSpace) -> Architecture:
    """Return the network with the most weights at every layer."""
    choices = [max(p.candidates, key=partial(_weights, p)) for p in space.positions]
    return space.architecture(choices, "teacher")


def train_teacher(
    architecture: Path, images: ImageSet, val: ImageSet, recipe: ClassifyRecipe, run: RunFolder,
    *, resume: bool = False,
) -> FBNet:  # fmt: skip
    """Train a teacher as any network is trained, or go on, and return it with its best weights.

    Args:
        architecture: file of the network.
        images: training images without those kept back for judging.
        val: validation images: they choose the epoch.
        run: an open run folder.
    """
    if not (resume and (run / RESULT).is_file()):
        network = start_network(str(architecture), images, recipe)
        fit(network, images, val, recipe, run, resume, name="teacher")
    return open_network(run.path)


def open_given(name: str, space: SearchSpace, images: ImageSet | None = None) -> FBNet:
    """Open a teacher that the user names: a run of a network of the space.

    Args:
        images: where labels are learnt from: the classes must be the teacher's.

    Raises:
        InvalidValue, MissingFile: no run, of another task, space or classes, or without weights.
    """
    named = expect(name, "a search as its teacher", (CLASSIFY,), artifacts=False)
    if not isinstance(named, Run):
        raise InvalidValue(
            f"the teacher {name} is {named.what} without trained weights: give the folder of a run"
        )
    assert named.weights is not None  # says what is missing where it is
    network = create_model(named.folder)
    if not isinstance(network, FBNet):
        raise InvalidValue(
            f"the teacher {name} is a {type(network).__name__}, no network of the space "
            f"{space.name!r}: give a run of one of its networks"
        )
    require_in_space(network.architecture, space, f"the teacher {name}")
    classes = ModelInfo.load(named.folder).classes
    if images is not None and classes != images.classes:
        ours, theirs = (", ".join(names[:3]) for names in (images.classes, classes))
        raise InvalidValue(
            f"the teacher {name} knows the classes {theirs}…, and {images.source} has {ours}…: take a "
            "teacher that was trained on these data"
        )
    return network.eval()


def open_network(folder: Path) -> FBNet:
    """Return the network of a finished training of one."""
    network = create_model(folder)
    assert isinstance(network, FBNet)
    return network.eval()


def _weights(position: Position, op: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_block(position.spec(op)).parameters())
