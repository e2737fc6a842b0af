"""Open sets of images that CVAT, LabelMe or Label Studio annotated, whatever is then learnt from them.

================  ================================================================================
layout            files
================  ================================================================================
``cvat``          ``ROOT/annotations.xml``, or one for each part: ``ROOT/train.xml``,
                  ``ROOT/train/annotations.xml``, or ``subset`` of the images
``label-studio``  ``ROOT/tasks.json`` (any name), or one for each part, as above
``labelme``       ``ROOT/**/NAME.json``, beside its image or below ``annotations`` or ``labels``; parts
                  are folders of ``ROOT``
================  ================================================================================

Images lie below ``ROOT``, in ``images`` or beside their labels. A set without a part for validation has
a fifth of its images held out, always the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketeye.data.files import (
    SUFFIXES,
    Problems,
    UnreadableImage,
    files_in,
    find_inside,
    find_split,
    header_size,
    hold_out,
    leads_out,
    missing_text,
    read_lines,
    split_in,
    splits_among,
    upright_size,
    walk,
)
from pocketeye.data.labelled.cvat import cvat_labels, cvat_subsets, is_cvat, read_cvat
from pocketeye.data.labelled.label_studio import image_paths, is_label_studio, read_label_studio
from pocketeye.data.labelled.labelme import is_labelme, read_labelme
from pocketeye.data.labelled.objects import LabelledFrame
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.reading import (
    MOST_ANNOTATION_BYTES,
    is_file,
    parse_xml,
    read_json,
    read_regular,
)
from pocketeye.text import some

LAYOUTS = ("cvat", "label-studio", "labelme")
_SUFFIX = {"cvat": ".xml", "label-studio": ".json", "labelme": ".json"}
_HEAD_BYTES = 1 << 16  # of a file by which its layout is told: jsons of COCO have gigabytes
_PLACES = ("", "annotations", "labels")
_MOST_FOLDERS = 20  # in which LabelMe's pages are looked for: a set of classes has a thousand
_CLASS_LIST = "labels.txt"  # LabelMe's, of a folder
_NO_CLASSES = ("__ignore__", "_background_")  # which LabelMe's list begins with


@dataclass(kw_only=True)
class LabelledImages:
    """Hold the labels of a part of a set.

    Attributes:
        root: the files are named from here.
        frames: the labels of each image, by its file.
        classes: of the objects of all parts, so that each has the same.
        tags: classes of whole images of all parts.
        problems: what was left out.
    """

    root: Path
    frames: dict[str, LabelledFrame] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    problems: Problems = field(default_factory=Problems)


def labelled_layout(root: Path) -> str | None:
    """Return which of ``LAYOUTS`` lies in a folder or is a file; None where none does."""
    return next((layout for layout in LAYOUTS if _pages(root, layout, looking=True)), None)


def labelled_splits(root: Path, layout: str) -> tuple[str, ...]:
    """Return the names of the parts; none for a set that is not split."""
    pages = _pages(root, layout)
    named = {_part_of(root, page) for page in pages}
    if layout == "cvat" and len(pages) == 1:
        named |= set(cvat_subsets(_parsed(pages[0], layout)).values())
    return splits_among({name for name in named if name})


def read_labelled(root: Path, layout: str, split: str | None) -> LabelledImages:
    """Read the labels of a part; the classes are those of all parts.

    Raises:
        MissingFile: no such part.
        InvalidValue: a file of labels that is damaged, where it is the only one.
    """
    there = labelled_splits(root, layout)
    named = None if split is None else find_split(split, there)
    # What is held out for validation, and what is left to train on.
    half = _half(root, split, named, there)
    chosen = named or (there[0] if half is not None and there else None)
    folder = root if root.is_dir() else root.parent
    found = LabelledImages(root=folder, problems=Problems(str(root)))
    classes, tags = dict[str, None](), dict[str, None]()
    if layout == "labelme" and is_file(folder / _CLASS_LIST):
        lines = read_lines(folder / _CLASS_LIST)
        classes |= dict.fromkeys(line for line in lines if line not in _NO_CLASSES)
    listed = len(classes)
    for page, part, frame in _frames(root, layout, found.problems, classes):
        classes |= dict.fromkeys(sorted({o.label for o in frame.objects if o.label} - {*classes}))
        tags |= dict.fromkeys(frame.tags)
        if chosen is None or part == chosen:
            _add(found, layout, page, frame)
    order = list(classes)
    # Names in the order of a list where there is one; else sorted, as of VOC.
    found.classes = tuple(order if listed or layout == "cvat" else sorted(order))
    found.tags = tuple(sorted(tags))
    if half is not None:
        _keep(found, half)
    return found


def has_objects(root: Path, layout: str) -> bool:
    """Tell whether there is an object in any image of a set; the first one ends the reading."""
    return any(frame.objects for _, _, frame in _frames(root, layout, Problems(), {}))


def has_tags(root: Path, layout: str) -> bool:
    """Tell whether the class of any whole image is said; the first one ends the reading."""
    return any(frame.tags for _, _, frame in _frames(root, layout, Problems(), {}))


def _half(root: Path, split: str | None, named: str | None, there: tuple[str, ...]) -> int | None:
    """Return which half of a hold-out is meant: 0 to train, 1 to validate; None for whole parts.

    Raises:
        MissingFile: no such part.
    """
    if split is None:
        return None
    wanted = split_in(split)
    only_train = {split_in(name) for name in there} <= {"train"}
    if only_train and wanted in ("train", "val"):
        return 0 if wanted == "train" else 1
    if named is None:
        raise MissingFile(f"{root} has no split {split!r}; there is {some(there) or 'none'}")
    return None


def _keep(found: LabelledImages, half: int) -> None:
    names = sorted(found.frames)
    kept = {names[place] for place in hold_out(len(names))[half]}
    found.frames = {name: frame for name, frame in found.frames.items() if name in kept}
    found.problems.say(
        f"{found.problems.source} has no part for validation: a fifth of its images is held out"
    )


# --- files of labels ------------------------------------------------------------------------------


def _pages(root: Path, layout: str, *, looking: bool = False) -> list[Path]:
    """Return the files of labels of a layout in a folder; the first of them only when ``looking``."""
    suffix = _SUFFIX[layout]
    if not root.is_dir():
        fits = root.suffix.lower() == suffix and is_file(root) and _looks_like(root, layout)
        return [root] if fits else []
    if layout == "labelme" and not looking:
        pages = [root / name for name, _ in walk(root) if name.lower().endswith(suffix)]
        return [page for page in pages if _looks_like(page, layout)]
    inside = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    parts = [*_PLACES, *splits_among(inside)]
    if layout == "labelme":
        parts += [name for name in inside[:_MOST_FOLDERS] if name not in parts]
    found = []
    for place in parts:
        for page in files_in(root / place, suffix):
            if _looks_like(page, layout):
                found.append(page)
            if looking:  # files of one layout lie together: one tells
                break
        if found and looking:
            break
    return found


def _looks_like(page: Path, layout: str) -> bool:
    """Tell by its first bytes whether a file may be of a layout."""
    try:
        with page.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    if layout == "cvat":
        return re.search(r"<annotations[\s>]", head) is not None
    if layout == "labelme":
        return re.search(r'"shapes"\s*:\s*\[', head) is not None
    tasks = re.search(r'"(annotations|predictions|completions)"\s*:\s*\[', head) is not None
    return tasks and re.match(r"\s*\[\s*\{", head.lstrip("\ufeff")) is not None


def _part_of(root: Path, page: Path) -> str | None:
    """Return the part of a set that a file of labels is of, by its folder, or its name."""
    if page == root:
        return None
    folders = page.relative_to(root).parts[:-1]
    named = next((f for f in folders if f in splits_among(folders)), None)
    return named or (page.stem if page.stem in splits_among((page.stem,)) else None)


_KNOWN: dict[str, Callable[[Any], bool]] = {
    "cvat": is_cvat, "label-studio": is_label_studio, "labelme": is_labelme,
}  # fmt: skip


def _parsed(page: Path, layout: str) -> Any:
    """Return the content of a file.

    Raises:
        InvalidValue: damaged, or of another layout.
    """
    if layout == "cvat":
        try:
            content: Any = parse_xml(read_regular(page, MOST_ANNOTATION_BYTES))
        except (OSError, ValueError) as error:
            raise InvalidValue(f"{page} is damaged, or no XML: {error}") from error
    else:
        content = read_json(page, MOST_ANNOTATION_BYTES)
    if not _KNOWN[layout](content):
        raise InvalidValue(f"{page} is no file of {layout}")
    return content


def _frames(
    root: Path, layout: str, problems: Problems, classes: dict[str, None]
) -> Iterator[tuple[Path, str | None, LabelledFrame]]:
    """Yield each image's file of labels, its part and its labels; CVAT's list of classes is added."""
    pages = _pages(root, layout)
    for page in pages:
        try:
            content = _parsed(page, layout)
        except InvalidValue as error:
            if len(pages) == 1:
                raise
            problems.add(page.name, f"{error}: left out")
            continue
        part = _part_of(root, page)
        if layout == "labelme":
            yield page, part, read_labelme(content, problems)
            continue
        subsets = {}
        if layout == "cvat":
            subsets = cvat_subsets(content)
            classes |= dict.fromkeys(cvat_labels(content))
        read = read_cvat if layout == "cvat" else read_label_studio
        for frame in read(content, problems):
            yield page, part or subsets.get(frame.name), frame


def image_flaw(path: Path, frame: LabelledFrame) -> str | None:
    """Say what is wrong with the image of a frame by its header; None where nothing is."""
    try:
        # Sizes as stored and as shown: programs differ in which they look at.
        stored, upright = header_size(path), upright_size(path)
    except UnreadableImage as error:
        return str(error)
    if frame.size in (None, stored, upright):
        return None
    said = f"{frame.size[0]}x{frame.size[1]}"
    return f"an image of {upright[0]}x{upright[1]}, but its labels say {said}"


# --- images ---------------------------------------------------------------------------------------


def _add(found: LabelledImages, layout: str, page: Path, frame: LabelledFrame) -> None:
    """Find the image of a frame; note where there is none."""
    name = _image_of(found.root, layout, page, frame.name)
    if name is None:
        shown = frame.name or page.name
        lost = missing_text(frame.name) if leads_out(frame.name) else "missing image"
        found.problems.add(shown, f"{lost}: left out" + " with its objects" * bool(frame.objects))
    elif name in found.frames:
        found.problems.add(frame.name, f"labelled twice ({name}): the second is left out")
    else:
        found.frames[name] = frame


def _image_of(root: Path, layout: str, page: Path, name: str) -> str | None:
    """Return the file below ``root`` that labels are of."""
    names = image_paths(name) if layout == "label-studio" else (name,)
    beside = page.parent
    places = [beside, beside / "images", root / "images", beside.parent / "images", root]
    # ROOT/annotations/train/0.json may go with ROOT/images/train/0.jpg.
    places = list(dict.fromkeys(p for p in places if p.is_relative_to(root) and p.is_dir()))
    for place in places:
        for each in names:
            inside = find_inside(place, each) if each else None
            if inside is not None and Path(inside).suffix.lower() in SUFFIXES:
                return (place / inside).relative_to(root).as_posix()
    if layout != "labelme":
        return None
    # LabelMe's pages are named after their images, which may have been renamed together.
    stems = (page.with_suffix(s) for suffix in sorted(SUFFIXES) for s in (suffix, suffix.upper()))
    return next((p.relative_to(root).as_posix() for p in stems if is_file(p)), None)
