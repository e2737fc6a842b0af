"""Run ``pocketeye track --jobs``: many videos by a list."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pocketeye.errors import InvalidValue
from pocketeye.text import counted, human_seconds
from pocketeye.verb_result import VerbResult

if TYPE_CHECKING:  # torch would come along
    from pocketeye.jobs.many import ManyTracked
    from pocketeye.jobs.spec import TrackSpec

_MOST_SHOWN = 20  # failed videos on a terminal; --json has all


@dataclass(frozen=True, kw_only=True)
class JobsResult(VerbResult):
    """Hold what came of a list of videos.

    Attributes:
        found: counts, failures and times.
        jobs: the list.
        command: what goes on with it.
    """

    model: str
    found: ManyTracked
    jobs: Path
    command: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        found = self.found
        return {
            "model": self.model, "jobs": str(self.jobs), "folder": str(found.folder),
            "counts": dict(found.counts), "failed": list(found.failed), "tracked": found.num_now,
            "frames": found.frames, "seconds": round(found.seconds, 3),
            "workers": found.num_workers, "files": [str(path) for path in self.written()],
        }  # fmt: skip

    def lines(self) -> list[str]:
        found, total = self.found, sum(self.found.counts.values())
        lines = [
            f"{found.counts['done']} of {total} videos are tracked, {found.num_now} of them now"
        ]
        if found.num_now:
            workers = counted(found.num_workers, "worker")
            lines.append(
                f"{found.frames} frames in {human_seconds(found.seconds)} by {workers}: "
                f"{found.frames / found.seconds:.1f} fps, measured here"
            )
        if found.counts["failed"]:
            lines.append(f"[yellow]{found.counts['failed']} of {total} videos failed[/yellow]:")
            lines += [f"  {escape(sentence)}" for sentence in found.failed[:_MOST_SHOWN]]
        if found.counts["failed"] > _MOST_SHOWN:
            lines.append(f"… and {found.counts['failed'] - _MOST_SHOWN} more (all with --json)")
        return lines

    def written(self) -> list[Path]:
        return [self.found.folder]

    def next_commands(self) -> list[str]:
        return [shlex.join(self.command)] if self.found.counts["failed"] else []

    @property
    def exit_code(self) -> int:
        """Return 1 where a video failed: the others were tracked."""
        return 1 if self.found.counts["failed"] else 0


def track_list(
    jobs: Path,
    spec: TrackSpec,
    videos: list[str] | None,
    *,
    workers: int | None,
    cluster: str | None,
    patience: float,
    show: bool,
) -> JobsResult:
    """See :func:`pocketeye.verbs.track.verb.track`.

    Raises:
        InvalidValue: options that do not go together, or what :func:`track_many` refuses.
    """
    from pocketeye.jobs.listing import open_list
    from pocketeye.jobs.manifest import NAME
    from pocketeye.jobs.many import track_many
    from pocketeye.jobs.storage import STORAGE_S, address_of, here
    from pocketeye.jobs.targets import DEFAULT_FOLDER
    from pocketeye.tracking.io.write import forms_for

    if videos or show:
        raise InvalidValue("--jobs names the videos: leave out others, and --show")
    if not spec.out:
        raise InvalidValue("--jobs needs --out: the folder for the manifest and all results")
    forms_for(spec.out, spec.form)
    first = spec.out[0].with_suffix("") if spec.out[0].suffix else spec.out[0]
    # The manifest is a data base: it needs a disk.
    folder = first if address_of(first) is None else DEFAULT_FOLDER / first.name
    # What one video has finished is told by its own record, also where the manifest was not told.
    worker = replace(spec, resume=not spec.overwrite, storage_s=min(patience, STORAGE_S))
    settings = {
        **spec.settings, "prompts": spec.request.words(), "labels": str(spec.prompts or ""),
        "options": dict(spec.options), "outputs": [str(path) for path in spec.out],
        "form": spec.form, "fps": spec.fps,
    }  # fmt: skip
    make = worker.one_thread_job
    if cluster is not None:
        seen_from = Path.cwd()
        make = partial(worker.job_in, seen_from, seen_from / folder / NAME)
    with open_list(Path(here(str(jobs))), worker.storage_s) as listed:
        found = track_many(
            listed.rows, folder, make, num_workers=workers, settings=settings, cluster=cluster,
            num_gpus=1 if spec.device == "cuda" else 0, resume=spec.resume,
            overwrite=spec.overwrite, patience_s=patience, fingerprint=listed.fingerprint,
        )  # fmt: skip
    command = _resuming(jobs, spec, workers=workers, cluster=cluster, patience=patience)
    return JobsResult(model=spec.model, found=found, jobs=jobs, command=tuple(command))


def _resuming(
    jobs: Path, spec: TrackSpec, *, workers: int | None, cluster: str | None, patience: float
) -> list[str]:
    """Return the command that goes on: a manifest takes the very settings that it was made with."""
    from pocketeye.jobs.pool import PATIENCE_S
    from pocketeye.jobs.spec import as_words
    from pocketeye.jobs.storage import address_of
    from pocketeye.tracking.video.options import Options

    words = ["pocketeye", "track", "--jobs", address_of(jobs) or str(jobs)]
    for path in spec.out:
        words += ["--out", address_of(path) or str(path)]
    asked = spec.words()
    # Rows without a frame of their own take it, so it counts also where no detector looks.
    framed = "--frame" in asked or spec.frame == spec.request.start
    usual = Options()
    options = {
        f"--{name.replace('_', '-')}": value
        for name, value in spec.options.items() if value != getattr(usual, name)
    }  # fmt: skip
    more = {
        "--frame": None if framed else spec.frame, "--form": spec.form, "--fps": spec.fps, **options,
        "--device": None if spec.device == "auto" else spec.device,
        "--dtype": None if spec.dtype == "float32" else spec.dtype,
        "--engine": None if spec.engine == "auto" else spec.engine,
        "--workers": workers, "--cluster": cluster, "--stretch": spec.stretch,
        "--patience": None if patience == PATIENCE_S else f"{patience:g}",
    }  # fmt: skip
    return [*words, *asked, *as_words(more), "--resume"]
