"""Write results as images, as MOTChallenge lines and as a table."""

from __future__ import annotations

import csv
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal

from PIL import Image

from pocketeye.errors import InvalidValue
from pocketeye.outputs import write_whole
from pocketeye.results import Result
from pocketeye.results.result import Form, save_image
from pocketeye.tracking.io.writer import Writer

_FRAME = re.compile(r"\d{5,}\.(png|jpg)")
_NAMES = "names.json"


class ImageFolder(Writer):
    """Write ``00000.png``, ``00001.png``, …: label images as DAVIS has them, cut-outs; overlays as JPEG.

    The form ``frames`` writes the images as they came, as JPEG. Beside label images of objects that
    have names lies ``names.json``: the name of each id.
    """

    keeps = True

    def __init__(
        self, path: Path, form: Form | Literal["frames"], *, overwrite: bool = False
    ) -> None:
        super().__init__(path, overwrite=overwrite)
        self.form = form
        self._named: dict[int, str] = {}

    def _open(self) -> None:
        self.partial.mkdir(exist_ok=True)
        _remove_frames(self.partial)

    def _write(self, result: Result, frame: int) -> None:
        if self.form == "frames":
            save_image(Image.fromarray(result.pixels()), self.partial / frame_name(frame))
        elif self.form == "overlay":
            save_image(result.plot(), self.partial / frame_name(frame))
        else:
            result.save(self.partial / f"{frame:05d}.png", self.form)
        if self.form == "labels":
            rows = result.table()
            self._named |= {row["id"]: row["label"] for row in rows if row["label"]}

    def _finish(self) -> None:
        if self._named:
            names = {str(number): name for number, name in sorted(self._named.items())}
            text = json.dumps(names, ensure_ascii=False)
            write_whole(self.partial / _NAMES, f"{text}\n".encode())

    def _taken(self) -> bool:
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

    def _require_place(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InvalidValue(f"{self.path} is a file, and frames need a folder: name another")

    def _rename(self) -> None:
        if not self.path.exists():
            self.partial.replace(self.path)
            return
        # Only frames are replaced; what else lies in the folder is not ours.
        _remove_frames(self.path)
        for file in sorted(self.partial.iterdir()):
            file.replace(self.path / file.name)
        self.partial.rmdir()

    def _discard(self) -> None:
        if self.partial.is_dir():
            _remove_frames(self.partial)
            with suppress(OSError):  # a file of somebody else is in it
                self.partial.rmdir()


class TextWriter(Writer):
    """Write one open text file."""

    _file: IO[str]

    def _open(self) -> None:
        self._file = self.partial.open("w", encoding="utf-8", newline="\n")

    def _finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _drop(self) -> None:
        with suppress(OSError):  # of what is still to be written
            self._file.close()


class MotFile(TextWriter):
    """MOTChallenge lines: ``frame,id,left,top,width,height,confidence,class,-1,-1``.

    Frames, ids, pixels and classes count from 1 there. An object without pixels has no line. Where
    objects have names, ``NAME.labels.txt`` holds those of the classes, one a line; else class is -1.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._classes: dict[str, int] = {}

    def _write(self, result: Result, frame: int) -> None:
        lines = []
        for row in result.table():
            label = row["label"]
            kind = self._classes.setdefault(label, len(self._classes) + 1) if label else -1
            if row["id"] < 1:
                raise InvalidValue(
                    f"object id {row['id']} cannot stand in a MOT file, whose ids count from 1"
                )
            if row["area"]:
                sure = row["score"] if row.get("confidence") is None else row["confidence"]
                score = 1.0 if sure is None else sure
                box = (row["x"] + 1, row["y"] + 1, row["width"], row["height"], score)
                numbers = ",".join(f"{v:.4f}".rstrip("0").rstrip(".") for v in box)
                lines.append(f"{frame + 1},{row['id']},{numbers},{kind},-1,-1\n")
        self._file.writelines(lines)

    def _rename(self) -> None:
        super()._rename()
        if self._classes:
            names = self.path.with_name(f"{self.path.stem}.labels.txt")
            write_whole(names, "".join(f"{name}\n" for name in self._classes).encode())


class CsvFile(TextWriter):
    """Write a row per object and frame: frame, id, label, score, x, y, width, height, area.

    Frames and pixels count from 0. An object without pixels has no row.
    """

    _COLUMNS = ("frame", "id", "label", "score", "x", "y", "width", "height", "area")

    def _open(self) -> None:
        super()._open()
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(self._COLUMNS)

    def _write(self, result: Result, frame: int) -> None:
        for row in result.table():
            if row["area"]:
                numbers = [f"{row[key]:.2f}".rstrip("0").rstrip(".") for key in self._COLUMNS[4:]]
                score = None if row["score"] is None else f"{row['score']:.6g}"
                self._rows.writerow([frame, row["id"], row["label"], score, *numbers])


def frame_name(frame: int) -> str:
    """Name the JPEG of a frame."""
    return f"{frame:05d}.jpg"


def _remove_frames(folder: Path) -> None:
    for file in folder.iterdir():
        if _FRAME.fullmatch(file.name) or file.name == _NAMES:
            file.unlink()
