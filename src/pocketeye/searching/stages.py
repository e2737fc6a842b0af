"""Run the stages of a search, each of which leaves a file and is passed over when a search goes on."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from pocketeye.data import ImageSet
from pocketeye.data.semantic.samples import SemanticSet
from pocketeye.devices import resolve_device
from pocketeye.latency.drift import measure_session
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.record import Timing
from pocketeye.latency.table import LatencyTable
from pocketeye.models.architecture import Architecture
from pocketeye.models.space import SearchSpace
from pocketeye.models.weights.saved import save_weights
from pocketeye.runs import BEST, CHECKPOINT, MODEL, RunFolder, write_atomic
from pocketeye.runtimes.base import Runtime
from pocketeye.searching.choosing.plan import TEACHER, LibraryPlan, optimum_of
from pocketeye.searching.choosing.rerank import tuned_source
from pocketeye.searching.choosing.theta import search_library
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.deriving.derive import DeriveConfig, derive
from pocketeye.searching.deriving.derived import Derived
from pocketeye.searching.deriving.ranking import SubnetSource
from pocketeye.searching.learning.history import THETA
from pocketeye.searching.library.chain import take_out
from pocketeye.searching.library.stored import Library
from pocketeye.searching.outcome import Cost, Trained, read_costs
from pocketeye.searching.problem import Problem
from pocketeye.searching.run import SearchOutcome, run_search
from pocketeye.searching.tasks import Retraining

logger = logging.getLogger(__name__)

ARCHITECTURE, CANDIDATES, COSTS, RESULT, TRAIN, START = (
    "architecture.json", "candidates.json", "costs.json", "result.json", "train", "start.safetensors",
)  # fmt: skip
_MODEL_FILES = (MODEL, BEST)
# What the stages leave besides the files of every run.
FILES = (THETA, CANDIDATES, COSTS, TRAIN, START, "candidates.csv")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Hold all inputs of a search, checked.

    Attributes:
        retraining: of the chosen network; None where nothing is retrained.
        library: what candidates are taught by; None in the modes that teach them together.
    """

    space: SearchSpace
    table: LatencyTable
    runtime: Runtime
    problem: Problem
    train: ImageSet | SemanticSet
    val: ImageSet | SemanticSet
    target_ms: float
    search: SearchConfig
    derive: DeriveConfig
    retraining: Retraining | None
    library: LibraryPlan | None = None
    protocol: Protocol | None
    run: RunFolder
    resume: bool

    @property
    def costs(self) -> LatencyMatrix:
        return self.table.matrix(self.space)


def library_stage(plan: Plan) -> Library | None:
    """Train a teacher and teach all candidates, or find that done; None in modes without a library."""
    if plan.library is None:
        return None
    with _timed(plan, TEACHER):
        teacher = plan.library.teacher(plan.space, plan.search)
    with _timed(plan, "library"):
        return plan.library.library(teacher, plan.space, plan.problem, plan.search)


def search_stage(plan: Plan, library: Library | None = None) -> SearchOutcome:
    """Train supernet and theta, or restore them where that is done; with a library theta alone."""
    # A search with all its epochs is restored from the checkpoint, not trained again.
    done = plan.resume and len(plan.run.metrics()) >= plan.search.epochs
    with nullcontext() if done else _timed(plan, "search"):  # restoring is no part of the cost
        if library is not None:
            return search_library(
                library, plan.costs, plan.problem, plan.search, plan.run, resume=plan.resume
            )
        return run_search(
            plan.space,
            plan.table,
            plan.problem,
            plan.search,
            plan.run,
            resume=plan.resume,
        )


