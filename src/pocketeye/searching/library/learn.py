"""Make a block library, or go on with one, or find it whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from pocketeye import progress
from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.models.space import SearchSpace
from pocketeye.models.weights.saved import checksum
from pocketeye.runs import CHECKPOINT, RunFolder
from pocketeye.searching.batches import Batch, Loader, placed
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.learning.distributed import strategy_options
from pocketeye.searching.library.chain import columns, put_into, require_in_space
from pocketeye.searching.library.config import LibraryConfig
from pocketeye.searching.library.first_weights import inherit, solve_readouts
from pocketeye.searching.library.stored import LIBRARY, WEIGHTS, Library
from pocketeye.searching.library.swaps import measure_swaps, recalibrate
from pocketeye.searching.library.task import LibraryTask, block_of, taught
from pocketeye.searching.problem import Problem
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.training.engine.loop import fit_resumable, make_trainer

# Pixels of maps are the samples, so that a few images give thousands.
_READOUT_IMAGES = 256
# What a library leaves beside the files of every run.
FILES = (LIBRARY, WEIGHTS)


def learn_library(
    space: SearchSpace,
    teacher: FBNet,
    problem: Problem,
    config: LibraryConfig,
    search: SearchConfig,
    run: RunFolder,
    *,
    resume: bool = False,
) -> Library:
    """Teach every candidate of ``space`` by ``teacher``, and measure what single swaps cost.

    Args:
        teacher: a network of the space, trained; it is not changed.
        problem: images; the part that trains weights teaches, the kept-back part judges.
        config: settings.
        search: seed, share of images kept back, device, precision, processes, workers.
        run: an open folder of the library.
        resume: go on from ``last.ckpt``; on a CPU the result is bit for bit that of one go.

    Raises:
        InvalidValue: the teacher is not of the space, or too few images for a batch.
        UserError: interrupted; says how to go on.
    """
    require_in_space(teacher.architecture, space, "the teacher")
    if resume and (run / LIBRARY).is_file():
        return Library.load(run.path, space)
    architecture = teacher.architecture.with_(name="teacher")
    own = columns(space, architecture)
    supernet = first_supernet(space, teacher, search.seed)
    images = problem.loaders(space, replace(search, batch_size=config.batch_size))[0]
    if len(images) == 0:
        raise InvalidValue("too few images for one batch of the library: lower its batch_size")
    # A checkpoint brings its own weights.
    if not (resume and (run / CHECKPOINT).is_file()):
        _begin(supernet, own, problem, search)
    steps = min(len(images), config.steps or len(images))
    task = LibraryTask(supernet, own, lr=config.lr, epochs=config.epochs, steps_per_epoch=steps)
    _fit(task, images, config, search, run, resume)
    device = resolve_device(search.device)
    supernet.to(device)
    statistics, kept_back = problem.judging(space, search, search.seed)
    with progress.task("measuring what swaps cost", None):
        recalibrate(supernet, own, statistics, device)
        judged = list(first_images(kept_back, config.judge_images))
        swaps = measure_swaps(supernet, own, judged, device, problem.loss)
    library = Library(
        supernet=supernet.cpu().to(memory_format=torch.contiguous_format).eval(),
        teacher=architecture, swaps=swaps, num_images=sum(len(batch[0]) for batch in judged),
    )  # fmt: skip
    library.save(run)
    # Its candidates are in the library now, and it is three times as large.
    (run / CHECKPOINT).unlink(missing_ok=True)
    return library


def _begin(
    supernet: SuperNet, own: tuple[int, ...], problem: Problem, search: SearchConfig
) -> None:
    """Solve what can be solved before candidates learn."""
    device = resolve_device(search.device)
    statistics = problem.judging(supernet.space, search, search.seed)[0]
    with progress.task("solving for the first weights", None):
        first = [placed(b[0], device) for b in first_images(statistics, _READOUT_IMAGES)]
        solve_readouts(supernet.to(device), own, first)
    supernet.cpu()


def first_supernet(space: SearchSpace, teacher: FBNet, seed: int) -> SuperNet:
    """Return a supernet that holds the teacher, and candidates that begin with what fits of it."""
    # Weights follow from the seed alone, whatever the process has drawn before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = SuperNet(space)
    put_into(supernet, teacher)
    own = columns(space, teacher.architecture)
    for layer, _, module in taught(supernet, own):
        inherit(module, block_of(supernet, layer, own[layer]))
    return supernet


def library_key(
    space: SearchSpace,
    teacher_sha256: str,
    data_sha256: str,
    config: LibraryConfig,
    search: SearchConfig,
) -> dict[str, Any]:
    """Return all that a library follows from, as its folder stores and compares it."""
    return {
        "verb": "library", "space": {**space.to_dict(), "name": ""}, "teacher_sha256": teacher_sha256,
        "data_sha256": data_sha256, **config.taught(), "seed": search.seed,
        "theta_fraction": search.theta_fraction, "augment": search.augment,
        "precision": search.precision,
    }  # fmt: skip


def digest(key: dict[str, Any]) -> str:
    """Return a short name for a key."""
    return hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()[:12]


def weights_sha256(network: torch.nn.Module) -> str:
    """Return the sha256 of all weights and statistics of a network."""
    return checksum({k: v.detach().cpu() for k, v in network.state_dict().items()})


def first_images(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """Give batches until ``count`` images are there; the last one is cut."""
    for batch in batches:
        if count <= 0:
            return
        yield [part[:count] for part in batch]
        count -= len(batch[0])


def _fit(
    task: LibraryTask, images: Loader, config: LibraryConfig, search: SearchConfig, run: RunFolder,
    resume: bool,
) -> None:  # fmt: skip
    trainer = make_trainer(
        run,
        max_epochs=config.epochs,
        seed=search.seed,
        device=search.device,
        num_processes=search.num_processes,
        precision=search.precision,
        description="teaching the candidates",
        limit_train_batches=config.steps,  # None: all of them
        **strategy_options(search.num_processes),
    )
    fit_resumable(trainer, task, (images, None), run, resume)
