"""Tell the layout of a video set, and list the clips that a split names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import get_args

from pocketeye import progress
from pocketeye.data.files import (
    Problems,
    files_in,
    find_split,
    path_parts,
    read_lines,
    spellings,
    walk,
)
from pocketeye.data.vos.clip_files import ClipFiles, folders_in, images_in
from pocketeye.data.vos.label_files import listed_objects, read_labels, resolution_folders
from pocketeye.data.vos.masks import count_text
from pocketeye.data.vos.sav import list_files, read_sav
from pocketeye.data.vos.sequences import Layout, VideoSequence, VideoSet
from pocketeye.errors import InvalidValue, MissingFile, nearest, unknown

_IMAGES = ("JPEGImages", "JPEGImages_24fps")
_MASKS = ("Annotations", "Annotations_6fps")


def load_videos(
    root: str | Path,
    split: str | None = None,
    layout: Layout = "auto",
    *,
    resolution: str | None = None,
) -> VideoSet:
    """List the clips of a data set. Headers are looked at, nothing is decoded.

    Layouts (which files of ids are understood: :mod:`pocketeye.data.vos.masks`):

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
    source = str(root) if split is None else f"{root} ({split})"
    collector = Problems(source)
    if images is not None and masks is not None:
        if layout == "auto":
            layout = _recognise(images, masks)
        if layout == "davis":
            images, masks = resolution_folders(images, masks, resolution)
        clips = _clips(base, images, masks, listed, collector)
        sequences = _read(root.name, list(clips), layout, collector)
    elif images is None and layout in ("auto", "sa-v") and _has_videos(base):
        if listed is not None:
            raise unknown("split", listed, [p.name for p in folders_in(root)])
        layout, sequences = "sa-v", list(list_files(base, collector))
    else:
        missing = " and ".join(n for n, p in ((_IMAGES[0], images), (_MASKS[0], masks)) if not p)
        raise InvalidValue(f"{root} is no video set that is known: it has no folder {missing}")
    if not sequences:
        first = next(iter(collector), None)
        raise InvalidValue(
            f"{source} has not one clip that can be used" + (f": {first}" if first else "")
        )
    return VideoSet(tuple(sequences), source, layout, collector)


def _read(
    name: str, clips: Sequence[ClipFiles], layout: str, problems: Problems
) -> list[VideoSequence]:
    """Look at the files of each clip; those that cannot be used are left out."""
    read = read_sav if layout == "sa-v" else read_labels
    sequences = []
    with progress.task(f"looking at {name}", len(clips)) as bar:
        for clip in clips:
            found = read(clip, problems)
            sequences += [found] if found is not None else []
            bar.advance()
    return sequences


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        siblings = [p.name for p in root.parent.iterdir()] if root.parent.is_dir() else []
        close = nearest(root.name, siblings)
        guess = f" Did you mean {root.parent / close}?" if close else ""
        raise MissingFile(f"there is no folder {root}.{guess}")


def _base(root: Path, split: str | None) -> Path:
    """Return the folder of a split that has one of its own, else ``root``."""
    # A folder of the split's name wins over a list.
    if split is not None:
        for name in spellings(split):
            if _child(root / name, _IMAGES) or _has_videos(root / name):
                return root / name
    return root


def _has_videos(folder: Path) -> bool:
    return folder.is_dir() and any(name.lower().endswith(".mp4") for name, _ in walk(folder))


def _child(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _recognise(images: Path, masks: Path) -> Layout:
    """Tell the layout by what lies a folder deeper."""
    for clip in folders_in(masks):
        inner = folders_in(clip)
        if inner and not images_in(clip):
            # DAVIS: RES/SEQ on both sides; SA-V: SEQ on one, SEQ/OBJECT on the other
            return "sa-v" if images_in(images / clip.name) else "davis"
        break
    return "youtube-vos"


def _clips(
    base: Path, images: Path, masks: Path, split: str | None, problems: Problems
) -> Iterator[ClipFiles]:
    objects = listed_objects(base / "meta.json", problems)
    if split is not None:
        names = _split_names(base, split, {p.name for p in folders_in(images)})
    else:
        names = [p.name for p in folders_in(images)]
        lone = [p.name for p in folders_in(masks) if not (images / p.name).is_dir()]
        if lone:
            problems.say(f"clips with masks but no frames: {count_text(lone)}; left out")
    for name in names:
        if not images_in(images / name):
            problems.say(f"{name}: no frames in {images / name}; left out")
        elif not (masks / name).is_dir():
            problems.say(f"{name}: no masks in {masks / name}; left out")
        else:
            yield ClipFiles(name, images / name, masks / name, objects.get(name))


def _split_names(base: Path, split: str, known: Collection[str]) -> list[str]:
    """Return the clips a list names, in its order; DAVIS-2016's lists name images.

    Args:
        known: names of the clips with frames, which may have spaces.

    Raises:
        InvalidValue: no such list.
    """
    lists = {p.stem: p for p in files_in(base, ".txt")}
    for folder in (base / "ImageSets", base / "ImageSets" / "2016", base / "ImageSets" / "2017"):
        lists |= {p.stem: p for p in files_in(folder, ".txt")}
    inside = folders_in(base / "ImageSets") if (base / "ImageSets").is_dir() else []
    # Lists in the folder of a year go under both names.
    for path in (path for folder in inside for path in files_in(folder, ".txt")):
        lists[f"{path.parent.name}/{path.stem}"] = path
        lists.setdefault(path.stem, path)
    found = find_split(split, lists)
    if found is None:
        raise unknown("split", split, lists, "" if lists else f"{base} has no lists in ImageSets")
    names: dict[str, None] = {}
    for line in read_lines(lists[found]):
        # DAVIS-2016: /JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png
        parts = path_parts(line if line.strip("\"'") in known else line.split()[0])
        name = parts[-2] if len(parts) > 1 else (parts or ("",))[0].strip("\"'")
        if name.strip("."):
            names[name] = None
    return list(names)
