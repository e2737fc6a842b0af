"""Recipes: where they are found, and what all of them share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from pocketeye.errors import InvalidValue, MissingFile, unknown

TrainPrecision = Literal["fp32", "bf16", "fp16"]
CLASSIFY = "classify"
_MACHINE = ("device", "workers", "threads")


def require_optimizer(name: str) -> None:
    """Raise InvalidValue unless timm knows the optimiser."""
    from timm.optim import list_optimizers

    names = [str(known) for known in list_optimizers()]
    if name not in names:
        raise unknown("optimizer", name, names)


def list_recipes(task: str = CLASSIFY) -> list[str]:
    """Names of a task's recipes that come along; a recipe without the key ``task`` is a classifier's."""
    return sorted(name for name, text in _bundled().items() if _task_of(text) == task)


def _bundled() -> dict[str, str]:
    folder = resources.files("pocketeye") / "recipes"
    paths = [path for path in folder.iterdir() if path.name.endswith(".yaml")]
    return {path.name.removesuffix(".yaml"): path.read_text("utf-8") for path in paths}


def _task_of(text: str) -> str:
    # not parsed: one line of few files, on every listing
    found = re.search(r"^task: *(\S+)", text, re.MULTILINE)
    return found[1] if found else CLASSIFY


def read_recipe(name_or_path: str | Path, tasks: Sequence[str] = (CLASSIFY,)) -> dict[str, Any]:
    """The keys and values of a recipe for one of ``tasks``.

    Raises:
        InvalidValue: unknown recipe (with the nearest spelling), one of another task, or no YAML.
        MissingFile: no such file.
    """
    text = str(name_or_path)
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise MissingFile(f"no recipe at {path}")
        source = path.read_text(encoding="utf-8")
    elif text in (bundled := _bundled()):
        source = bundled[text]
    else:
        raise unknown("recipe", text, [name for task in tasks for name in list_recipes(task)])
    try:
        data = yaml.safe_load(source)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InvalidValue(f"{text} is not YAML: {reason}") from error
    if not isinstance(data, Mapping):
        raise InvalidValue(f"{text} is no recipe: expected lines of the form key: value")
    task = data.get("task", CLASSIFY)
    if task not in tasks:
        raise InvalidValue(
            f"{text} is a recipe for --task {task}, not for {' or '.join(tasks)}: give --task {task}, "
            f"or one of {', '.join(name for each in tasks for name in list_recipes(each))}"
        )
    return {str(key): value for key, value in data.items()}
