"""Keep what was asked of a video and what came of it, beside its results: ``NAME.track.json``.

It is written before the first frame and again after the last one; by it an interrupted job knows
which videos are finished, and whether the same was asked of them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketeye.doubts import Doubt
from pocketeye.errors import InvalidValue
from pocketeye.reading import BadField, Kind, NonNegative, Pixels, Whole, pick, reading
from pocketeye.runs import write_atomic
from pocketeye.tracking.video.confidence import doubts_of_rows

_SUFFIX = ".track.json"
_RECORD = Kind(
    what="a record of what was tracked",
    remedy="begin anew with --overwrite, or delete it",
    most_bytes=1 << 30,  # a row takes about 100 bytes: ten million of them
)
_ROW: dict[str, Any] = {
    "id": Whole, "score": float, "x": float, "y": float, "width": float, "height": float,
    "area": float, "confidence": float | None,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """Hold what a record says; of a video that is not finished its settings alone.

    ``doubts``, ``files`` and the sums are for people who read the file: they are computed again.
    """

    finished: bool
    settings: dict[str, Any]
    video: str = ""
    size: tuple[Pixels, Pixels] | None = None
    device: str = ""
    seconds: NonNegative | None = None
    frames: list[dict[str, Any]] = field(default_factory=list)
    num_frames: Any = None
    ms_per_frame: Any = None
    fps: Any = None
    resumed: Any = None
    doubts: Any = None
    files: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedVideo:
    """Hold what was found in one video.

    Attributes:
        video: as the user named it.
        size: (width, height) of its frames.
        frames: ``{"frame": n, "objects": [{"id", "label", "score", "confidence", "x", "y",
            "width", "height", "area"}]}``; the confidence is None of a tracker whose masks nobody
            checked.
        seconds: spent on reading and tracking, not on writing.
        device: that tracked: ``cpu``, ``cuda``.
        files: that were written.
        resumed: it was finished before, and not tracked again.
    """

    video: str
    size: tuple[int, int]
    frames: tuple[dict[str, Any], ...]
    seconds: float
    device: str
    files: tuple[Path, ...] = ()
    resumed: bool = False

    @property
    def ms_per_frame(self) -> float:
        return 1000 * self.seconds / max(len(self.frames), 1)

    @property
    def doubts(self) -> list[Doubt]:
        """Say in which frames which object is likely lost, as far as that can be told."""
        return doubts_of_rows(self.frames)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        ms = self.ms_per_frame
        return {
            "video": self.video,
            "size": list(self.size),
            "num_frames": len(self.frames),
            "device": self.device,
            "seconds": round(self.seconds, 3),
            "ms_per_frame": round(ms, 3),
            "fps": round(1000 / ms, 3) if ms else None,
            "resumed": self.resumed,
            "doubts": [str(doubt) for doubt in self.doubts],
            "frames": list(self.frames),
            "files": [str(path) for path in self.files],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedPart:
    """Tell of a stretch that was tracked, of a video that has more."""

    num_frames: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Write and read the file beside the first output of a video."""

    path: Path

    @classmethod
    def beside(cls, target: Path) -> TrackRecord:
        return cls(target.with_name(f"{target.stem if target.suffix else target.name}{_SUFFIX}"))

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Say what is asked; whatever the file said before is replaced."""
        self._write({"finished": False, "settings": dict(settings)})

    def finish(self, settings: Mapping[str, Any], found: TrackedVideo) -> None:
        self._write({"finished": True, "settings": dict(settings), **found.to_dict()})

    def finished(
        self, settings: Mapping[str, Any], targets: Sequence[Path], there: Sequence[Path]
    ) -> TrackedVideo | None:
        """Return what was found where the video is finished; None where it is to be tracked.

        Args:
            settings: what is asked now.
            targets: the outputs.
            there: those of them that exist.

        Raises:
            InvalidValue: something else was asked then (what differs is named), there are outputs
                without a record, or the record is damaged.
        """
        if not self.path.exists():
            if there:  # outputs that nobody remembers making may be somebody's work
                raise InvalidValue(
                    f"{there[0]} is there, but nothing says what it was made by ({self.path.name} is "
                    "missing): replace it with --overwrite"
                )
            return None
        said = self._read()
        before = said.settings
        # The first difference is enough for a sentence.
        differ = [key for key in settings if before.get(key) != settings[key]]
        if differ:
            key = differ[0]
            then, now = _shown(before.get(key)), _shown(settings[key])
            raise InvalidValue(
                f"{self.path} was made with another value of {key!r} ({then}, now {now}): ask for the "
                "same, or begin anew with --overwrite"
            )
        # An interrupted video has outputs too, but not all of its frames.
        if not said.finished or len(there) < len(targets):
            return None
        return self._tracked(said, tuple(targets))

    def _write(self, data: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, json.dumps(data) + "\n")
        except OSError as error:
            raise InvalidValue(f"cannot write {self.path}: {error.strerror or error}") from error

    def _read(self) -> _Said:
        # Read by hand fields would be checked by hand: this is the reader of all our files.
        return _RECORD.load(_Said, self.path)

    def _tracked(self, said: _Said, files: tuple[Path, ...]) -> TrackedVideo:
        with reading(self.path, _RECORD.what, _RECORD.remedy):
            size, seconds = said.size, said.seconds
            if size is None or seconds is None:
                raise BadField("it says finished, and not what was found ('size', 'seconds')")
            for number, frame in enumerate(said.frames):
                _check_frame(frame, number)
        return TrackedVideo(
            video=said.video, size=size, frames=tuple(said.frames), seconds=seconds,
            device=said.device, files=files, resumed=True,
        )  # fmt: skip


def _check_frame(frame: Mapping[str, Any], number: int) -> None:
    """Refuse a frame or an object in it that is not as :class:`TrackedVideo` says.

    Raises:
        BadField: what is wrong in which frame.
    """
    try:
        rows = pick(frame, frame=Whole, objects=list[dict[str, Any]])["objects"]
        for row in rows:
            pick(row, **_ROW)
    except BadField as error:
        raise BadField(f"the field 'frames', number {number}: {error}") from error


def _shown(value: Any) -> str:
    """Return a setting as it is written on the command line, cut to 80 characters."""
    is_words = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return f"{shlex.join(value) if is_words else repr(value):.80}"
