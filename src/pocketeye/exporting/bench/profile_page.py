"""Draw profiles and put them onto one page: by module, by kind of operator, and every operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pocketeye import runs
from pocketeye.exporting.bench.profiling import UNKNOWN_MODULE, Profile, module_at
from pocketeye.latency.record import ms_text
from pocketeye.pages import embedded, render
from pocketeye.results.figures import save_figure
from pocketeye.text import human_percent

MOST_COLUMNS = 4
"""Profiles that one page shows side by side: the bars of more could not be told apart."""
# Dark to light, told apart in greyscale too.
_COLOURS = ("#0b5fa5", "#e08214", "#7fb3d5", "#9d9d9d")
_MOST_BARS = 28  # rows of a panel: more are too thin to read; the page's table has them all
_MOST_KINDS = 12
_OTHERS = "(others)"
_DPI = 130


def save_page(profiles: Sequence[Profile], folder: Path, depth: int) -> list[Path]:
    """Write ``profile.html`` and ``profile.png`` into ``folder``.

    Args:
        depth: parts of a module's path that are kept.

    Raises:
        InvalidValue: the folder cannot be made or written.
    """
    runs.make_folder(folder)
    image = save_figure(draw(profiles, depth), folder / "profile.png", _DPI)
    names = " and ".join(dict.fromkeys(profile.record.subject for profile in profiles))
    text = render(
        "profile.html.j2",
        title=f"Where the time of {names} goes",
        subtitle=f"{profiles[0].record.device} · {_threads(profiles[0])} · batch 1",
        facts=[(profile.label, f"{ms_text(profile.record.latency_ms)} ms") for profile in profiles],
        chart=embedded(image),
        totals=[_total(profile) for profile in profiles],
        labels=[profile.label for profile in profiles],
        modules=_side_by_side([p.by_module(depth) for p in profiles]),
        kinds=_side_by_side([p.by_op() for p in profiles]),
        depth=depth,
        operators=[(p.label, [_row(p, op) for op in p.ops]) for p in profiles],
    )
    return [runs.write_atomic(folder / "profile.html", text), image]


def _threads(profile: Profile) -> str:
    threads = profile.record.threads
    return "1 thread" if threads == 1 else f"{threads} threads"


def _total(profile: Profile) -> dict[str, str]:
    record = profile.record
    return {
        "label": profile.label + (": busy" if record.disturbed else ""),
        "runtime": f"{record.runtime} {record.runtime_version}",
        "whole": ms_text(record.latency_ms),
        "ops": ms_text(profile.ops_ms),
        "unattributed": ms_text(profile.unattributed_ms),
        "share": human_percent(profile.unattributed_ms / record.latency_ms),
        "count": str(len(profile.ops)),
        "watching": f"{1000 * profile.watching_ms:.1f}",
    }


def _row(profile: Profile, op: Any) -> dict[str, str]:
    shapes = ", ".join("×".join(map(str, shape)) for shape in op.input_shapes)
    return {
        "op": op.op, "module": op.module or UNKNOWN_MODULE, "ms": f"{op.ms:.4f}", "name": op.name,
        "share": human_percent(op.ms / profile.ops_ms), "shapes": shapes, "placement": op.placement,
    }  # fmt: skip


def _side_by_side(sums: Sequence[dict[str, float]]) -> list[tuple[str, list[str], str]]:
    """Return rows of (name, milliseconds of each profile, last over first)."""
    rows = []
    for name in dict.fromkeys(name for each in sums for name in each):
        ms = [each.get(name) for each in sums]
        first, last = ms[0], ms[-1]
        ratio = f"{last / first:.2f}" if len(ms) > 1 and first and last is not None else ""
        rows.append((name, [ms_text(each) for each in ms], ratio))
    return rows


def draw(profiles: Sequence[Profile], depth: int) -> Figure:
    """Draw milliseconds by module and by kind of operator, the profiles as bars side by side."""
    modules = _folded([p.by_module(depth) for p in profiles], _MOST_BARS, ranked=False)
    kinds = _folded([p.by_op() for p in profiles], _MOST_KINDS, ranked=True)
    bars = max(len(modules), len(kinds))
    figure = Figure(figsize=(12, 1.6 + 0.17 * bars * (1 + len(profiles))), layout="constrained",
                    facecolor="white")  # fmt: skip
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    parts = "1 part" if depth == 1 else f"{depth} parts"
    _panel(left, modules, profiles, f"by module ({parts} of its path), in the order they run")
    _panel(right, kinds, profiles, "by kind of operator, as the runtime calls it")
    left.legend(loc="best", frameon=False)
    return figure


def _folded(
    sums: Sequence[dict[str, float]], most: int, ranked: bool
) -> list[tuple[str, list[float]]]:
    """Keep the ``most`` expensive names of all profiles together; what is left is one row."""
    names = list(dict.fromkeys(name for each in sums for name in each))
    cost = {name: max(each.get(name, 0.0) for each in sums) for name in names}
    kept = sorted(names, key=lambda name: -cost[name])[:most]
    if not ranked:
        kept.sort(key=names.index)
    rows = [(name, [each.get(name, 0.0) for each in sums]) for name in kept]
    others = [sum(ms for name, ms in each.items() if name not in kept) for each in sums]
    return [*rows, (_OTHERS, others)] if any(others) else rows


def _panel(
    axes: Axes, rows: list[tuple[str, list[float]]], profiles: Sequence[Profile], title: str
) -> None:
    height = 0.8 / len(profiles)
    longest = max(ms for _, all_ms in rows for ms in all_ms)
    for column, profile in enumerate(profiles):
        places = [row + (column - (len(profiles) - 1) / 2) * height for row in range(len(rows))]
        widths = [ms[column] for _, ms in rows]
        axes.barh(places, widths, height, color=_COLOURS[column], label=profile.label)
        for place, width in zip(places, widths, strict=True):
            if not width:
                continue  # another network's operator
            share = human_percent(width / profile.ops_ms, 0)
            axes.text(width + 0.01 * longest, place, share, va="center", fontsize=6.5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first row on top
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel("ms a call")
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def most_expensive(profile: Profile, count: int) -> list[tuple[str, str, float, float]]:
    """Return (module, operator, ms, share) of the operators that take the most time."""
    ranked = sorted(profile.ops, key=lambda op: -op.ms)[:count]
    return [(module_at(op, 99), op.op, op.ms, op.ms / profile.ops_ms) for op in ranked]
