"""Videos with masks of objects, for segmentation: DAVIS, YouTube-VOS, MOSE and SA-V as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from pocketeye.data.vos.masks import MaskReader, scan

Layout = Literal["auto", "davis", "youtube-vos", "mose", "sa-v"]


class FrameReader(Protocol):
    """The frames of one clip by number; picklable."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 RGB ``(height, width, 3)``; raises ``InvalidValue`` where it cannot be read."""

    def file_name(self, index: int) -> str:
        """Name of the frame without folder and suffix."""


@dataclass(frozen=True, eq=False)
class VideoSequence:
    """One clip. Frames and masks are read when asked for, each time anew.

    Attributes:
        name: of its folder or file.
        size: (width, height) of frames and masks.
        frames: who reads the frames. masks: who reads the masks.
        known_first: first frame of each object where the data set says so.
        num_lost: frames with an object, by the data set's list, that have no mask: in YouTube-VOS's
            valid and test all but the first ones, as its server keeps them.
    """

    name: str
    size: tuple[int, int]
    frames: FrameReader
    masks: MaskReader
    known_first: Mapping[int, int] | None = field(default=None, repr=False)
    num_lost: int = 0

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def annotated(self) -> tuple[int, ...]:
        """Frames that have a mask, ascending; without those that turned out to be unreadable."""
        return self.masks.annotated

    @cached_property
    def first_frames(self) -> dict[int, int]:
        """The first frame in which each object has a mask, ids ascending.

        From the data set's own list, else all masks of the clip are read once.
        """
        if self.known_first is not None:
            return dict(sorted(self.known_first.items()))
        return scan(self.masks)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Whole numbers from 1 up, ascending."""
        return tuple(self.first_frames)

    @property
    def problems(self) -> tuple[str, ...]:
        """Masks that turned out to be unreadable so far; they count as not annotated."""
        found = sorted(self.masks.problems.items())
        return tuple(f"{self.name}: mask {text}; not used" for _, text in found)

    def frame(self, index: int) -> np.ndarray:
        """uint8 RGB ``(height, width, 3)``.

        Raises:
            InvalidValue: the file cannot be decoded.
        """
        return self.frames[index]

    def frame_name(self, index: int) -> str:
        """``00005``: what the file of a frame's mask is called."""
        return self.frames.file_name(index)

    def mask(self, index: int) -> np.ndarray | None:
        """Integer ids ``(height, width)``, 0 the background; None where not annotated.

        Where the objects of SA-V overlap, a pixel has the lowest id (see :meth:`object_masks`).
        """
        return self.masks.labels(index)

    def object_masks(self, index: int) -> dict[int, np.ndarray] | None:
        """Bool ``(height, width)`` of each object that is in the frame; None where not annotated."""
        return self.masks.objects(index)


@dataclass(frozen=True, eq=False)
class VideoSet(Sequence[VideoSequence]):
    """Clips of one split.

    Attributes:
        source: the folder as given, and the split.
        layout: how it was read.
    """

    sequences: tuple[VideoSequence, ...]
    source: str
    layout: str
    found: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with the files, and masks that turned out to be unreadable so far."""
        late = [text for sequence in self.sequences for text in sequence.problems]
        return (*self.found, *late)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: Any) -> Any:
        return self.sequences[index]
