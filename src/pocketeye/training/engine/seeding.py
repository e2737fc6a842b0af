"""Seed everything random by whole numbers, so that no random state need be stored."""

from __future__ import annotations

import random

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


def mix_seed(*parts: int) -> int:
    """Mix several whole numbers into one 63-bit seed; near inputs give unrelated seeds."""
    # Negative numbers have no words for SeedSequence: they are taken modulo 2^64.
    state = np.random.SeedSequence([p % (1 << 64) for p in parts]).generate_state(2, np.uint32)
    # 63 bits: torch's seeds are signed.
    return (int(state[0]) << 31) ^ int(state[1])


def seed_all(*parts: int) -> None:
    """Seed ``random``, numpy and torch (all devices) from whole numbers."""
    seed = mix_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % (1 << 32))  # noqa: NPY002 - timm's Mixup draws from the global one
    torch.manual_seed(seed)


class Reseed(Callback):
    """Seed every epoch by (seed, epoch, rank), so that no random state need be stored."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seed_all(self.seed, trainer.current_epoch, trainer.global_rank)
