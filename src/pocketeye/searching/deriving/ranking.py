"""Tell how good a network of the space is with the supernet's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.models.architecture import Architecture
from pocketeye.searching.batches import Batch, Loss, placed
from pocketeye.searching.metric import Counts, Metric, Top1


class SubnetSource(Protocol):
    """Describe what the supernet has to offer here."""

    def subnet(self, architecture: Architecture) -> nn.Module:
        """Make an independent network of that architecture with the supernet's weights."""


class Judge:
    """Score networks on held-out images after BN recalibration; each network only once.

    Args:
        metric: what is counted.
        loss: mean of a batch, of logits and labels, in nats.
        supernet: where the weights come from; left as it is.
        recalibration: batches (images, ...) for BN statistics; iterated once per network.
        held_out: batches (images, labels) in a fixed order.
        device: where networks run.
    """

    def __init__(
        self,
        supernet: SubnetSource,
        recalibration: Iterable[Batch],
        held_out: Iterable[Batch],
        device: torch.device,
        metric: Metric | None = None,
        loss: Loss = F.cross_entropy,
    ) -> None:
        # Top-1 unless the problem has another metric.
        self.metric, self._loss = metric or Top1(), loss
        self._supernet, self._device = supernet, device
        self._recalibration, self._held_out = recalibration, held_out
        self._scores: dict[tuple[str, ...], tuple[Counts, float]] = {}

    def score(self, architecture: Architecture) -> tuple[Counts, float]:
        """Return counts of the metric (images, ...), and the mean loss in nats."""
        # Two architectures of the same layers are one network, whatever they are called.
        key = tuple(map(str, architecture.layers))
        if key not in self._scores:
            # A copy: recalibration must not touch the supernet's own statistics.
            network = self._supernet.subnet(architecture).to(self._device)
            recalibrate_bn(network, self._recalibration, self._device)
            self._scores[key] = self._evaluate(network)
        return self._scores[key]

    def _evaluate(self, network: nn.Module) -> tuple[Counts, float]:
        counts, loss = [], 0.0
        with torch.no_grad():
            for images, labels, *_ in self._held_out:
                labels = labels.to(self._device)
                logits = network(placed(images, self._device)).float()
                counts.append(self.metric.counts(logits, labels))
                # Batches differ in size: each image counts once.
                loss += float(self._loss(logits, labels)) * len(images)
        together = np.concatenate(counts)
        return together, loss / len(together)


def recalibrate_bn(
    network: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    forward: Callable[[Tensor], object] | None = None,
) -> int:
    """Replace the running statistics of every BN layer by the plain mean over ``batches``.

    The supernet's statistics belong to a mixture of paths. A last batch of less than half the size
    of the first is left out, since all batches weigh the same.

    Args:
        forward: runs the layers of ``network`` on images; the network itself by default.

    Returns:
        Number of images used.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average
        layer.train()
    used = first = 0
    with torch.no_grad():
        for images, *_ in batches:
            # A small last batch has noisy statistics, which the plain mean would count in full.
            first = first or len(images)
            if 2 * len(images) >= first:
                (forward or network)(placed(images, device))
                used += len(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return used
