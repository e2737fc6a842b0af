"""Cut clips out of annotated videos, and take their frames as annotated images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from pocketeye.data.clips.clips import Clip, ClipSource
from pocketeye.data.clips.geometry import Geometry, warp_clip
from pocketeye.data.clips.images import MIN_PIXELS
from pocketeye.data.clips.light import Colours
from pocketeye.data.clips.warp import channels_first, coverage, resized
from pocketeye.data.files import Problems, UnreadableImage
from pocketeye.data.files.annotations.shapes import Given
from pocketeye.data.mask_sets.samples import ObjectMasks
from pocketeye.data.sample import Sample
from pocketeye.errors import InvalidValue

_TRIES = 16  # as many as for images (pocketeye.data.sample.TRIES)


class Video(Protocol):
    """Describe the part of a ``VideoSequence`` that clips need."""

    @property
    def name(self) -> str: ...

    @property
    def annotated(self) -> Sequence[int]:
        """Return frames that have a mask, ascending."""

    def frame(self, index: int) -> np.ndarray:
        """Return uint8 RGB ``(H, W, 3)``; raises ``InvalidValue`` where it cannot be read."""

    def object_masks(self, index: int) -> Mapping[int, np.ndarray] | None:
        """Return a mask, bool ``(H, W)``, of each object there; None where it is damaged."""


class Videos(Protocol):
    """Describe the part of a ``VideoSet`` that clips need."""

    @property
    def source(self) -> str: ...

    @property
    def collector(self) -> Problems: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Video: ...


@dataclass(frozen=True, kw_only=True)
class VideoSampling:
    """Take frames from a video by a rule; where only some frames have masks, only those count.

    Attributes:
        num_frames: of a clip. A shorter video is run through to and fro; one of a single frame stands
            still.
        max_stride: a clip takes every frame, every second … up to this, as far as the video reaches.
        reversed: how often time runs backwards.
    """

    num_frames: int = 8
    max_stride: int = 4
    reversed: float = 0.5

    def frames(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """Return the places, int64 ``(num_frames,)``, among ``length`` frames."""
        most = min(self.max_stride, (length - 1) // max(self.num_frames - 1, 1))
        if most < 1:
            there = np.arange(length)
            both = np.concatenate([there, there[-2:0:-1]])  # to and fro, no frame twice in a row
            taken = np.resize(both, self.num_frames)
        else:
            stride = int(rng.integers(1, most + 1))
            start = int(rng.integers(length - stride * (self.num_frames - 1)))
            taken = start + stride * np.arange(self.num_frames)
        return taken[::-1] if rng.random() < self.reversed else taken


class VideoClips(ClipSource):
    """Draw ``length`` clips an epoch, the videos in turn.

    Args:
        videos: from ``load_videos``.
        length: clips in an epoch; None for one of each video.
        size: side of the square to which frames are stretched.
        max_objects: of a clip, drawn anew each time among those that are to be seen.
        sampling, geometry, colours: which frames, and the augmentation (the same for all of a clip).
        seed: of all draws.

    Raises:
        InvalidValue: no video with a mask.
    """

    def __init__(
        self,
        videos: Videos,
        length: int | None = None,
        *,
        size: int = 256,
        max_objects: int = 3,
        sampling: VideoSampling | None = None,
        geometry: Geometry | None = None,
        colours: Colours | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.videos, self.annotated = videos, annotated_frames(videos)
        self.places = tuple(self.annotated)
        self.length = len(self.places) if length is None else length
        self.size, self.max_objects = size, max_objects
        self.sampling = sampling or VideoSampling()
        self.geometry, self.colours = geometry or Geometry(), colours or Colours()

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        """Draw a clip of video ``index``, or of another part or video where its frames are damaged.

        Raises:
            InvalidValue: nothing usable in many tries.
        """
        for attempt in range(_TRIES):
            # one more chance for each video before the next one's turn
            place = self.places[(index + attempt // 2) % len(self.places)]
            video = self.videos[place]
            try:
                clip = self._clip(video, self.annotated[place], rng)
            except (InvalidValue, UnreadableImage) as error:
                self.videos.collector.found(video.name, str(error))
                continue
            if clip is not None:
                return clip
        raise InvalidValue(
            f"{self.videos.source}: {_TRIES} clips in a row were damaged or without an object of "
            f"{MIN_PIXELS} pixels at {self.size}x{self.size}, the last of {video.name!r}"
        )

    def _clip(
        self, video: Video, annotated: Sequence[int], rng: np.random.Generator
    ) -> Clip | None:
        taken = [annotated[place] for place in self.sampling.frames(rng, len(annotated)).tolist()]
        objects = {index: video.object_masks(index) for index in sorted(set(taken))}
        ids = sorted({k for found in objects.values() if found is not None for k in found})
        if not ids:
            return None
        images = {index: video.frame(index) for index in objects}
        height, width = images[taken[0]].shape[:2]
        theta = self.geometry.theta(rng, width / height)
        # no more pixels than the output needs: sampling then neither aliases nor blurs much
        near = (min(width, round(self.size * 1.25)), min(height, round(self.size * 1.25)))
        # twice as many as needed: some are too small or outside the crop
        chosen = [ids[k] for k in rng.permutation(len(ids))[: 2 * self.max_objects]]
        masks = {
            index: _masks(found or {}, chosen, (width, height), near)
            for index, found in objects.items()
        }
        frames, warped = warp_clip(
            torch.stack([channels_first(resized(images[index], near)) for index in taken]),
            torch.from_numpy(np.stack([masks[index] for index in taken], 1)),
            theta,
            self.size,
        )
        warped = warped[warped.flatten(2).sum(-1).amax(1) >= MIN_PIXELS][: self.max_objects]
        if not len(warped):
            return None
        # A damaged mask says nothing: its frame is there, but not annotated.
        known = torch.tensor([objects[index] is not None for index in taken])
        return Clip(self.colours(frames, rng), warped, known.repeat(len(warped), 1))


class VideoFrames:
    """Give every ``every``-th frame that has a mask as an annotated image, for synthetic clips.

    Raises:
        InvalidValue: no video with a mask.
    """

    def __init__(self, videos: Videos, every: int = 5) -> None:
        self.videos = videos
        self.frames = [
            (place, index)
            for place, annotated in annotated_frames(videos).items()
            for index in annotated[::every]
        ]

    classes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return self.videos.source

    @property
    def collector(self) -> Problems:
        return self.videos.collector

    @property
    def problems(self) -> tuple[str, ...]:
        """Return the sentences about what is wrong with the videos."""
        return tuple(self.collector)

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, index: int) -> str:
        """Return ``frame 5 of bear``."""
        place, time = self.frames[index]
        return f"frame {time} of {self.videos[place].name}"

    def read(self, index: int) -> Sample[ObjectMasks]:
        """Read a frame and its masks, none where its mask is damaged.

        Raises:
            UnreadableImage: the frame is damaged, or its mask has another size.
        """
        place, time = self.frames[index]
        video = self.videos[place]
        try:
            pixels = video.frame(time)
        except InvalidValue as error:
            raise UnreadableImage(str(error)) from error
        objects = video.object_masks(time) or {}
        for mask in objects.values():
            _require_size(mask, (pixels.shape[1], pixels.shape[0]))
        shapes = tuple(Given(mask) for mask in objects.values())
        return Sample(
            index=index, name=self.name(index), image=Image.fromarray(pixels),
            targets=ObjectMasks(shapes, (True,) * len(shapes)),
        )  # fmt: skip


def annotated_frames(videos: Videos) -> dict[int, tuple[int, ...]]:
    """Return the frames with a mask of each video that has any, by the video's number.

    They are taken once, as a video forgets a frame whose mask turns out to be damaged: what is drawn
    must not depend on what was read before.

    Raises:
        InvalidValue: no video has any.
    """
    found = {k: tuple(videos[k].annotated) for k in range(len(videos))}
    annotated = {k: frames for k, frames in found.items() if frames}
    if not annotated:
        raise InvalidValue(f"{videos.source} has no video with an annotated frame to train on")
    return annotated


def _masks(
    objects: Mapping[int, np.ndarray],
    ids: Sequence[int],
    size: tuple[int, int],
    near: tuple[int, int],
) -> np.ndarray:
    """Return bool ``(K, h, w)``; all False where the object is not to be seen."""
    masks = np.zeros((len(ids), near[1], near[0]), bool)
    for place, k in enumerate(ids):
        if k in objects:
            _require_size(objects[k], size)
            masks[place] = coverage(objects[k], near) > 127
    return masks


def _require_size(mask: np.ndarray, size: tuple[int, int]) -> None:
    if mask.shape != size[::-1]:
        raise UnreadableImage(
            f"a mask of {mask.shape[1]}x{mask.shape[0]} for a frame of {size[0]}x{size[1]} pixels"
        )
