"""Annotated images as clips of one frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pocketeye.data.clips.clips import Clip, ClipSource
from pocketeye.data.clips.geometry import Geometry, warp_clip
from pocketeye.data.clips.light import Colours
from pocketeye.data.clips.warp import channels_first, coverage, resized
from pocketeye.data.mask_sets.samples import MaskedImages, ObjectMasks
from pocketeye.data.sample import Sample, first_readable
from pocketeye.errors import InvalidValue

MIN_PIXELS = 32
"""An object with fewer pixels in the network's image is none to train on."""
_TRIES = 8  # each costs an image decoded for nothing


class ImageClips(ClipSource):
    """Give every image of a set once an epoch, with up to ``max_objects`` of its masks.

    Args:
        images: from ``load_masks``, or ``VideoFrames``.
        size: side of the square to which images are stretched.
        max_objects: masks of an image, drawn anew each time.
        geometry, colours: the augmentation.
        seed: of all draws.
    """

    def __init__(
        self,
        images: MaskedImages,
        *,
        size: int = 256,
        max_objects: int = 3,
        geometry: Geometry | None = None,
        colours: Colours | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.images, self.size, self.max_objects = images, size, max_objects
        self.geometry, self.colours = geometry or Geometry(), colours or Colours()

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        """Draw a clip of an image; a damaged one is replaced by the next, as is one of small objects.

        Raises:
            InvalidValue: nothing usable in many images one after the other.
        """
        for _ in range(_TRIES):
            sample = first_readable(self.images, index % len(self))
            if (clip := self._clip(sample, rng)) is not None:
                return clip
            index = sample.index + 1
        raise InvalidValue(
            f"{self.images.source}: none of the masks of {_TRIES} images in a row has "
            f"{MIN_PIXELS} pixels at {self.size}x{self.size}; give a larger size or other data"
        )

    def _clip(self, sample: Sample[ObjectMasks], rng: np.random.Generator) -> Clip | None:
        shapes, whole = sample.targets
        if not shapes:  # a frame of a video from which the object is gone
            return None
        width, height = sample.image.size
        theta = self.geometry.theta(rng, width / height)
        # no more pixels than the output needs: sampling then neither aliases nor blurs much
        near = (min(width, round(self.size * 1.25)), min(height, round(self.size * 1.25)))
        # twice as many as needed: some are too small or outside the crop
        order = _drawn(whole, rng)[: 2 * self.max_objects]
        masks = [coverage(shapes[k](), near) > 127 for k in order]
        frames, warped = warp_clip(
            channels_first(resized(np.asarray(sample.image), near))[None],
            torch.from_numpy(np.stack(masks))[:, None],
            theta,
            self.size,
        )
        warped = warped[warped.flatten(1).sum(1) >= MIN_PIXELS][: self.max_objects]
        if not len(warped):
            return None
        return Clip(self.colours(frames, rng), warped, torch.ones(len(warped), 1, dtype=torch.bool))


def _drawn(whole: Sequence[bool], rng: np.random.Generator) -> np.ndarray:
    """Draw a random order of the objects; among parts a whole comes first half of the time.

    A dressed person has ten parts. Drawn alike, a click would come to mean a part.
    """
    parts = len(whole) - sum(whole)
    weights = np.where(whole, max(parts, 1) / max(sum(whole), 1), 1.0)
    # the smallest of exponential times: drawn one by one without replacement, by weight
    return np.argsort(rng.exponential(size=len(whole)) / weights)
