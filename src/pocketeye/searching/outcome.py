"""What a search cost, and what the training of its networks gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a step took: wall seconds, and CPU seconds over all cores of this process."""

    name: str
    seconds: float
    cpu_seconds: float
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """The chosen network trained from scratch, on the validation images.

    ``value`` is a fraction, and so is ``chance``: what saying the commonest class every time gives; None
    where the metric has no such level.
    """

    value: float
    num_images: int
    epochs: int
    metric: str = "top-1"
    chance: float | None = None
