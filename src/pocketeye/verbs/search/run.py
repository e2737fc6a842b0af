"""Run the three stages of a search, and gather what they came to."""

from __future__ import annotations

from pathlib import Path

from pocketeye.models.task import Task
from pocketeye.searching import stages
from pocketeye.searching.estimate import expect
from pocketeye.searching.report.build import build_report
from pocketeye.searching.report.report import write_report
from pocketeye.text import human_percent
from pocketeye.verbs.search.result import SearchResult


def outlook(plan: stages.Plan) -> str:
    """Say what to know before a search begins: how long it will take, and what guessing gives."""
    chance, metric = plan.problem.chance, plan.problem.metric.name
    level = "" if chance is None else f"; chance level: {metric} {human_percent(chance)}"
    cost = ""
    if plan.library is not None:
        cost = f"; the search costs {plan.library.phases.trainings:.1f} trainings of such a network"
    return f"{expect(plan).sentence()}{cost}{level}"


def run_stages(
    plan: stages.Plan, task: Task, table: Path, data: str, classes: str | None
) -> SearchResult:
    library = stages.library_stage(plan)
    outcome = stages.search_stage(plan, library)
    derived = stages.derive_stage(plan, outcome, library)
    trained = stages.train_stage(plan, derived)
    header, folder = plan.table.header, plan.run.path
    report = build_report(plan, task, outcome, derived, trained, table, data, classes, library)
    page, *rest = write_report(report, folder)
    files = [page, folder / stages.ARCHITECTURE, *rest, folder / stages.CANDIDATES,
             folder / stages.RESULT]  # fmt: skip
    result = SearchResult(
        task=task, out=folder, table=table, data=data, classes=classes,
        where=report.where, runtime=header.runtime,
        precision=header.precision, target_ms=plan.target_ms, tolerance=plan.derive.tolerance,
        best=derived.best, comparison=derived.comparison, trained=trained,
        costs=tuple(report.costs), notes=tuple(report.notes), files=tuple(files),
        taught=library is not None,
    )  # fmt: skip
    plan.run.write_json(
        stages.RESULT,
        {k: str(v) if isinstance(v, Path) else v for k, v in result.to_dict().items()},
    )
    return result
