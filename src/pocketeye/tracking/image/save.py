"""Write the masks of one image: overlay, label map, cut-out, COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    if suffix not in ("", ".json", *_IMAGES):
        known = f"allowed: {', '.join(_IMAGES)}, .json, or none for a folder"
        raise unknown("suffix", suffix, (".json", *_IMAGES), known)
    if target.is_dir() != (not suffix) and target.exists():
        raise InvalidValue(f"{target} is {'a folder' if suffix else 'a file'}: choose another name")
    names = (OVERLAY, LABELS, CUTOUT, MASKS)
    # Asked before the network runs: minutes of work must not end in a refusal.
    there = [p for p in ([target] if suffix else [target / name for name in names]) if p.exists()]
    if there and not overwrite:
        raise InvalidValue(f"{there[0]} exists already: replace it with --overwrite")


def save_masks(found: Result, target: Path, name: str) -> list[Path]:
    """Write masks as the ending of ``target`` says: drawn, as COCO run lengths, or a folder of all.

    Returns:
        The files that were written.
    """
    suffix = target.suffix.lower()
    if suffix in _IMAGES:
        return [found.save(target)]
    folder = target.parent if suffix else target
    make_folder(folder)
    text = json.dumps(_coco(found, name)) + "\n"
    if suffix:
        return [write_atomic(target, text)]
    files = [found.save(target / OVERLAY), found.save(target / CUTOUT, "cutout")]
    # More objects than a label map has numbers: it is left out, the other files hold them all.
    if len(found) <= MOST_LABELS:
        files.append(found.save(target / LABELS, "labels"))
    return [*files, write_atomic(target / MASKS, text)]


def _coco(found: Result, name: str) -> dict[str, Any]:
    width, height = found.size
    return {
        "images": [{"id": 0, "file_name": name, "width": width, "height": height}],
        "annotations": found.to_coco(image_id=0),
        "categories": [{"id": 1, "name": "object"}],
    }
