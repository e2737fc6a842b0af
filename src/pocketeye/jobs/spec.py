"""Say all that a job over videos does as plain values, which go to other processes as they are."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.jobs.detector import open_detection
from pocketeye.jobs.job import TrackJob
from pocketeye.jobs.storage import STORAGE_S, address_of
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.tracking.engine.base import Engine
from pocketeye.tracking.video.frame_prompts import Request
from pocketeye.tracking.video.tracker import Tracker, load_tracker


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Return options as a command line has them; None and empty ones are left out."""
    given = {name: value for name, value in options.items() if value not in (None, "", False)}
    # Of a switch the name is all.
    return [w for n, v in given.items() for w in ([n] if v is True else [n, str(v)])]


@dataclass(frozen=True, kw_only=True)
class TrackSpec:
    """Hold what :class:`TrackJob` holds, with names instead of what is loaded by them.

    Attributes:
        model, checkpoint, device, dtype, engine: of the tracker.
        detect, classes, score_threshold: of a detector that finds the objects, or None.
        frame: in which it looks.
        request, prompts, options, out, form, fps, overwrite, resume, stretch, storage_s: see
            :class:`TrackJob`.
    """

    model: str
    checkpoint: Path | None
    device: Any
    dtype: Any
    engine: Any
    detect: str | None
    classes: tuple[str, ...]
    score_threshold: float | None
    frame: int
    request: Request
    prompts: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    out: tuple[Path, ...] = ()
    form: str | None = None
    fps: float | None = None
    overwrite: bool = False
    resume: bool = False
    stretch: int | None = None
    storage_s: float = STORAGE_S

    def __post_init__(self) -> None:
        if self.stretch is not None and self.stretch < 1:
            raise InvalidValue(f"--stretch is a number of frames, 1 or more, got {self.stretch}")

    @property
    def settings(self) -> dict[str, Any]:
        """Return what decides the results besides request, weights and options."""
        return {
            "model": str(self.model), "dtype": self.dtype,
            "detector": self.detect and str(self.detect), "classes": list(self.classes),
            "score_threshold": self.score_threshold, "frame": self.frame,
        }  # fmt: skip

    def words(self) -> list[str]:
        """Return the options that ask for the same on the command line, besides outputs."""
        # Prompts name their frame themselves.
        looks = self.detect is not None and self.frame != self.request.start
        said = {
            "--prompts": self.prompts, "--frame": self.frame if looks else None,
            "--detect": self.detect, "--classes": ",".join(self.classes),
            "--score-threshold": self.score_threshold, "--checkpoint": self.checkpoint,
            "--model": None if self.model == DEFAULT_TRACKER else self.model,
        }  # fmt: skip
        return [*self.request.words(), *as_words(said)]

    def job(self) -> TrackJob:
        """Return the job; the tracker is loaded when a video needs it, a detector now.

        Raises:
            UserError: the detector cannot be opened.
        """
        return TrackJob(
            load=self._load, request=self.request, frame=self.frame,
            detection=open_detection(
                self.detect, self.classes, self.score_threshold, self.frame, self.device
            ),
            prompts=self.prompts, options=self.options, out=self.out, form=self.form, fps=self.fps,
            overwrite=self.overwrite, resume=self.resume, settings=self.settings,
            stretch=self.stretch, storage_s=self.storage_s,
        )  # fmt: skip

    def job_in(self, folder: Path, manifest: Path) -> TrackJob:
        """Return :meth:`one_thread_job` on a machine of a cluster, where paths mean the same.

        Args:
            folder: as seen from which paths are named.
            manifest: of the job; where it is seen, the folder of the outputs is shared.

        Raises:
            UserError: outputs would be written where nobody finds them; or as of :meth:`job`.
        """
        with suppress(OSError):
            os.chdir(folder)
        if not all(address_of(path) for path in self.out) and not manifest.exists():
            raise InvalidValue(
                f"the machine {socket.gethostname()} of the cluster does not see {manifest}: give --out "
                "a folder that all machines share under one path, or an address such as s3://"
            )
        return self.one_thread_job()

    def one_thread_job(self) -> TrackJob:
        """Return the job for a process that is one of several: it computes with one thread.

        Raises:
            UserError: as of :meth:`job`.
        """
        job = self.job()
        _ = job.tracker
        # Trackers of other runtimes start without torch, and follow the environment.
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        return job

    def _load(self) -> Tracker[Engine]:
        with progress.task(f"loading {self.model}"):
            return load_tracker(
                self.model,
                self.checkpoint,
                device=self.device,
                dtype=self.dtype,
                engine=self.engine,
            )
