"""List the verbs without importing them: ``pocketeye --help`` reads their docstrings only."""

from __future__ import annotations

import ast
from pathlib import Path

import pocketeye.verbs
from pocketeye.cli._source import docstring_of

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
    "profile": "profile",
    "web": "web",
    "demo": "demo",
}


# What one wants -> the verbs for it, as the help gathers them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Look around": ("list", "info", "doctor", "demo"),
    "Use a network": ("predict", "segment", "track"),
    "Make a network": ("train", "search", "measure"),
    "Judge and ship a network": ("eval", "export", "bench", "profile", "web"),
}

# One command of each verb, or of each of its tasks, that runs as it stands but for the names of files.
EXAMPLES: dict[str, str] = {
    "list": "pocketeye list 'casvit_*'",
    "info": "pocketeye info casvit_xs.tiny_imagenet_24",
    "doctor": "pocketeye doctor",
    "demo": "pocketeye demo --out out/demo",
    "predict": "pocketeye predict casvit_xs.tiny_imagenet_24 photo.jpg",
    "segment": "pocketeye segment photo.jpg --point 320,240",
    "track": "pocketeye track clip.mp4 --point 320,240",
    "train classify": "pocketeye train classify casvit_xs --data photos",
    "train detect": "pocketeye train detect casvit_xs --data coco",
    "train instance": "pocketeye train instance casvit_xs --data coco",
    "train semantic": "pocketeye train semantic casvit_xs --data camvid11",
    "train segment-anything": "pocketeye train segment-anything --data images",
    "train track": "pocketeye train track --data davis,images",
    "search": "pocketeye search --table fbnet-small.latency.json --target-ms 3 --data photos",
    "measure": "pocketeye measure fbnet-small --out fbnet-small.latency.json",
    "eval": "pocketeye eval runs/mine --data photos",
    "export": "pocketeye export runs/mine --precision int8 --data photos",
    "bench": "pocketeye bench fbnet_c casvit_xs --precisions fp32 int8",
    "profile": "pocketeye profile casvit_xs --precisions fp32 int8",
    "web": "pocketeye web out/casvit_xs/web",
}


def import_path(function: str) -> str:
    """Return where cyclopts finds the function of a verb, once somebody asks for it."""
    return f"pocketeye.cli._stubs:{function}"


def source_module(module: str) -> str | None:
    """Return the module that holds a verb's function; None where it is not in this installation.

    A verb is a file, or a folder whose ``verb.py`` holds the function.
    """
    path = _FOLDER / module.replace(".", "/")
    if path.with_suffix(".py").is_file():
        return f"pocketeye.verbs.{module}"
    return f"pocketeye.verbs.{module}.verb" if (path / "verb.py").is_file() else None


def summary(module: str, function: str) -> str | None:
    """First line of the docstring of a verb, or None where the verb is not in this installation."""
    place = source_module(module)
    return None if place is None else docstring_of(place, function).partition("\n")[0]


def group_summary(verb: str) -> str:
    """First line of the docstring of the folder of a verb with tasks."""
    text = (_FOLDER / verb / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
