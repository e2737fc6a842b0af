"""What workers of tests do; a module of its own, as other processes import it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from pocketeye.errors import InvalidValue
from pocketeye.jobs.job import TrackJob
from pocketeye.jobs.manifest import NAME
from pocketeye.jobs.record import TrackedVideo
from pocketeye.jobs.spec import TrackSpec
from pocketeye.jobs.videos import NamedVideo
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.outputs import cannot_write
from pocketeye.tracking.video.frame_prompts import Request, parse_prompts


def make() -> Callable[[str], str]:
    return work


def cannot_make() -> Callable[[str], str]:
    raise InvalidValue("no weights here")


def work(task: str) -> str:
    """Do what the task says: ``die:FILE`` ends the process the first time."""
    word, _, rest = task.partition(":")
    if word == "bad":
        raise InvalidValue(f"{rest} is bad")
    if word == "die" and not Path(rest).exists():
        Path(rest).touch()
        os._exit(9)
    if word == "hang":
        time.sleep(60)
    if word == "full":
        error = OSError(errno.ENOSPC, "No space left on device")
        raise cannot_write(Path("out/a.json"), error) from error
    return f"{word} {os.environ['OMP_NUM_THREADS']}"


class FakeJob:
    """Track nothing, but do as the name of a video says."""

    tracker, request, frame = None, Request(), 0

    def one(self, video: NamedVideo) -> TrackedVideo:
        work(Path(video.source).stem)
        row = {"frame": 0, "objects": []}
        return TrackedVideo(
            video=video.said, size=(4, 4), frames=(row, row), seconds=0.5, device="cpu"
        )


def nano_job(here: Path, out: Path, pids: Path, stretch: int | None) -> TrackJob:
    """Make a job of our tracker for one point, and leave a file that says who does it."""
    (pids / str(os.getpid())).touch()
    spec = TrackSpec(
        model=DEFAULT_TRACKER, checkpoint=None, device="cpu", dtype="float32", engine="auto",
        detect=None, classes=(), score_threshold=None, frame=0, out=(out,), resume=True,
        request=Request(prompts=parse_prompts(["30,40"], None, 0, [])), stretch=stretch,
    )  # fmt: skip
    return spec.job_in(here, out.with_suffix("") / NAME)
