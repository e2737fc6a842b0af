"""Tell which layout a file or folder of labels has, and read its frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pocketeye.data.files import Problems, files_in, read_lines
from pocketeye.data.files.annotations.coco_json import read_coco
from pocketeye.data.labelled.coco import is_coco, read_coco_frames
from pocketeye.data.labelled.cvat import is_cvat, read_cvat
from pocketeye.data.labelled.label_studio import is_label_studio, read_label_studio
from pocketeye.data.labelled.labelme import is_labelme, read_labelme
from pocketeye.data.labelled.mot import is_mot, read_mot
from pocketeye.data.labelled.objects import LabelledFrame, Size
from pocketeye.data.labelled.voc import is_voc, read_voc
from pocketeye.data.labelled.yolo import is_yolo, read_yolo
from pocketeye.errors import InvalidValue
from pocketeye.reading import (
    MOST_ANNOTATION_BYTES,
    exists,
    is_file,
    parse_xml,
    read_json,
    read_regular,
    read_text,
    read_yaml,
    require_file,
)

KNOWN = "COCO, CVAT, LabelMe, Label Studio, Pascal VOC (xml), MOT and YOLO (txt)"
_PAGES = (".json", ".xml", ".txt")
# Where a set keeps its pages beside its images.
_INSIDE = ("Annotations", "labels", "annotations")
_NAMES_OF_CLASSES = ("classes.txt", "obj.names", "labels.txt")
_LAST_NUMBER = re.compile(r"(\d{1,9})\D*$")


def read_labels(path: Path, size: Size | None, problems: Problems) -> Iterator[LabelledFrame]:
    """Yield the frames, or images, of a file or folder of labels, in order.

    Args:
        size: (width, height) of the images, for layouts that count in shares of them (YOLO).

    Raises:
        MissingFile: nothing there.
        InvalidValue: no layout that is known, damaged, or YOLO without a size.
    """
    if path.is_dir():
        yield from _folder(path, size, problems)
        return
    require_file(path, f"there is no file {path}")
    kind, content = _content(path)
    if kind == "cvat":
        yield from read_cvat(content, problems)
    elif kind == "coco":
        yield from read_coco_frames(read_coco(path, problems), problems)
    elif kind == "label studio":
        yield from read_label_studio(content, problems)
    elif kind == "mot":
        names = path.with_name(f"{path.stem}.labels.txt")
        yield from read_mot(content, read_lines(names) if is_file(names) else [], problems)
    else:
        yield _page(path, kind, content, size, _classes(path.parent), problems, 0)


def _folder(folder: Path, size: Size | None, problems: Problems) -> Iterator[LabelledFrame]:
    """Yield a frame for each page; those that cannot be read are left out and named."""
    place = next((folder / name for name in _INSIDE if (folder / name).is_dir()), folder)
    pages = [file for suffix in _PAGES for file in files_in(place, suffix)]
    pages = [page for page in pages if page.name not in _NAMES_OF_CLASSES]
    if not pages:
        raise InvalidValue(f"{folder} holds no labels: expected files of {KNOWN}")
    if len(pages) == 1:
        yield from read_labels(pages[0], size, problems)
        return
    classes = _classes(place)
    for number, page in sorted(zip(frame_numbers(pages), pages, strict=True)):
        try:
            kind, content = _content(page)
            yield _page(page, kind, content, size, classes, problems, number)
        except (InvalidValue, OSError) as error:
            problems.add(page.name, f"{error}: left out")


def frame_numbers(pages: Sequence[Path]) -> list[int]:
    """Return the frame of each file: the last number in its name where these differ, else its place."""
    found = [match and int(match[1]) for match in (_LAST_NUMBER.search(p.stem) for p in pages)]
    numbers = [number for number in found if number is not None]
    if len({*numbers}) == len(pages):
        return numbers
    order = sorted(range(len(pages)), key=lambda place: pages[place].name)
    return [order.index(place) for place in range(len(pages))]


def _content(path: Path) -> tuple[str, Any]:
    """Return the layout of a file, and what was parsed of it."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        data = read_json(path, MOST_ANNOTATION_BYTES)
        kinds = {"coco": is_coco, "labelme": is_labelme, "label studio": is_label_studio}
    elif suffix == ".xml":
        kinds = {"cvat": is_cvat, "voc": is_voc}
        try:
            data = parse_xml(read_regular(path, MOST_ANNOTATION_BYTES))
        except (OSError, ValueError) as error:
            raise InvalidValue(f"{path} is damaged, or no XML: {error}") from error
    elif suffix == ".txt":
        data = read_text(path, MOST_ANNOTATION_BYTES)
        kinds = {"mot": is_mot, "yolo": is_yolo}
        if not data.strip():
            return "yolo", data  # an image without objects
    else:
        raise InvalidValue(f"{path.name!r:.80} is no file of labels: expected {KNOWN}")
    kind = next((name for name, fits in kinds.items() if fits(data)), None)
    if kind is None:
        raise InvalidValue(f"{path} has none of the layouts that a {suffix} can have: {KNOWN}")
    return kind, data


def _page(
    path: Path, kind: str, content: Any, size: Size | None, classes: Sequence[str],
    problems: Problems, number: int,
) -> LabelledFrame:  # fmt: skip
    """Return what a layout with a file for each image says of one."""
    if kind == "labelme":
        return read_labelme(content, problems, number)
    if kind == "voc":
        return read_voc(content, problems, number)
    if kind != "yolo":
        raise InvalidValue(f"{path} is one of several files, but holds many images ({kind})")
    if size is None:
        raise InvalidValue(f"{path} counts in shares of its image, whose size is not known")
    return read_yolo(content, size, classes, problems, number, path.stem)


def _classes(folder: Path) -> list[str]:
    """Return the names of YOLO's classes, from a list or a yaml beside or above the texts."""
    for place in (folder, folder.parent):
        for name in _NAMES_OF_CLASSES:
            if is_file(place / name):
                return read_lines(place / name)
        for file in (place / "data.yaml", place / "dataset.yaml"):
            if exists(file):
                content = read_yaml(file)
                names = content.get("names") if isinstance(content, dict) else None
                if isinstance(names, dict):
                    names = [names.get(n, str(n)) for n in range(len(names))]
                return [str(name) for name in names] if isinstance(names, list) else []
    return []
