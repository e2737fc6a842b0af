"""Which verbs there are, without importing them: ``pocketeye --help`` reads their docstrings only."""

from __future__ import annotations

import ast
from pathlib import Path

import pocketeye.verbs

_FOLDER = Path(pocketeye.verbs.__file__).parent

# How standard input is written, and the name verbs also know it by.
STDIN, STDIN_PATH = "-", "/dev/stdin"

# The word on the command line -> the module, and the function of the same name in it.
VERBS = {
    "list": "list_models",
    "info": "info",
    "doctor": "doctor",
    "measure": "measure",
    "search": "search",
    "train": "train",
    "eval": "evaluate",
    "predict": "predict",
    "segment": "segment",
    "track": "track",
    "export": "export",
    "bench": "bench",
    "demo": "demo",
}


def import_path(module: str) -> str:
    """Where cyclopts finds the function of a verb, once it is called."""
    return f"pocketeye.verbs.{module}:{module}"


def summary(module: str) -> str | None:
    """First line of the docstring of a verb, or None where the verb is not in this installation."""
    # a verb is a file, or a folder whose verb.py holds the function
    paths = [_FOLDER / f"{module}.py", _FOLDER / module / "verb.py"]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == module:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return None
