"""Make the plan of a library from what the user asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye.data import ImageSet, load_images
from pocketeye.data.classification.folders import holds_loose_images
from pocketeye.data.classification.images import load_unlabelled
from pocketeye.data.classification.layouts import Split
from pocketeye.errors import InvalidValue
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.models import FBNet, SearchSpace
from pocketeye.searching.choosing.plan import LIBRARIES, LibraryPlan, with_teacher
from pocketeye.searching.choosing.trained import read_trained
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.library.budget import Job, Phases, divide
from pocketeye.searching.library.config import LARGE, LibraryConfig
from pocketeye.searching.library.network import NamedNetwork, answered_by, relabelled
from pocketeye.searching.library.teacher import largest, open_given
from pocketeye.searching.problem import Classification, side
from pocketeye.searching.tasks import (
    ClassifierRetraining,
    SearchInputs,
    SearchRequest,
    machine_of,
)
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.run import usual_recipe
from pocketeye.training.engine.before import warn_of_test_split

MAX_TRAININGS = 3.0
"""What a search may cost, in trainings of one network, where the user does not say."""
FASTER = "faster"
"""Recipe of the final training of a network that begins with another one's weights."""
_SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class LibraryRequest:
    """Hold what the user asked for; None leaves the default.

    Attributes:
        teacher: a run that teaches.
        teacher_epochs: of the training of a teacher of ours.
        folder: of this library.
        epochs: whole passes over the images in which candidates learn.
        theta_epochs: in which theta is trained.
        tune_steps: of every network before it is ranked.
        max_trainings: what all of these may cost where they are not given, in trainings of a network.
        trained: runs of networks of the space, whose accuracies correct what swaps say.
        distill: let the final training learn from the teacher too.
    """

    teacher: str | None = None
    teacher_epochs: int | None = None
    folder: Path | None = None
    epochs: int | None = None
    theta_epochs: int | None = None
    tune_steps: int | None = None
    max_trainings: float | None = None
    trained: Sequence[Path] = ()
    distill: bool = True

    def refuse_elsewhere(self, mode: str) -> None:
        """Raise InvalidValue where something was asked for that only mode ``library`` has."""
        named = {"--teacher": self.teacher, "--teacher-epochs": self.teacher_epochs,
                 "--library": self.folder, "--library-epochs": self.epochs,
                 "--tune-steps": self.tune_steps, "--max-trainings": self.max_trainings,
                 "--trained": self.trained or None}  # fmt: skip
        given = [option for option, value in named.items() if value is not None]
        if given and mode != "library":
            raise InvalidValue(f"{given[0]} is of --mode library: add that, or leave it out")


@dataclass(frozen=True, kw_only=True)
class DeviceTarget:
    """Hold what is searched for: latencies of a device, a target on it, how many networks are ranked."""

    latencies: LatencyMatrix
    target_ms: float
    num_ranked: int


def theta_settings(space: SearchSpace) -> dict[str, Any]:
    """Return settings of theta's training that keep a mixture of large maps in memory."""
    if not isinstance(space.input_size, int) or space.input_size < LARGE:
        return {}
    return {"batch_size": 32, "theta_batch_size": 8, "checkpointing": True}


