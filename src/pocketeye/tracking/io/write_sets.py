"""Write frames with their labels as a data set: YOLO, Pascal VOC, LabelMe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from pocketeye.data.labelled.labelme import write_labelme
from pocketeye.data.labelled.objects import LabelledFrame, frame_of
from pocketeye.data.labelled.voc import write_voc
from pocketeye.data.labelled.yolo import write_names, write_yolo
from pocketeye.errors import InvalidValue
from pocketeye.outputs import write_whole
from pocketeye.results import Result
from pocketeye.results.result import save_image
from pocketeye.tracking.io.writer import Writer

_FRAME = re.compile(r"\d{5,}\.(jpg|png|txt|xml|json)")
_FOLDERS = ("images", "labels", "JPEGImages", "Annotations", "SegmentationObject", "ImageSets/Main")
_FILES = ("data.yaml", "all.txt")


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
        images = {"voc": "JPEGImages", "labelme": "."}.get(self.form, "images")
        save_image(Image.fromarray(result.pixels()), self.partial / images / f"{name}.jpg")
        for place, text in self._pages(labelled, name).items():
            file = self.partial / place
            file.parent.mkdir(exist_ok=True)
            # Thousands of frames would wait for the disk one by one.
            write_whole(file, text.encode("utf-8", "replace"), sync=False)
        if self.form == "voc" and result.masks is not None:
            result.save(self.partial / "SegmentationObject" / f"{name}.png", "labels")
        self._names.append(name)

    def _pages(self, frame: LabelledFrame, name: str) -> dict[str, str]:
        """Return the text of each file of a frame, by its place in the folder."""
        if self.form == "labelme":
            return {f"{name}.json": write_labelme(frame, f"{name}.jpg")}
        if self.form == "voc":
            segmented = any(each.mask is not None for each in frame.objects)
            page = write_voc(frame, f"{name}.jpg", segmented=segmented)
            return {f"Annotations/{name}.xml": page}
        text = write_yolo(frame, self._classes, outlines=self.form == "yolo-segment")
        return {f"labels/{name}.txt": text}

    def _finish(self) -> None:
        if not self._names:
            return
        if self.form.startswith("yolo"):
            head = "path: .\ntrain: images\nval: images\n"
            write_whole(self.partial / "data.yaml", (head + write_names(self._classes)).encode())
        elif self.form == "voc":
            lists = self.partial / "ImageSets" / "Main"
            lists.mkdir(parents=True, exist_ok=True)
            write_whole(lists / "all.txt", "".join(f"{n}\n" for n in self._names).encode())

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
