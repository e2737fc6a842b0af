"""Say what a search cost, and what the training of its networks gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.reading import Kind, NonNegative, make, make_mapping, reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Hold what a step took: wall seconds, and CPU seconds over all cores of this process."""

    name: str
    seconds: NonNegative
    cpu_seconds: NonNegative
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored under the name."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "device": self.device}


def read_costs(path: Path) -> dict[str, Cost]:
    """Read ``costs.json``: what the steps took so far, by name.

    Raises:
        MissingFile: nothing there. InvalidValue: damaged; the sentence names step and field.
    """
    rows = _COSTS.read(path)
    with reading(path, _COSTS.what, _COSTS.remedy):
        named = {name: {"name": name, **make_mapping(row)} for name, row in rows.items()}
        return {name: make(Cost, row, name) for name, row in named.items()}


_COSTS = Kind(what="what a search took", remedy="delete it, and the times so far are not counted")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """Hold how the chosen network does on the validation images, trained from scratch.

    ``value`` is a fraction, and so is ``chance``: what saying the commonest class every time gives; None
    where the metric has no such level. ``doubts`` are those of
    :class:`pocketeye.training.engine.reporting.result.FitResult`.
    """

    value: float
    num_images: int
    epochs: int
    metric: str = "top-1"
    chance: float | None = None
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Mapping[str, Any], num_images: int, chance: float | None = None) -> Trained:
        """Return what ``result.json`` of a training says; ``value`` is nan where nothing was judged."""
        # JSON has no NaN: None stands for it in the file.
        value = result["value"]
        return cls(
            value=math.nan if value is None else value, num_images=num_images,
            epochs=result["epochs"], metric=result["metric"], chance=chance,
            doubts=tuple(result.get("doubts", ())),
        )  # fmt: skip
