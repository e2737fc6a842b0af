"""docs/training.md lists every recipe and every field of a recipe."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pocketeye.training.config import TrainConfig, list_recipes

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
ROWS = {name for line in TEXT.splitlines() if line.startswith("| `")
        for name in re.findall(r"`([\w-]+)`", line.split("|")[1])}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(TrainConfig)] + list_recipes())
def test_it_has_a_row(name: str) -> None:
    assert name in ROWS


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_says_what_it_is(name: str) -> None:
    path = Path(__file__).parents[2] / "src" / "pocketeye" / "recipes" / f"{name}.yaml"
    assert path.read_text(encoding="utf-8").startswith("# ")
