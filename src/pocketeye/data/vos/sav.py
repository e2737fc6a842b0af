"""Read SA-V: masks of each object for every fourth frame.

Its clips for validation and test are folders of images, with a folder of masks for each object; those
for training are video files, with a json of run lengths beside each.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.files import Problems, read_text, walk
from pocketeye.data.video.video import VideoFile
from pocketeye.data.vos.clip_files import (
    ClipFiles,
    folders_in,
    read_frames,
    read_masks,
)
from pocketeye.data.vos.masks import ObjectFiles, count_text, merge_objects
from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.errors import InvalidValue
from pocketeye.reading import parse_json
from pocketeye.results.masks import CompactMask

STEP = 4
"""Annotated are 6 of 24 frames a second."""
MANUAL = "_manual.json"
_THREADS = 8  # opening videos is waiting for the disk, not for the processor


@dataclass(frozen=True)
class FileFrames:
    """Read the frames of a video file; the files used last stay open."""

    path: Path
    num_frames: int

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, index: int) -> np.ndarray:
        return _open_file(self.path)[index]

    def file_name(self, index: int) -> str:
        return f"{index:05d}"


@dataclass(eq=False)
class RunLengths:
    """Read masks of a ``*_manual.json`` when they are needed; they may overlap."""

    path: Path
    size: tuple[int, int]
    num_frames: int
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def annotated(self) -> tuple[int, ...]:
        # Annotated frames come every STEP; the json has a list for each of them.
        frames = range(0, min(len(self._masklets()) * STEP, self.num_frames), STEP)
        return tuple(frame for frame in frames if frame not in self.problems)

    def labels(self, frame: int) -> np.ndarray | None:
        objects = self.objects(frame)
        return None if objects is None else merge_objects(objects, self.size)

    def objects(self, frame: int) -> dict[int, np.ndarray] | None:
        if frame not in self.annotated:
            return None
        found = {}
        try:
            for number, rle in enumerate(self._masklets()[frame // STEP], start=1):
                # An object that is out of sight has None.
                mask = CompactMask.from_rle(rle) if rle else None
                if mask is not None and mask.size != self.size:
                    raise InvalidValue(f"a mask of {mask.size}, but the frames are {self.size}")
                if mask is not None and mask.area:
                    found[number] = mask.dense()
        except (InvalidValue, TypeError, KeyError) as error:
            self.problems[frame] = f"{self.path.name}, frame {frame}: {error}"
            return None
        return found

    def _masklets(self) -> list[list[Any]]:
        try:
            return _read_json(self.path)
        except (ValueError, KeyError, TypeError, OSError) as error:
            self.problems[0] = f"{self.path.name}: {error}"
            return []


def read_sav(clip: ClipFiles, problems: Problems) -> VideoSequence | None:
    """Look at the files of a clip; None, with the reason in ``problems``, where it cannot be used."""
    frames = read_frames(clip, problems)
    if frames is None:
        return None
    good: dict[int, dict[int, Path]] = {}
    for folder in folders_in(clip.masks):
        if not folder.name.isdecimal():
            problems.say(f"{clip.name}: folder {folder.name} is no object's number; not read")
            continue
        found = read_masks(clip, folder, frames, problems, prefix=f"{folder.name}/")
        for number, path in found.items():
            # SA-V counts objects from 0, which is the background here.
            good.setdefault(number, {})[int(folder.name) + 1] = path
    if not good:
        problems.say(f"{clip.name}: not one mask that can be used; left out")
        return None
    masks = ObjectFiles(good, frames.size)
    return VideoSequence(clip.name, frames.size, frames.images, masks, collector=problems)


def list_files(folder: Path, problems: Problems) -> Iterator[VideoSequence]:
    """List the clips of all ``*.mp4`` below ``folder`` that have their ``*_manual.json``."""
    files = [folder / name for name, _ in walk(folder) if name.lower().endswith(".mp4")]
    lone = [p.name for p in files if not p.with_name(p.stem + MANUAL).is_file()]
    if lone:
        problems.say(f"videos without a {MANUAL[1:]}: {count_text(lone)}; left out")
    files = [path for path in files if path.with_name(path.stem + MANUAL).is_file()]
    # Several at once, as opening waits for the disk.
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, found in zip(files, pool.map(_measure, files), strict=True):
            if isinstance(found, str):
                problems.say(f"{path.stem}: {found}; left out")
                continue
            num_frames, size = found
            masks = RunLengths(path.with_name(path.stem + MANUAL), size, num_frames)
            yield VideoSequence(
                path.stem, size, FileFrames(path, num_frames), masks, collector=problems
            )


def _measure(path: Path) -> tuple[int, tuple[int, int]] | str:
    """Read number and size of the frames; or say what is wrong."""
    try:
        with VideoFile(path) as video:
            return video.num_frames, video.size
    except InvalidValue as error:
        return str(error)


@lru_cache(maxsize=2)  # one clip is read, and perhaps one beside it
def _open_file(path: Path) -> VideoFile:
    return VideoFile(path)


@lru_cache(maxsize=8)
def _read_json(path: Path) -> list[list[Any]]:
    masklets = parse_json(read_text(path))["masklet"]
    return [list(frame) for frame in masklets]
