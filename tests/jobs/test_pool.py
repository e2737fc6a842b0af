"""Processes share tasks; one that fails, dies or hangs takes nothing else along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.jobs.pool import Outcome, work_through
from pocketeye.jobs.processes import Processes
from tests.jobs import workers


def taking(tasks: list[str]) -> Callable[[], str | None]:
    return lambda: tasks.pop(0) if tasks else None


def test_each_task_ends_once_whatever_becomes_of_others(tmp_path: Path) -> None:
    tasks = ["a", "bad:b", f"die:{tmp_path / 'died'}", "full", "c"]
    found: list[Outcome] = []
    for outcome in work_through(taking(tasks), Processes(workers.make, 2)):
        found.append(outcome)
        if outcome.kind == "lost":
            tasks.append(outcome.task)
    kinds = sorted((outcome.task.split(":")[0], outcome.kind) for outcome in found)
    assert kinds == [
        ("a", "done"), ("bad", "failed"), ("c", "done"), ("die", "done"), ("die", "lost"),
        ("full", "full"),
    ]  # fmt: skip
    values = {outcome.task: outcome.value for outcome in found}
    assert values["a"] == "a 1"  # one thread
    assert values["bad:b"] == "b is bad"


def test_a_worker_that_hangs_is_given_up() -> None:
    (outcome,) = work_through(taking(["hang"]), Processes(workers.make, 1), patience_s=2)
    assert (outcome.kind, "nothing came" in outcome.value) == ("lost", True)


def test_what_cannot_be_loaded_ends_the_job() -> None:
    with pytest.raises(InvalidValue, match="no weights here"):
        list(work_through(taking(["a", "b"]), Processes(workers.cannot_make, 1)))
