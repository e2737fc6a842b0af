"""The records of tasks: complete, told apart by what they are, found by name."""

from __future__ import annotations

import pickle

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.models.task import CLASSIFY, DENSE, DETECT, INSTANCE, TASKS, TRACK, Task, task_named


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_every_record_says_what_it_is(task: Task) -> None:
    assert TASKS[task.name] is task
    assert task.kind.startswith(("a ", "an "))
    assert task.metrics
    assert all(column.startswith("val/") for column in task.metrics)
    assert task.is_dense == (task in DENSE) == bool(task.network)
    assert task.finds_objects or not task.outlines_objects
    assert sum((task.finds_objects, task.labels_pixels, task.takes_prompts)) == (task != CLASSIFY)


def test_a_record_is_a_key_that_survives_another_process() -> None:
    """Loader workers get copies."""
    copy = pickle.loads(pickle.dumps(INSTANCE))
    assert {INSTANCE: "found"}[copy] == "found"
    assert copy not in (DETECT, TRACK)


def test_tasks_are_found_by_name() -> None:
    assert task_named("track") is TRACK
    with pytest.raises(InvalidValue, match="Did you mean 'detect'"):
        task_named("detekt")
    with pytest.raises(InvalidValue, match="detect, instance, semantic"):
        task_named("classify", DENSE)
