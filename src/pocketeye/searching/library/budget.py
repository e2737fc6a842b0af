"""Divide what a search with a library may cost, counted in trainings of one network it could find.

Costs are multiply-adds: an image that passes a network counts once, one that trains it three times
(the pass, the gradients of the maps, those of the weights), one that trains theta twice, as weights
stand still there. Teacher and library follow from space, recipe and data alone, so that a search for
another device or another target finds them made; theta and ranking from the target too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketeye.errors import InvalidValue
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.latency.sampling import spread
from pocketeye.models import Architecture, FBNet, PlacedBlock, SearchSpace, build_block, count
from pocketeye.models.size import sides
from pocketeye.searching.library.chain import columns

_TRAIN, _THETA = 3, 2  # passes that a step stands for, as the module's text says
# Parts of the budget. The teacher gets most: what it does not know, no candidate learns.
_TEACHER, _LIBRARY = 0.4, 0.25
# Of what is left then: the rest of it is for ranking whole networks.
_THETA_PART = 0.4
# Of so many networks, from the cheapest to the dearest, the nearest to the target are typical of it.
_SPREAD, _NEAREST = 64, 8
# Of a space without a target: searches are for devices with little time, so one of its smaller networks.
_QUANTILE = 0.25
# A checkpoint is written after each: an interruption loses a quarter of the library at most.
_SITTINGS = 4
# More passes than these teach candidates and theta nothing new, whatever a small set allows.
_MOST_EPOCHS, _MOST_THETA_EPOCHS, _MOST_TUNE_STEPS = 8, 12, 200
# With fewer, networks put together of taught blocks are ranked by how badly these fit together.
_FEWEST_TUNE_STEPS = 20


class Work(NamedTuple):
    """Hold the multiply-adds of an image in every candidate, and in stem and head together.

    ``blocks`` is (layers, ops), NaN where a candidate is illegal.
    """

    blocks: NDArray[np.float64]
    ends: float

    def of(self, choices: Sequence[int]) -> float:
        """Return those of a network given as op columns."""
        return float(self.blocks[np.arange(len(self.blocks)), list(choices)].sum()) + self.ends


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Say how long each phase may take.

    Attributes:
        teacher_epochs: of the teacher's training; 0 for a teacher that is given.
        epochs: in which candidates learn, each on images of its own draw.
        steps: of such an epoch.
        theta_epochs: passes over the kept-back images that train theta.
        tune_steps: steps of every network before it is ranked.
        trainings: what all of this costs, in trainings of a network near the target.
        images: that these trainings see together, if it is spent on such a network.
        teacher_pass: what an image costs more where the teacher answers it too, a share of training.
    """

    teacher_epochs: int
    epochs: int
    steps: int
    theta_epochs: int
    tune_steps: int
    trainings: float
    images: float
    teacher_pass: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """Hold what decides the costs.

    Attributes:
        epochs: of the training that a network of the space gets.
        num_images: of all training images.
        kept_back: share of them that trains theta and ranks.
        batch_size: of a step of the library, and of fine-tuning.
        num_ranked: networks that are fine-tuned and ranked.
    """

    epochs: int
    num_images: int
    kept_back: float
    batch_size: int
    num_ranked: int

    @property
    def num_taught(self) -> float:
        return (1 - self.kept_back) * self.num_images

    @property
    def num_kept_back(self) -> float:
        return self.kept_back * self.num_images


