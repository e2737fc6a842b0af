"""Where images and masks of a semantic set lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketeye.data.files.decode import no_comments
from pocketeye.data.files.listing import some
from pocketeye.data.files.mask_pairs import by_stem, pair_up
from pocketeye.data.files.problems import Problems
from pocketeye.data.files.splits import spellings, splits_among
from pocketeye.data.semantic.class_maps import KNOWN, ClassMap, numbered
from pocketeye.errors import InvalidValue, MissingFile

_MASKS = ("masks", "labels", "annotations", "annots")
_LIST_FOLDERS = ("", "splits", "ImageSets", "ImageSets/Segmentation")
_ADE_CLASSES = 150


@dataclass(frozen=True, kw_only=True)
class Found:
    """Images and masks, file names below ``root``; ``class_map`` where the layout has its own."""

    root: Path
    pairs: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    class_map: ClassMap | None = None


def semantic_layout(root: Path) -> str | None:
    """``ade20k``, ``cityscapes``, ``folders``, or None where none of them lies in ``root``."""
    if (root / "images" / "training").is_dir() and (root / "annotations" / "training").is_dir():
        return "ade20k"
    if (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir():
        return "cityscapes"
    return "folders" if semantic_splits(root, "folders") or _mask_folder(root) else None


def semantic_splits(root: Path, layout: str) -> tuple[str, ...]:
    """The names of the splits; empty for a set that is not split."""
    if layout == "ade20k":
        return splits_among(_folders(root / "images"))
    if layout == "cityscapes":
        return splits_among(_folders(root / "gtFine"))
    names = {name for name in _folders(root) if _mask_folder(root / name) or _beside(root, name)}
    if masks := _mask_folder(root):
        names |= _folders(root / "images") & _folders(root / masks)
        lists = {file.stem for at in _LIST_FOLDERS for file in (root / at).glob("*.txt")}
        names = names or lists
    return splits_among(names)


def find_pairs(root: Path, layout: str, split: str | None, *, colours: bool) -> Found:
    """Images with their masks of one split.

    Args:
        colours: whether masks in RGB mean something.

    Raises:
        MissingFile: no such split.
        InvalidValue: there are splits, but none was named.
    """
    there = semantic_splits(root, layout)
    if split is None and there:
        raise InvalidValue(f"{root} is split: name one of {', '.join(there)}")
    if layout == "ade20k":
        return _ade20k(root, _named(root, split, there))
    if layout == "cityscapes":
        return _cityscapes(root, _named(root, split, there))
    return _plain(root, None if split is None else _named(root, split, there), colours)


def _named(root: Path, split: str | None, there: tuple[str, ...]) -> str:
    """The split as it is spelt there."""
    for name in spellings(str(split)):
        if name in there:
            return name
    raise MissingFile(f"{root} has no split {split!r}; there is {some(there) or 'none'}")


def _ade20k(root: Path, split: str) -> Found:
    """``reduce_zero_label`` of other packages: 0 is everything else and counts for nothing."""
    problems, file = Problems(), root / "objectInfo150.txt"
    names = [str(number) for number in range(1, _ADE_CLASSES + 1)]
    if file.is_file():
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        names = [line.split("\t")[-1].split(",")[0].strip() for line in lines if line.strip()]
    else:
        problems.add(file.name, "missing, so that the classes are called 1 to 150")
    masks = by_stem(root, f"annotations/{split}")
    return _paired(root, by_stem(root, f"images/{split}"), masks, problems,
                   numbered(names, (0, 255), first=1))  # fmt: skip


def _cityscapes(root: Path, split: str) -> Found:
    images = by_stem(root, f"leftImg8bit/{split}", "_leftImg8bit")
    masks = by_stem(root, f"gtFine/{split}", "_gtFine_labelTrainIds")
    known = "cityscapes-train-ids"
    if not masks:
        masks, known = by_stem(root, f"gtFine/{split}", "_gtFine_labelIds"), "cityscapes"
    return _paired(root, images, masks, Problems(), KNOWN[known])


def _plain(root: Path, split: str | None, colours: bool) -> Found:
    problems = Problems()
    if split is not None and _beside(root, split):
        images, masks = by_stem(root, split), by_stem(root, _beside(root, split) or "")
        return _paired(root, images, masks, problems, None, colours)
    inside = root / split if split is not None and _mask_folder(root / split) else root
    folder = _mask_folder(inside) or _MASKS[0]
    within = "" if inside != root or split is None else f"/{split}"
    if within and not (root / f"images{within}").is_dir():
        images, masks = by_stem(root, "images"), by_stem(root, folder)
        return _listed(root, split or "", images, masks, problems, colours)
    images, masks = by_stem(inside, f"images{within}"), by_stem(inside, f"{folder}{within}")
    return _paired(inside, images, masks, problems, None, colours)


def _listed(
    root: Path,
    split: str,
    images: dict[str, str],
    masks: dict[str, str],
    problems: Problems,
    colours: bool,
) -> Found:
    """Only the images whose names a list has, the first word of each line."""
    files = (root / at / f"{split}.txt" for at in _LIST_FOLDERS)
    file = next(file for file in files if file.is_file())
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = dict.fromkeys(Path(line.split()[0]).stem for line in lines if line.strip())
    for stem in wanted:
        if stem not in images:
            problems.add(f"{file.name}: {stem}", "missing image")
    chosen = {stem: images[stem] for stem in wanted if stem in images}
    found = _paired(root, chosen, masks, Problems(), None, colours)
    ours = [p for p in found.problems if not p.endswith(": missing image")]  # of other splits
    return Found(root=root, pairs=found.pairs, problems=(*problems, *ours))


def _paired(
    root: Path,
    images: dict[str, str],
    masks: dict[str, str],
    problems: Problems,
    class_map: ClassMap | None,
    colours: bool = False,
) -> Found:
    with no_comments():
        pairs = pair_up(root, images, masks, problems, colours=colours)
    return Found(root=root, pairs=tuple(pairs), problems=tuple(problems), class_map=class_map)


def _folders(root: Path) -> set[str]:
    return {p.name for p in root.iterdir() if p.is_dir()} if root.is_dir() else set()


def _mask_folder(root: Path) -> str | None:
    """The folder of masks beside ``images``."""
    if not (root / "images").is_dir():
        return None
    return next((name for name in _MASKS if (root / name).is_dir()), None)


def _beside(root: Path, split: str) -> str | None:
    """``trainannot`` beside ``train``."""
    names = (f"{split}annot", f"{split}_labels", f"{split}_masks")
    here = (root / split).is_dir()
    return next((name for name in names if here and (root / name).is_dir()), None)
