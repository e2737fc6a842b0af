"""Write results as COCO's json, with the frames it names."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue
from pocketeye.results import Result
from pocketeye.tracking.io.write_files import ImageFolder, TextWriter, frame_name

UNNAMED = "object"  # the category of objects without a name


class CocoFile(TextWriter):
    """COCO with videos: ``videos``, ``images``, ``annotations`` with ``track_id``, ``categories``.

    Every ``file_name`` is one that exists, as seen from the file's folder: without ``file_names`` the
    frames are written as JPEGs into ``NAME_frames``. Annotations are written as they come; only the
    numbers of the frames are kept.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        fps: float | None = None,
        file_names: Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, overwrite=overwrite)
        self._name, self._fps, self._file_names = name, fps, file_names
        self._images: ImageFolder | None = None
        if file_names is None:
            folder = path.with_name(f"{path.stem}_frames")
            try:
                self._images = ImageFolder(folder, "frames", overwrite=overwrite)
            except InvalidValue:
                super().abort()
                raise
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
        if self._images is not None:
            self._images.write(result)
        labels = [label or UNNAMED for label in result.labels or [""] * len(result)]
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

    def _rename(self) -> None:
        super()._rename()
        if self._images is not None:
            self._images.close()

    def abort(self) -> Path | None:
        """Finish under the partial name; the frames stay under theirs as well."""
        if self._images is not None:
            self._images.abort()
        return super().abort()

    def _discard(self) -> None:
        super()._discard()
        if self._images is not None:
            self._images.abort()

    def _image(self, frame: int) -> dict[str, Any]:
        return {
            "id": frame,
            "video_id": 1,
            "frame_id": frame,
            "file_name": self._file_name(frame),
            "width": self._size[0],
            "height": self._size[1],
        }

    def _file_name(self, frame: int) -> str:
        if self._images is not None:
            return f"{self._images.path.name}/{frame_name(frame)}"
        assert self._file_names is not None
        return self._file_names[frame]
