"""Turn images into normalised tensors: one by one from PIL, or a batch of equal images at once.

The batch way costs about 40 µs an image at 64 px on one core, the other about 300 µs; both draw from
torch's global generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode, v2

from pocketeye.data.transforms.auto_augment import AutoAugment, require_policy
from pocketeye.errors import InvalidValue, require_one_of, require_pair, require_range

Crop = Literal["rrc", "pad", "none"]
CropMode = Literal["center", "warp"]
Interpolation = Literal["bilinear", "bicubic"]
_LONGEST = 16  # sides longer than this many short ones are cut before they are resized


@dataclass(frozen=True, kw_only=True)
class TransformRecipe:
    """Augmentation of training images, and how validation images are cropped.

    Attributes:
        crop: ``rrc`` a random part resized, ``pad`` a random shift, ``none`` the evaluation's crop.
        rrc_scale: smallest and largest share of the area that ``rrc`` takes.
        rrc_ratio: smallest and largest width over height of what ``rrc`` takes.
        pad: pixels of black border for ``pad``, at the input size.
        flip: probability of mirroring.
        auto_augment: timm's policy string (``rand-m9-mstd0.5-inc1``, ``original``, ``augmix-m3`` …).
        random_erasing: probability of erasing a rectangle.
        interpolation: of every resize, always antialiased.
        crop_pct: share of the shorter side that evaluation keeps.
        crop_mode: of evaluation, ``center`` or ``warp``: the whole image made square, without crop.
    """

    crop: Crop = "rrc"
    rrc_scale: tuple[float, float] = (0.35, 1.0)
    rrc_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    pad: int = 4
    flip: float = 0.5
    auto_augment: str | None = None
    random_erasing: float = 0.0
    interpolation: Interpolation = "bilinear"
    crop_pct: float = 1.0
    crop_mode: CropMode = "center"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("crop", get_args(Crop)), ("interpolation", get_args(Interpolation)),
            ("crop_mode", get_args(CropMode)),
        ):  # fmt: skip
            require_one_of(name, getattr(self, name), allowed)
        for name, low, high in (
            ("flip", 0, 1), ("random_erasing", 0, 1), ("crop_pct", 0.05, 1), ("pad", 0, 1024),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        require_pair("rrc_scale", self.rrc_scale, 1e-3, 1)
        require_pair("rrc_ratio", self.rrc_ratio, 0.05, 20)
        if self.auto_augment is not None:
            require_policy(self.auto_augment)


def default_stats(in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of values 0 to 1: ImageNet's, or 0.5 and 0.5 for grey."""
    if in_chans == 3:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return (0.5,) * in_chans, (0.5,) * in_chans


@dataclass(frozen=True, kw_only=True)
class ImageTransform:
    """Callable on a PIL image, giving float32 ``(C, S, S)``; ``batch`` does many at once.

    ``batch`` maps uint8 ``(N, C, H, W)`` to float32 ``(N, C, S, S)``, every image with its own
    random draw; None where an operation exists for single images only.
    """

    single: Callable[[Image.Image], Tensor]
    batch: Callable[[Tensor], Tensor] | None
    input_size: int

    def __call__(self, image: Image.Image) -> Tensor:
        return self.single(image)


def build_transform(
    train: bool,
    input_size: int,
    in_chans: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    recipe: TransformRecipe,
) -> ImageTransform:
    """Build the transform of one split; it follows from the state of torch's generator.

    Raises:
        InvalidValue: an input size below 4, or statistics that do not match the channels.
    """
    require_range("input_size", input_size, 4, 4096)
    defaults = default_stats(in_chans)
    normalise = Normalise(mean or defaults[0], std or defaults[1], in_chans)
    evaluation = EvalCrop(input_size, recipe.crop_pct, recipe.interpolation, recipe.crop_mode)
    if not train:
        batch = Chain([evaluation, normalise])
        return ImageTransform(single=OneByBatch(batch), batch=batch, input_size=input_size)
    if recipe.auto_augment:  # timm's operations are on PIL images, one by one
        mean = mean or defaults[0]
        steps = [*_single_steps(input_size, mean, recipe), normalise, *_erase_one(recipe)]
        return ImageTransform(single=v2.Compose(steps), batch=None, input_size=input_size)
    crops: dict[Crop, list[Callable[[Tensor], Tensor]]] = {
        "rrc": [
            ResizedCropBatch(input_size, recipe.rrc_scale, recipe.interpolation, recipe.rrc_ratio)
        ],
        "pad": [evaluation, ShiftBatch(recipe.pad)],
        "none": [evaluation],
    }
    mirror, erase = MirrorBatch(recipe.flip), EraseBatch(recipe.random_erasing)
    batch = Chain([*crops[recipe.crop], mirror, normalise, erase])
    return ImageTransform(single=OneByBatch(batch), batch=batch, input_size=input_size)


