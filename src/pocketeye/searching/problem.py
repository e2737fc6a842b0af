"""What a supernet is to learn: the class of an image, or of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from pocketeye.data import ImageSet
from pocketeye.data.semantic import SemanticSet
from pocketeye.errors import InvalidValue
from pocketeye.models.dense_described import DenseDescription
from pocketeye.models.space import SearchSpace
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.dense import PixelHead, map_layers
from pocketeye.searching.phases import Loader
from pocketeye.searching.task import Loss
from pocketeye.training.data import QuietLoader, make_loader
from pocketeye.training.dense_config import DenseConfig
from pocketeye.training.dense_data import SemanticDraws
from pocketeye.training.dense_predictor import normalised
from pocketeye.training.dense_task import pixel_loss
from pocketeye.training.sampling import EpochSampler, Key
from pocketeye.training.transforms import TransformRecipe, build_transform

_SMALL_INPUT = 96


class Problem(Protocol):
    """Pictures with what they teach.

    Attributes:
        loss: of logits and labels, in nats.
    """

    @property
    def loss(self) -> Loss: ...

    def check(self, space: SearchSpace) -> None:
        """Raise InvalidValue where networks of ``space`` cannot learn this."""

    def pixel_head(self, space: SearchSpace) -> PixelHead | None:
        """What takes the place of the head of the space, if anything does."""

    def loaders(self, space: SearchSpace, config: SearchConfig) -> tuple[Loader, Loader]:
        """Batches for weights and for theta, of different pictures."""


@dataclass(frozen=True)
class Classification:
    """The class of an image; theta learns from ``config.theta_fraction`` of every class."""

    images: ImageSet

    @property
    def loss(self) -> Loss:
        return F.cross_entropy

    def check(self, space: SearchSpace) -> None:
        train = self.images
        if (len(train.classes), train.in_chans) != (space.num_classes, space.in_chans):
            raise InvalidValue(
                f"{train.source} has {len(train.classes)} classes and {train.in_chans} channels, but "
                f"the space {space.name!r} is for {space.num_classes} classes and {space.in_chans} "
                "channels"
            )

    def pixel_head(self, space: SearchSpace) -> None:
        return None

    def loaders(self, space: SearchSpace, config: SearchConfig) -> tuple[Loader, Loader]:
        crop = "none" if not config.augment else "pad" if space.input_size < _SMALL_INPUT else "rrc"
        flip = 0.5 if config.augment and self.images.mirrored_alike else 0.0
        recipe = TransformRecipe(crop=crop, flip=flip)  # type: ignore[arg-type]
        transform = build_transform(True, space.input_size, space.in_chans, None, None, recipe)
        halves = self.images.split(config.theta_fraction, config.seed)
        weights, theta = (
            make_loader(
                images, transform, _batch(batch, len(images), config),
                shuffle=True, seed=2 * config.seed + half, drop_last=True, workers=config.workers,
            )
            for half, (images, batch) in enumerate(
                zip(halves, (config.batch_size, config.theta_batch), strict=True)
            )
        )  # fmt: skip
        return weights, theta


@dataclass(frozen=True)
class Segmentation:
    """The class of every pixel of crops as large as the space's input.

    Attributes:
        images: theta learns from ``config.theta_fraction`` of them, drawn by the seed.
        recipe: of Semantic FPN; of it the augmentation and the widths of pyramid and head.
        described: how the network sees: mean and standard deviation of the pixels.
    """

    images: SemanticSet
    recipe: DenseConfig
    described: DenseDescription

    @property
    def loss(self) -> Loss:
        return pixel_loss

    def check(self, space: SearchSpace) -> None:
        map_layers(space)
        if space.in_chans != 3:
            raise InvalidValue(
                f"a segmenter sees 3 channels, but the space {space.name!r} is for {space.in_chans}"
            )

    def pixel_head(self, space: SearchSpace) -> PixelHead:
        recipe = self.recipe
        return PixelHead(
            space, len(self.images.classes), recipe.fpn_channels, recipe.head_channels,
            recipe.drop_rate,
        )  # fmt: skip

    def split(self, fraction: float, seed: int) -> tuple[SemanticSet, SemanticSet]:
        """(The rest, ``fraction`` of the pictures, at least one), drawn by ``seed``."""
        order = np.random.default_rng(seed).permutation(len(self.images))
        count = max(round(fraction * len(order)), 1)
        rest, part = (_subset(self.images, np.sort(o)) for o in (order[count:], order[:count]))
        return rest, part

    def loaders(self, space: SearchSpace, config: SearchConfig) -> tuple[Loader, Loader]:
        recipe = replace(self.recipe, crop=space.input_size)
        if not config.augment:
            recipe = replace(recipe, flip=0.0, scale=(1.0, 1.0))
        halves = self.split(config.theta_fraction, config.seed)
        weights, theta = (
            QuietLoader(
                _Crops(images, recipe, self.described),
                batch_size=_batch(batch, len(images), config),
                sampler=EpochSampler(len(images), shuffle=True, seed=2 * config.seed + half),
                drop_last=True,
                num_workers=config.workers,
            )
            for half, (images, batch) in enumerate(
                zip(halves, (config.batch_size, config.theta_batch), strict=True)
            )
        )
        return weights, theta


class _Crops(Dataset[tuple[Tensor, Tensor]]):
    """Normalised crops (3, S, S) and their labels uint8 (S, S), by the keys of a sampler."""

    def __init__(
        self, images: SemanticSet, recipe: DenseConfig, described: DenseDescription
    ) -> None:
        self.draws, self.described = SemanticDraws(images, recipe), described

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        item = self.draws.draw(key.sample, np.random.default_rng(key.seed))
        return normalised(item.image, self.described), item.labels


def _batch(wanted: int, count: int, config: SearchConfig) -> int:
    return min(wanted, max(count // config.num_processes, 1))


def _subset(images: SemanticSet, numbers: Any) -> SemanticSet:
    pairs = tuple(images.found.pairs[int(number)] for number in numbers)
    return replace(images, found=replace(images.found, pairs=pairs), late={}, strange={})