def open_library(
    request: LibraryRequest,
    asked: SearchRequest,
    opened: SearchInputs,
    device: DeviceTarget,
    parent: Path,
    network: NamedNetwork | None = None,
) -> tuple[LibraryPlan, SearchInputs, SearchConfig]:
    """Return the plan, the inputs with a final training that fits it, and the settings of theta.

    Args:
        device: its latencies and how many networks are ranked for it.
        parent: folder beside whose runs libraries are kept.
        network: the one that is to become faster, if that is what was asked for.

    Raises:
        InvalidValue: a search of segmenters, or a teacher with a second source of epochs.
    """
    if not isinstance(opened.train, ImageSet):
        raise InvalidValue(
            "--mode library teaches classifiers, and this table is of segmenters: use --mode fast"
        )
    assert isinstance(opened.val, ImageSet)
    if network is not None and request.teacher is not None:
        raise InvalidValue(
            f"--network {network.name} is the teacher itself: leave out --teacher {request.teacher}"
        )
    if request.teacher is not None and request.teacher_epochs is not None:
        raise InvalidValue("--teacher is trained already: leave out --teacher-epochs")
    given = network.chain if network is not None else None
    # Before a folder is made: a teacher that does not fit ends everything.
    if request.teacher is not None:
        given = open_given(request.teacher, asked.space, opened.train)
    # Of a network of the space, whatever --train-epochs asks for: the teacher is shared by searches.
    recipe = ClassifyRecipe.load(
        asked.recipe or (usual_recipe(asked.data) if network is None else FASTER),
        input_size=side(asked.space), **machine_of(asked.config),
    )  # fmt: skip
    phases = _phases(request, asked, recipe, len(opened.train), device, given)
    config = replace(asked.config, epochs=request.theta_epochs or phases.theta_epochs)
    learning: dict[str, int | None] = {"epochs": phases.epochs, "steps": phases.steps}
    if request.epochs is not None:
        learning = {"epochs": request.epochs, "steps": None}
    plan = LibraryPlan(
        folder=parent / LIBRARIES,
        config=LibraryConfig.for_side(
            side(asked.space), batch_size=config.batch_size, **learning,
            tune_steps=phases.tune_steps if request.tune_steps is None else request.tune_steps,
        ),
        named=request.folder,
        given=given,
        # Of a given teacher, for which there are none, the recipe is never used.
        recipe=replace(recipe, epochs=request.teacher_epochs or phases.teacher_epochs or 1),
        train=opened.train,
        val=opened.val,
        phases=phases,
        trained=read_trained(request.trained, asked.space, opened.train) if request.trained else None,
    )  # fmt: skip
    decisive = {
        **opened.decisive, "library": plan.config.to_dict(), "teacher": request.teacher,
        "trained": plan.trained.to_dict() if plan.trained is not None else None,
    }  # fmt: skip
    retraining = opened.retraining
    if isinstance(retraining, ClassifierRetraining) and request.distill:
        teacher = request.teacher or str(plan.teacher_folder(asked.space, config))
        if network is not None:
            teacher = network.name
        # A teacher's answers as labels say less than its probabilities: these alone are learnt.
        alpha = 1.0 if retraining.answered else retraining.recipe.distill_alpha
        retraining = replace(retraining, recipe=with_teacher(retraining.recipe, teacher, alpha))
    return plan, replace(opened, retraining=retraining, decisive=decisive), config


def _phases(
    request: LibraryRequest, asked: SearchRequest, recipe: ClassifyRecipe, num_images: int,
    device: DeviceTarget, given: FBNet | None,
) -> Phases:  # fmt: skip
    config, trainings = asked.config, request.max_trainings
    job = Job(
        epochs=recipe.epochs, num_images=num_images, kept_back=config.theta_fraction,
        batch_size=config.batch_size, num_ranked=device.num_ranked,
    )  # fmt: skip
    teacher = given.architecture if given is not None else largest(asked.space)
    return divide(
        MAX_TRAININGS if trainings is None else trainings, job, asked.space, device.latencies,
        device.target_ms, teacher, given=given is not None,
    )  # fmt: skip


def open_images(network: NamedNetwork, asked: SearchRequest, *, labels: bool) -> SearchInputs:
    """Open images for a network that is to become faster: with labels, or with its own answers.

    Args:
        labels: use the labels there are; images in no class folders have none anyway.

    Raises:
        InvalidValue: labels of classes that the network does not know, or masks.
    """
    if asked.classes is not None:
        raise InvalidValue(
            "--classes says what masks mean, and --network is a classifier: leave it out"
        )
    in_chans, info = asked.space.in_chans, network.info
    answered = not labels or holds_loose_images(Path(asked.data))
    if answered:
        train, val = (
            answered_by(
                network, load_unlabelled(asked.data, split, in_chans=in_chans), asked.config
            )
            for split in _SPLITS
        )
    else:
        train, val = (
            relabelled(load_images(asked.data, split, in_chans=in_chans), network)
            for split in _SPLITS
        )
        warn_of_test_split(val.problems)
    retraining = None
    if asked.retrain:
        recipe = ClassifyRecipe.load(
            asked.recipe or FASTER, epochs=asked.epochs, input_size=side(asked.space),
            crop_pct=info.crop_pct, interpolation=info.interpolation, **machine_of(asked.config),
        )  # fmt: skip
        # A few dozen photos are enough to begin with: they are one batch then.
        recipe = replace(recipe, batch_size=min(recipe.batch_size, len(train)))
        retraining = ClassifierRetraining(train, val, recipe, info, answered)
    return SearchInputs(
        problem=Classification(train, info, answered), train=train, val=val, retraining=retraining,
        decisive={"data_sha256": train.sha256, "network": network.name, "labels": not answered},
    )  # fmt: skip
