"""Estimate how long a search will take, from a few steps measured before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketeye.devices import resolve_device
from pocketeye.latency.drift import NUM_AGAIN
from pocketeye.latency.protocol import Protocol
from pocketeye.models import FBNet, SearchSpace
from pocketeye.searching.batches import Loader
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.learning import schedule
from pocketeye.searching.learning.phases import PhaseLoader
from pocketeye.searching.library.budget import Phases, near_target
from pocketeye.searching.problem import Problem
from pocketeye.searching.stages import Plan
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import Theta, generator, gumbel
from pocketeye.text import human_seconds

# To export a network and to open it in the runtime took 0.4 to 1.2 s with 10 to 22 layers.
_OPEN_SECONDS = 0.8
# The first step allocates memory; of the others the quickest counts, as a busy machine only adds time.
_STEPS = 4
# A step of few images comes first: where that is slow, whole batches would take minutes.
_FEW, _SLOW_SECONDS = 8, 2.0


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Expected wall seconds of the stages of a search; ``training`` is 0 where nothing is trained."""

    search: float
    derivation: float
    training: float

    @property
    def total(self) -> float:
        return self.search + self.derivation + self.training

    def sentence(self) -> str:
        """Say it in a few words, in no finer steps than a guess allows."""
        parts = [
            f"search {_about(self.search)}",
            f"ranking and measuring {_about(self.derivation)}",
        ]
        if self.training:
            parts.append(f"training the network found {_about(self.training)}")
        return f"this will take about {_about(self.total)} here: {', '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Hold seconds of a step that trains weights, of one that trains theta (both with reading), and
    of judging one image."""

    weights: float
    theta: float
    judging: float


def expect(plan: Plan) -> Duration:
    """Measure a few steps of a search that has not begun, and multiply them by how many there will be.

    Raises:
        InvalidValue: images that do not fit the space, or too few for one batch.
    """
    config, derive, problem = plan.search, plan.derive, plan.problem
    problem.check(plan.space)
    if plan.library is not None:
        return _of_library(plan, plan.library.phases)
    costs = plan.costs
    # As the search will read them: batches of both phases, augmented.
    loader = PhaseLoader(*problem.loaders(plan.space, config), config.warmup_epochs)
    steps = measure_steps(plan.space, costs.ms, loader, problem, config)
    num_images, theta_epochs = len(plan.train), config.epochs - config.warmup_epochs
    training = 0.0
    if plan.retraining is not None:
        training = plan.retraining.recipe.epochs * num_images / config.batch_size * steps.weights
    return Duration(
        search=(
            config.epochs * len(loader.weights) * steps.weights
            + theta_epochs * len(loader.theta) * steps.theta
        ),
        derivation=(
            # As many random networks as searched ones are ranked, and of both the first are
            # measured.
            2 * derive.candidates * num_images * steps.judging + _measuring(plan)
        ),
        training=training / config.num_processes,
    )


def _of_library(plan: Plan, phases: Phases) -> Duration:
    """Measure steps of a network near the target; the budget says how many all phases are worth."""
    config, problem = plan.search, plan.problem
    device = resolve_device(config.device)
    (first, *_) = near_target(plan.space, plan.costs, plan.target_ms)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        network = FBNet(first).to(device)
        loader = problem.loaders(plan.space, config)[0]
        an_image = _step(loader, network, problem, device) / config.batch_size
    training = 0.0
    if plan.retraining is not None:
        distilled = getattr(plan.retraining.recipe, "teacher", None) is not None
        passes = 1 + phases.teacher_pass * distilled
        training = plan.retraining.recipe.epochs * len(plan.train) * an_image * passes
    return Duration(
        search=phases.images * an_image / config.num_processes,
        derivation=_measuring(plan),
        training=training / config.num_processes,
    )


def _measuring(plan: Plan) -> float:
    """Return the seconds in which the best networks are measured, of both kinds that are ranked."""
    protocol = plan.protocol or Protocol(**plan.table.header.protocol)
    # A sample is at least as long as one call, which is near the target for every network measured.
    call_seconds = max(protocol.min_sample_ms, plan.target_ms) / 1000
    # a visit warms up with one sample
    timing = _OPEN_SECONDS + protocol.rounds * (protocol.samples + 1) * call_seconds
    return (2 * plan.derive.measure_top + NUM_AGAIN) * timing


def measure_steps(
    space: SearchSpace,
    costs_ms: NDArray[np.float64],
    loader: PhaseLoader,
    problem: Problem,
    config: SearchConfig,
) -> Steps:
    """Time steps of a supernet that is made for this; no random state of the process is used up."""
    device = resolve_device(config.device)
    # Else the same search would come to another result when its time was estimated before.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        supernet = SuperNet(space, pixel_head=problem.pixel_head(space)).to(device)
        theta = Theta(supernet.mask, torch.from_numpy(costs_ms), 0.0).to(device)
        noise = gumbel(tuple(theta.mask.shape), generator(config.seed, 0, 0, 0)).to(device)
        path = theta.draw_uniform(noise)

        # A fast search trains weights on one path a step, the paper's on the mixture.
        def on_path(images: Tensor) -> Tensor:
            return supernet.forward_path(images, path)

        def on_mixture(images: Tensor) -> Tensor:
            mixture = theta.mixture(noise, schedule.temperature(config, 0))
            return supernet.forward_mixture(images, mixture, checkpointing=config.checkpointing)

        weights = _step(
            loader.weights, on_path if config.mode == "fast" else on_mixture, problem, device
        )
        judging = _forward(loader.weights, on_path, device)
        # Weights are frozen in theta steps: their gradients cost no time there.
        supernet.requires_grad_(False)
        return Steps(
            weights=weights, theta=_step(loader.theta, on_mixture, problem, device), judging=judging
        )


def _step(
    loader: Loader, forward: Callable[[Tensor], Tensor], problem: Problem, device: torch.device
) -> float:
    """Measure seconds of reading a batch, forward and backward."""
    batches, seconds = iter(loader), [math.inf]
    for number in range(_STEPS):
        start = time.perf_counter()
        pair: Sequence[Tensor] | None = next(batches, None)
        if pair is None:
            break
        images, labels = (part.to(device) for part in pair)
        # A step on few images stands for a whole batch until one was measured.
        taken = len(images) if number else min(_FEW, len(images))
        logits = forward(_laid_out(images[:taken], device))
        problem.loss(logits, labels[:taken]).backward()
        _finish(device)
        seconds.append((time.perf_counter() - start) * len(images) / taken)
        if number == 0 and seconds[-1] * taken / len(images) > _SLOW_SECONDS:
            break
    return min(seconds[2:] or seconds)


def _forward(loader: Loader, forward: Callable[[Tensor], Tensor], device: torch.device) -> float:
    """Measure the seconds an image takes in one pass without a gradient."""
    images = next(batch[0] for batch in islice(loader, 1))[: 4 * _FEW].to(device)
    start = time.perf_counter()
    with torch.no_grad():
        forward(_laid_out(images, device))
    _finish(device)
    return (time.perf_counter() - start) / len(images)


def _laid_out(images: Tensor, device: torch.device) -> Tensor:
    layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
    return images.contiguous(memory_format=layout)


# CUDA answers before it is done: without waiting only the launch would be timed.
def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _about(seconds: float) -> str:
    """Write seconds to ten, minutes to one: ``40 s``, ``3 min``, ``2 h 10 min``."""
    # Rounded as coarsely as a guess deserves.
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 95:
        return f"{10 * round(seconds / 10)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return human_seconds(600 * round(seconds / 600))
