"""Let objects pass over clips of real videos: the video's own object is hidden, and has look-alikes.

Real motion teaches more than made motion, and short videos seldom hide their object or show a second
one like it. Here something large passes before it, cut-outs of other images cross its way, and its
own image is pasted beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pocketeye.data.clips.clips import Clip, ClipSource
from pocketeye.data.clips.cutouts import Cutout, CutoutPool, cut
from pocketeye.data.clips.motion import Camera
from pocketeye.data.clips.synthetic import SyntheticClips, SyntheticOptions, lay_over, times_of
from pocketeye.data.mask_sets.samples import MaskedImages

_ASPECTS = (1.0, 1.8)  # clips are stretched to squares and do not tell what they were


class OverlaidClips(SyntheticClips):
    """Draw ``length`` clips an epoch, all different.

    Args:
        videos: the clips underneath, of ``size`` and ``num_frames``.
        galleries, length, num_frames, size, max_objects, options, seed: as of
            :class:`SyntheticClips`; of the options ``own`` and ``blurred`` are of no account.
    """

    def __init__(
        self,
        videos: ClipSource,
        galleries: Sequence[tuple[MaskedImages, float]] | CutoutPool,
        length: int,
        *,
        num_frames: int = 8,
        size: int = 256,
        max_objects: int = 3,
        options: SyntheticOptions | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            galleries, length, num_frames=num_frames, size=size, max_objects=max_objects,
            options=options, seed=seed,
        )  # fmt: skip
        self.videos = videos

    def _try(self, rng: np.random.Generator) -> Clip | None:
        clip = self.videos.draw(int(rng.integers(len(self.videos))), rng)
        frames, num_frames = clip.frames.float(), len(clip.frames)
        camera = Camera.resting(num_frames, float(rng.uniform(*_ASPECTS)))
        target = int(rng.integers(len(clip.masks)))
        path, reach = _way_of(clip.masks[target], camera.aspect)
        times = times_of(rng, num_frames, 1)
        shares = np.asarray(self.options.pasted)
        pasted = int(rng.choice(len(shares), p=shares / shares.sum()))
        hidden = rng.random() < self.options.hidden
        twin = self._cutout_of(clip, target, rng)
        count = max(pasted, 0 if hidden else 1)
        sprites = self._sprites(rng, times, camera, count, False, path, twin)
        if hidden:
            # After the pasted objects: the screen hides the video's own object, and them as well.
            sprites += self.screen(rng, camera.still(), path, reach)
        masks = lay_over(frames, clip.masks, sprites, rng, frames.mean((0, 2, 3)))
        annotated = torch.ones(len(masks), num_frames, dtype=torch.bool)
        # Pasted objects are known in all frames, the video's only where it is annotated.
        annotated[: len(clip.masks)] = clip.annotated
        chosen = self._targets(rng, masks)
        if not len(chosen):
            return None
        lit = frames.round().clamp(0, 255).to(torch.uint8)
        return Clip(lit, masks[chosen], annotated[chosen])

    def _cutout_of(self, clip: Clip, target: int, rng: np.random.Generator) -> Cutout | None:
        """Cut out the object itself in one of the frames, where it can be cut out."""
        frame = int(rng.integers(len(clip.frames)))
        pixels = clip.frames[frame].permute(1, 2, 0).numpy()
        return cut(pixels, clip.masks[target, frame].numpy(), self.size)


def _way_of(masks: Tensor, aspect: float) -> tuple[np.ndarray, float]:
    """Middle ``(T, 2)`` of an object and the radius around it, in half heights of the view.

    Where it is not to be seen its way is straight.
    """
    size = masks.shape[-1]
    known, middles, radius = [], [], 0.0
    for frame in range(len(masks)):
        rows, columns = np.nonzero(masks[frame].numpy())
        if not len(rows):
            continue
        points = (np.stack([columns, rows], 1) + 0.5) * (2 / size) - 1
        low, high = points.min(0), points.max(0)
        known.append(frame)
        middles.append((low + high) / 2 * (aspect, 1.0))
        radius = max(radius, float(np.hypot(*((high - low) / 2 * (aspect, 1.0)))))
    frames = np.arange(len(masks))
    places = np.asarray(middles)
    return np.stack([np.interp(frames, known, places[:, k]) for k in range(2)], 1), radius
