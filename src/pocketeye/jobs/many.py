"""Track many videos with several processes, by a manifest: resumable, one bad video stops no other."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pocketeye import progress
from pocketeye.closing import Closing
from pocketeye.errors import InvalidValue
from pocketeye.jobs.job import TrackJob
from pocketeye.jobs.listing import named_video
from pocketeye.jobs.manifest import NAME, Manifest, VideoRow
from pocketeye.jobs.pool import PATIENCE_S, Crew, Outcome, Work, work_through
from pocketeye.jobs.processes import Processes
from pocketeye.jobs.record import TrackedPart
from pocketeye.text import human_seconds

logger = logging.getLogger(__name__)

LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True)
class ManyTracked:
    """Hold what came of a job.

    Attributes:
        folder: that holds the manifest, the log and all outputs.
        counts: videos by state: waiting, running, done, failed.
        failed: a sentence about each video that failed, the first thousand.
        num_now: videos that were tracked by this run.
        frames: of these.
        seconds: that this run took.
        num_workers: processes.
    """

    folder: Path
    counts: Mapping[str, int]
    failed: tuple[str, ...]
    num_now: int
    frames: int
    seconds: float
    num_workers: int


def track_many(
    rows: Iterable[VideoRow],
    folder: Path,
    make_job: Callable[[], TrackJob],
    *,
    num_workers: int | None = None,
    settings: Mapping[str, Any],
    cluster: str | None = None,
    num_gpus: float = 0,
    resume: bool = False,
    overwrite: bool = False,
    fingerprint: str = "",
    patience_s: float = PATIENCE_S,
) -> ManyTracked:
    """Track in every video of a list.

    Args:
        rows: of the list; those that the manifest has already are not added again.
        folder: for the manifest and the log.
        make_job: makes what is done with a video, once in each process; goes through pickle.
        num_workers: processes of one thread each; the results are those of one. None: one, of a cluster
            one for each of its cores.
        settings: what decides the results, as plain values.
        cluster: address of a Ray cluster whose machines work, see :class:`Cluster`; None: this one.
        num_gpus: that each worker of a cluster has for itself.
        resume: go on with the manifest that is there; videos that failed are tried again.
        overwrite: begin anew.
        fingerprint: of the list, by which one that is unchanged is not read again; empty for none.
        patience_s: seconds without a frame after which a video is given up.

    Raises:
        InvalidValue: a manifest is there already, another process has it, it was made with other
            settings, the disk is full, the tracker cannot be loaded, or there is no such cluster.
        MissingExtra: a cluster needs Ray.
    """
    if num_workers is not None and num_workers < 1:
        raise InvalidValue(f"--workers is 1 or more, got {num_workers}")
    if (folder / NAME).exists() and not (resume or overwrite):
        raise InvalidValue(
            f"{folder / NAME} is already there: go on with --resume, begin anew with --overwrite, or "
            "choose another --out"
        )
    with (
        _crew(partial(_work, make_job), num_workers, cluster, num_gpus) as crew,
        Manifest(folder, settings, again=overwrite and not resume) as manifest,
    ):
        before = sum(manifest.counts().values())
        # A million rows need not be read again to be found there.
        known = bool(fingerprint) and manifest.knows(fingerprint)
        skipped = 0 if known else manifest.add(rows, fingerprint)
        if skipped > before:
            logger.warning(
                "%d rows of the list come more than once: once is enough", skipped - before
            )
        manifest.retry_failed()
        run = _Run(manifest, folder)
        with run:
            for outcome in work_through(run.take, crew, patience_s=patience_s):
                run.note(outcome)
        if run.full is not None:
            raise InvalidValue(f"{run.full}: make room, and go on with --resume")
        return ManyTracked(
            folder=folder, counts=manifest.counts(), failed=tuple(manifest.failures()),
            num_now=run.num_done, frames=run.frames, seconds=time.monotonic() - run.began,
            num_workers=crew.num_workers,
        )  # fmt: skip


def _crew(
    make: Callable[[], Work], num_workers: int | None, cluster: str | None, num_gpus: float
) -> Crew[Any]:
    if cluster is None:
        return Processes(make, num_workers or 1)
    from pocketeye.jobs.cluster import Cluster

    return Cluster(make, cluster, num_workers, num_gpus=num_gpus)


def _work(make_job: Callable[[], TrackJob]) -> Work:
    """Make what a worker does; the tracker is loaded here, once."""
    job = make_job()
    _ = job.tracker

    def track(row: VideoRow) -> tuple[bool, int, float]:
        found = job.one(named_video(row, job.request, job.frame))
        if isinstance(found, TrackedPart):
            return False, found.num_frames, found.seconds
        return True, len(found.frames), found.seconds

    return track


class _Run(Closing):
    """Carry outcomes into the manifest, the log and the bar."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        self._manifest, self._log = manifest, (folder / LOG).open("a", encoding="utf-8")
        self.began = time.monotonic()
        self.num_done = self.frames = self._num_failed = 0
        self.full: str | None = None
        counts = manifest.counts()
        self._left = counts["waiting"]
        self._task = progress.task("videos", self._left)
        self._bar = self._task.__enter__()

    def take(self) -> VideoRow | None:
        """Return the next video; none once the disk is full."""
        row = None if self.full is not None else self._manifest.take()
        if row is not None:
            self._say(row, "started")
        return row

    def note(self, outcome: Outcome) -> None:
        row: VideoRow = outcome.task
        if outcome.kind == "done":
            whole, frames, seconds = outcome.value
            said = {"frames": frames, "seconds": round(seconds, 3)}
            if not whole:
                self._manifest.advanced(row.number, frames)
                self.frames += frames
                self._say(row, "stretch done", **said)
                return
            self._manifest.done(row.number, frames, seconds)
            # Those of stretches were counted when they were done.
            self.num_done, self.frames = self.num_done + 1, self.frames + frames - row.frames
            self._say(row, "done", **said)
        elif outcome.kind == "full":
            self.full = self.full or str(outcome.value)
            self._manifest.give_back(row.number)
            self._say(row, "disk full", error=outcome.value)
            return
        else:
            again = self._manifest.failed(row.number, str(outcome.value))
            self._say(row, "failed", error=outcome.value, again=again)
            if again:
                return
            self._num_failed += 1
            logger.warning("%s: %s", row.source.encode("utf-8", "replace").decode(), outcome.value)
        self._left -= 1
        self._bar.advance()
        passed = time.monotonic() - self.began
        rate = (self.num_done + self._num_failed) / max(passed, 1e-9)
        failed = f", {self._num_failed} failed" if self._num_failed else ""
        self._bar.note(f"{60 * rate:.1f} per min, {human_seconds(self._left / rate)} left{failed}")

    def _say(self, row: VideoRow, state: str, **more: Any) -> None:
        said = {
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"), "number": row.number,
            "video": row.source.encode("utf-8", "replace").decode(), "name": row.name,
            "state": state, **more,
        }  # fmt: skip
        try:
            self._log.write(json.dumps(said, ensure_ascii=False) + "\n")
            self._log.flush()
        except OSError as error:
            # The manifest knows all that matters; without room nothing goes on anyway.
            self.full = self.full or f"{self._log.name}: {error.strerror}"

    def close(self) -> None:
        self._task.__exit__(None, None, None)
        self._log.close()
