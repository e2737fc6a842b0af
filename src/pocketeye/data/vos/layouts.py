"""Where the clips of a video object segmentation set lie, and what is wrong with their files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from pocketeye import progress
from pocketeye.data.files.decode import SUFFIXES, UnreadableImage, decode, header_size, no_comments
from pocketeye.data.files.problems import Problems
from pocketeye.data.vos.masks import LabelFiles, ObjectFiles, count_text, header_problem
from pocketeye.data.vos.sav import list_files
from pocketeye.data.vos.sequences import Layout, VideoSequence, VideoSet
from pocketeye.errors import InvalidValue, MissingFile, nearest, unknown

_THREADS = 8
_IMAGES = ("JPEGImages", "JPEGImages_24fps")
_MASKS = ("Annotations", "Annotations_6fps")
_ALIASES = {"val": ("valid", "sav_val"), "train": ("sav_train",), "test": ("sav_test",)}


@dataclass(frozen=True)
class ImageFrames:
    """Frames as image files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        path = self.paths[index]
        try:
            return np.asarray(decode(path))
        except UnreadableImage as error:
            raise InvalidValue(f"frame {path.parent.name}/{path.name}: {error}") from error

    def file_name(self, index: int) -> str:
        return self.paths[index].stem


@dataclass(frozen=True)
class Clip:
    """What lies where: a folder of frames and a folder of masks; the first frames, if listed."""

    name: str
    images: Path
    masks: Path
    objects: dict[int, tuple[str, ...]] | None = None


def load_videos(
    root: str | Path,
    split: str | None = None,
    layout: Layout = "auto",
    *,
    resolution: str | None = None,
) -> VideoSet:
    """List the clips of a data set. Headers are looked at, nothing is decoded.

    Layouts (where a file of ids is meant, see ``_vos_masks`` for palette, grey and colour images):

    * ``davis``: ``JPEGImages/480p/SEQ/*.jpg``, ``Annotations/480p/SEQ/*.png`` (any name of a
      resolution), ``ImageSets/SPLIT.txt`` or ``ImageSets/2017/SPLIT.txt``, ``…/2016/…``.
    * ``youtube-vos``, ``mose``: ``JPEGImages/SEQ``, ``Annotations/SEQ``, ``meta.json`` where there is
      one; in ``root`` or ``root/SPLIT``. Frames without a mask are not annotated.
    * ``sa-v``: ``JPEGImages_24fps/SEQ`` with ``Annotations_6fps/SEQ/OBJECT/*.png``; or ``*.mp4`` with
      ``*_manual.json`` beside it (every fourth frame annotated). Ids are the set's plus 1, as its
      first object has the number 0. Automatic annotations (``*_auto.json``) are not read.

    Clips that cannot be used are left out and named in ``problems``, as are single masks.

    Args:
        root: folder of the data set.
        split: its name, such as ``train`` or ``2016/val``; None for all clips.
        layout: ``auto`` looks at the folders.
        resolution: of DAVIS; by default ``480p`` if it is there, else the first one.

    Raises:
        MissingFile: no such folder.
        InvalidValue: no known layout, no such split, or not one clip that can be used.
    """
    root = Path(root)
    _check_folder(root)
    if layout not in get_args(Layout):
        raise unknown("layout", layout, get_args(Layout))
    base = _base(root, split)
    listed = None if base != root else split  # no folder of its own: a list names its clips
    images, masks = _child(base, _IMAGES), _child(base, _MASKS)
    problems: list[str] = []
    if images is not None and masks is not None:
        if layout == "auto":
            layout = _recognise(images, masks)
        if layout == "davis":
            images, masks = _resolution(images, masks, resolution)
        read = _read_sav if layout == "sa-v" else _read_labels
        clips = list(_clips(base, images, masks, listed, problems))
        sequences = []
        with progress.task(f"looking at {root.name}", len(clips)) as bar:
            for clip in clips:
                found = read(clip, problems)
                sequences += [found] if found is not None else []
                bar.advance()
    elif images is None and layout in ("auto", "sa-v") and _has_videos(base):
        if listed is not None:
            raise unknown("split", listed, [p.name for p in _folders(root)])
        layout, sequences = "sa-v", list(list_files(base, problems))
    else:
        missing = " and ".join(n for n, p in ((_IMAGES[0], images), (_MASKS[0], masks)) if not p)
        raise InvalidValue(f"{root} is no video set that is known: it has no folder {missing}")
    source = str(root) if split is None else f"{root} ({split})"
    if not sequences:
        more = f": {problems[0]}" if problems else ""
        raise InvalidValue(f"{source} has not one clip that can be used{more}")
    collector = Problems(source, problems)
    clips_of_set = tuple(replace(one, collector=collector) for one in sequences)
    return VideoSet(clips_of_set, source, layout, collector)


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        siblings = [p.name for p in root.parent.iterdir()] if root.parent.is_dir() else []
        close = nearest(root.name, siblings)
        guess = f" Did you mean {root.parent / close}?" if close else ""
        raise MissingFile(f"there is no folder {root}.{guess}")


