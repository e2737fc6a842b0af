"""Results as PNGs, COCO run lengths and MOTChallenge lines."""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path
from typing import IO, Any

from pocketeye.errors import InvalidValue
from pocketeye.results import Result
from pocketeye.results.result import Form
from pocketeye.tracking.io.writer import Writer

_FRAME = re.compile(r"\d{5,}\.png")


class PngFolder(Writer):
    """``00000.png``, ``00001.png``, …: overlays, cut-outs, or label images in the form of DAVIS."""

    def __init__(self, path: Path, form: Form, *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self.form = form
        if self.partial.exists() and not overwrite:
            raise InvalidValue(
                f"{self.partial} is left from an interrupted run: move it away, or say overwrite"
            )
        with self._told():
            self.partial.mkdir(exist_ok=True)
            _remove_frames(self.partial)

    def _write(self, result: Result, frame: int) -> None:
        result.save(self.partial / f"{frame:05d}.png", self.form)

    def _finish(self) -> None:
        return

    def _taken(self) -> bool:
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

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
        _remove_frames(self.partial)
        self.partial.rmdir()


class _TextWriter(Writer):
    """One open text file."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        with self._told():
            self._file: IO[str] = self.partial.open("w", encoding="utf-8", newline="\n")

    def _finish(self) -> None:
        self._file.close()


class MotFile(_TextWriter):
    """MOTChallenge lines: ``frame,id,left,top,width,height,confidence,-1,-1,-1``.

    Frames, ids and pixels count from 1 there. An object without pixels has no line.
    """

    def _write(self, result: Result, frame: int) -> None:
        lines = []
        for row in result.table():
            if row["id"] < 1:
                raise InvalidValue(
                    f"object id {row['id']} cannot stand in a MOT file, whose ids count from 1"
                )
            if row["area"]:
                sure = row["score"] if row.get("confidence") is None else row["confidence"]
                score = 1.0 if sure is None else sure
                box = (row["x"] + 1, row["y"] + 1, row["width"], row["height"], score)
                numbers = ",".join(f"{v:.4f}".rstrip("0").rstrip(".") for v in box)
                lines.append(f"{frame + 1},{row['id']},{numbers},-1,-1,-1\n")
        self._file.writelines(lines)


class CocoFile(_TextWriter):
    """COCO with videos: ``videos``, ``images``, ``annotations`` with ``track_id``, ``categories``.

    Annotations are written as they come; only the numbers of the frames are kept.
    """

    def __init__(
        self, path: Path, *, name: str, fps: float | None = None, overwrite: bool = False
    ) -> None:
        super().__init__(path, overwrite=overwrite)
        self._name, self._fps = name, fps
        self._size = (0, 0)
        self._frames = array("q")
        self._categories: dict[str, int] = {}
        self._next_id = 1
        self._file.write('{"annotations": [')

    def _write(self, result: Result, frame: int) -> None:
        if not self._frames:
            self._size = result.size
        elif result.size != self._size:
            raise InvalidValue(
                f"frame {frame} is {result.size}, but {self.path.name} began with {self._size}"
            )
        labels = result.labels or ("object",) * len(result)
        numbers = [self._categories.setdefault(x, len(self._categories) + 1) for x in labels]
        for annotation in result.to_coco(
            image_id=frame, category_ids=numbers, first_id=self._next_id
        ):
            text = json.dumps({**annotation, "video_id": 1})
            self._file.write(("\n" if self._next_id == 1 else ",\n") + text)
            self._next_id += 1
        self._frames.append(frame)

    def _finish(self) -> None:
        self._file.write('\n],\n"images": [')
        for i, frame in enumerate(self._frames):
            self._file.write(("\n" if i == 0 else ",\n") + json.dumps(self._image(frame)))
        width, height = self._size
        video = {"id": 1, "name": self._name, "width": width, "height": height, "fps": self._fps}
        categories = [{"id": number, "name": name} for name, number in self._categories.items()]
        self._file.write(
            f'\n],\n"videos": {json.dumps([video])},\n"categories": {json.dumps(categories)}}}\n'
        )
        super()._finish()

    def _image(self, frame: int) -> dict[str, Any]:
        return {
            "id": frame,
            "video_id": 1,
            "frame_id": frame,
            "file_name": f"{self._name}/{frame:05d}.jpg",
            "width": self._size[0],
            "height": self._size[1],
        }


def _remove_frames(folder: Path) -> None:
    for file in folder.iterdir():
        if _FRAME.fullmatch(file.name):
            file.unlink()
