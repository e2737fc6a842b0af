"""Read Cityscapes: ``leftImg8bit/SPLIT/CITY`` beside ``gtFine/SPLIT/CITY``."""

from __future__ import annotations

from pathlib import Path

from pocketeye.data.files import Problems, splits_among
from pocketeye.data.files.annotations.mask_pairs import by_stem
from pocketeye.data.semantic.class_maps import KNOWN
from pocketeye.data.semantic.pairs import MaskPairs, folders_in, paired


def is_cityscapes(root: Path) -> bool:
    """Tell whether the folder has this layout."""
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


def cityscapes_splits(root: Path) -> tuple[str, ...]:
    """Return the names of the splits."""
    return splits_among(folders_in(root / "gtFine"))


def find_cityscapes(root: Path, split: str) -> MaskPairs:
    """Find the pairs of one split; training ids where they were made, else the ids of all labels."""
    images = by_stem(root, f"leftImg8bit/{split}", "_leftImg8bit")
    # Training ids are 0 to 18 already; they are made by a script of the set.
    masks = by_stem(root, f"gtFine/{split}", "_gtFine_labelTrainIds")
    known = "cityscapes-train-ids"
    if not masks:
        masks, known = by_stem(root, f"gtFine/{split}", "_gtFine_labelIds"), "cityscapes"
    return paired(root, images, masks, Problems(), KNOWN[known])