def _base(root: Path, split: str | None) -> Path:
    """The folder of a split that has one of its own, else ``root``."""
    if split is not None:
        for name in (split, *_ALIASES.get(split, ())):
            if _child(root / name, _IMAGES) or _has_videos(root / name):
                return root / name
    return root


def _has_videos(folder: Path) -> bool:
    return folder.is_dir() and next(folder.rglob("*.mp4"), None) is not None


def _child(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")


def _recognise(images: Path, masks: Path) -> Layout:
    """By what lies a folder deeper."""
    for clip in _folders(masks):
        inner = _folders(clip)
        if inner and not _images(clip):
            # DAVIS: RES/SEQ on both sides; SA-V: SEQ on one, SEQ/OBJECT on the other
            return "sa-v" if _images(images / clip.name) else "davis"
        break
    return "youtube-vos"


def _resolution(images: Path, masks: Path, wanted: str | None) -> tuple[Path, Path]:
    both = [p.name for p in _folders(images) if (masks / p.name).is_dir()]
    if wanted is not None and wanted not in both:
        raise unknown("resolution", wanted, both)
    if not both:
        raise InvalidValue(
            f"{images} and {masks} have no folder of a resolution in common, such as 480p"
        )
    name = wanted or ("480p" if "480p" in both else both[0])
    return images / name, masks / name


def _clips(
    base: Path, images: Path, masks: Path, split: str | None, problems: list[str]
) -> Iterator[Clip]:
    objects = _meta(base / "meta.json", problems)
    if split is not None:
        names = _split_names(base, split)
    else:
        names = [p.name for p in _folders(images)]
        lone = [p.name for p in _folders(masks) if not (images / p.name).is_dir()]
        if lone:
            problems.append(f"clips with masks but no frames: {count_text(lone)}; left out")
    for name in names:
        if not _images(images / name):
            problems.append(f"{name}: no frames in {images / name}; left out")
        elif not (masks / name).is_dir():
            problems.append(f"{name}: no masks in {masks / name}; left out")
        else:
            yield Clip(name, images / name, masks / name, objects.get(name))


def _split_names(base: Path, split: str) -> list[str]:
    """Clips a list names, in its order; DAVIS-2016's lists name images.

    Raises:
        InvalidValue: no such list.
    """
    lists = {p.stem: p for p in base.glob("*.txt")}
    for folder in (base / "ImageSets", base / "ImageSets" / "2016", base / "ImageSets" / "2017"):
        lists |= {p.stem: p for p in folder.glob("*.txt")}
    for path in (base / "ImageSets").glob("*/*.txt"):
        lists[f"{path.parent.name}/{path.stem}"] = path
        lists.setdefault(path.stem, path)
    if split not in lists:
        raise unknown("split", split, lists, "" if lists else f"{base} has no lists in ImageSets")
    names: dict[str, None] = {}
    for line in lists[split].read_text(encoding="utf-8").splitlines():
        if first := line.strip().split(" ")[0]:
            names[Path(first).parent.name if "/" in first else first] = None
    return list(names)


def _meta(path: Path, problems: list[str]) -> dict[str, dict[int, tuple[str, ...]]]:
    """YouTube-VOS: the names of the frames of each object of each clip."""
    if not path.is_file():
        return {}
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {
            name: {int(i): tuple(o["frames"]) for i, o in entry["objects"].items()}
            for name, entry in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problems.append(f"meta.json cannot be used ({error}): objects are taken from the masks")
        return {}


def _read_labels(clip: Clip, problems: list[str]) -> VideoSequence | None:
    frames = _read_frames(clip, problems)
    if frames is None:
        return None
    paths, size = frames
    numbers = {path.stem: number for number, path in enumerate(paths)}
    files = [path for path in _images(clip.masks) if path.suffix.lower() == ".png"]
    _name_lone(clip, [path.name for path in files if path.stem not in numbers], problems)
    files = [path for path in files if path.stem in numbers]
    bad = _bad_masks(clip, files, size, problems)
    good = {numbers[path.stem]: path for path in files if path not in bad}
    if not good:
        problems.append(f"{clip.name}: not one mask that can be used; left out")
        return None
    first = _first_frames(clip, numbers, good)
    lost = _listed(clip, numbers) - good.keys()
    return VideoSequence(
        clip.name, size, ImageFrames(paths), LabelFiles(good, size), first, len(lost)
    )


def _read_sav(clip: Clip, problems: list[str]) -> VideoSequence | None:
    frames = _read_frames(clip, problems)
    if frames is None:
        return None
    paths, size = frames
    numbers = {path.stem: number for number, path in enumerate(paths)}
    good: dict[int, dict[int, Path]] = {}
    for folder in _folders(clip.masks):
        if not folder.name.isdecimal():
            problems.append(f"{clip.name}: folder {folder.name} is no object's number; not read")
            continue
        files = [path for path in _images(folder) if path.suffix.lower() == ".png"]
        lone = [f"{folder.name}/{path.name}" for path in files if path.stem not in numbers]
        _name_lone(clip, lone, problems)
        files = [path for path in files if path.stem in numbers]
        bad = _bad_masks(clip, files, size, problems)
        for path in files:
            if path not in bad:
                good.setdefault(numbers[path.stem], {})[int(folder.name) + 1] = path
    if not good:
        problems.append(f"{clip.name}: not one mask that can be used; left out")
        return None
    return VideoSequence(clip.name, size, ImageFrames(paths), ObjectFiles(good, size))


def _read_frames(
    clip: Clip, problems: list[str]
) -> tuple[tuple[Path, ...], tuple[int, int]] | None:
    """The frames and their size; None where one of them cannot be used: the clip would jump."""
    paths = tuple(_images(clip.images))
    size = None
    try:
        with no_comments():
            size = header_size(paths[0])
    except UnreadableImage:
        pass  # named below
    wrong = _check(paths, lambda path: header_problem(path, size))
    if wrong:
        named = count_text([f"{path.name}: {text}" for path, text in wrong.items()])
        problems.append(f"{clip.name}: frames that cannot be used: {named}; clip left out")
        return None
    assert size is not None  # else the first one is wrong
    _name_gaps(clip, paths, problems)
    return paths, size


def _name_gaps(clip: Clip, paths: Sequence[Path], problems: list[str]) -> None:
    """Numbers that are missing between frames; every fifth frame only is no gap."""
    if not all(path.stem.isdecimal() for path in paths) or len(paths) < 3:
        return
    numbers = sorted(int(path.stem) for path in paths)
    steps = Counter(np.diff(numbers).tolist())
    step = min(steps, key=lambda each: (-steps[each], each))
    missing = sorted(set(range(numbers[0], numbers[-1], max(step, 1))) - set(numbers))
    if missing:
        names = [str(number).zfill(len(paths[0].stem)) for number in missing]
        problems.append(f"{clip.name}: frames missing: {count_text(names)}; the clip jumps there")


def _name_lone(clip: Clip, names: list[str], problems: list[str]) -> None:
    if names:
        problems.append(f"{clip.name}: masks without a frame: {count_text(names)}; not used")


def _bad_masks(
    clip: Clip, files: Sequence[Path], size: tuple[int, int], problems: list[str]
) -> dict[Path, str]:
    bad = _check(files, lambda path: header_problem(path, size))
    if bad:
        named = count_text([f"{path.name}: {text}" for path, text in bad.items()])
        problems.append(f"{clip.name}: masks that cannot be used: {named}; taken as not annotated")
    return bad


def _check(paths: Sequence[Path], look: Callable[[Path], str | None]) -> dict[Path, str]:
    with no_comments(), ThreadPoolExecutor(_THREADS) as pool:
        found = zip(paths, pool.map(look, paths), strict=True)
        return {path: text for path, text in found if text is not None}


def _listed(clip: Clip, numbers: dict[str, int]) -> set[int]:
    """Frames in which the data set's list has an object."""
    objects = clip.objects or {}
    return {numbers[name] for names in objects.values() for name in names if name in numbers}


def _first_frames(
    clip: Clip, numbers: dict[str, int], good: dict[int, Path]
) -> dict[int, int] | None:
    """As the data set lists them; None where it does not, or where a listed mask is not there."""
    if not clip.objects:
        return None
    first = {}
    for object_id, frames in clip.objects.items():
        known = sorted(numbers[name] for name in frames if name in numbers)
        if not known or known[0] not in good:
            return None
        first[object_id] = known[0]
    return first