def derive_stage(plan: Plan, outcome: SearchOutcome, library: Library | None = None) -> Derived:
    """Choose the network; writes ``candidates.json`` and ``architecture.json``.

    With a library also ``start.safetensors``: the weights its final training begins with.

    Raises:
        InvalidValue: no network near the target, or a candidates file that is damaged.
    """
    stored = plan.run / CANDIDATES
    # The candidates are written last: where they are, the choice was made and is kept.
    if plan.resume and stored.is_file():
        return Derived.load(stored)

    # All networks in one interleaved session: a slow spell hits all of them alike.
    def measure(architectures: Sequence[Architecture]) -> tuple[list[Timing], float]:
        session = measure_session(
            plan.table, architectures, runtime=plan.runtime, protocol=plan.protocol,
            seed=plan.derive.seed,
        )  # fmt: skip
        return [m.timing for m in session.measured], session.drift

    with _timed(plan, "derivation"):
        statistics, held_out = plan.problem.judging(plan.space, plan.search, plan.derive.seed)
        source: SubnetSource = outcome.supernet
        optimum = None
        if library is not None and plan.library is not None:
            source = tuned_source(library, plan.library.config, plan.problem, plan.search)
            optimum = optimum_of(plan.library.scores(library), plan.costs)
        derived = derive(
            outcome.theta,
            source,
            plan.space,
            plan.costs,
            target_ms=plan.target_ms,
            config=plan.derive,
            recalibration=statistics,
            held_out=held_out,
            measure=measure,
            device=resolve_device(plan.search.device),
            metric=plan.problem.metric,
            loss=plan.problem.loss,
            chance=plan.problem.chance,
            optimum=optimum,
        )
    if library is not None:
        chosen = take_out(library.supernet, derived.best.architecture)
        save_weights(chosen.state_dict(), plan.run / START)
    # Before the candidates: where those are, everything of the stage is there.
    derived.best.architecture.save(plan.run / ARCHITECTURE)
    plan.run.write_json(CANDIDATES, derived.to_dict())
    return derived


def train_stage(plan: Plan, derived: Derived) -> Trained | None:
    """Train the chosen network in ``train/``; its weights are copied beside the rest.

    It begins with the weights of the library, where there is one, and else from scratch.
    """
    if plan.retraining is None:
        return None
    folder = plan.run / TRAIN
    resume = plan.resume and (folder / CHECKPOINT).is_file()  # else nothing is lost
    config = {**plan.retraining.to_dict(), "architecture": str(derived.best.architecture)}
    run = RunFolder.open(folder, config, resume=resume, overwrite=not resume)
    # The result is written at the end of a training: without it, there is more to do.
    if not (resume and (folder / RESULT).is_file()):
        with _timed(plan, "training"):
            start = plan.run / START if plan.library is not None else None
            plan.retraining.train(plan.run / ARCHITECTURE, run, resume, start)
    # The folder of the search can be used like that of a training: exported, evaluated.
    for name in _MODEL_FILES:
        write_atomic(plan.run / name, (folder / name).read_bytes())
    return plan.retraining.outcome(folder)


def costs(run: RunFolder) -> list[Cost]:
    """Return what every stage took so far, over all sittings."""
    return list(_stored_costs(run).values())


@contextmanager
def _timed(plan: Plan, stage: str) -> Iterator[None]:
    """Add wall and CPU seconds of the block to ``costs.json``, also where it is interrupted."""
    # Child processes count too: loaders and DDP do much of the work.
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    try:
        yield
    # Also where the stage was interrupted: the time was spent.
    finally:
        stored = _stored_costs(plan.run)
        # Seconds of an earlier sitting are added to, not replaced.
        before = stored.get(stage, Cost(name=stage, seconds=0.0, cpu_seconds=0.0))
        stored[stage] = Cost(
            name=stage,
            seconds=round(before.seconds + time.perf_counter() - wall, 3),
            cpu_seconds=round(before.cpu_seconds + sum(os.times()[:4]) - cpu, 3),
            device=str(resolve_device(plan.search.device)),
        )
        plan.run.write_json(COSTS, {cost.name: cost.to_dict() for cost in stored.values()})


def _stored_costs(run: RunFolder) -> dict[str, Cost]:
    path = run / COSTS
    return read_costs(path) if path.is_file() else {}
