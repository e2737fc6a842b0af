"""Decide where the results of each video of a job are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pocketeye.errors import InvalidValue

DEFAULT_FOLDER = Path("out") / "track"


def targets_of(out: Sequence[Path], name: str, *, several: bool) -> list[Path]:
    """Return what one video is written to.

    Args:
        out: as the user gave them; none: a drawn video in ``out/track``.
        name: of the video.
        several: the job has several videos: each then has its own file in a folder of the name that
            was given (``masks/NAME.json`` for ``masks.json``), or its own folder of images.

    Raises:
        InvalidValue: the same output twice.
    """
    if not out:
        return [DEFAULT_FOLDER / f"{name}.mp4"]
    targets = [Path(path) for path in out]
    twice = next((path for path in targets if targets.count(path) > 1), None)
    if twice is not None:
        raise InvalidValue(f"--out {twice} is given twice: leave one out")
    if not several:
        return targets
    return [
        # masks.json becomes masks/NAME.json: one file cannot hold several videos.
        path.with_suffix("") / f"{name}{path.suffix}" if path.suffix else path / name
        for path in targets
    ]


def require_free(
    paths: Sequence[Path], resume: str = "", is_taken: Callable[[Path], bool] | None = None
) -> None:
    """Refuse before any work what would be overwritten.

    Args:
        paths: files and folders that are to be written.
        resume: the option that goes on with an interrupted job, where there is one.
        is_taken: tells whether one is there; by default those of this machine.

    Raises:
        InvalidValue: a file is there, or a folder that is not empty.
    """
    goes_on = f"finish an interrupted job with {resume}, " if resume else ""
    for path in paths:
        if (is_taken or is_taken_here)(path):
            raise InvalidValue(
                f"{path} is already there: replace it with --overwrite, {goes_on}or choose another --out"
            )


def is_taken_here(path: Path) -> bool:
    """Tell whether an output is there; an empty folder is as good as none."""
    return path.exists() and (path.is_file() or any(path.iterdir()))