def divide(
    trainings: float, job: Job, space: SearchSpace, latencies: LatencyMatrix, target_ms: float,
    teacher: Architecture, *, given: bool,
) -> Phases:  # fmt: skip
    """Return phases that cost about ``trainings`` trainings together; each gets a little at least.

    Args:
        trainings: the budget.
        job: sizes of everything.
        space: of the networks.
        latencies: of the device, and ``target_ms`` on it: they say which networks will be trained.
        teacher: its architecture.
        given: it is trained already, and its part of the budget is not spent.

    Raises:
        InvalidValue: a budget that is not above 0.
    """
    if not trainings > 0:
        raise InvalidValue(f"the budget must be above 0 trainings, got {trainings:g}")
    work = work_of(space)
    small, network = typical(space, work, latencies, target_ms)
    costs = _Costs(
        job, network, work.of(columns(space, teacher)), float(np.nansum(work.blocks)) + work.ends
    )
    # What searches share is paid by trainings of a small network, whatever the target.
    shared = trainings * costs.a_training(small)
    teacher_epochs = 0
    if not given:
        teacher_epochs = _between(1, _TEACHER * shared / costs.teacher_epoch, job.epochs)
    steps = _between(_SITTINGS, _LIBRARY * shared / costs.step, _MOST_EPOCHS * costs.steps_a_pass)
    epochs = max(_SITTINGS, math.ceil(steps / costs.steps_a_pass))
    spent = teacher_epochs * costs.teacher_epoch + epochs * (steps // epochs) * costs.step
    # The rest is for this target alone; a given teacher's part is left over.
    parts = 1.0 - (_TEACHER if given else 0.0)
    left = max(parts * trainings * costs.a_training(network) - spent, 0.0)
    theta_epochs = _between(1, _THETA_PART * left / costs.theta_epoch, _MOST_THETA_EPOCHS)
    for_tuning = (1 - _THETA_PART) * left - costs.judging
    tune_steps = _between(_FEWEST_TUNE_STEPS, for_tuning / costs.tune_step, _MOST_TUNE_STEPS)
    spent += theta_epochs * costs.theta_epoch + costs.judging + tune_steps * costs.tune_step
    return Phases(
        teacher_epochs=teacher_epochs, epochs=epochs, steps=steps // epochs,
        theta_epochs=theta_epochs, tune_steps=tune_steps,
        trainings=spent / costs.a_training(network), images=spent / (_TRAIN * network),
        teacher_pass=costs.teacher / (_TRAIN * network),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Costs:
    """Count the multiply-adds of what a search does.

    Args:
        job: sizes.
        network: an image's in a network near the target.
        teacher: in the teacher.
        candidates: in all candidates of all layers.
    """

    job: Job
    network: float
    teacher: float
    candidates: float

    def a_training(self, network: float) -> float:
        return _TRAIN * self.job.epochs * self.job.num_images * network

    @property
    def teacher_epoch(self) -> float:
        return _TRAIN * self.teacher * self.job.num_taught

    @property
    def step(self) -> float:
        """Of the library: the teacher passes, and all candidates learn."""
        return self.job.batch_size * (_TRAIN * self.candidates + self.teacher)

    @property
    def steps_a_pass(self) -> int:
        return max(int(self.job.num_taught) // self.job.batch_size, 1)

    @property
    def theta_epoch(self) -> float:
        return self.job.num_kept_back * (_THETA * self.candidates + self.teacher)

    @property
    def judging(self) -> float:
        return self.job.num_ranked * self.network * self.job.num_kept_back

    @property
    def tune_step(self) -> float:
        """Of all networks that are ranked."""
        return self.job.num_ranked * self.job.batch_size * (_TRAIN * self.network + self.teacher)


def work_of(space: SearchSpace) -> Work:
    """Count the multiply-adds of every candidate of a space."""
    blocks = np.full((space.num_layers, len(space.ops)), np.nan)
    for layer, position in enumerate(space.positions):
        for op in position.candidates:
            blocks[layer, space.ops.index(op)] = _macs(position.placed(op))
    first = space.architecture([position.candidates[0] for position in space.positions], "first")
    whole = count(FBNet(first), (first.in_chans, *sides(first.input_size))).macs
    chosen = blocks[np.arange(space.num_layers), list(columns(space, first))].sum()
    return Work(blocks, float(whole - chosen))


def typical(
    space: SearchSpace, work: Work, latencies: LatencyMatrix, target_ms: float
) -> tuple[float, float]:
    """Return multiply-adds of a small network of the space, and of networks near the target."""
    macs = np.array([work.of(columns(space, n)) for n in _by_distance(space, latencies, target_ms)])
    return float(np.quantile(macs, _QUANTILE)), float(macs[:_NEAREST].mean())


def near_target(
    space: SearchSpace, latencies: LatencyMatrix, target_ms: float
) -> list[Architecture]:
    """Return random networks of predicted latencies near the target, the nearest first."""
    return _by_distance(space, latencies, target_ms)[:_NEAREST]


def _by_distance(
    space: SearchSpace, latencies: LatencyMatrix, target_ms: float
) -> list[Architecture]:
    drawn = spread(space, _SPREAD, 0)
    predicted = latencies.predict(np.array([columns(space, network) for network in drawn]))
    return [drawn[i] for i in np.argsort(np.abs(predicted - target_ms))]


@lru_cache(maxsize=4096)
def _macs(placed: PlacedBlock) -> int:
    return count(build_block(placed.spec), placed.input_shape).macs


def _between(low: int, wanted: float, high: int) -> int:
    return max(low, min(round(wanted), high))
