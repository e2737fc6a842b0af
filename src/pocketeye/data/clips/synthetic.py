"""Make clips of images: cut-out objects move over others, under a camera that moves as well.

What moves is known, so every frame has exact masks, also where an object passes behind another, leaves
the view and comes back. The targets are pasted objects and objects of the image behind them; a clip
may also be that image alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketeye.data.clips.clips import Clip, ClipSource
from pocketeye.data.clips.cutouts import Cutout, CutoutPool, Scene
from pocketeye.data.clips.light import Colours, shine
from pocketeye.data.clips.motion import (
    Camera,
    deformation,
    drift,
    object_maps,
    object_path,
    screen_maps,
    view_to_object,
)  # fmt: skip
from pocketeye.data.clips.warp import Box, bend, inverse, points_of, sample
from pocketeye.data.mask_sets.samples import MaskedImages
from pocketeye.errors import InvalidValue

CACHE_BYTES = 192 << 20
_TRIES = (
    16  # draws without a visible object in a row: then the masks are too small to ever show one
)
_EXPOSURES = 5  # moments averaged into a blurred frame; each costs the rendering of a whole one
_SHUTTER = 0.6  # share of the time between frames over which a blurred one takes its moments
_FAST = 4.0  # times the common speed of pasted objects
_ENLARGED = 1.8  # small cut-outs enlarged further are blots


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """Hold shares and sizes of what is drawn.

    Attributes:
        pasted: shares of clips with 0, 1, 2 … pasted objects.
        own: how often objects of the image behind may be targets as well.
        hidden: how often something large passes before an object, and hides it for some frames.
        twins: how often a pasted object is the one before once more, so that only its way tells which
            it is.
        fast: how often a pasted object moves several times as fast.
        blurred: how often motion blurs (the mean of five moments, five times the work).
        sizes: smallest and largest pasted object: the root of its box's area, as a share of the view's.
        least: smallest share of the view that a target fills in one frame at least.
    """

    pasted: tuple[float, ...] = (0.2, 0.2, 0.3, 0.2, 0.1)
    own: float = 0.5
    hidden: float = 0.35
    twins: float = 0.2
    fast: float = 0.2
    blurred: float = 0.06
    sizes: tuple[float, float] = (0.12, 0.7)
    least: float = 0.001


@dataclass
class _Sprite:
    """Hold a pasted object; ``theta`` leads from the output to the cut-out. A screen only hides
    what is behind it: it is no target."""

    layer: Tensor
    theta: np.ndarray
    control: np.ndarray | None
    box: Box
    screen: bool = False


class SyntheticClips(ClipSource):
    """Draw ``length`` clips an epoch, all different.

    Args:
        galleries: (images, weight): what ``load_masks`` gives, or ``VideoFrames``; or the ``pool`` of
            another source, which is then decoded once for both.
        length: clips in an epoch.
        num_frames, size: frames of a clip and their side in pixels.
        max_objects: targets of a clip, at most.
        seed: of all draws.
        cache_bytes: for decoded cut-outs, and as much for the images behind, in every process.
    """

    def __init__(
        self,
        galleries: Sequence[tuple[MaskedImages, float]] | CutoutPool,
        length: int,
        *,
        num_frames: int = 8,
        size: int = 256,
        max_objects: int = 3,
        options: SyntheticOptions | None = None,
        colours: Colours | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(seed)
        if not isinstance(galleries, CutoutPool):
            galleries = CutoutPool(galleries, size, cache_bytes)
        self.pool = galleries
        self.length, self.num_frames, self.size = length, num_frames, size
        self.max_objects = max_objects
        self.options, self.colours = options or SyntheticOptions(), colours or Colours()

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        """Draw a new clip; everything comes from ``rng``, nothing from ``index``.

        Raises:
            InvalidValue: the images give no object that is to be seen.
        """
        for _ in range(_TRIES):
            if (clip := self._try(rng)) is not None:
                return clip
        raise InvalidValue(
            f"{_TRIES} synthetic clips in a row came out without a visible object: the masks of "
            f"{', '.join(g.source for g in self.pool.galleries)} are too small for {self.size} pixels"
        )

    def _try(self, rng: np.random.Generator) -> Clip | None:
        options = self.options
        scene = self.pool.scene(rng)
        own = len(scene.masks) > 0 and rng.random() < options.own
        shares = np.asarray(options.pasted)
        count = int(rng.choice(len(shares), p=shares / shares.sum()))
        exposures = _EXPOSURES if rng.random() < options.blurred else 1
        times = times_of(rng, self.num_frames, exposures)
        camera = Camera.random(rng, times, scene.aspect)
        # Without a pasted object the scene's own are the only targets.
        own |= count == 0
        kept = rng.permutation(len(scene.masks))[: self.max_objects if own else 0]
        frames, behind = _background(scene, torch.from_numpy(kept), camera, self.size)
        hidden = rng.random() < options.hidden
        # Each clip needs an object: one is pasted where the scene has none.
        count = max(count, 0 if len(kept) else 1)
        sprites = self._sprites(rng, times, camera, count, hidden)
        around = scene.pixels.float().mean((1, 2))
        masks = lay_over(frames, behind, sprites, rng, around)
        frames, masks = _exposed(frames, masks, exposures)
        targets = masks[self._targets(rng, masks)]
        if not len(targets):
            return None
        lit = _light(rng, frames, self.num_frames)
        annotated = torch.ones(len(targets), self.num_frames, dtype=torch.bool)
        return Clip(self.colours(lit, rng), targets, annotated)

    def _sprites(
        self,
        rng: np.random.Generator,
        times: np.ndarray,
        camera: Camera,
        count: int,
        hidden: bool,
        path: np.ndarray | None = None,
        twin: Cutout | None = None,
    ) -> list[_Sprite]:
        """Draw objects from back to front; some meet the one before, some go with the scene.

        Args:
            hidden: the foremost is hidden for some frames.
            path: of what is there already, for the first to meet; ``twin`` is its cut-out.
        """
        sprites: list[_Sprite] = []
        for left in range(count - 1, -1, -1):
            again = twin is not None and rng.random() < self.options.twins
            cutout = twin if twin is not None and again else self.pool.cutout(rng)
            near = path if rng.random() < 0.4 else None
            pace = _FAST if rng.random() < self.options.fast else 1.0
            path = object_path(rng, times, camera.aspect, near, pace)
            low, high = np.log(self.options.sizes)
            side = float(np.exp(rng.uniform(low, high))) * np.sqrt(camera.aspect)
            tall = cutout.layer.shape[1] / self.size
            # Half height that gives the drawn area, unless the cut-out would be enlarged into a
            # blot.
            half = min(side / np.sqrt(cutout.aspect), _ENLARGED * tall)
            forward = object_maps(rng, times, path, cutout.aspect, half)
            view = camera.still()
            if rng.random() < 0.5:  # it stands in the scene and moves relative to it
                moment = int(rng.integers(len(times)))
                view = _fixed_at(camera, moment)
            theta = view_to_object(view, forward)
            box = _reach(theta, self.size)
            control = deformation(rng, times)
            if box is not None:
                sprites.append(_Sprite(cutout.layer, theta, control, box))
            twin = cutout
            if hidden and not left:
                reach = half * float(np.hypot(1.0, cutout.aspect))
                sprites += self.screen(rng, view, path, reach)
        return sprites

    def screen(
        self, rng: np.random.Generator, view: np.ndarray, path: np.ndarray, reach: float
    ) -> list[_Sprite]:
        """Draw a piece of another image that hides what is on ``path``; empty out of view."""
        theta = view_to_object(view, screen_maps(rng, path, reach))
        box = _reach(theta, self.size)
        if box is None:
            return []
        pixels = self.pool.scene(rng).pixels
        opaque = torch.full_like(pixels[:1], 255)
        layer = torch.cat([pixels, opaque])
        return [_Sprite(layer, theta, None, box, screen=True)]

    def _targets(self, rng: np.random.Generator, masks: Tensor) -> Tensor:
        """Choose up to ``max_objects`` of the masks that are large enough in some frame."""
        areas = masks.flatten(2).sum(-1).amax(1) if len(masks) else torch.zeros(0)
        large = torch.nonzero(areas >= self.options.least * self.size**2)[:, 0]
        chosen = rng.permutation(len(large))[: self.max_objects]
        return large[torch.from_numpy(chosen)]


def times_of(rng: np.random.Generator, num_frames: int, exposures: int) -> np.ndarray:
    """Draw moments ``(T * exposures,)``; clips run at different pace."""
    # By its logarithm: each doubling of the pace is equally likely.
    pace = float(np.exp(rng.uniform(np.log(0.6), np.log(2.5))))
    open_ = (np.arange(exposures) - (exposures - 1) / 2) / max(exposures, 2) * _SHUTTER
    return np.asarray((np.arange(num_frames)[:, None] + open_).ravel() * pace)


def _fixed_at(camera: Camera, moment: int) -> np.ndarray:
    """View of an object that stands in the scene, in the view's own lengths at ``moment``."""
    there = inverse(camera.to_scene[moment : moment + 1])
    back = np.diag([camera.aspect, 1.0]) @ there
    linear = back[:, :, :2] @ camera.to_scene[:, :, :2]
    shift = back[:, :, :2] @ camera.to_scene[:, :, 2:] + back[:, :, 2:]
    return np.concatenate([linear, shift], 2)


