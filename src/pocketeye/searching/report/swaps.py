"""Say what a search with a block library considered: what every layer got, and what swaps cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.models.architecture import Architecture
from pocketeye.searching.choosing.choose import best_networks, total
from pocketeye.searching.library.chain import columns
from pocketeye.searching.library.stored import Library

# Budgets of the drawn frontier: as many as a small figure resolves.
_BUDGETS = 16
# Of the alternatives of a layer that the table names.
_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class LibraryView:
    """Hold what the report shows of a library.

    Attributes:
        score: what is added up: ``kl`` (nats), ``error`` or ``loss``.
        scores: of every swap (layers, ops), NaN where illegal.
        teacher_ms: predicted latency of the teacher.
        frontier: predicted milliseconds and the smallest sum of scores within them, by budget.
        points: the same of the networks that were ranked: searched, then random.
        chosen: the same of the network chosen.
        rows: of the table of layers.
        num_images: that the swaps were measured on.
    """

    score: str
    scores: NDArray[np.float64]
    teacher_ms: float
    frontier: tuple[tuple[float, float], ...]
    points: tuple[tuple[tuple[float, float], ...], ...]
    chosen: tuple[float, float]
    rows: tuple[dict[str, Any], ...]
    num_images: int

    @property
    def unit(self) -> str:
        """What the score is, for an axis."""
        names = {
            "kl": "KL to the teacher, nats", "loss": "added cross entropy, nats",
            "error": "normalised error",
        }  # fmt: skip
        return names[self.score]

    def sentence(self) -> str:
        """Say what the network was made of, in words."""
        changed = sum(row["changed"] for row in self.rows)
        ms, cost = self.chosen
        return (
            f"The teacher takes {self.teacher_ms:.3g} ms in the table (est.), the chosen network "
            f"{ms:.3g} ms, {self.teacher_ms / ms:.2f} times as fast. {changed} of {len(self.rows)} "
            f"layers differ from the teacher's; their single swaps add up to {cost:.3g} "
            f"({self.unit}), measured one by one on {self.num_images} images that nothing was taught "
            "on"
        )


def view_library(
    library: Library,
    score: str,
    costs: LatencyMatrix,
    chosen: Architecture,
    groups: Sequence[Sequence[Architecture]],
) -> LibraryView:
    """Gather what is shown.

    Args:
        groups: the networks that were ranked: searched ones and random ones.
    """
    space, scores = library.space, library.swaps.score(score)

    def point(network: tuple[int, ...]) -> tuple[float, float]:
        return float(costs.predict(np.array([network]))[0]), total(scores, network)

    low, teacher = costs.range_ms[0], point(library.teacher_columns)
    high = max(teacher[0], point(columns(space, chosen))[0])
    budgets = np.geomspace(low, high, _BUDGETS) * (1 + 1e-9)  # the fastest is to be inside
    best = [best_networks(scores, costs, high_ms=float(budget)) for budget in budgets]
    return LibraryView(
        score=score,
        scores=scores,
        teacher_ms=teacher[0],
        frontier=tuple(point(found[0]) for found in best if found),
        points=tuple(tuple(point(columns(space, n)) for n in group) for group in groups),
        chosen=point(columns(space, chosen)),
        rows=tuple(_rows(library, scores, costs, chosen)),
        num_images=library.num_images,
    )


def _rows(
    library: Library, scores: NDArray[np.float64], costs: LatencyMatrix, chosen: Architecture
) -> list[dict[str, Any]]:
    space, rows = library.space, []
    pairs = zip(library.teacher_columns, columns(space, chosen), space.positions, strict=True)
    for layer, (own, now, position) in enumerate(pairs):
        others = [
            column for column in np.argsort(scores[layer])
            if np.isfinite(scores[layer, column]) and column not in (own, now)
        ]  # fmt: skip
        rows.append(
            {
                "number": layer + 1,
                "shape": str(position.spec(space.ops[now])).partition(":")[2],
                "teacher": space.ops[own],
                "chosen": space.ops[now],
                "changed": own != now,
                "cost": f"{scores[layer, now]:.3g}",
                "saved": _us(costs.ms[layer, own] - costs.ms[layer, now]),
                "others": ", ".join(
                    f"{space.ops[c]} {scores[layer, c]:.2g} "
                    f"({_us(costs.ms[layer, c] - costs.ms[layer, own], '+')} µs)"
                    for c in others[:_SHOWN]
                ),
            }
        )
    return rows


def _us(ms: float, sign: str = "") -> str:
    """Write milliseconds as microseconds, without an exponent."""
    us = 1000 * ms
    return f"{us:{sign}.0f}" if abs(us) >= 10 else f"{us:{sign}.2g}"
