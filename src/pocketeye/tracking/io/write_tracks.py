"""Write files that hold a video object by object: CVAT's XML and Label Studio's JSON.

Frames come one by one, so what is said of each object waits in a temporary file, from which it is
gathered at the end; in memory are only the places there, eight bytes for each object of each frame.
"""

from __future__ import annotations

import json
import tempfile
from abc import abstractmethod
from array import array
from pathlib import Path
from typing import Any

from pocketeye.data.labelled import cvat, label_studio
from pocketeye.data.labelled.objects import NAMELESS, LabelledObject, frame_of
from pocketeye.errors import InvalidValue
from pocketeye.results import Result
from pocketeye.tracking.io.write_files import TextWriter


class ByObject(TextWriter):
    """Gather what is said of each object of a video."""

    def __init__(
        self, path: Path, *, name: str, fps: float | None = None, overwrite: bool = False
    ) -> None:
        self._name, self._fps = name, fps
        self._size: tuple[int, int] | None = None
        self._num_frames = 0
        self._labels: dict[int, str] = {}
        self._places: dict[int, array[int]] = {}
        self._seen: dict[int, LabelledObject] = {}  # in the frame before
        super().__init__(path, overwrite=overwrite)

    def _open(self) -> None:
        super()._open()
        # Without a name: the system removes it with the process, whatever ends that.
        self._spool = tempfile.TemporaryFile(dir=self.path.parent)

    def _write(self, result: Result, frame: int) -> None:
        if self._size not in (None, result.size):
            raise InvalidValue(
                f"frame {frame} is {result.size}, but {self.path.name} began with {self._size}"
            )
        self._size, self._num_frames = result.size, frame + 1
        seen = {each.object_id: each for each in frame_of(result, frame).objects}
        for number, each in seen.items():
            # The first name that an object has is its name: a track has one.
            self._labels[number] = self._labels.get(number) or each.label
            self._shown(each, frame)
        for number in self._seen.keys() - seen.keys():
            self._gone(self._seen[number], frame)
        self._seen = seen

    def _finish(self) -> None:
        if self._size is not None:
            self._gather(self._size)
        self._spool.close()
        super()._finish()

    def _drop(self) -> None:
        self._spool.close()
        super()._drop()

    def _keep(self, number: int, text: str) -> None:
        places = self._places.setdefault(number, array("q"))
        places.append(self._spool.seek(0, 2))
        data = text.encode()
        # Its length first: lines may be as long as an outline is.
        self._spool.write(len(data).to_bytes(8, "little") + data)

    def _kept(self, number: int) -> list[int]:
        return list(self._places.get(number, ()))

    def _read(self, place: int) -> str:
        self._spool.seek(place)
        length = int.from_bytes(self._spool.read(8), "little")
        return self._spool.read(length).decode()

    @abstractmethod
    def _shown(self, each: LabelledObject, frame: int) -> None:
        """Note where an object is."""

    @abstractmethod
    def _gone(self, last: LabelledObject, frame: int) -> None:
        """Note that an object of the frame before is in this one no more."""

    @abstractmethod
    def _gather(self, size: tuple[int, int]) -> None:
        """Write the file."""


class CvatFile(ByObject):
    """CVAT for video 1.1: a track for each object, a polygon (of results without masks a box) a frame.

    Every frame is a keyframe. Where an object goes out of sight, its track says so.
    """

    def _shown(self, each: LabelledObject, frame: int) -> None:
        self._keep(each.object_id, cvat.shape_line(each, frame))

    def _gone(self, last: LabelledObject, frame: int) -> None:
        self._keep(last.object_id, cvat.shape_line(last, frame, outside=True))

    def _gather(self, size: tuple[int, int]) -> None:
        labels = dict.fromkeys(label or NAMELESS for label in self._labels.values())
        self._file.write(cvat.video_head(self._name, self._num_frames, size, labels))
        # CVAT numbers tracks from 0: in order of their ids, so that these come back.
        for place, (number, label) in enumerate(sorted(self._labels.items())):
            self._file.write(cvat.track_head(place, label))
            for at in self._kept(number):
                self._file.write(self._read(at))
            self._file.write(cvat.TRACK_END)
        self._file.write(cvat.VIDEO_END)


class LabelStudioFile(ByObject):
    """Label Studio's task with a prediction: a ``videorectangle`` for each object, a box a frame."""

    def __init__(
        self, path: Path, *, name: str, fps: float | None = None, overwrite: bool = False
    ) -> None:
        self._waiting: dict[int, dict[str, Any]] = {}
        super().__init__(path, name=name, fps=fps, overwrite=overwrite)

    def _shown(self, each: LabelledObject, frame: int) -> None:
        assert self._size is not None
        self._flush(each.object_id, enabled=True)
        # It waits: the last place before an object goes has to say so.
        self._waiting[each.object_id] = label_studio.video_step(
            each, frame, self._size, fps=self._fps
        )

    def _gone(self, last: LabelledObject, frame: int) -> None:
        self._flush(last.object_id, enabled=False)

    def _flush(self, number: int, *, enabled: bool) -> None:
        step = self._waiting.pop(number, None)
        if step is not None:
            self._keep(number, json.dumps({**step, "enabled": enabled}))

    def _gather(self, size: tuple[int, int]) -> None:
        for number in list(self._waiting):
            self._flush(number, enabled=True)
        head = json.dumps({"data": {"video": self._name}})[:-1]
        self._file.write(f'[{head}, "predictions": [{{"model_version": "pocketeye", "result": [')
        for place, (number, label) in enumerate(sorted(self._labels.items())):
            region = label_studio.video_region(number, label, self._num_frames, size, self._fps)
            before, _, after = json.dumps(region).partition('"sequence": []')
            self._file.write(f'{"," if place else ""}\n{before}"sequence": [')
            for count, at in enumerate(self._kept(number)):
                self._file.write(f"{',' if count else ''}\n{self._read(at)}")
            self._file.write(f"]{after}")
        self._file.write("\n]}]}]\n")