def _background(scene: Scene, kept: Tensor, camera: Camera, size: int) -> tuple[Tensor, Tensor]:
    """Render frames, float ``(T, 3, S, S)`` of 0 to 255, and masks, bool ``(M, T, S, S)``."""
    points = points_of(camera.to_image(), size, (0, 0, size, size))
    frames = sample(scene.pixels.float(), points, "reflection")
    if not len(kept):
        return frames, torch.zeros(0, *frames[:, 0].shape, dtype=torch.bool)
    masks = sample(scene.masks[kept].float(), points, "reflection") > 0.5
    return frames, masks.transpose(0, 1)


def _reach(theta: np.ndarray, size: int) -> Box | None:
    """Return the window of pixels that an object touches at any time; None where it stays outside."""
    # A little wider than the object, for its deformation.
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) * (1.15, 1.15, 1.0)
    seen = (inverse(theta) @ corners.T + 1.0) * (size / 2)
    low = np.floor(np.maximum(seen.min((0, 2)), 0)).astype(int).tolist()
    high = np.ceil(np.minimum(seen.max((0, 2)), size)).astype(int).tolist()
    return (low[0], low[1], high[0], high[1]) if low[0] < high[0] and low[1] < high[1] else None


def lay_over(
    frames: Tensor,
    behind: Tensor,
    sprites: Sequence[_Sprite],
    rng: np.random.Generator,
    around: Tensor,
) -> Tensor:
    """Lay sprites over the frames, in place, from back to front; return the masks of all objects.

    Args:
        frames: float ``(T, 3, S, S)``; ``behind`` bool ``(M, T, S, S)``, the objects in them.
        around: mean colour ``(3,)`` of the frames, to which sprites are matched in part.

    Returns:
        bool ``(M + K, T, S, S)``, without screens, where each is to be seen.
    """
    size = frames.shape[-1]
    pasted = [_paste(frames, sprite, size, rng, around) for sprite in sprites]
    masks = _visible(behind, pasted)
    wanted = [True] * len(behind) + [not sprite.screen for sprite in sprites]
    return masks[torch.tensor(wanted, dtype=torch.bool)]


