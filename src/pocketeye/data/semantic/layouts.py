"""Tell the layout of a folder of label maps, and find the pairs of one split of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pocketeye.data.files import find_split
from pocketeye.data.semantic.ade20k import ade20k_splits, find_ade20k, is_ade20k
from pocketeye.data.semantic.cityscapes import cityscapes_splits, find_cityscapes, is_cityscapes
from pocketeye.data.semantic.folders import find_folders, folder_splits, is_folders
from pocketeye.data.semantic.labelled import find_labelled, is_labelled, split_names
from pocketeye.data.semantic.pairs import MaskPairs
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.text import some

_OF_TOOLS = ("cvat", "label-studio", "labelme")
# What is told by its content comes first: such a set may have folders of those names too.
LAYOUTS = (*_OF_TOOLS, "ade20k", "cityscapes", "folders")
_RECOGNISERS: tuple[Callable[[Path], bool], ...] = (
    *(partial(is_labelled, layout=tool) for tool in _OF_TOOLS), is_ade20k, is_cityscapes, is_folders,
)  # fmt: skip
_SPLITS: tuple[Callable[[Path], tuple[str, ...]], ...] = (
    *(partial(split_names, layout=tool) for tool in _OF_TOOLS), ade20k_splits, cityscapes_splits,
    folder_splits,
)  # fmt: skip


def semantic_layout(root: Path) -> str | None:
    """Return one of ``LAYOUTS``, or None where none of them lies in ``root``."""
    pairs = zip(LAYOUTS, _RECOGNISERS, strict=True)
    return next((name for name, is_here in pairs if is_here(root)), None)


def semantic_splits(root: Path, layout: str) -> tuple[str, ...]:
    """Return the names of the splits; none for a set that is not split."""
    return _SPLITS[LAYOUTS.index(layout)](root)


def find_pairs(root: Path, layout: str, split: str | None, *, colours: bool) -> MaskPairs:
    """Find images with their masks of one split.

    Args:
        colours: whether masks in RGB mean something.

    Raises:
        MissingFile: no such split.
        InvalidValue: there are splits, but none was named.
    """
    there = semantic_splits(root, layout)
    # To read all of a set that is split would mix training and test.
    if split is None and there:
        raise InvalidValue(f"{root} is split: name one of {', '.join(there)}")
    if layout in _OF_TOOLS:
        return find_labelled(root, layout, split)
    name = None if split is None else _named(root, split, there)
    if layout == "folders":
        return find_folders(root, name, colours)
    found = find_ade20k if layout == "ade20k" else find_cityscapes
    return found(root, name or _named(root, str(split), there))


def _named(root: Path, split: str, there: tuple[str, ...]) -> str:
    """Return the split as it is spelt there."""
    if (name := find_split(split, there)) is None:
        raise MissingFile(f"{root} has no split {split!r}; there is {some(there) or 'none'}")
    return name
