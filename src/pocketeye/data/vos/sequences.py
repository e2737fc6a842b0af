"""Give videos with masks of objects, for segmentation: DAVIS, YouTube-VOS, MOSE and SA-V as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from pocketeye.data.files import Problems, UnreadableImage
from pocketeye.data.sample import Sample
from pocketeye.data.vos.masks import MaskReader, scan
from pocketeye.errors import InvalidValue

Layout = Literal["auto", "davis", "youtube-vos", "mose", "sa-v"]


class FrameReader(Protocol):
    """Give the frames of one clip by number; picklable."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """Return uint8 RGB ``(height, width, 3)``; raises ``InvalidValue`` where it cannot be read."""

    def file_name(self, index: int) -> str:
        """Name of the frame without folder and suffix."""


@dataclass(frozen=True, eq=False)
class VideoSequence:
    """Hold one clip. Frames and masks are read when asked for, each time anew.

    Attributes:
        name: of its folder or file.
        size: (width, height) of frames and masks.
        frames: who reads the frames. masks: who reads the masks.
        known_first: first frame of each object where the data set says so.
        collector: where masks that turn out to be unreadable are noted; the set's own.
        num_lost: frames with an object, by the data set's list, that have no mask: in YouTube-VOS's
            valid and test all but the first ones, as its server keeps them.
    """

    name: str
    size: tuple[int, int]
    frames: FrameReader
    masks: MaskReader
    known_first: Mapping[int, int] | None = field(default=None, repr=False)
    num_lost: int = 0
    collector: Problems = field(default_factory=Problems, repr=False)

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def annotated(self) -> tuple[int, ...]:
        """Return frames that have a mask, ascending; without those that turned out to be unreadable."""
        frames = self.masks.annotated
        self._note()
        return frames

    @cached_property
    def first_frames(self) -> dict[int, int]:
        """Return the first frame in which each object has a mask, ids ascending.

        From the data set's own list, else all masks of the clip are read once.
        """
        if self.known_first is not None:
            return dict(sorted(self.known_first.items()))
        return scan(self.masks)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Whole numbers from 1 up, ascending."""
        return tuple(self.first_frames)

    def frame(self, index: int) -> np.ndarray:
        """Return uint8 RGB ``(height, width, 3)``.

        Raises:
            InvalidValue: the file cannot be decoded.
        """
        return self.frames[index]

    def frame_name(self, index: int) -> str:
        """Return what the file of a frame's mask is called: ``00005``."""
        return self.frames.file_name(index)

    def mask(self, index: int) -> np.ndarray | None:
        """Return integer ids ``(height, width)``, 0 the background; None where not annotated.

        Where the objects of SA-V overlap, a pixel has the lowest id (see :meth:`object_masks`).
        """
        labels = self.masks.labels(index)
        self._note()
        return labels

    def object_masks(self, index: int) -> dict[int, np.ndarray] | None:
        """Return a mask, bool ``(height, width)``, of each object there; None where not annotated."""
        objects = self.masks.objects(index)
        self._note()
        return objects

    def _note(self) -> None:
        for _, text in sorted(self.masks.problems.items()):
            self.collector.found(self.name, f"mask {text}; not used")


@dataclass(frozen=True, eq=False)
class VideoSet(Sequence[VideoSequence]):
    """Hold the clips of one split.

    Attributes:
        source: the folder as given, and the split.
        layout: how it was read.
        collector: what was wrong with the files, and masks that turned out to be unreadable.
        classes: none, as objects have no class here.
    """

    sequences: tuple[VideoSequence, ...]
    source: str
    layout: str
    collector: Problems = field(default_factory=Problems, repr=False)
    classes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was wrong with the files, and about masks that were unreadable."""
        return tuple(self.collector)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: Any) -> Any:
        return self.sequences[index]

    def name(self, index: int) -> str:
        """Name of a clip."""
        return self.sequences[index].name

    def read(self, index: int) -> Sample[VideoSequence]:
        """Read the first annotated frame of a clip; ``targets`` is the whole clip.

        Raises:
            UnreadableImage: no mask can be used, or the frame is damaged.
        """
        clip = self.sequences[index]
        # Asked again: masks may have turned out to be unreadable since.
        if not clip.annotated:
            raise UnreadableImage("no frame with a mask")
        try:
            image = Image.fromarray(clip.frame(clip.annotated[0]))
        except InvalidValue as error:
            raise UnreadableImage(str(error)) from error
        return Sample(index=index, name=clip.name, image=image, targets=clip)
