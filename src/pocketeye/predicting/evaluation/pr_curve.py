"""Draw precision over recall: of each class at an IoU of 0.5, and of their mean at five."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.metrics import IOUS, RECALLS, ApReport
from pocketeye.results.colors import color_of
from pocketeye.results.figures import VAL_COLOUR, headline, make_figure, save_figure, short

# More colours cannot be told apart.
_MOST_COLOURED = 12
_SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9)


def save_pr(reports: Sequence[ApReport], classes: Sequence[str], path: Path, title: str) -> Path:
    """Draw a row for boxes, and one for masks if they were judged.

    With up to 12 classes each has its colour (that of its objects in images); with more the curves
    are grey, and the best and the worst are named.
    """
    figure = make_figure(13, 3.9 * len(reports))
    rows = figure.subplots(len(reports), 2, squeeze=False)
    for (left, right), report in zip(rows, reports, strict=True):
        _classes(left, report, classes)
        _overlaps(right, report)
        for axes in (left, right):
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02), xlabel="recall", ylabel="precision")
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    headline(figure, title)
    return save_figure(figure, path, 120)


def _classes(axes: Any, report: ApReport, classes: Sequence[str]) -> None:
    # Classes without a true object have no curve.
    seen = [label for label in range(len(classes)) if report.counts[label]]
    seen.sort(key=lambda label: -report.ap(label, 0.5))
    few = len(seen) <= _MOST_COLOURED
    # Best and worst tell the range; the others are a grey crowd.
    named = seen if few else [*seen[:3], *seen[-3:]]
    for label in seen:
        colour = "#8a949e"
        if label in named:
            colour = "#{:02x}{:02x}{:02x}".format(*color_of(label + 1))
        axes.plot(
            RECALLS, report.precision[0, :, label], color=colour, lw=1.8 if label in named else 0.6,
            label=f"{short(classes[label], 22)} {100 * report.ap(label, 0.5):.1f}"
            if label in named else None, zorder=3 if label in named else 2,
        )  # fmt: skip
    if not few:
        axes.plot([], [], color="#8a949e", lw=0.6, label=f"the other {len(seen) - len(named)}")
    _key(axes, bool(seen))
    axes.set_title(f"{report.kind}: each class at IoU 0.5 (AP50 in %)", fontsize=9)


def _overlaps(axes: Any, report: ApReport) -> None:
    from matplotlib import colormaps

    seen = np.flatnonzero(report.counts)
    if len(seen):
        for place, iou in enumerate(_SHOWN):
            curve = report.precision[IOUS.index(iou)][:, seen].mean(axis=1)
            # Stricter overlaps are darker: the order survives greyscale.
            shade = colormaps["Blues"](0.35 + 0.16 * place)
            axes.plot(
                RECALLS, curve, color=shade, lw=1.6, label=f"IoU {iou}: {100 * curve.mean():.1f}"
            )
        mean = report.precision[:, :, seen].mean(axis=(0, 2))
        ap = 100 * report.values["ap"]
        axes.plot(RECALLS, mean, color=VAL_COLOUR, lw=2.2, ls="--", label=f"0.50 to 0.95: {ap:.1f}")
    _key(axes, bool(len(seen)))
    axes.set_title(f"{report.kind}: mean over the classes (AP in %)", fontsize=9)


def _key(axes: Any, seen: bool) -> None:
    """Put the key beside the axes, where no curve runs through it; say where there is nothing."""
    if seen:
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        axes.text(0.5, 0.5, "no object is true", ha="center", transform=axes.transAxes)
