"""What a search cost, and what the training of its networks gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a step took: wall seconds, and CPU seconds over all cores of this process."""

    name: str
    seconds: float
    cpu_seconds: float
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """The chosen network trained from scratch, on the validation images (``value`` a fraction).

    ``chance`` and ``doubts`` are those of :class:`pocketeye.training.engine.fit.FitResult`.
    """

    value: float
    num_images: int
    epochs: int
    metric: str = "top-1"
    chance: str = ""
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Mapping[str, Any], num_images: int) -> Trained:
        """Return what ``result.json`` of a training says; ``value`` is nan where nothing was judged."""
        value = result["value"]
        return cls(
            value=math.nan if value is None else value, num_images=num_images,
            epochs=result["epochs"], metric=result["metric"], chance=result.get("chance", ""),
            doubts=tuple(result.get("doubts", ())),
        )  # fmt: skip
