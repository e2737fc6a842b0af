"""Draw images of a search. Every latency axis names the device, readable without colour.

Figures are made through matplotlib's object API, so nothing global changes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from pocketeye.models.architecture import Architecture, BlockSpec
from pocketeye.models.ops import AdditiveOp, HeadOp, InvertedResidualOp, SkipOp, StemOp
from pocketeye.models.size import Size, size_text
from pocketeye.models.space import SearchSpace
from pocketeye.results.figures import save_figure
from pocketeye.searching.deriving.derived import Candidate, Derived

INK, MUTED, GRID = "#222222", "#6b6b6b", "#dddddd"
SEARCHED, RANDOM, TARGET = "#0b5fa5", "#e08214", "#b2182b"
# Light for small kernels, dark for large ones: the order survives greyscale.
KERNELS = {3: "#a6cee3", 5: "#1f6fb2", 7: "#08306b"}
OTHER_KERNEL, ENDS = "#54278f", "#d9d9d9"
# Dots besides the colour, for greyscale.
ADDITIVE: dict[str, Any] = {"facecolor": "#fdd49e", "edgecolor": INK, "hatch": "..."}
# Points of type, for figures that are shown about as wide as a page.
_SMALL, _TEXT, _TITLE = 7.5, 9.0, 11.0
_LABEL_CHARS = 52


def figure(width: float, height: float) -> Figure:
    """Make an empty white figure in inches, tied to no window and no global state."""
    result = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(result)
    return result


def save(image: Figure, path: Path) -> Path:
    """Write a PNG without date or version, so that equal images are equal files."""
    return save_figure(image, path, 130)


def latency_label(kind: str, where: str) -> str:
    """Write an axis label: what kind of latency, unit, on what it holds, broken at separators."""
    lines = [f"{kind} latency, ms"]
    for part in where.split(" · "):
        if len(lines) > 1 and len(lines[-1]) + len(part) < _LABEL_CHARS:
            lines[-1] += f" · {part}"
        else:
            lines += textwrap.wrap(part, _LABEL_CHARS) or [""]
    return "\n".join(lines)


def architecture_strip(
    architecture: Architecture,
    layer_ms: Sequence[float],
    total_ms: float,
    where: str,
    rest_ms: float = 0.0,
) -> Figure:
    """Draw one box per layer, stem to head or to the last block, over its milliseconds in the table.

    Args:
        layer_ms: one calibrated latency for every layer of ``architecture.layers``; of a segmenter
            without the head.
        total_ms: predicted latency of the whole network.
        where: device, runtime, threads and precision of those latencies.
        rest_ms: of pyramid and head of a segmenter, which would dwarf the layers.
    """
    layers = architecture.placed()[: len(layer_ms)]
    count = len(layers)
    # Half an inch a layer, or its text would not fit into its box.
    fig = figure(max(6.5, 1.3 + 0.52 * count), 4.6)
    boxes, bars = fig.subplots(2, 1, sharex=True, height_ratios=(1.7, 1))
    tallest = max(_height(layer.spec) for layer in layers)
    for x, layer in enumerate(layers):
        _draw_box(boxes, x, layer.spec, tallest)
    _mark_stages(boxes, architecture, tallest)
    boxes.set_ylim(0, tallest * 1.36)
    boxes.set_ylabel("expansion", fontsize=_TEXT, color=INK)
    boxes.set_yticks(sorted({round(_height(layer.spec)) for layer in layers} | {0}))
    boxes.set_title(f"{architecture.name} at {size_text(architecture.input_size)} px", fontsize=_TITLE,
                    loc="left", color=INK)  # fmt: skip
    boxes.legend(
        handles=_strip_legend(architecture, len(layers)), fontsize=_SMALL, ncols=6, frameon=False,
        loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3,
    )  # fmt: skip
    values = np.asarray(layer_ms, dtype=float)
    bars.bar(range(count), values, width=0.8, color="#8c8c8c", edgecolor=INK, linewidth=0.6)
    for x, ms in enumerate(values):
        bars.annotate(f"{ms:.2g}", (x, ms), xytext=(0, 2), textcoords="offset points",
                      ha="center", fontsize=_SMALL - 1, color=INK)  # fmt: skip
    bars.set_ylim(0, max(values.max(), 1e-9) * 1.22)  # room for the numbers above the bars
    bars.set_ylabel("ms per layer (est.)", fontsize=_TEXT, color=INK)
    bars.set_xticks(range(count), [_tick(layer.spec, layer.size) for layer in layers])
    bars.set_xlabel("output channels, input side in pixels\n"
                    f"whole network {total_ms:.3g} ms predicted"
                    + (f", {rest_ms:.3g} of them pyramid and head," if rest_ms else "")
                    + f" on {where}",
                    fontsize=_TEXT, color=INK)  # fmt: skip
    bars.set_xlim(-0.7, count - 0.3)
    for axes in (boxes, bars):
        tidy(axes, grid=False)
    bars.tick_params(axis="x", labelsize=_SMALL - 0.5, length=0)
    boxes.tick_params(axis="x", length=0, labelbottom=False)
    return fig


def theta_evolution(
    history: NDArray[np.float64], epochs: Sequence[int], space: SearchSpace, where: str = ""
) -> Figure:
    """Small multiples: per layer the probability of every op (rows) over the epochs (columns).

    Args:
        history: softmax(theta), shape (epochs, layers, ops), 0 or nan where illegal.
        epochs: epoch number of every entry.
        where: put below the title.
    """
    columns = min(6, space.num_layers)
    rows = math.ceil(space.num_layers / columns)
    fig = figure(2.0 * columns + 1.6, 1.5 * rows + 0.9)
    grid = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    # One scale for all layers; below 0.3 an even mixture would look decided.
    top = max(0.3, float(np.nanmax(history)))
    image = None
    for layer, axes in enumerate(grid.flat):
        if layer >= space.num_layers:
            axes.set_visible(False)
            continue
        position = space.positions[layer]
        values = history[:, layer, :].T.copy()
        legal = np.array([op in position.candidates for op in space.ops])
        # Illegal is not zero: it is hatched, not white.
        values[~legal] = np.nan
        image = axes.imshow(values, aspect="auto", cmap="Blues", vmin=0, vmax=top,
                            interpolation="nearest",
                            extent=(-0.5, len(epochs) - 0.5, len(space.ops) - 0.5, -0.5))  # fmt: skip
        for op in np.flatnonzero(~legal):
            axes.add_patch(Rectangle((-0.5, op - 0.5), len(epochs), 1, fill=False, hatch="xxx",
                                     edgecolor="#bdbdbd", linewidth=0))  # fmt: skip
        best = int(np.nanargmax(values[:, -1]))
        axes.set_title(f"layer {layer + 1}: {space.ops[best]} {values[best, -1]:.0%}",
                       fontsize=_SMALL, color=INK, loc="left")  # fmt: skip
        axes.set_yticks(range(len(space.ops)), space.ops, fontsize=_SMALL - 1.5)
        axes.set_xticks(*_few_ticks(epochs), fontsize=_SMALL - 1)
        axes.tick_params(length=2, color=MUTED)
    fig.supxlabel("epoch", fontsize=_TEXT, color=INK)
    fig.suptitle("Probability of every candidate block" + (f" · {where}" if where else ""),
                     fontsize=_TITLE, color=INK, x=0.01, ha="left")  # fmt: skip
    assert image is not None
    bar = fig.colorbar(image, ax=grid, shrink=0.8, pad=0.01, format=PercentFormatter(1.0))
    bar.set_label("probability (hatched: not legal there)", fontsize=_SMALL, color=INK)
    bar.ax.tick_params(labelsize=_SMALL)
    return fig


def search_curves(
    history: Sequence[Mapping[str, float]],
    panels: Sequence[tuple[str, Sequence[tuple[str, str]]]],
    target_ms: float,
    where: str,
) -> Figure:
    """Draw curves over the epochs, one panel per quantity.

    Args:
        history: rows with ``epoch`` and the values of that epoch; missing values are left out.
        panels: (axis label, ((key, legend), ...)); a label that starts with "latency" gets the
            target line and the device. Panels without any value are dropped.
    """
    shown = [(label, [(k, n) for k, n in lines if any(k in row for row in history)])
             for label, lines in panels]  # fmt: skip
    shown = [(label, lines) for label, lines in shown if lines]
    fig = figure(3.6 * max(len(shown), 1), 3.6)
    grid = fig.subplots(1, max(len(shown), 1), squeeze=False)[0]
    # Line, marker and colour at once: without colour the curves still differ.
    styles = (("-", "o", SEARCHED), ("--", "s", RANDOM), (":", "^", MUTED))
    for axes, (label, lines) in zip(grid, shown, strict=False):
        for (key, name), (line, marker, colour) in zip(lines, styles, strict=False):
            points = [(row["epoch"], row[key]) for row in history if key in row]
            axes.plot(*zip(*points, strict=True), line, marker=marker, markersize=3,
                      color=colour, linewidth=1.4, label=name)  # fmt: skip
        is_latency = label.startswith("latency")
        if is_latency:
            axes.axhline(target_ms, color=TARGET, linewidth=1.2, linestyle="-.",
                         label=f"target {target_ms:g} ms")  # fmt: skip
        axes.set_ylabel(latency_label("expected", where) if is_latency else label,
                        fontsize=_SMALL if is_latency else _TEXT, color=INK)  # fmt: skip
        axes.set_xlabel("epoch", fontsize=_TEXT, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(lines) > 1 or is_latency:  # above, where no curve runs through it
            axes.legend(fontsize=_SMALL, frameon=False, loc="lower center", ncols=2,
                        bbox_to_anchor=(0.5, 1.0), borderaxespad=0.2)  # fmt: skip
        # A single epoch has no width: the axis would show fractions of it.
        if len(history) == 1:
            epoch = history[0]["epoch"]
            axes.set_xlim(epoch - 0.5, epoch + 0.5)
            axes.set_xticks([epoch])
        tidy(axes)
    return fig


def accuracy_latency(derived: Derived, where: str) -> Figure:
    """Accuracy with shared weights against latency: searched and random, budget and tolerance.

    Hollow: predicted by the table. Filled: measured in the runtime, joined to its prediction.
    """
    fig = figure(7.4, 4.8)
    axes = fig.subplots()
    limit = (1 + derived.tolerance) * derived.target_ms
    axes.axvspan(derived.target_ms, limit, color="#f3e3e3", zorder=0,
                 label=f"+ {derived.tolerance:.0%}")  # fmt: skip
    axes.axvline(derived.target_ms, color=TARGET, linestyle="-.", linewidth=1.3,
                 label=f"budget {derived.target_ms:g} ms")  # fmt: skip
    seen = derived.comparison
    error = seen.random_mean_se or 0.0
    axes.axhline(100 * seen.random_mean, color=RANDOM, linestyle="--", linewidth=1,
                 label=f"random mean {seen.random_mean:.1%} ± {error:.1%}")  # fmt: skip
    axes.axhspan(100 * (seen.random_mean - error), 100 * (seen.random_mean + error),
                 color=RANDOM, alpha=0.15, linewidth=0, zorder=0)  # fmt: skip
    for group, marker, colour, name in (
        (derived.random, "s", RANDOM, "random"),
        (derived.candidates, "o", SEARCHED, "searched"),
    ):
        _draw_networks(axes, group, marker, colour, name)
    best = derived.best
    assert best.measured_ms is not None
    axes.scatter(best.measured_ms, 100 * best.supernet_score, marker="*", s=230, color=SEARCHED,
                 edgecolor=INK, linewidth=0.8, zorder=5, label="chosen, measured")  # fmt: skip
    axes.set_xlabel(latency_label("batch-1", where), fontsize=_TEXT, color=INK)
    label = f"{derived.metric} with the supernet's weights, %"
    axes.set_ylabel(f"{label}\n{seen.num_images} held-out images", fontsize=_TEXT, color=INK)
    axes.set_title("Accuracy against latency", fontsize=_TITLE, loc="left", color=INK)
    axes.legend(fontsize=_SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    tidy(axes)
    return fig


def predicted_measured(derived: Derived, where: str) -> Figure:
    """Predicted against measured latency of every measured network, with the tolerance."""
    fig = figure(6.4, 4.8)
    axes = fig.subplots()
    values = [derived.target_ms]
    for group, marker, colour, name in (
        (derived.random, "s", RANDOM, "random"),
        (derived.candidates, "o", SEARCHED, "searched"),
    ):
        points = _measured(group)
        x, y = [c.predicted_ms for c, _ in points], [ms for _, ms in points]
        values += [*x, *y]
        if points:
            axes.scatter(x, y, marker=marker, color=colour, s=42, edgecolor=INK, linewidth=0.6,
                         zorder=3, label=name)  # fmt: skip
    best = derived.best
    assert best.measured_ms is not None
    axes.scatter(best.predicted_ms, best.measured_ms, marker="*", s=230, color=SEARCHED,
                 edgecolor=INK, linewidth=0.8, zorder=5, label="chosen")  # fmt: skip
    low, high = 0.94 * min(values), 1.06 * max(values)  # the star of the chosen one is large
    line = np.array([low, high])
    axes.fill_between(line, line * (1 - derived.tolerance), line * (1 + derived.tolerance),
                      color="#eeeeee", zorder=0, label=f"± {derived.tolerance:.0%}")  # fmt: skip
    axes.plot(line, line, color=MUTED, linewidth=1, zorder=1, label="equal")
    axes.axhline(derived.target_ms, color=TARGET, linestyle="-.", linewidth=1.2,
                 label=f"target {derived.target_ms:g} ms")  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_xlabel(
        latency_label("predicted (calibrated table)", where), fontsize=_SMALL + 0.5, color=INK
    )
    axes.set_ylabel(latency_label("measured", where), fontsize=_SMALL + 0.5, color=INK)
    axes.set_title("Predicted against measured", fontsize=_TITLE, loc="left", color=INK)
    axes.legend(fontsize=_SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    tidy(axes)
    return fig


def _draw_networks(
    axes: Axes, group: Sequence[Candidate], marker: str, colour: str, name: str
) -> None:
    top1 = [100 * c.supernet_score for c in group]
    axes.scatter([c.predicted_ms for c in group], top1, marker=marker, s=34, facecolor="white",
                 edgecolor=colour, linewidth=1.2, zorder=3, label=f"{name}, predicted")  # fmt: skip
    measured = _measured(group)
    for candidate, ms in measured:
        axes.plot([candidate.predicted_ms, ms], [100 * candidate.supernet_score] * 2, color=colour,
                  linewidth=0.8, zorder=2)  # fmt: skip
    if measured:
        axes.scatter([ms for _, ms in measured], [100 * c.supernet_score for c, _ in measured],
                     marker=marker, s=34, color=colour, edgecolor=INK, linewidth=0.6, zorder=4,
                     label=f"{name}, measured")  # fmt: skip


def _measured(group: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
    return [(c, c.measured_ms) for c in group if c.measured_ms is not None]


def _draw_box(axes: Axes, x: int, spec: BlockSpec, tallest: float) -> None:
    # Grey for ends: kernels alone have shades, whose order then means something.
    op, height = spec.parsed, _height(spec)
    style: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.8, "facecolor": ENDS}
    dark = False
    if isinstance(op, InvertedResidualOp):
        style["facecolor"] = KERNELS.get(op.kernel, OTHER_KERNEL)
        style["hatch"] = "///" if op.groups > 1 else None
        dark = op.kernel > 3
    elif isinstance(op, AdditiveOp):
        style |= ADDITIVE
    elif isinstance(op, SkipOp):
        style |= {"facecolor": "white", "linestyle": "--", "edgecolor": MUTED}
    axes.add_patch(Rectangle((x - 0.4, 0), 0.8, height, **style))
    room = height / tallest > 0.45
    # a hatch behind a text makes it unreadable
    ground = {"facecolor": style["facecolor"], "edgecolor": "none", "pad": 1.5}
    axes.text(x, height / 2 if room else height + 0.03 * tallest, spec.op, rotation=90,
              ha="center", va="center" if room else "bottom", fontsize=_SMALL,
              color="white" if dark and room else INK,
              bbox=ground if room and style.get("hatch") else None)  # fmt: skip


def _height(spec: BlockSpec) -> float:
    op = spec.parsed
    if isinstance(op, InvertedResidualOp):
        return float(op.expansion)
    if isinstance(op, AdditiveOp):
        return float(op.mlp_ratio)
    # a skip has no expansion, and a box of height 0 could not be seen
    return 0.35 if isinstance(op, SkipOp) else 1.0


def _mark_stages(axes: Axes, architecture: Architecture, tallest: float) -> None:
    """Draw a thin line before every stage, and its number above."""
    x = 1  # the stem stands before the first stage
    for number, stage in enumerate(architecture.stages(), 1):
        axes.axvline(x - 0.5, color=GRID, linewidth=0.8, zorder=0)
        axes.text(x - 0.5 + len(stage) / 2, tallest * 1.34, str(number), ha="center", va="top",
                  fontsize=_SMALL, color=MUTED)  # fmt: skip
        x += len(stage)
    axes.axvline(x - 0.5, color=GRID, linewidth=0.8, zorder=0)
    axes.text(0.4, tallest * 1.34, "stage", ha="right", va="top", fontsize=_SMALL, color=MUTED)


def _strip_legend(architecture: Architecture, num_layers: int) -> list[Patch]:
    ops = [block.parsed for block in architecture.blocks]
    blocks = [op for op in ops if isinstance(op, InvertedResidualOp)]
    handles = [
        Patch(facecolor=KERNELS.get(k, OTHER_KERNEL), edgecolor=INK, label=f"kernel {k}")
        for k in sorted({op.kernel for op in blocks})
    ]
    if any(op.groups > 1 for op in blocks):
        handles.append(Patch(facecolor="white", edgecolor=INK, hatch="///", label="grouped"))
    if any(isinstance(op, AdditiveOp) for op in ops):
        handles.append(Patch(**ADDITIVE, label="additive attention"))
    if any(isinstance(op, SkipOp) for op in ops):
        handles.append(Patch(facecolor="white", edgecolor=MUTED, linestyle="--", label="skip"))
    return [
        *handles,
        Patch(
            facecolor=ENDS,
            edgecolor=INK,
            label="stem, head" if num_layers == len(architecture.layers) else "stem",
        ),
    ]


def _tick(spec: BlockSpec, size: Size) -> str:
    channels = spec.parsed.width if isinstance(spec.parsed, HeadOp) else spec.out_chs
    name = "stem\n" if isinstance(spec.parsed, StemOp) else ""
    name = "head\n" if isinstance(spec.parsed, HeadOp) else name
    return f"{name}{channels}\n{_tick_size(size)}"


def _tick_size(size: Size) -> str:
    """Write a size on two lines where it is no square: ticks are narrow."""
    return size_text(size).replace("x", "\n×")


def _few_ticks(epochs: Sequence[int]) -> tuple[list[int], list[str]]:
    where = sorted({0, len(epochs) // 2, len(epochs) - 1})
    return where, [str(epochs[i]) for i in where]


def tidy(axes: Axes, grid: bool = True) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(labelsize=_SMALL, colors=INK, length=3)
    if grid:
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
