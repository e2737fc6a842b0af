"""ADE20K (SceneParsing): ``images/training`` beside ``annotations/training``."""

from __future__ import annotations

from pathlib import Path

from pocketeye.data.files import Problems, read_lines, splits_among
from pocketeye.data.files.annotations.mask_pairs import by_stem
from pocketeye.data.semantic.class_maps import numbered
from pocketeye.data.semantic.pairs import MaskPairs, folders_in, paired

_NUM_CLASSES = 150  # of the challenge; the full set has more names than this layout's masks


def is_ade20k(root: Path) -> bool:
    """Tell whether the folder has this layout."""
    return all((root / kind / "training").is_dir() for kind in ("images", "annotations"))


def ade20k_splits(root: Path) -> tuple[str, ...]:
    """Return the names of the splits."""
    return splits_among(folders_in(root / "images"))


def find_ade20k(root: Path, split: str) -> MaskPairs:
    """Find the pairs of one split, as it is spelt there.

    0 is everything else and counts for nothing (``reduce_zero_label`` of other packages).
    """
    problems, file = Problems(), root / "objectInfo150.txt"
    names = [str(number) for number in range(1, _NUM_CLASSES + 1)]
    if file.is_file():
        # The first of several synonyms, after the tab.
        names = [line.split("\t")[-1].split(",")[0].strip() for line in read_lines(file)[1:]]
    else:
        problems.add(file.name, "missing, so that the classes are called 1 to 150")
    masks = by_stem(root, f"annotations/{split}")
    return paired(root, by_stem(root, f"images/{split}"), masks, problems,
                   numbered(names, (0, 255), first=1))  # fmt: skip
