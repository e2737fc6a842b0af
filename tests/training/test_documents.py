"""The pages on training list every recipe and every field of a recipe."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
import yaml

from pocketeye.data.transforms.transforms import TransformRecipe
from pocketeye.runs import RunFolder
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.engine.ranges import Range
from pocketeye.training.engine.recipe import Recipe, list_recipes
from pocketeye.training.tam.recipe import TAM_TASKS, TamRecipe


def rows(page: str) -> set[str]:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    return {name for line in text.splitlines() if line.startswith("| `")
            for name in re.findall(r"`([\w-]+)`", line.split("|")[1])}  # fmt: skip


DENSE = [name for task in DenseRecipe.tasks() for name in list_recipes(task)]
TRACKERS = [name for task in TAM_TASKS for name in list_recipes(task)]


@pytest.mark.parametrize("name", [field.name for field in fields(ClassifyRecipe)] + list_recipes())
def test_it_has_a_row(name: str) -> None:
    assert name in rows("training.md")


@pytest.mark.parametrize("name", [field.name for field in fields(TamRecipe)] + TRACKERS)
def test_trackers_have_a_row(name: str) -> None:
    assert name in rows("training-trackers.md")


@pytest.mark.parametrize("name", [field.name for field in fields(DenseRecipe)] + DENSE)
def test_detectors_and_segmenters_have_a_row(name: str) -> None:
    assert name in rows("detect.md") | rows("semantic.md")


@pytest.mark.parametrize("kind", [ClassifyRecipe, DenseRecipe, TamRecipe])
def test_every_number_of_ours_has_its_range_beside_it(kind: type[Recipe]) -> None:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        numbers = {int, float} & {hint, *get_args(hint)}
        checked_elsewhere = name in {field.name for field in fields(TransformRecipe)} | {"scale"}
        if numbers and get_origin(hint) is not Annotated and not checked_elsewhere:
            pytest.fail(f"{kind.__name__}.{name} has no {Range.__name__}")


RECIPES = Path(__file__).parents[2] / "src" / "pocketeye" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/*")), ids=lambda path: path.name)
def test_every_recipe_says_what_it_is_and_lies_with_its_task(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert path.stem in list_recipes(path.parent.name)
    assert yaml.safe_load(text).get("task", "classify") == path.parent.name


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        ("casvit_xs.tiny_imagenet_24", ClassifyRecipe),
        ("semantic_fpn_casvit_xs.camvid11", DenseRecipe),
    ],
)
def test_the_recipe_of_a_run_that_comes_along_can_be_used(run: str, kind: type[Recipe]) -> None:
    folder = Path(__file__).parents[2] / "src" / "pocketeye" / "weights" / run
    recipe = kind.load(folder / "recipe.yaml")
    stored = RunFolder(folder).config()
    assert {key: stored[key] for key in recipe.to_dict() if key in stored} == {
        key: value for key, value in recipe.to_dict().items() if key in stored
    }
