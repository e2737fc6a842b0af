"""Track what is asked in many videos, one after another; a bad one does not end the job."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.video.frames import Frames, ImageFiles
from pocketeye.errors import InvalidValue
from pocketeye.jobs.record import TrackedVideo, TrackRecord
from pocketeye.jobs.targets import require_free, targets_of
from pocketeye.jobs.videos import NamedVideo, go_through, prompts_for
from pocketeye.reading import MOST_ANNOTATION_BYTES, is_file, is_folder, read_regular
from pocketeye.results import Result
from pocketeye.tracking.engine.base import Engine
from pocketeye.tracking.io.read_prompts import read_prompts
from pocketeye.tracking.io.source import open_video
from pocketeye.tracking.io.write import FPS, forms_for, open_writer, opened, write_all
from pocketeye.tracking.io.writer import Writer
from pocketeye.tracking.video.frame_prompts import Request
from pocketeye.tracking.video.prompted import WatchedFrames
from pocketeye.tracking.video.tracker import Tracker

logger = logging.getLogger(__name__)

_MANY = 20  # objects: five times the work of one and more, see the tables in ``results``
Detect = Callable[[np.ndarray], Result]


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Hold a detector whose boxes in one frame are prompts.

    Attributes:
        find: from a frame, uint8 RGB ``(height, width, 3)``, to objects with boxes and labels.
        frame: in which it looks.
        said: what messages call what it looks for.
    """

    find: Detect
    frame: int
    said: str

    def add_to(self, request: Request, frames: Frames, frame: int | None = None) -> Request:
        """Add what is found to a request.

        Args:
            frame: in which this video is looked at; by default that of all.

        Raises:
            InvalidValue: nothing is found, or there is no such frame.
        """
        frame = self.frame if frame is None else frame
        found = self.find(frames[frame])
        if not len(found):
            raise InvalidValue(
                f"{frames.name}: there is no {self.said} in frame {frame}: lower "
                "--score-threshold, or look in another --frame"
            )
        if len(found) > _MANY:
            logger.warning(
                "%d objects are found in frame %d of %s, and each takes its time in every frame: raise "
                "--score-threshold, or name some with --classes",
                len(found), frame, frames.name,
            )  # fmt: skip
        return request.with_found(found, frame)


