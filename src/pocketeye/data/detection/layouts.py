"""Tell which layout of boxes lies in a folder, and how it is split."""

from __future__ import annotations

from pathlib import Path

from pocketeye.data.detection.coco import read_coco_boxes
from pocketeye.data.detection.objects import Objects
from pocketeye.data.detection.voc import is_voc, read_voc_boxes, voc_splits
from pocketeye.data.detection.yolo import read_yolo_boxes
from pocketeye.data.detection.yolo_yaml import yaml_of, yolo_splits
from pocketeye.data.files.annotations.coco_json import coco_splits, jsons_of


def detection_layout(root: Path) -> str | None:
    """Return which of ``LAYOUTS`` lies in a folder or is a file; None where none does."""
    if root.is_file():
        return {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}.get(root.suffix.lower())
    # Jsons first: a set of COCO may have a yaml for other programs.
    if jsons_of(root):
        return "coco"
    if is_voc(root):
        return "voc"
    return "yolo" if yaml_of(root) is not None else None


def detection_splits(root: str | Path, layout: str) -> tuple[str | None, ...]:
    """Return what ``split`` can be; (None,) for a set that is not split."""
    splits = {"coco": coco_splits, "voc": voc_splits, "yolo": yolo_splits}[layout]
    return splits(Path(root)) or (None,)


def read_boxes(
    layout: str, root: Path, split: str | None, masks: bool
) -> tuple[tuple[str, ...], tuple[int, ...], Objects]:
    """Return classes, their ids in the files, and the objects of a split; see ``load_detection``."""
    # Each layout knows its format only.
    if layout == "coco":
        return read_coco_boxes(root, split, masks)
    read = read_voc_boxes if layout == "voc" else read_yolo_boxes
    classes, objects = read(root, split, masks)
    # COCO's ids begin at 1.
    return classes, tuple(range(1, len(classes) + 1)), objects
