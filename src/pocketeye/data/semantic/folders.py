"""Read plain folders of images and of masks, divided by folders or by lists."""

from __future__ import annotations

from pathlib import Path

from pocketeye.data.files import SUFFIXES, ListedNames, Problems, files_in, read_lines, splits_among
from pocketeye.data.files.annotations.mask_pairs import by_stem
from pocketeye.data.semantic.pairs import MaskPairs, folders_in, paired

_MASKS = ("masks", "labels", "annotations", "annots")
_LIST_FOLDERS = ("", "splits", "ImageSets", "ImageSets/Segmentation")


def is_folders(root: Path) -> bool:
    """Tell whether the folder has this layout."""
    return bool(folder_splits(root) or _mask_folder(root))


def folder_splits(root: Path) -> tuple[str, ...]:
    """Return the names of the splits; none for a set that is not split."""
    names = {name for name in folders_in(root) if _mask_folder(root / name) or _beside(root, name)}
    if masks := _mask_folder(root):
        names |= folders_in(root / "images") & folders_in(root / masks)
        lists = {file.stem for at in _LIST_FOLDERS for file in files_in(root / at, ".txt")}
        # Folders tell more than lists: a list may be of another task.
        names = names or lists
    return splits_among(names)


def find_folders(root: Path, split: str | None, colours: bool) -> MaskPairs:
    """Find the pairs of one split, as it is spelt there, or of a set that is not split.

    Args:
        colours: whether masks in RGB mean something.
    """
    problems = Problems()
    if split is not None and _beside(root, split):
        images, masks = by_stem(root, split), by_stem(root, _beside(root, split) or "")
        return paired(root, images, masks, problems, None, colours)
    inside = root / split if split is not None and _mask_folder(root / split) else root
    folder = _mask_folder(inside) or _MASKS[0]
    # The split lies inside images and masks, or is a list.
    within = "" if inside != root or split is None else f"/{split}"
    if within and not (root / f"images{within}").is_dir():
        images, masks = by_stem(root, "images"), by_stem(root, folder)
        return _listed(root, split or "", images, masks, problems, colours)
    images, masks = by_stem(inside, f"images{within}"), by_stem(inside, f"{folder}{within}")
    return paired(inside, images, masks, problems, None, colours)


def _listed(
    root: Path,
    split: str,
    images: dict[str, str],
    masks: dict[str, str],
    problems: Problems,
    colours: bool,
) -> MaskPairs:
    """Find only the images whose names a list has, see :class:`ListedNames`."""
    files = (file for at in _LIST_FOLDERS for file in files_in(root / at, ".txt"))
    file = next(file for file in files if file.stem == split)
    names = ListedNames(images, SUFFIXES)
    wanted = dict.fromkeys(map(names.find, read_lines(file)))
    for stem in wanted:
        if stem not in images:
            problems.add(f"{file.name}: {stem}", "missing image")
    chosen = {stem: images[stem] for stem in wanted if stem in images}
    found = paired(root, chosen, masks, Problems(), None, colours)
    # A mask without an image in the list is of another split.
    ours = [p for p in found.problems if not p.endswith(": missing image")]  # of other splits
    return MaskPairs(root=root, pairs=found.pairs, problems=(*problems, *ours))


def _mask_folder(root: Path) -> str | None:
    """Return the folder of masks beside ``images``."""
    if not (root / "images").is_dir():
        return None
    return next((name for name in _MASKS if (root / name).is_dir()), None)


def _beside(root: Path, split: str) -> str | None:
    """Return the folder of masks beside a split: ``trainannot`` beside ``train``."""
    names = (f"{split}annot", f"{split}_labels", f"{split}_masks")
    here = (root / split).is_dir()
    return next((name for name in names if here and (root / name).is_dir()), None)
