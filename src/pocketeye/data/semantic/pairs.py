"""Hold images and masks of one split, as every layout of label maps finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pocketeye.data.files import Problems, no_comments
from pocketeye.data.files.annotations.mask_pairs import pair_up
from pocketeye.data.labelled.objects import LabelledFrame
from pocketeye.data.semantic.class_maps import ClassMap


@dataclass(frozen=True, kw_only=True)
class MaskPairs:
    """Hold images and masks, file names below ``root``; ``class_map`` where the layout has its own.

    Where there are outlines and no masks, ``drawn`` has these by the names of the images, which then
    stand in the place of the masks.
    """

    root: Path
    pairs: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    class_map: ClassMap | None = None
    drawn: Mapping[str, LabelledFrame] | None = field(default=None, repr=False)


def paired(
    root: Path,
    images: dict[str, str],
    masks: dict[str, str],
    problems: Problems,
    class_map: ClassMap | None,
    colours: bool = False,
) -> MaskPairs:
    """Pair images and masks by their names; what does not fit joins ``problems``.

    Args:
        colours: whether masks in RGB mean something.
    """
    # Pillow warns of odd metadata in headers; what matters is in problems.
    with no_comments():
        pairs = pair_up(root, images, masks, problems, colours=colours)
    return MaskPairs(root=root, pairs=tuple(pairs), problems=tuple(problems), class_map=class_map)


def folders_in(root: Path) -> set[str]:
    """Return the names of the folders in ``root``; none where it is not there."""
    return {p.name for p in root.iterdir() if p.is_dir()} if root.is_dir() else set()
