"""Which verbs there are, without importing them: ``pocketeye --help`` reads their docstrings only."""

from __future__ import annotations

import ast
from pathlib import Path

import pocketeye.verbs

_FOLDER = Path(pocketeye.verbs.__file__).parent

# How standard input is written, and the name verbs also know it by.
STDIN, STDIN_PATH = "-", "/dev/stdin"

# The word on the command line -> the module, and the function of the same name in it; or, of a verb
# with tasks, the word of each task -> the module in the verb's folder, and the function in that.
VERBS: dict[str, str | dict[str, tuple[str, str]]] = {
    "list": "list_models",
    "info": "info",
    "doctor": "doctor",
    "measure": "measure",
    "search": "search",
    "train": {
        "classify": ("train.classify", "train_classifier"),
        "detect": ("train.detect", "train_detector"),
        "instance": ("train.instance", "train_instance_segmenter"),
        "semantic": ("train.semantic", "train_segmenter"),
        "segment-anything": ("train.segment_anything", "train_segment_anything"),
        "track": ("train.track", "train_tracker"),
    },
    "eval": "evaluate",
    "predict": "predict",
    "segment": "segment",
    "track": "track",
    "export": "export",
    "bench": "bench",
    "demo": "demo",
}


def import_path(module: str, function: str) -> str:
    """Where cyclopts finds the function of a verb, once it is called."""
    return f"pocketeye.verbs.{module}:{function}"


def summary(module: str, function: str) -> str | None:
    """First line of the docstring of a verb, or None where the verb is not in this installation."""
    path = _FOLDER / module.replace(".", "/")
    # a verb is a file, or a folder whose verb.py holds the function
    paths = [path.with_suffix(".py"), path / "verb.py"]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        return None
    for node in ast.parse(found.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return None


def group_summary(verb: str) -> str:
    """First line of the docstring of the folder of a verb with tasks."""
    text = (_FOLDER / verb / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
