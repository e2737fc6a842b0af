"""Theta: the distribution over networks, its relaxation and the latency it expects.

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
    """Logits of independent categorical distributions, one a layer.

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
        self.theta = nn.Parameter(torch.zeros(mask.shape, dtype=torch.float32))
        self.register_buffer("mask", mask.clone(), persistent=False)
        # nan times a zero weight would be nan
        cost = latency_ms.to(torch.float32).masked_fill(~mask, 0.0)
        self.register_buffer("latency_ms", cost, persistent=False)
        self.fixed_ms = fixed_ms

    def logits(self) -> Tensor:
        """(L, C), -inf where illegal."""
        return self.theta.masked_fill(~self.mask, -math.inf)

    def probabilities(self) -> Tensor:
        """``softmax(theta)`` (L, C): what networks are sampled from (equation 3)."""
        return self.logits().softmax(-1)

    def mixture(self, noise: Tensor, temperature: float) -> Tensor:
        """Gumbel-softmax weights m (equation 6), of the shape of ``noise``: (L, C) or (B, L, C)."""
        return ((self.logits() + noise) / temperature).softmax(-1)

    def draw(self, noise: Tensor) -> list[int]:
        """Columns of one network drawn from ``probabilities()``: the argmax under ``noise`` (L, C)."""
        return [int(column) for column in (self.logits() + noise).argmax(-1).tolist()]

    def draw_uniform(self, noise: Tensor) -> list[int]:
        """Columns of one network drawn uniformly over the legal candidates."""
        return [int(c) for c in noise.masked_fill(~self.mask, -math.inf).argmax(-1).tolist()]

    def argmax(self) -> list[int]:
        """Columns of the most probable network."""
        return [int(column) for column in self.logits().argmax(-1).tolist()]

    def latency(self, weights: Tensor) -> Tensor:
        """Milliseconds of mixture weights (L, C) or, as their mean, (B, L, C) (equation 7)."""
        return (weights * self.latency_ms).sum((-2, -1)).mean() + self.fixed_ms

    def latency_of(self, choices: list[int]) -> float:
        """Milliseconds of one network."""
        rows = torch.arange(len(choices))
        return float(self.latency_ms.cpu()[rows, choices].double().sum()) + self.fixed_ms

    def entropy(self) -> tuple[float, float]:
        """Mean over the layers that have a choice: nats, and as a fraction of the largest possible."""
        probability = self.probabilities().detach().double().cpu()
        nats = torch.special.entr(probability).sum(-1)
        largest = self.mask.cpu().sum(-1).double().log()
        open_ = largest > 0
        if not bool(open_.any()):
            return 0.0, 0.0
        return float(nats[open_].mean()), float((nats[open_] / largest[open_]).mean())


def generator(*parts: int) -> torch.Generator:
    """A CPU generator seeded by whole numbers >= 0; near numbers give unrelated streams."""
    state = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return torch.Generator().manual_seed((int(state[0]) << 31) ^ int(state[1]))


def gumbel(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """Standard Gumbel noise, fp32, on the CPU."""
    # float64 inside: the smallest uniform fp32 numbers would clip the upper tail
    exponential = torch.empty(shape, dtype=torch.float64).exponential_(generator=source)
    return -exponential.log().float()