def _paste(
    frames: Tensor, sprite: _Sprite, size: int, rng: np.random.Generator, around: Tensor
) -> tuple[Box, Tensor]:
    """Lay an object over the frames, in place; its box and where it is opaque, ``(T, h, w)``."""
    layer = _shrunk(sprite.layer.float(), sprite.theta, size)
    opacity = layer[3:]
    mean = (layer[:3] * opacity).sum((1, 2)) / opacity.sum().clamp(min=1.0)
    match = ((around + 16) / (mean + 16)).clamp(0.5, 2.0) ** float(rng.uniform(0.0, 0.5))
    layer = torch.cat([layer[:3] * match[:, None, None], opacity / 255.0])
    points = points_of(sprite.theta, size, sprite.box)
    if sprite.control is not None:
        points = bend(points, sprite.control)
    warped = sample(layer, points)
    x0, y0, x1, y1 = sprite.box
    under = frames[:, :, y0:y1, x0:x1]
    alpha = warped[:, 3:]
    under += alpha * (warped[:, :3] - under)
    return sprite.box, alpha[:, 0] > 0.5


def _shrunk(layer: Tensor, theta: np.ndarray, size: int) -> Tensor:
    """Halved while the output has less than half its pixels at all times, or sampling would alias."""
    step = (
        np.sqrt(np.abs(np.linalg.det(theta[:, :, :2]))).min() * 2 / size
    )  # in halves of the layer
    while step * np.sqrt(layer.shape[1] * layer.shape[2]) / 2 > 1.7 and min(layer.shape[1:]) > 8:
        layer = F.avg_pool2d(layer, 2)
    return layer


def _visible(behind: Tensor, pasted: Sequence[tuple[Box, Tensor]]) -> Tensor:
    """Return masks ``(M + K, T, S, S)`` less what lies before them; ``pasted`` from back to front."""
    covered = torch.zeros(behind.shape[1:], dtype=torch.bool)
    masks = torch.zeros(len(pasted), *covered.shape, dtype=torch.bool)
    for number in range(len(pasted) - 1, -1, -1):
        (x0, y0, x1, y1), opaque = pasted[number]
        hidden = covered[:, y0:y1, x0:x1]
        masks[number, :, y0:y1, x0:x1] = opaque & ~hidden
        hidden |= opaque
    return torch.cat([behind & ~covered, masks])


def _exposed(frames: Tensor, masks: Tensor, exposures: int) -> tuple[Tensor, Tensor]:
    """Average each frame's moments; a mask is where an object is most of the time."""
    if exposures == 1:
        return frames, masks
    frames = frames.unflatten(0, (-1, exposures)).mean(1)
    return frames, masks.unflatten(1, (-1, exposures)).float().mean(2) > 0.5


def _light(rng: np.random.Generator, frames: Tensor, num_frames: int) -> Tensor:
    """Light that is stronger or weaker, has a colour, comes from a side, and changes a little."""
    times = np.arange(num_frames, dtype=np.float64)
    change = 0.0 if rng.random() < 0.4 else 0.012
    gain = rng.normal(0, 0.12) + drift(rng, times, change)[:, None] + rng.normal(0, 0.03, 3)
    slope = rng.normal(0, 0.1, 2) + np.stack([drift(rng, times, change) for _ in range(2)], 1)
    return shine(frames, np.exp(gain), np.clip(slope, -0.5, 0.5))
