"""Write the masks of one image: overlay, label map, cut-out, run lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pocketeye.data.labelled.coco import coco_annotations, coco_image
from pocketeye.data.labelled.objects import NAMELESS, frame_of
from pocketeye.errors import InvalidValue, unknown
from pocketeye.results import Result
from pocketeye.runs import make_folder, write_atomic

_IMAGES = (".png", ".jpg", ".jpeg", ".webp")
MOST_LABELS = 255  # numbers of an 8-bit label map, without 0 for the background
OVERLAY, LABELS, CUTOUT, MASKS = "overlay.png", "labels.png", "cutout.png", "masks.json"


def require_free(target: Path, overwrite: bool) -> None:
    """Check that masks can be written to ``target``: a known ending, and nothing in the way.

    Raises:
        InvalidValue: another ending, a folder of that name, or a file that may not be overwritten.
    """
    suffix = target.suffix.lower()
    if suffix not in ("", *_IMAGES):
        known = f"allowed: {', '.join(_IMAGES)}, .json, .xml, or none for a folder"
        raise unknown("suffix", suffix, (".json", ".xml", *_IMAGES), known)
    if target.is_dir() != (not suffix) and target.exists():
        raise InvalidValue(f"{target} is {'a folder' if suffix else 'a file'}: choose another name")
    names = (OVERLAY, LABELS, CUTOUT, MASKS)
    # Asked before the network runs: minutes of work must not end in a refusal.
    there = [p for p in ([target] if suffix else [target / name for name in names]) if p.exists()]
    if there and not overwrite:
        raise InvalidValue(f"{there[0]} exists already: replace it with --overwrite")


def save_masks(found: Result, target: Path, name: str) -> list[Path]:
    """Write masks as the ending of ``target`` says: drawn, or a folder of all forms.

    Returns:
        The files that were written.
    """
    if target.suffix:
        return [found.save(target)]
    make_folder(target)
    files = [found.save(target / OVERLAY), found.save(target / CUTOUT, "cutout")]
    # More objects than a label map has numbers: it is left out, the other files hold them all.
    if len(found) <= MOST_LABELS:
        files.append(found.save(target / LABELS, "labels"))
    return [*files, write_atomic(target / MASKS, json.dumps(_coco(found, name)) + "\n")]


def _coco(found: Result, name: str) -> dict[str, Any]:
    frame = frame_of(found, name=name)
    categories = {} if found.labels else {NAMELESS: 1}
    annotations = coco_annotations(frame, 1, categories, 1)
    return {
        "images": [coco_image(frame, 1)],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
