"""The pages on training list every recipe and every field of a recipe."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pocketeye.training.classify.config import TrainConfig
from pocketeye.training.engine.recipe import list_recipes
from pocketeye.training.tam.config import TAM_TASKS, TamConfig


def rows(page: str) -> set[str]:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    return {name for line in text.splitlines() if line.startswith("| `")
            for name in re.findall(r"`([\w-]+)`", line.split("|")[1])}  # fmt: skip


TRACKERS = [name for task in TAM_TASKS for name in list_recipes(task)]


@pytest.mark.parametrize("name", [field.name for field in fields(TrainConfig)] + list_recipes())
def test_it_has_a_row(name: str) -> None:
    assert name in rows("training.md")


@pytest.mark.parametrize("name", [field.name for field in fields(TamConfig)] + TRACKERS)
def test_trackers_have_a_row(name: str) -> None:
    assert name in rows("training-trackers.md")


@pytest.mark.parametrize("name", list_recipes() + TRACKERS)
def test_every_recipe_says_what_it_is(name: str) -> None:
    path = Path(__file__).parents[2] / "src" / "pocketeye" / "recipes" / f"{name}.yaml"
    assert path.read_text(encoding="utf-8").startswith("# ")
