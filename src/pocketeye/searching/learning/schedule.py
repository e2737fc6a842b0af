"""Compute what changes from epoch to epoch, as pure functions: nothing here has a state to resume."""

from __future__ import annotations

import math

from pocketeye.searching.config import SearchConfig

PAPER_THETA_EPOCHS = 80  # 90 epochs less 10 of warm-up


def temperature(config: SearchConfig, epoch: int) -> float:
    """Return the temperature of the Gumbel softmax in ``epoch`` (from 0).

    Constant in warm-up, then geometric: by ``temperature_decay`` an epoch in mode ``paper`` (5.0 to
    0.143 in the last of 90 epochs), and to that same value in the last epoch of the other modes.
    """
    steps = max(epoch - config.warmup_epochs, 0)
    if config.mode != "paper":
        # However few epochs there are, the last is as cold as the paper's: a network is read off it.
        last = max(config.epochs - config.warmup_epochs - 1, 1)
        steps_per_epoch = (PAPER_THETA_EPOCHS - 1) / last
        return config.temperature * config.temperature_decay ** (steps * steps_per_epoch)
    return config.temperature * config.temperature_decay**steps


def ramp(config: SearchConfig, epoch: int) -> float:
    """Return the share of the latency pressure in ``epoch``: 0 in warm-up, then linear to 1.

    At full strength from the start, theta would learn from untrained weights that cheap is good.
    """
    if config.ramp_epochs == 0:
        return 1.0
    return min(max(epoch - config.warmup_epochs + 1, 0) / config.ramp_epochs, 1.0)


def cosine(lr: float, done: float) -> float:
    """Return the learning rate after the share ``done`` (0 to 1) of all steps."""
    return 0.5 * lr * (1.0 + math.cos(math.pi * min(done, 1.0)))
