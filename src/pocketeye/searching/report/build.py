"""Lead from the stages of a search to what its report shows."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data import ImageSet
from pocketeye.latency.drift import describe_drift
from pocketeye.latency.table import LatencyTable
from pocketeye.metrics import wilson_interval
from pocketeye.metrics.chance import Chance
from pocketeye.models.task import Task
from pocketeye.runs import RECIPE, read_environment
from pocketeye.searching import stages
from pocketeye.searching.deriving.derived import Derived
from pocketeye.searching.library.stored import Library
from pocketeye.searching.outcome import Trained
from pocketeye.searching.report.report import SearchReport
from pocketeye.searching.report.swaps import LibraryView, view_library
from pocketeye.searching.run import SearchOutcome

# Below one per cent the drift is lost in the spread of the samples.
_NOTEWORTHY_DRIFT = 0.01
# Small networks go on gaining: four times the epochs is what recipes for small images grow by.
_LONGER = 4
PANELS = (
    ("latency", (("latency_ms", "mean of the distribution"), ("argmax_latency_ms", "argmax"))),
    ("cross-entropy, nats", (("loss_w", "weights"), ("ce", "theta"))),
    ("entropy per layer, nats", (("entropy_nats", "entropy"),)),
    ("temperature", (("temperature", "temperature"),)),
)


def build_report(
    plan: stages.Plan,
    task: Task,
    outcome: SearchOutcome,
    derived: Derived,
    trained: Trained | None,
    table: Path,
    data: str,
    classes: str | None,
    library: Library | None = None,
) -> SearchReport:
    """Gather everything the report of a finished search shows."""
    best, header, folder = derived.best, plan.table.header, plan.run.path
    layer_ms = plan.table.layer_ms(best.architecture)
    # The last entry is pyramid and head, which are drawn as their own number.
    if plan.table.segmenter is not None:
        layer_ms = layer_ms[:-1]
    return SearchReport(
        title=f"{plan.space.name}: a network for {plan.target_ms:g} ms",
        space=plan.space,
        derived=derived,
        layer_ms=layer_ms,
        rest_ms=plan.table.head_ms,
        where=describe(plan.table),
        clock="CPU time of the thread" if header.clock == "thread_cpu" else "wall time",
        # people count from one
        history=[{**row, "epoch": row["epoch"] + 1} for row in plan.run.metrics()],
        panels=PANELS,
        theta_history=outcome.theta_history,
        theta_epochs=range(1, len(outcome.theta_history) + 1),
        library=_view(plan, derived, library),
        trained=trained,
        costs=stages.costs(plan.run),
        commands=next_commands(
            task,
            folder,
            data,
            classes,
            header.runtime,
            header.precision,
            trained=trained,
        ),
        notes=_notes(plan, derived, trained),
        tables=_tables(plan, table, data),
    )


def _view(plan: stages.Plan, derived: Derived, library: Library | None) -> LibraryView | None:
    if library is None or plan.library is None:
        return None
    groups = [[c.architecture for c in group] for group in (derived.candidates, derived.random)]
    return view_library(
        library, plan.library.config.score, plan.costs, derived.best.architecture, groups
    )


def describe(table: LatencyTable) -> str:
    """Return what the latencies hold for, as every axis names it."""
    header = table.header
    threads = "1 thread" if header.threads == 1 else f"{header.threads} threads"
    return (
        f"{header.device.cpu} · {header.runtime} {header.runtime_version} · {threads} · "
        f"{header.precision}"
    )


def next_commands(
    task: Task, out: Path, data: str, classes: str | None, runtime: str, precision: str,
    *, trained: Trained | None,
) -> list[str]:  # fmt: skip
    """Return what makes sense after a search: to ship a trained network, and to train it for longer."""
    folder = shlex.quote(str(out))
    training = ["pocketeye", "train", task.name, str(out / stages.ARCHITECTURE), "--data", data]
    if task.labels_pixels:
        training += ["--recipe", str(out / RECIPE), *(["--classes", classes] if classes else [])]
    if trained is None:
        return [shlex.join(training)]
    training += ["--epochs", str(_LONGER * trained.epochs), "--out", str(out / "longer")]
    return [
        f"pocketeye export {folder} --to {runtime} --precision {precision} "
        f"--data {shlex.quote(data)}",
        f"pocketeye eval {folder} --data {shlex.quote(data)}",
        f"pocketeye bench {folder}" + (f" --data {shlex.quote(data)}" if task.is_dense else ""),
        shlex.join(training),
    ]


def _notes(plan: stages.Plan, derived: Derived, trained: Trained | None) -> list[str]:
    """Return what a reader has to know beyond the numbers."""
    # Medians: one network that was measured in a slow spell says nothing of the table.
    notes, best = [], derived.best
    errors = [c.prediction_error for c in (*derived.candidates, *derived.random)
              if c.prediction_error is not None]  # fmt: skip
    usual, own = float(np.median(errors)), best.prediction_error or 0.0
    if abs(usual) > plan.derive.band:
        notes.append(
            f"predictions are {usual:+.1%} off the measurements (the median of {len(errors)} networks): "
            "the table no longer describes this machine, measure it again"
        )
    elif abs(own) > plan.derive.band:
        notes.append(
            f"the prediction of this network is {own:+.1%} off its measurement, those of the "
            f"{len(errors)} networks measured are {usual:+.1%} off in the median"
        )
    notes += _luck(plan, derived)
    drift = derived.rounds[-1].drift
    # Readers may wonder why a candidate took longer than stated.
    if abs(drift) > _NOTEWORTHY_DRIFT:
        notes.append(
            f"the machine was {describe_drift(drift)} when the candidates were measured; measured "
            "latencies are stated at the table's speed"
        )
    if trained is not None:
        notes += trained.doubts
    for part, problems in (("training", plan.problem.problems), ("validation", plan.val.problems)):
        if problems:
            notes.append(f"{len(problems)} problems in the {part} images, the first: {problems[0]}")
    return notes


def _luck(plan: stages.Plan, derived: Derived) -> list[str]:
    """Say where the shared weights are at chance, so that the ranking of networks is luck."""
    if not isinstance(plan.train, ImageSet):
        return []  # a mean IoU has no chance level that is right or wrong
    score, count = derived.best.supernet_score, derived.comparison.num_images
    chance = Chance.of(plan.train.class_counts(), plan.train.classes)
    # The lower end of the interval: few images make a chance hit likely.
    if chance is None or wilson_interval(round(score * count), count)[0] > chance.level:
        return []
    return [
        f"with shared weights the chosen network is no better than chance ({score:.1%} of {count} "
        f"images; {chance.sentence()}): the ranking is luck, search longer (--epochs)"
    ]


def _tables(plan: stages.Plan, table: Path, data: str) -> dict[str, dict[str, Any]]:
    """Return facts shown at the end of the report."""
    header, fit = plan.table.header, plan.table.calibration
    environment = read_environment(plan.run.path)
    # Packages are rows of their own, or the table would have one very long line.
    packages = environment.pop("packages", {})
    tables: dict[str, dict[str, Any]] = {
        "Search": {"space": plan.space.name, "networks": f"{plan.space.num_architectures():.3g}",
                   "data": data, "training images": len(plan.train), **plan.search.to_dict()},
        "Derivation": asdict(plan.derive),
        "Latency table": {
            "file": table, "date": header.date, "device": header.device,
            "runtime": f"{header.runtime} {header.runtime_version}", "flags": header.flags,
            "threads": header.threads, "precision": header.precision, "clock": header.clock,
            "calibration": fit.fit, "error on networks left out (mean)": f"{fit.loo_mape:.2%}",
        },
        "Environment": {**environment, **packages},
    }  # fmt: skip
    if plan.table.segmenter is not None:
        tables["Latency table"]["pyramid and head"] = (
            f"{plan.table.segmenter.spec}: {plan.table.head_ms:.3g} ms"
        )
    if plan.retraining is not None:
        tables["Training"] = plan.retraining.to_dict()
    return tables
