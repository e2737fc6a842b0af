"""Draw what a search with a block library considered."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pocketeye.searching.report.plots import (
    INK,
    MUTED,
    RANDOM,
    SEARCHED,
    TARGET,
    figure,
    latency_label,
    tidy,
)
from pocketeye.searching.report.swaps import LibraryView


def pareto(view: LibraryView, target_ms: float, where: str) -> Figure:
    """Sum of single swaps over predicted latency: the best of every budget, and what was ranked."""
    fig = figure(6.5, 4.2)
    axes = fig.subplots()
    line = np.array(view.frontier).reshape(-1, 2)
    axes.plot(line[:, 0], line[:, 1], "-", color=MUTED, linewidth=1.4, marker=".",
              label="best sum of each budget")  # fmt: skip
    marks = (("searched", SEARCHED, "o"), ("random", RANDOM, "s"))
    for (name, colour, marker), points in zip(marks, view.points, strict=True):
        xy = np.array(points).reshape(-1, 2)
        axes.plot(
            xy[:, 0], xy[:, 1], marker, color=colour, markersize=5, fillstyle="none", label=name
        )
    axes.plot(*view.chosen, "*", color=SEARCHED, markersize=13, markeredgecolor=INK, label="chosen")
    axes.plot(view.teacher_ms, 0, "D", color=INK, markersize=6, label="teacher")
    axes.axvline(target_ms, color=TARGET, linestyle="--", linewidth=1.2, label="budget")
    # Sums of random networks are many times those of good ones: a linear axis would hide the rest.
    axes.set_yscale("symlog", linthresh=max(view.chosen[1], 1e-3))
    heights = [y for group in view.points for _, y in group] + [y for _, y in view.frontier]
    # Room for the teacher's mark at 0, and for that of the worst network.
    axes.set_ylim(min(*heights, -0.1 * view.chosen[1]), 1.6 * max(*heights, view.chosen[1], 1e-3))
    axes.set_xlabel(latency_label("predicted (est.)", where), fontsize=9, color=INK)
    axes.set_ylabel(f"sum of single swaps:\n{view.unit}", fontsize=9, color=INK)
    axes.legend(fontsize=7.5, frameon=False)
    tidy(axes)
    return fig
