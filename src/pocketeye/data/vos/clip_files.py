"""Find the files of one clip, whatever its layout: frames, masks, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketeye.data.files import (
    SUFFIXES,
    Problems,
    UnreadableImage,
    decode,
    header_size,
    no_comments,
)
from pocketeye.data.vos.masks import count_text, header_problem
from pocketeye.errors import InvalidValue

_THREADS = 8  # headers of a disk that is asked for the first time come slowly, one by one


@dataclass(frozen=True)
class ImageFrames:
    """Read frames that are image files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        path = self.paths[index]
        try:
            return np.asarray(decode(path))
        except UnreadableImage as error:
            raise InvalidValue(f"frame {path.parent.name}/{path.name}: {error}") from error

    def file_name(self, index: int) -> str:
        return self.paths[index].stem


@dataclass(frozen=True)
class ClipFiles:
    """Hold the folders of frames and of masks of one clip; the frames of each object, if listed."""

    name: str
    images: Path
    masks: Path
    objects: dict[int, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class ClipFrames:
    """Hold the frames of a clip that were looked at: their size (width, height), and numbers by stem."""

    images: ImageFrames
    size: tuple[int, int]
    numbers: Mapping[str, int]


def folders_in(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def images_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")


def read_frames(clip: ClipFiles, problems: Problems) -> ClipFrames | None:
    """Look at the frames; None where one cannot be used, as the clip would jump."""
    paths = tuple(images_in(clip.images))
    size = None
    try:
        # Of the first frame; the others must be like it.
        with no_comments():
            size = header_size(paths[0])
    except UnreadableImage:
        pass  # named below
    wrong = _check(paths, lambda path: header_problem(path, size))
    if wrong:
        named = count_text([f"{path.name}: {text}" for path, text in wrong.items()])
        problems.say(f"{clip.name}: frames that cannot be used: {named}; clip left out")
        return None
    assert size is not None  # else the first one is wrong
    _name_gaps(clip, paths, problems)
    numbers = {path.stem: number for number, path in enumerate(paths)}
    return ClipFrames(ImageFrames(paths), size, numbers)


def read_masks(
    clip: ClipFiles, folder: Path, frames: ClipFrames, problems: Problems, prefix: str = ""
) -> dict[int, Path]:
    """Find the masks in ``folder`` that can be used, by the number of their frame.

    Args:
        prefix: of the files' names in sentences, where a clip has several folders.
    """
    # Masks in JPEG would have lost their ids.
    files = [path for path in images_in(folder) if path.suffix.lower() == ".png"]
    lone = [f"{prefix}{path.name}" for path in files if path.stem not in frames.numbers]
    if lone:
        problems.say(f"{clip.name}: masks without a frame: {count_text(lone)}; not used")
    files = [path for path in files if path.stem in frames.numbers]
    bad = _check(files, lambda path: header_problem(path, frames.size))
    if bad:
        named = count_text([f"{path.name}: {text}" for path, text in bad.items()])
        problems.say(f"{clip.name}: masks that cannot be used: {named}; taken as not annotated")
    return {frames.numbers[path.stem]: path for path in files if path not in bad}


def _name_gaps(clip: ClipFiles, paths: Sequence[Path], problems: Problems) -> None:
    """Name the numbers that are missing between frames; every fifth frame only is no gap."""
    if not all(path.stem.isdecimal() for path in paths) or len(paths) < 3:
        return
    numbers = sorted(int(path.stem) for path in paths)
    steps = Counter(np.diff(numbers).tolist())
    # The commonest step, and the smallest of equals: DAVIS counts by one, SA-V's masks by four.
    step = min(steps, key=lambda each: (-steps[each], each))
    missing = sorted(set(range(numbers[0], numbers[-1], max(step, 1))) - set(numbers))
    if missing:
        names = [str(number).zfill(len(paths[0].stem)) for number in missing]
        problems.say(f"{clip.name}: frames missing: {count_text(names)}; the clip jumps there")


def _check(paths: Sequence[Path], look: Callable[[Path], str | None]) -> dict[Path, str]:
    with no_comments(), ThreadPoolExecutor(_THREADS) as pool:
        found = zip(paths, pool.map(look, paths), strict=True)
        return {path: text for path, text in found if text is not None}
