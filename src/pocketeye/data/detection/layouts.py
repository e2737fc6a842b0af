"""Know the layouts of images with boxes: how each is told, split and read. A new one is a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pocketeye.data.detection.coco import read_coco_boxes
from pocketeye.data.detection.labelled import read_labelled_boxes
from pocketeye.data.detection.objects import Objects
from pocketeye.data.detection.voc import is_voc, read_voc_boxes, voc_splits
from pocketeye.data.detection.yolo import read_yolo_boxes
from pocketeye.data.detection.yolo_yaml import yaml_of, yolo_splits
from pocketeye.data.files.annotations.coco_json import coco_splits, jsons_of
from pocketeye.data.labelled.image_sets import labelled_layout, labelled_splits

Boxes = tuple[tuple[str, ...], tuple[int, ...], Objects]
"""Names of the classes, their ids in the files, and the objects."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Describe one layout.

    Attributes:
        suffixes: of the file that may be named in place of its folder.
        lies_in: whether a folder holds a set of this layout.
        is_of: whether a file of such a suffix is of this layout; None where the suffix says it.
        splits: the names of its parts; empty where it has none.
        read: classes, ids and objects of a split; with outlines where the third argument says so.
    """

    suffixes: tuple[str, ...] = ()
    lies_in: Callable[[Path], object]
    splits: Callable[[Path], tuple[str | None, ...]]
    read: Callable[[Path, str | None, bool], Boxes]
    is_of: Callable[[Path], bool] | None = None


def _numbered(
    read: Callable[[Path, str | None, bool], tuple[tuple[str, ...], Objects]],
) -> Callable[[Path, str | None, bool], Boxes]:
    """Give classes the ids from 1 on, as COCO counts, in a layout that has none of its own."""

    def with_ids(root: Path, split: str | None, masks: bool) -> Boxes:
        classes, objects = read(root, split, masks)
        return classes, tuple(range(1, len(classes) + 1)), objects

    return with_ids


def _labelled(layout: str, suffix: str) -> _Layout:
    """Return the row of a layout of an annotation tool."""

    def is_it(root: Path) -> bool:
        return labelled_layout(root) == layout

    return _Layout(
        suffixes=(suffix,), lies_in=is_it, is_of=is_it,
        splits=partial(labelled_splits, layout=layout),
        read=_numbered(partial(read_labelled_boxes, layout)),
    )  # fmt: skip


# What is told by its content comes first: sets of COCO and VOC have files of such names too. Then
# jsons: a set of COCO may have a yaml for other programs.
_LAYOUTS = {
    "cvat": _labelled("cvat", ".xml"),
    "label-studio": _labelled("label-studio", ".json"),
    "labelme": _labelled("labelme", ".json"),
    "coco": _Layout(
        suffixes=(".json",), lies_in=jsons_of, splits=coco_splits, read=read_coco_boxes
    ),
    "voc": _Layout(lies_in=is_voc, splits=voc_splits, read=_numbered(read_voc_boxes)),
    "yolo": _Layout(
        suffixes=(".yaml", ".yml"), lies_in=yaml_of, splits=yolo_splits,
        read=_numbered(read_yolo_boxes),
    ),
}  # fmt: skip
LAYOUTS = tuple(_LAYOUTS)


def detection_layout(root: Path) -> str | None:
    """Return which of ``LAYOUTS`` lies in a folder or is a file; None where none does."""
    if root.is_file():
        suffix = root.suffix.lower()
        fits = ((n, each) for n, each in _LAYOUTS.items() if suffix in each.suffixes)
        return next((n for n, each in fits if each.is_of is None or each.is_of(root)), None)
    return next((name for name, layout in _LAYOUTS.items() if layout.lies_in(root)), None)


def detection_splits(root: str | Path, layout: str) -> tuple[str | None, ...]:
    """Return what ``split`` can be; (None,) for a set that is not split."""
    return _LAYOUTS[layout].splits(Path(root)) or (None,)


def read_boxes(layout: str, root: Path, split: str | None, masks: bool) -> Boxes:
    """Return classes, their ids in the files, and the objects of a split; see ``load_detection``."""
    return _LAYOUTS[layout].read(root, split, masks)