@dataclass(frozen=True, kw_only=True)
class TrackJob:
    """Hold what is done with every video of a job.

    Attributes:
        load: makes the tracker; called once, when the first video was opened.
        request: what is asked of each video.
        frame: of points and boxes in a list of videos that name none.
        detection: a detector that adds prompts.
        prompts: a file or folder of labels that adds prompts, or a folder with one for each video.
        options: of :meth:`pocketeye.tracking.Tracker.open`.
        out: what is written, see :func:`targets_of`.
        form: of the outputs that can have it, see :func:`pocketeye.tracking.open_writer`.
        fps: frames a second where a source does not say.
        overwrite: replace what is there.
        resume: skip videos that are finished; one that is not is tracked from its beginning.
        settings: whatever else decides the results; compared when a job is resumed.
    """

    load: Callable[[], Tracker[Engine]]
    request: Request
    frame: int = 0
    detection: Detection | None = None
    prompts: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    out: Sequence[Path] = ()
    form: str | None = None
    fps: float | None = None
    overwrite: bool = False
    resume: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def tracker(self) -> Tracker[Engine]:
        return self.load()

    @cached_property
    def _weights(self) -> str:
        return self.tracker.engine.fingerprint()

    def run(self, videos: Sequence[NamedVideo]) -> tuple[list[TrackedVideo], list[str]]:
        """Track in every video.

        Returns:
            What was found in those that could be tracked, and a sentence about each other one.

        Raises:
            UserError: the only video, or every one, cannot be tracked; outputs are there already;
                or a resumed job asks for something else than it did before.
        """
        several = len(videos) > 1
        forms_for(targets_of(self.out, "video", several=False), self.form)  # a wrong one ends here
        targets = [targets_of(self.out, video.name, several=several) for video in videos]
        if not self.resume and not self.overwrite:
            require_free([path for paths in targets for path in paths], "--resume")
        finished: dict[str, TrackedVideo] = {}
        if self.resume:  # all are asked before any is tracked: a job that differs ends here
            finished = self._finished(videos, targets)
        if several:
            _ = self.tracker  # missing weights are said once
        paths = {video.name: each for video, each in zip(videos, targets, strict=True)}
        return go_through(
            videos,
            lambda video: finished.get(video.name) or self._track(video, paths[video.name]),
        )

    def one(self, video: NamedVideo) -> TrackedVideo:
        """Track in one video of a manifest, whose outputs lie among those of many.

        Raises:
            UserError, OSError: it cannot be tracked, or its outputs are there already.
        """
        paths = targets_of(self.out, video.name, several=True)
        if not self.resume and not self.overwrite:
            require_free(paths, "--resume")
        before = self._finished([video], [paths]) if self.resume else {}
        return before.get(video.name) or self._track(video, paths)

    def _finished(
        self, videos: Sequence[NamedVideo], targets: Sequence[list[Path]]
    ) -> dict[str, TrackedVideo]:
        """Return what was found in the videos that are finished, by name."""
        found = {}
        for video, paths in zip(videos, targets, strict=True):
            record = TrackRecord.beside(paths[0])
            before = record.finished(self._settings(video, paths), paths)
            if before is not None:
                found[video.name] = before
            elif record.path.exists():
                # The memory of a tracker is not kept: it cannot go on in the middle.
                logger.warning("%s was interrupted: it is tracked again from its start", video.said)
        return found

    def _track(self, video: NamedVideo, targets: list[Path]) -> TrackedVideo:
        record = TrackRecord.beside(targets[0])
        replace = self.overwrite or (self.resume and record.path.exists())
        with open_video(video.source, fps=self.fps) as frames:
            request = self._request(video, frames)
            settings = self._settings(video, targets)
            session = self.tracker.open(frames, **self.options)
            watched = WatchedFrames(session, request)
            forms = forms_for(targets, self.form)
            makers = [
                partial(self._writer, path, form, frames, replace)
                for path, form in zip(targets, forms, strict=True)
            ]
            with opened(makers) as writers:
                write_all(_recorded(watched, record, settings), writers)
            found = TrackedVideo(
                video=video.said, size=frames.size, frames=tuple(watched.rows),
                seconds=watched.seconds, device=self.tracker.engine.device_name, files=tuple(targets),
            )  # fmt: skip
        record.finish(settings, found)
        return found

    def _request(self, video: NamedVideo, frames: Frames) -> Request:
        request = video.request or self.request
        prompts = video.prompts or self.prompts
        if prompts is not None:
            request = request.with_prompts(
                *read_prompts(prompts_for(prompts, video), frames, request.start, request.stop)
            )
        if self.detection is not None:
            request = self.detection.add_to(request, frames, video.frame)
        request.check(frames.num_frames, frames.name)
        return request

    def _writer(self, path: Path, form: str | None, frames: Frames, overwrite: bool) -> Writer:
        return open_writer(
            path, form, fps=frames.fps or self.fps or FPS,
            name=frames.name, overwrite=overwrite, file_names=_names_below(frames, path.parent),
        )  # fmt: skip

    def _settings(self, video: NamedVideo, targets: Sequence[Path]) -> dict[str, Any]:
        said = {
            "video": video.said, "bytes": video.num_bytes, **self.settings,
            "weights": self._weights, "prompts": (video.request or self.request).words(),
            "labels": _digest(video, video.prompts or self.prompts),
            "options": dict(self.options), "form": self.form, "fps": self.fps, "looks": video.frame,
            "outputs": [str(path) for path in targets],
        }  # fmt: skip
        plain: dict[str, Any] = json.loads(json.dumps(said))  # as it is read again
        return plain


def _digest(video: NamedVideo, prompts: Path | None) -> str | None:
    """Return a fingerprint of the labels that a video's prompts come from; None without labels."""
    if prompts is None:
        return None
    place, digest = prompts_for(prompts, video), hashlib.sha256()
    files = sorted(p for p in place.rglob("*") if p.is_file()) if is_folder(place) else [place]
    for file in files:
        digest.update(file.name.encode("utf-8", "surrogateescape"))
        # What is missing is said when the prompts are read.
        digest.update(read_regular(file, MOST_ANNOTATION_BYTES) if is_file(file) else b"")
    return digest.hexdigest()


def _recorded(
    results: Iterable[Result], record: TrackRecord, settings: Mapping[str, Any]
) -> Iterator[Result]:
    """Write the record once there is a first result: a refused prompt leaves nothing behind."""
    for number, result in enumerate(results):
        if not number:
            record.begin(settings)
        yield result


def _names_below(frames: Frames, folder: Path) -> list[str] | None:
    """Return the names of image files as seen from a folder; None where one is not below it."""
    if not isinstance(frames, ImageFiles):
        return None
    root = folder.resolve()
    paths = [path.resolve() for path in frames.paths]
    if not all(path.is_relative_to(root) for path in paths):
        return None
    return [path.relative_to(root).as_posix() for path in paths]
