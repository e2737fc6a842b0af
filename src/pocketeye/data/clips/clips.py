"""Make clips of frames with the masks of their objects, which promptable trackers are trained on.

An image is a clip of one frame, so one training code serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pocketeye.data.seeded import SeededDataset


class Clip(NamedTuple):
    """T frames and K objects; no batch dimension.

    Attributes:
        frames: uint8 RGB ``(T, 3, H, W)``.
        masks: bool ``(K, T, H, W)``; all False where the object is not to be seen, or not annotated.
        annotated: bool ``(K, T)``; where it is False the mask says nothing.
    """

    frames: Tensor
    masks: Tensor
    annotated: Tensor

    def visible(self) -> Tensor:
        """Return bool ``(K, T)``: annotated, and at least one pixel is to be seen."""
        return self.annotated & self.masks.flatten(2).any(-1)


class ClipBatch(NamedTuple):
    """B clips of equal length and size with N objects in all.

    Attributes:
        frames: uint8 RGB ``(B, T, 3, H, W)``.
        masks: bool ``(N, T, H, W)``.
        annotated: bool ``(N, T)``.
        clip_of: int64 ``(N,)``, ascending: which clip an object belongs to.
    """

    frames: Tensor
    masks: Tensor
    annotated: Tensor
    clip_of: Tensor

    def visible(self) -> Tensor:
        """Return bool ``(N, T)``: annotated, and at least one pixel is to be seen."""
        return self.annotated & self.masks.flatten(2).any(-1)


def collate_clips(clips: Sequence[Clip]) -> ClipBatch:
    """Put clips of one length and size into a batch; they may have different numbers of objects."""
    shapes = {tuple(clip.frames.shape) for clip in clips}
    assert len(shapes) == 1, f"one batch holds clips of one shape, got {sorted(shapes)}"
    counts = torch.tensor([len(clip.masks) for clip in clips])
    return ClipBatch(
        frames=torch.stack([clip.frames for clip in clips]),
        masks=torch.cat([clip.masks for clip in clips]),
        annotated=torch.cat([clip.annotated for clip in clips]),
        clip_of=torch.repeat_interleave(torch.arange(len(clips)), counts),
    )


class ClipSource(SeededDataset[Clip]):
    """Clips; every one has at least one object with at least one visible mask."""


class MixedClips(ClipSource):
    """Mix clips of several sources by weight; every draw takes any of their samples.

    Args:
        sources: (source, weight); the weights need not add up to one.
        length: samples in an epoch.
        seed: of all draws.
        group: so many neighbouring samples come from one source. Sources of different clip lengths
            fit into batches so: ``group`` is the batch size, times the number of processes.
    """

    def __init__(
        self,
        sources: Sequence[tuple[ClipSource, float]],
        length: int,
        seed: int = 0,
        *,
        group: int = 1,
    ) -> None:
        super().__init__(seed)
        weights = np.asarray([weight for _, weight in sources], np.float64)
        assert (weights >= 0).all(), weights
        assert weights.sum() > 0, weights
        self.sources = tuple(source for source, _ in sources)
        self.shares = np.cumsum(weights / weights.sum())
        self.length, self.group = length, group

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        return self._from(rng, rng)

    def __getitem__(self, index: int) -> Clip:
        epoch, place = divmod(index, self.length)
        seed = self.seed % (1 << 63)
        # A generator of its own for the choice of the source: it is the same for a whole group.
        group = np.random.default_rng((seed, epoch, place // self.group, 1))
        return self._from(group, np.random.default_rng((seed, epoch, place)))

    def _from(self, choice: np.random.Generator, rng: np.random.Generator) -> Clip:
        number = int(np.searchsorted(self.shares, choice.random(), side="right"))
        # The last share may be a little below 1.0 for rounding.
        source = self.sources[min(number, len(self.sources) - 1)]
        return source.draw(int(rng.integers(len(source))), rng)