def _single_steps(
    input_size: int, mean: Sequence[float], recipe: TransformRecipe
) -> list[Callable[..., object]]:
    """Return the steps over PIL images, on which timm's operations work."""
    mode = InterpolationMode(recipe.interpolation)
    resize = v2.Resize(round(input_size / recipe.crop_pct), mode)
    whole: list[Callable[..., object]] = [middle, resize, v2.CenterCrop(input_size)]
    if recipe.crop_mode == "warp":
        whole = [v2.Resize([input_size, input_size], mode)]
    crops: dict[Crop, list[Callable[..., object]]] = {
        "rrc": [v2.RandomResizedCrop(input_size, recipe.rrc_scale, recipe.rrc_ratio, mode)],
        "pad": [*whole, v2.RandomCrop(input_size, recipe.pad)],
        "none": whole,
    }
    assert recipe.auto_augment is not None
    return [
        *crops[recipe.crop],
        v2.RandomHorizontalFlip(recipe.flip),
        AutoAugment(recipe.auto_augment, input_size, mean),
        v2.PILToTensor(),
    ]


def _erase_one(recipe: TransformRecipe) -> list[Callable[..., object]]:
    return [v2.RandomErasing(recipe.random_erasing)] if recipe.random_erasing else []


class Chain:
    """Call functions one after the other."""

    def __init__(self, steps: Sequence[Callable[[Tensor], Tensor]]) -> None:
        self.steps = steps

    def __call__(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


class OneByBatch:
    """Apply a batch transform to one PIL image."""

    def __init__(self, batch: Callable[[Tensor], Tensor]) -> None:
        self.batch = batch

    def __call__(self, image: Image.Image) -> Tensor:
        return self.batch(pil_to_tensor(image)[None])[0]


def pil_to_tensor(image: Image.Image) -> Tensor:
    """Return uint8 ``(C, H, W)``, a copy."""
    pixels = np.array(image)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())


