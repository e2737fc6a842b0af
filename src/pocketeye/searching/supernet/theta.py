"""Hold theta: the distribution over networks, its relaxation and the latency it expects.

One (L, C) tensor holds all logits; illegal columns count as -inf, so one softmax and one sum over
the latency matrix serve the whole network (FBNet, equations 3 to 7). All of it is fp32, also inside
an autocast region, and random draws depend on given whole numbers only: never on torch's global
state, so every process and every resumed run draws the same.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn


class Theta(nn.Module):
    """Hold logits of independent categorical distributions, one a layer.

    Args:
        mask: bool (L, C), True where a candidate is legal.
        latency_ms: (L, C) milliseconds; illegal entries are not read and may be nan.
        fixed_ms: milliseconds of stem and head.
    """

    mask: Tensor
    latency_ms: Tensor

    def __init__(self, mask: Tensor, latency_ms: Tensor, fixed_ms: float) -> None:
        super().__init__()
        assert mask.shape == latency_ms.shape
        # Zeros: all networks are equally likely at first. Another constant would be the same softmax.
        self.theta = nn.Parameter(torch.zeros(mask.shape, dtype=torch.float32))
        self.register_buffer("mask", mask.clone(), persistent=False)
        # NaN times a zero weight would be NaN.
        cost = latency_ms.to(torch.float32).masked_fill(~mask, 0.0)
        self.register_buffer("latency_ms", cost, persistent=False)
        self.fixed_ms = fixed_ms

    def logits(self) -> Tensor:
        """Return the logits (L, C), -inf where illegal."""
        return self.theta.masked_fill(~self.mask, -math.inf)

    def probabilities(self) -> Tensor:
        """Return ``softmax(theta)`` (L, C): what networks are sampled from (equation 3)."""
        return self.logits().softmax(-1)

    def mixture(self, noise: Tensor, temperature: float) -> Tensor:
        """Return Gumbel-softmax weights m (equation 6), shaped as ``noise``: (L, C) or (B, L, C)."""
        # Cold, it comes near to one candidate; warm, to all of them alike.
        return ((self.logits() + noise) / temperature).softmax(-1)

    def draw(self, noise: Tensor) -> list[int]:
        """Draw columns of one network from ``probabilities()``: the argmax under ``noise`` (L, C)."""
        return [int(column) for column in (self.logits() + noise).argmax(-1).tolist()]

    def draw_uniform(self, noise: Tensor) -> list[int]:
        """Draw columns of one network uniformly over the legal candidates."""
        return [int(c) for c in noise.masked_fill(~self.mask, -math.inf).argmax(-1).tolist()]

    def argmax(self) -> list[int]:
        """Return the columns of the most probable network."""
        return [int(column) for column in self.logits().argmax(-1).tolist()]

    def latency(self, weights: Tensor) -> Tensor:
        """Return milliseconds of weights (L, C) or, as their mean, (B, L, C) (equation 7)."""
        return (weights * self.latency_ms).sum((-2, -1)).mean() + self.fixed_ms

    def latency_of(self, choices: list[int]) -> float:
        """Return the milliseconds of one network."""
        rows = torch.arange(len(choices))
        # In float64, as the latency matrix sums: the same network has the same number everywhere.
        return float(self.latency_ms.cpu()[rows, choices].double().sum()) + self.fixed_ms

    def entropy(self) -> tuple[float, float]:
        """Return the mean over layers that have a choice: in nats, and as a share of the largest."""
        probability = self.probabilities().detach().double().cpu()
        nats = torch.special.entr(probability).sum(-1)
        largest = self.mask.cpu().sum(-1).double().log()
        open_ = largest > 0
        if not bool(open_.any()):
            return 0.0, 0.0
        return float(nats[open_].mean()), float((nats[open_] / largest[open_]).mean())


def generator(*parts: int) -> torch.Generator:
    """Make a CPU generator seeded by whole numbers >= 0; near numbers give unrelated streams."""
    # Mixed into one seed, so that (0, 1) and (1, 0) are as unrelated as any two.
    state = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return torch.Generator().manual_seed((int(state[0]) << 31) ^ int(state[1]))


def gumbel(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """Draw standard Gumbel noise, fp32, on the CPU."""
    # In float64: the smallest uniform fp32 numbers would clip the upper tail.
    exponential = torch.empty(shape, dtype=torch.float64).exponential_(generator=source)
    return -exponential.log().float()
