"""COCO's json of instances: finding it, reading it, and where its images lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pocketeye.data.files.decode import UnreadableImage, header_size, upright_size
from pocketeye.data.files.listing import some
from pocketeye.data.files.splits import known_split, split_in
from pocketeye.errors import InvalidValue, MissingFile

ROBOFLOW = "_annotations.coco.json"


def jsons_of(root: Path) -> list[Path]:
    """Return the jsons of a set: in ``annotations``, or one beside the images of each split."""
    folder = root / "annotations"
    files = sorted(folder.glob("instances*.json")) or sorted(folder.glob("*.json"))
    return files or sorted(root.glob(f"*/{ROBOFLOW}")) or sorted(root.glob(ROBOFLOW))


def json_of(root: Path, split: str | None) -> Path:
    """Return the json of one split: its name has that word, or its folder's.

    Raises:
        MissingFile: none has it.
        InvalidValue: several have.
    """
    files = jsons_of(root)
    fitting = [file for file in files if split is None or split in _word(file)]
    if not fitting and known_split(split or ""):
        fitting = [file for file in files if split_in(_word(file)) == known_split(split or "")]
    names = some([_word(file) for file in files])
    if not fitting:
        raise MissingFile(f"{root} has no json of the split {split!r}; there is {names or 'none'}")
    # `train` is in `minitrain` too: the exact name wins.
    exact = [file for file in fitting if _word(file) == f"instances_{split}"]
    if len(exact or fitting) > 1:
        raise InvalidValue(f"{root} has several jsons ({names}): name the split, such as 'train'")
    return (exact or fitting)[0]


def coco_splits(root: Path) -> tuple[str, ...]:
    """Return the splits the jsons are named for: ``train2017``; none for one json."""
    files = [] if root.is_file() else jsons_of(root)
    return tuple(_word(file).removeprefix("instances_") for file in files) if len(files) > 1 else ()


def _word(file: Path) -> str:
    """Return the word that tells the splits apart."""
    return file.parent.name if file.name == ROBOFLOW else file.stem


def read_coco(file: Path) -> dict[str, Any]:
    """Read the content of a json.

    Raises:
        InvalidValue: no json, or without the lists ``images`` and ``annotations``.
    """
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{file} cannot be read as json: {error}") from error
    lists = isinstance(content, dict) and all(
        isinstance(content.get(key), list) and all(isinstance(row, dict) for row in content[key])
        for key in ("images", "annotations")
    )
    if not lists:
        raise InvalidValue(
            f"{file} is not COCO's: the lists 'images' and 'annotations' are missing"
        )
    return content


def image_folder(file: Path, images: list[dict[str, Any]]) -> Path:
    """Find where the images lie: a folder named like the json, ``images``, or beside the json."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    word = file.stem.removeprefix("instances_")
    places = [root / word, root / "images" / word, root / "images", root]
    first = [str(image.get("file_name")) for image in images[:20]]  # a few may be missing
    for place in places:
        if any((place / name).is_file() for name in first):
            return place
    return places[0]


def said_size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Return (width, height) as the json says; None where it does not."""
    sides = image.get("width"), image.get("height")
    return sides if all(isinstance(side, int) and side > 0 for side in sides) else None  # type: ignore[return-value]


def image_flaw(path: Path, image: dict[str, Any]) -> str | None:
    """Say what is wrong with an image by its header (Pillow may warn); None where nothing is."""
    if not path.is_file():
        return "missing image"
    try:
        stored, upright = header_size(path), upright_size(path)
    except UnreadableImage as error:
        return str(error)
    said = said_size(image)
    if said is not None and said not in (stored, upright):
        return f"an image of {upright[0]}x{upright[1]}, but the json says {said[0]}x{said[1]}"
    return None