class Normalise:
    """Turn uint8 0 to 255, or float 0 to 1, into ``(x - mean) / std`` in float32."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], in_chans: int) -> None:
        if len(mean) != in_chans or len(std) != in_chans or min(std) <= 0:
            raise InvalidValue(
                f"mean and std must be {in_chans} numbers each (std above 0), got {mean} and {std}"
            )
        scale = torch.tensor([1.0 / s for s in std]).view(-1, 1, 1)
        self.scale, self.shift = scale, -torch.tensor(list(mean)).view(-1, 1, 1) * scale

    def __call__(self, x: Tensor) -> Tensor:
        # In place, without another copy of the batch for each step.
        scale = self.scale / 255.0 if x.dtype == torch.uint8 else self.scale
        return x.to(torch.float32).mul_(scale).add_(self.shift)


def middle(image: Any) -> Any:
    """Return the middle of an image (PIL or tensor) that is far longer than wide.

    Of 30000x1 pixels, resized until the short side is 224, only the middle 224 of 6.7 million columns
    would be kept.
    """
    height, width = v2.functional.get_size(image)
    most = _LONGEST * min(height, width)
    if max(height, width) <= most:
        return image
    return v2.functional.center_crop(image, [min(height, most), min(width, most)])


class EvalCrop:
    """Shorter side to ``size / crop_pct``, then the middle ``size`` x ``size``; ``warp``: all of it."""

    def __init__(
        self,
        size: int,
        crop_pct: float,
        interpolation: Interpolation,
        crop_mode: CropMode = "center",
    ) -> None:
        self.size, self.mode = size, InterpolationMode(interpolation)
        self.resized, self.warp = round(size / crop_pct), crop_mode == "warp"

    def __call__(self, x: Tensor) -> Tensor:
        target = [self.size, self.size] if self.warp else [self.resized]
        if not self.warp:
            x = middle(x)
        # Images that have the size already keep their pixels as they are.
        if (list(x.shape[-2:]) if self.warp else [min(x.shape[-2:])]) != target:
            x = v2.functional.resize(x, target, self.mode, antialias=True)
        return x if self.warp else v2.functional.center_crop(x, [self.size])


class ResizedCropBatch:
    """Random part of ``scale`` of the area and aspect ``ratio``, resized (Inception's crop)."""

    def __init__(
        self,
        size: int,
        scale: tuple[float, float],
        interpolation: Interpolation,
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size, self.scale, self.mode, self.ratio = size, scale, interpolation, ratio

    def __call__(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        out = x.new_empty((n, c, self.size, self.size))
        tops, lefts, hs, ws = self._boxes(n, height, width)
        for i in range(n):
            part = x[i : i + 1, :, tops[i] : tops[i] + hs[i], lefts[i] : lefts[i] + ws[i]]
            out[i] = F.interpolate(
                part, size=(self.size, self.size), mode=self.mode, antialias=True,
                align_corners=False,
            )[0]  # fmt: skip
        return out

    def _boxes(self, n: int, height: int, width: int) -> tuple[list[int], ...]:
        area = height * width * torch.empty(n).uniform_(*self.scale)
        # Uniform in the logarithm, so that wide and tall parts are equally likely.
        ratio = torch.empty(n).uniform_(*map(math.log, self.ratio)).exp()
        # a part that would stick out is cut to the image instead of drawn again
        w = (area * ratio).sqrt().round().clamp(1, width)
        h = (area / ratio).sqrt().round().clamp(1, height)
        top = (torch.rand(n) * (height - h + 1)).floor()
        left = (torch.rand(n) * (width - w + 1)).floor()
        top_list, left_list, h_list, w_list = (t.int().tolist() for t in (top, left, h, w))
        return top_list, left_list, h_list, w_list


class ShiftBatch:
    """Shift by up to ``pad`` pixels over a black border."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        wide = F.pad(x, [self.pad] * 4)
        tops = torch.randint(2 * self.pad + 1, (n,)).tolist()
        lefts = torch.randint(2 * self.pad + 1, (n,)).tolist()
        out = x.new_empty(x.shape)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            out[i] = wide[i, :, top : top + height, left : left + width]
        return out


class MirrorBatch:
    """Mirror left to right with probability ``p``."""

    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        if self.p == 0:
            return x
        mirrored = torch.rand(len(x)) < self.p
        return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


class EraseBatch:
    """Set a rectangle of 2 % to 33 % of the area to zero (the mean) with probability ``p``."""

    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        if self.p == 0:
            return x
        n, _, height, width = x.shape
        # Zhong et al. 2017 (Random Erasing): area 0.02 to 0.33 (torchvision's), aspect 0.3 to 3.3.
        area = height * width * torch.empty(n).uniform_(0.02, 0.33)
        ratio = torch.empty(n).uniform_(math.log(0.3), math.log(3.3)).exp()
        h = (area * ratio).sqrt().clamp(1, height)
        w = (area / ratio).sqrt().clamp(1, width)
        top, left = torch.rand(n) * (height - h), torch.rand(n) * (width - w)
        y, x_pos = torch.arange(height), torch.arange(width)
        rows = (y >= top[:, None]) & (y < (top + h)[:, None])
        cols = (x_pos >= left[:, None]) & (x_pos < (left + w)[:, None])
        chosen = (torch.rand(n) < self.p)[:, None, None]
        erased = rows[:, :, None] & cols[:, None, :] & chosen
        return x.masked_fill(erased[:, None], 0.0)
