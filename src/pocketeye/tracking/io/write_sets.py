"""Write frames with their labels as a data set: YOLO, Pascal VOC, LabelMe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from pocketeye.data.labelled.objects import frame_of
from pocketeye.data.labelled.writing.sets import image_place, lists_of, page_of
from pocketeye.errors import InvalidValue
from pocketeye.outputs import write_whole
from pocketeye.results import Result
from pocketeye.results.result import save_image
from pocketeye.tracking.io.writer import Writer

_FRAME = re.compile(r"\d{5,}\.(jpg|png|txt|xml|json)")
_FOLDERS = ("images", "labels", "JPEGImages", "Annotations", "SegmentationObject", "ImageSets/Main")
_FILES = ("data.yaml", "all.txt", "classes.txt")


class SetFolder(Writer):
    """Write each frame as a JPEG and its labels, in the layout that a form names.

    - ``yolo-detect`` and ``yolo-segment``: ``images``, ``labels`` and ``data.yaml``, without ids.
    - ``voc``: ``JPEGImages``, ``Annotations``, ``SegmentationObject`` (of objects with masks) and the
      list ``ImageSets/Main/all.txt``; ids are in ``track_id``.
    - ``labelme``: ``00000.json`` beside ``00000.jpg``; ids are ``group_id``.
    """

    keeps = True

    def __init__(self, path: Path, form: str, *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self.form = form
        self._classes: dict[str, int] = {}
        self._names: list[str] = []

    def _open(self) -> None:
        _remove(self.partial)  # what a killed process left
        self.partial.mkdir(exist_ok=True)

    def _write(self, result: Result, frame: int) -> None:
        name, labelled = f"{frame:05d}", frame_of(result, frame)
        image = image_place(self.form, f"{name}.jpg")
        save_image(Image.fromarray(result.pixels()), self.partial / image)
        place, text = page_of(self.form, labelled, f"{name}.jpg", self._classes)
        (self.partial / place).parent.mkdir(exist_ok=True)
        # Thousands of frames would wait for the disk one by one.
        write_whole(self.partial / place, text.encode("utf-8", "replace"), sync=False)
        if self.form == "voc" and result.masks is not None:
            result.save(self.partial / "SegmentationObject" / f"{name}.png", "labels")
        self._names.append(name)

    def _finish(self) -> None:
        lists = lists_of(self.form, self._names, self._classes) if self._names else {}
        for place, text in lists.items():
            (self.partial / place).parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.partial / place, text.encode())

    def _taken(self) -> bool:
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

    def _require_place(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InvalidValue(f"{self.path} is a file, and a set needs a folder: name another")

    def _rename(self) -> None:
        if not self.path.exists():
            self.partial.replace(self.path)
            return
        # Only what such a writer makes is replaced; what else lies in the folder is not ours.
        _remove(self.path)
        for file in list(_ours(self.partial)):
            target = self.path / file.relative_to(self.partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
        self._discard()

    def _discard(self) -> None:
        _remove(self.partial)


def _ours(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that such a writer makes."""
    for place in (folder, *(folder / name for name in _FOLDERS)):
        if place.is_dir():
            yield from (p for p in place.iterdir() if _FRAME.fullmatch(p.name) or p.name in _FILES)


def _remove(folder: Path) -> None:
    """Remove such files, and the folders that are empty then."""
    for file in list(_ours(folder)):
        file.unlink()
    for place in (*_FOLDERS, "ImageSets", "."):
        empty = folder / place
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
