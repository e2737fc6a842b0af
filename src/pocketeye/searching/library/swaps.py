"""Measure what it costs to put one candidate in the place of one block of the teacher."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pocketeye.searching.batches import Batch, Loss, placed
from pocketeye.searching.deriving.ranking import recalibrate_bn
from pocketeye.searching.library.task import (
    block_of,
    channel_scale,
    learners,
    normalized_error,
    taught,
    teacher_maps,
)
from pocketeye.searching.supernet.supernet import SuperNet

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Swaps:
    """Hold what is known of every single swap, (layers, ops), NaN where illegal.

    Attributes:
        error: normalised error of the block's output, 0 for the teacher's own.
        kl: divergence of the network's answers from the teacher's, nats an image.
        agreement: share of the images on which both say the same class.
        loss: cross entropy against the labels, less the teacher's own, nats an image.
    """

    error: Array
    kl: Array
    agreement: Array
    loss: Array

    def score(self, name: str) -> Array:
        """Return ``kl``, ``error`` or ``loss``."""
        return cast(Array, getattr(self, name))


def recalibrate(
    supernet: SuperNet, teacher: Sequence[int], batches: Iterable[Batch], device: torch.device
) -> None:
    """Replace the BN statistics of all candidates by those of the teacher's maps of ``batches``."""

    def run(images: Tensor) -> None:
        for layer, x, _ in teacher_maps(supernet, teacher, images):
            for module in learners(supernet, layer, teacher[layer]).values():
                module(x)

    # Those of the teacher are its own, and stay.
    pupils = nn.ModuleList(module for _, _, module in taught(supernet, teacher))
    supernet.eval()
    recalibrate_bn(pupils, batches, device, run)


@torch.no_grad()
def measure_swaps(
    supernet: SuperNet,
    teacher: Sequence[int],
    batches: Iterable[Batch],
    device: torch.device,
    loss: Loss = F.cross_entropy,
) -> Swaps:
    """Swap every candidate in, one at a time, on images that nothing was taught on.

    Args:
        batches: (images, labels) in a fixed order.
        loss: of logits and labels, the mean of a batch.
    """
    supernet.eval()
    mask = supernet.mask.cpu().numpy()
    sums = {name: np.where(mask, 0.0, np.nan) for name in ("error", "kl", "agreement", "loss")}
    images_seen = 0
    for images, labels, *_ in batches:
        images, labels = placed(images, device), labels.to(device)
        maps = list(teacher_maps(supernet, teacher, images))
        reference = supernet.head(maps[-1][2]).float()
        base = float(loss(reference, labels))
        for layer, x, y in maps:
            scale = channel_scale(y)
            for column in np.flatnonzero(mask[layer]):
                # Exactly nothing changes: rounding must not make the teacher worse than itself.
                if column == teacher[layer]:
                    sums["agreement"][layer, column] += len(images)
                    continue
                output = block_of(supernet, layer, int(column))(x)
                logits = _rest(supernet, teacher, layer + 1, output)
                values = {
                    "error": float(normalized_error(output, y, scale)),
                    "kl": float(divergence(logits, reference)),
                    "agreement": float((logits.argmax(1) == reference.argmax(1)).float().mean()),
                    "loss": float(loss(logits, labels)) - base,
                }
                for name, value in values.items():
                    sums[name][layer, column] += value * len(images)
        images_seen += len(images)
    return Swaps(**{name: value / images_seen for name, value in sums.items()})


def divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """Return KL(reference || logits) in nats, the mean over a batch (N, K)."""
    return F.kl_div(
        logits.float().log_softmax(1), reference.float().log_softmax(1),
        reduction="batchmean", log_target=True,
    )  # fmt: skip


def _rest(supernet: SuperNet, teacher: Sequence[int], first: int, x: Tensor) -> Tensor:
    """Run the teacher from layer ``first`` to the logits."""
    for layer in range(first, len(teacher)):
        x = block_of(supernet, layer, teacher[layer])(x)
    return cast(Tensor, supernet.head(x)).float()
