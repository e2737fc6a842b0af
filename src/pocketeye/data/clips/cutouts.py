"""Cut objects out of annotated images and keep them, and the images that go behind, for clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from pocketeye.data.clips.warp import channels_first, coverage, resized
from pocketeye.data.files.cache import ByteCache
from pocketeye.data.mask_sets.samples import MaskedImages, ObjectMasks
from pocketeye.data.sample import Sample, first_readable
from pocketeye.errors import InvalidValue

LEAST_SIDE = 40
"""Objects whose area is below this squared, in pixels of their own image, are not cut out."""
_MARGIN = 3  # pixels around an object, for its opacity to fade in
_TRIES = 64  # images without an object to cut out before a set is refused


class Cutout(NamedTuple):
    """Hold an object cut out, uint8 ``(4, h, w)``: red, green, blue, opacity (fading at edges)."""

    layer: Tensor

    @property
    def aspect(self) -> float:
        return self.layer.shape[2] / self.layer.shape[1]


class Scene(NamedTuple):
    """Hold an image stretched to a square and its own objects.

    Attributes:
        pixels: uint8 ``(3, S, S)``.
        masks: bool ``(M, S, S)``, M may be 0.
        aspect: width over height before the stretching.
    """

    pixels: Tensor
    masks: Tensor
    aspect: float


class CutoutPool:
    """Keep cut-outs and scenes of several sets of images while there is room for them.

    Each set is drawn from as often as its weight says.

    Args:
        galleries: (images with masks, weight).
        size: side of the clips that will be made.
        cache_bytes: of decoded cut-outs, and as much for scenes.
    """

    def __init__(
        self, galleries: Sequence[tuple[MaskedImages, float]], size: int, cache_bytes: int
    ) -> None:
        weights = np.asarray([weight for _, weight in galleries], np.float64)
        self.galleries = tuple(gallery for gallery, _ in galleries)
        self.shares = np.cumsum(weights / weights.sum())
        self.size = size
        self.cutouts: ByteCache[tuple[Cutout, ...]] = ByteCache(cache_bytes, _bytes_of_cutouts)
        self.scenes: ByteCache[Scene] = ByteCache(cache_bytes, _bytes_of_scene)

    def cutout(self, rng: np.random.Generator) -> Cutout:
        """Draw an object that is large enough and, where that can be had, not cut off by its image.

        Raises:
            InvalidValue: none in many images.
        """
        for _ in range(_TRIES):
            gallery, index = self._place(rng)
            if found := self._cutouts_of(gallery, index):
                return found[int(rng.integers(len(found)))]
        raise InvalidValue(
            f"no object to cut out in {_TRIES} images of {self._sources()}: they need one of "
            f"{LEAST_SIDE}x{LEAST_SIDE} pixels that does not touch the image's border"
        )

    def scene(self, rng: np.random.Generator) -> Scene:
        gallery, index = self._place(rng)
        return self.scenes.get(
            (gallery, index), lambda: scene_of(self._sample(gallery, index), self.size)
        )

    def _cutouts_of(self, gallery: int, index: int) -> tuple[Cutout, ...]:
        return self.cutouts.get(
            (gallery, index), lambda: cut_out(self._sample(gallery, index), self.size)
        )

    def _sample(self, gallery: int, index: int) -> Sample[ObjectMasks]:
        return first_readable(self.galleries[gallery], index)

    def _place(self, rng: np.random.Generator) -> tuple[int, int]:
        number = int(np.searchsorted(self.shares, rng.random(), side="right"))
        number = min(number, len(self.galleries) - 1)
        return number, int(rng.integers(len(self.galleries[number])))

    def _sources(self) -> str:
        return ", ".join(gallery.source for gallery in self.galleries)


def _bytes_of_cutouts(cutouts: tuple[Cutout, ...]) -> int:
    return sum(cutout.layer.nbytes for cutout in cutouts) + 64


def _bytes_of_scene(scene: Scene) -> int:
    return scene.pixels.nbytes + scene.masks.nbytes


def cut_out(sample: Sample[ObjectMasks], size: int) -> tuple[Cutout, ...]:
    """Cut out the objects of an image, no larger than the clips of side ``size`` need."""
    found, pixels = [], np.asarray(sample.image)
    for shape, whole in zip(*sample.targets, strict=True):
        if whole and (cutout := cut(pixels, shape(), size)) is not None:
            found.append(cutout)
    return tuple(found)


def cut(pixels: np.ndarray, mask: np.ndarray, size: int) -> Cutout | None:
    """Cut one object out of ``pixels``, uint8 ``(H, W, 3)``; None if small or off the border."""
    side = float(np.sqrt(np.count_nonzero(mask)))
    # An object that its image cuts off would show a straight edge in the clip.
    border = sum(map(np.count_nonzero, (mask[0], mask[-1], mask[:, 0], mask[:, -1])))
    if side < LEAST_SIDE or border > 0.05 * side:
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1 = max(rows[0] - _MARGIN, 0), min(rows[-1] + 1 + _MARGIN, mask.shape[0])
    x0, x1 = max(columns[0] - _MARGIN, 0), min(columns[-1] + 1 + _MARGIN, mask.shape[1])
    colours, inside = pixels[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    if min(inside.shape) < LEAST_SIDE // 2:
        return None
    # No larger than it is shown: decoded cut-outs fill the cache.
    shrink = min(1.0, 1.1 * size / max(inside.shape))
    near = (round(inside.shape[1] * shrink), round(inside.shape[0] * shrink))
    inside = coverage(inside, near).astype(np.float32) / 255.0
    # Opacity begins inside the outline: what lies just outside is the colour of the old background.
    soft = np.clip(2.0 * ndimage.gaussian_filter(inside, 1.0) - 1.0, 0.0, 1.0)
    opacity = np.rint(255.0 * soft).astype(np.uint8)
    return Cutout(channels_first(np.dstack([resized(colours, near), opacity])))


def scene_of(sample: Sample[ObjectMasks], size: int, most: int = 8) -> Scene:
    """Return an image and up to ``most`` of its objects, a little larger than the clips' ``size``."""
    width, height = sample.image.size
    near = (round(1.3 * size), round(1.3 * size))
    shapes = sample.targets.shapes
    count = len(shapes)
    # Evenly spread over the list, which may be sorted by size.
    kept = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    masks = [coverage(shapes[k](), near) > 127 for k in kept]
    stacked = np.stack(masks) if masks else np.zeros((0, *near), bool)
    return Scene(
        channels_first(resized(np.asarray(sample.image), near)),
        torch.from_numpy(stacked),
        width / height,
    )
