"""Track what is asked in many videos, one after another; a bad one does not end the job."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.video.frames import Frames, ImageFiles
from pocketeye.errors import InvalidValue
from pocketeye.jobs.record import TrackedPart, TrackedVideo, TrackRecord
from pocketeye.jobs.staging import Stage, is_taken, record_of, staged
from pocketeye.jobs.storage import STORAGE_S
from pocketeye.jobs.stretches import Stretch, Stretches
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
from pocketeye.tracking.video.watch import frames_between

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
        stretch: frames after which the results of a longer video are kept, with what the tracker
            remembers then; None: a video is tracked in one go.
        storage_s: seconds in which storage must move.
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
    stretch: int | None = None
    storage_s: float = STORAGE_S

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
        self._require_free([path for paths in targets for path in paths])
        finished: dict[str, TrackedVideo] = {}
        if self.resume:  # all are asked before any is tracked: a job that differs ends here
            for video, paths in zip(videos, targets, strict=True):
                with staged(video, paths, self.storage_s) as stage:
                    if (before := self._finished(stage)) is not None:
                        finished[video.name] = before
        if several:
            _ = self.tracker  # missing weights are said once
        places = {video.name: each for video, each in zip(videos, targets, strict=True)}

        def track(video: NamedVideo) -> TrackedVideo:
            if (before := finished.get(video.name)) is not None:
                return before
            with staged(video, places[video.name], self.storage_s) as stage:
                while not isinstance(found := self._track(stage), TrackedVideo):
                    stage = replace(stage, video=replace(stage.video, begun=True))
                return found

        return go_through(videos, track)

    def one(self, video: NamedVideo) -> TrackedVideo | TrackedPart:
        """Track in one video of a manifest, or in a stretch of it; its outputs lie among those of many.

        Raises:
            UserError, OSError: it cannot be tracked, or its outputs are there already.
        """
        paths = targets_of(self.out, video.name, several=True)
        self._require_free(paths)
        with staged(video, paths, self.storage_s) as stage:
            before = self._finished(stage) if self.resume else None
            return before or self._track(stage)

    def _require_free(self, paths: Sequence[Path]) -> None:
        if not self.resume and not self.overwrite:
            require_free(paths, "--resume", lambda path: is_taken(path, self.storage_s))

    def _finished(self, stage: Stage) -> TrackedVideo | None:
        """Return what was found in a video that is finished."""
        with record_of(stage.named[0], self.storage_s) as record:
            # Beside an output stands its record, so one without the other is asked for first.
            there = [path for path in stage.named if is_taken(path, self.storage_s)]
            before = record.finished(self._settings(stage), stage.named, there)
            if before is None and record.path.exists() and not self.stretch:
                # Without stretches the memory of a tracker is not kept: it cannot go on in the middle.
                logger.warning(
                    "%s was interrupted: it is tracked again from its start", stage.said.said
                )
            return before

    def _track(self, stage: Stage) -> TrackedVideo | TrackedPart:
        stage.fetch_video()
        with open_video(stage.video.source, fps=self.fps) as frames:
            request = self._request(stage.video, frames)
            stop = frames.num_frames if request.stop is None else request.stop
            if self.stretch and stop is not None and stop - request.start > self.stretch:
                return self._track_stretch(stage, frames, request, stop)
            session = self.tracker.open(frames, **self.options)
            watched = WatchedFrames(session, request)
            settings = self._settings(stage)
            with self._writers(stage, frames) as writers:
                write_all(_recorded(watched, stage.record, settings), writers)
            return self._end(stage, settings, frames, watched.rows, watched.seconds)

    def _track_stretch(
        self, stage: Stage, frames: Frames, request: Request, stop: int
    ) -> TrackedVideo | TrackedPart:
        """Track in the next stretch of a long video; write its outputs once all were tracked."""
        settings = self._settings(stage)
        stretches = Stretches.beside(stage.targets[0], settings)
        if not (self.resume or stage.video.begun):
            stage.clear_stretches(stretches.folder)  # of a job that nobody goes on with
        stage.fetch_stretches(stretches.folder, whole=False)
        start = stretches.position(request.start)
        if start < stop:
            with self.tracker.open(frames, **self.options) as session:
                if start > request.start:
                    session.restore(stretches.state(start))
                to = min(start + (self.stretch or 0), stop)
                resumed = start if start > request.start else None
                watched, found = WatchedFrames(session, request, resumed, to), Stretch()
                for result in watched:
                    found.add(result)
                stage.record.begin(settings)
                stretches.add(start, to, found, watched.rows, watched.seconds, session.to_bytes())
            stage.send_stretch(stretches.folder)
            return TrackedPart(num_frames=len(watched.rows), seconds=watched.seconds)
        stage.fetch_stretches(stretches.folder, whole=True)
        images = frames_between(frames, request.start, stop, reverse=False)
        with self._writers(stage, frames) as writers:
            write_all(stretches.results(images, request.start), writers)
        tracked = self._end(stage, settings, frames, stretches.rows, stretches.seconds)
        stage.clear_stretches(stretches.folder)
        return tracked

    @contextmanager
    def _writers(self, stage: Stage, frames: Frames) -> Iterator[list[Writer]]:
        is_ours = self.resume and stage.record.path.exists()
        forms = forms_for(stage.named, self.form)
        makers = [
            partial(self._writer, path, form, frames, self.overwrite or is_ours)
            for path, form in zip(stage.targets, forms, strict=True)
        ]
        with opened(makers) as writers:
            yield writers

    def _end(
        self, stage: Stage, settings: Mapping[str, Any], frames: Frames,
        rows: Sequence[dict[str, Any]], seconds: float,
    ) -> TrackedVideo:  # fmt: skip
        found = TrackedVideo(
            video=stage.said.said, size=frames.size, frames=tuple(rows), seconds=seconds,
            device=self.tracker.engine.device_name, files=tuple(stage.named),
        )  # fmt: skip
        stage.record.finish(settings, found)
        stage.send()
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

    def _settings(self, stage: Stage) -> dict[str, Any]:
        video = stage.video
        said = {
            "video": stage.said.said, "bytes": stage.num_bytes, **self.settings,
            "weights": self._weights, "prompts": (video.request or self.request).words(),
            "labels": _digest(video, video.prompts or self.prompts),
            "options": dict(self.options), "form": self.form, "fps": self.fps, "looks": video.frame,
            "outputs": [str(path) for path in stage.named],
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
