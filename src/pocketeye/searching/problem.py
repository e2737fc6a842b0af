"""Say what a supernet is to learn; the usual case, the class of an image, is here too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from torch.nn import functional as F

from pocketeye.data import ImageSet
from pocketeye.data.files.splits import stratified_split
from pocketeye.data.loaders.images import make_loader
from pocketeye.data.transforms.transforms import TransformRecipe, build_transform
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.pixel_head import PixelHead
from pocketeye.models.space import SearchSpace
from pocketeye.predicting.info import ModelInfo
from pocketeye.searching.batches import Batch, Loader, Loss
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.metric import AGREEMENT, Metric, Top1

# Below this side, images are cut from a padded frame as CIFAR's are; larger ones by random resized
# crops.
_SMALL_INPUT = 96
# Every network is recalibrated: 2048 images bound the time. Without gradients batches of 128 fit.
_RECALIBRATION_IMAGES, _EVAL_BATCH = 2048, 128
# Half a gigabyte: more might push out what training itself needs.
_KEEP_BYTES = 512 << 20


class Problem(Protocol):
    """Describe images with what they teach.

    Attributes:
        loss: of logits and labels, in nats, the mean of a batch.
        metric: what networks are ranked by.
        chance: what guessing, or saying the commonest class every time, gives of the metric; None where
            there is no such level.
    """

    @property
    def loss(self) -> Loss: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def chance(self) -> float | None: ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is wrong with the images, as far as it turned out yet."""

    def check(self, space: SearchSpace) -> None:
        """Raise InvalidValue where networks of ``space`` cannot learn this."""

    def pixel_head(self, space: SearchSpace) -> PixelHead | None:
        """Return what takes the place of the head of the space, if anything does."""

    def loaders(self, space: SearchSpace, config: SearchConfig) -> tuple[Loader, Loader]:
        """Return batches for weights and for theta, of different images."""

    def judging(
        self, space: SearchSpace, config: SearchConfig, seed: int
    ) -> tuple[Iterable[Batch], Iterable[Batch]]:
        """Return batches (images, labels) as networks are judged: for statistics of BN, from the images
        that trained weights, and for the ranking, all of those that trained theta."""


@dataclass(frozen=True)
class Classification:
    """Learn the class of an image; theta learns from ``config.theta_fraction`` of every class.

    Attributes:
        expects: what networks expect of their inputs; None: the usual.
        answered: the labels are a teacher's answers, and images are divided without regard to them.
    """

    images: ImageSet
    expects: ModelInfo | None = None
    answered: bool = False

    @property
    def loss(self) -> Loss:
        return F.cross_entropy

    @property
    def metric(self) -> Top1:
        return AGREEMENT if self.answered else Top1()

    @property
    def chance(self) -> float:
        counts = self.images.class_counts()
        return float(counts.max() / counts.sum())

    @property
    def problems(self) -> tuple[str, ...]:
        return self.images.problems

    def check(self, space: SearchSpace) -> None:
        # The head's width and the stem's input are fixed in the space, and their latency was
        # measured.
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
        crop = "none" if not config.augment else "pad" if side(space) < _SMALL_INPUT else "rrc"
        flip = 0.5 if config.augment and self.images.mirrored_alike else 0.0
        info = self._info(space)
        recipe = TransformRecipe(
            crop=crop,  # type: ignore[arg-type]
            flip=flip,
            interpolation=info.interpolation,
            crop_pct=info.crop_pct,
        )
        transform = build_transform(True, side(space), space.in_chans, info.mean, info.std, recipe)
        # The same division in every call: the seed makes it, so that judging sees what theta saw.
        halves = self.split(config.theta_fraction, config.seed)
        weights, theta = (
            make_loader(
                images, transform, batch_of(batch, len(images), config),
                # Two seeds for one: both halves must not draw the same numbers.
                shuffle=True, seed=2 * config.seed + half, drop_last=True, workers=config.workers,
            )
            for half, (images, batch) in enumerate(
                zip(halves, (config.batch_size, config.theta_batch), strict=True)
            )
        )  # fmt: skip
        return weights, theta

    def judging(
        self, space: SearchSpace, config: SearchConfig, seed: int
    ) -> tuple[Iterable[Batch], Iterable[Batch]]:
        # Weights were trained on the first part alone: the second ranks networks without having
        # been learnt.
        weights, held_out = self.split(config.theta_fraction, config.seed)
        return (
            _plain(weights, self._info(space), config, seed, _RECALIBRATION_IMAGES),
            _plain(held_out, self._info(space), config, seed, None),
        )

    def split(self, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
        """Divide the images into those that train weights and those that are kept back."""
        if not self.answered:
            return self.images.split(fraction, seed)
        # Answers may be of a thousand classes, most of them with one image: they divide nothing.
        rest, part = stratified_split(np.zeros(len(self.images), np.int64), fraction, seed)
        return self.images.subset(rest), self.images.subset(part)

    def _info(self, space: SearchSpace) -> ModelInfo:
        usual = ModelInfo.default("candidate", self.images.classes, space.in_chans, side(space))
        return usual if self.expects is None else replace(self.expects, input_size=side(space))


def side(space: SearchSpace) -> int:
    """Return the side of the square images of classifiers, in pixels.

    Raises:
        InvalidValue: the space is for other images.
    """
    # All networks of a space have one input size; any of them tells it.
    return space.architecture([p.candidates[0] for p in space.positions], space.name).side


def batch_of(wanted: int, count: int, config: SearchConfig) -> int:
    """Return how many images a batch of one process has, where there are ``count`` in all."""
    # An image at least, even where there are fewer than processes.
    return min(wanted, max(count // config.num_processes, 1))


def kept(loader: Any, num_bytes: int) -> Iterable[Batch]:
    """Decode the batches once where they are small: every network is judged on them."""
    return loader if num_bytes > _KEEP_BYTES else list(loader)


def _plain(
    images: ImageSet, info: ModelInfo, config: SearchConfig, seed: int, limit: int | None
) -> Iterable[Batch]:
    """Return batches in evaluation form, mixed over the classes."""
    # Shuffled once: sets are often sorted by class, and a limit would leave classes out.
    order = np.random.default_rng(seed).permutation(len(images))[:limit]
    loader = make_loader(
        images.subset(order), info.transform(), min(_EVAL_BATCH, len(order)),
        shuffle=False, seed=seed, drop_last=False, workers=config.workers,
    )  # fmt: skip
    # fp32: four bytes a value
    return kept(loader, 4 * images.in_chans * info.input_size**2 * len(order))
