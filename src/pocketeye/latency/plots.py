"""Draw tables and checks; every image names the device it is about."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from pocketeye.latency.check import CheckReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_check(report: CheckReport) -> Figure:
    """Plot predicted against measured latency of fresh networks, with a band of 5 %."""
    figure = _figure(5.2, 5.2)
    axes = figure.add_subplot()
    values = [ms for p in report.points for ms in (p.predicted_ms, p.measured_ms)]
    # Both axes alike, so that the diagonal is where the table is right.
    low, high = 0.95 * min(values), 1.05 * max(values)
    line = np.array([low, high])
    axes.fill_between(line, line * 0.95, line * 1.05, color="0.9", label="±5 %")
    axes.plot(line, line, color="0.5", linewidth=1)
    groups = (
        (False, "o", "C0", f"{report.n} uniform random networks"),
        (True, "^", "C1", "towards the ends of the range"),
    )
    for extreme, marker, color, label in groups:
        chosen = [p for p in report.points if p.extreme == extreme]
        axes.scatter(
            [p.measured_ms for p in chosen],
            [p.predicted_ms for p in chosen],
            marker=marker, s=28, color=color, label=label, zorder=3,
        )  # fmt: skip
    where = _where(str(report.device), report.runtime, report.precision, report.threads)
    axes.set_xlabel(f"measured ms\n{where}")
    axes.set_ylabel(f"predicted ms by the table\n{_wrapped(report.device.cpu)}")
    axes.set_title(
        f"MAPE {report.mape:.1%} · bias {report.bias:+.1%} · Spearman {report.spearman:.3f}",
        fontsize=10,
    )
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.legend(loc="lower center", fontsize=8, frameon=False, ncols=3, bbox_to_anchor=(0.5, 1.08))
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure without pyplot: no window system, and no figures kept by a global list.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _where(device: str, runtime: str, precision: str, threads: int) -> str:
    plural = "" if threads == 1 else "s"
    return f"{_wrapped(device)}\n{runtime}, {precision}, {threads} thread{plural}"


def _wrapped(text: str, letters: int = 60) -> str:
    """Break a label that would be cut at the edge of the image."""
    return "\n".join(textwrap.wrap(text, letters))
