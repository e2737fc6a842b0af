"""Check a table in a file, with the report beside it, or say how to measure it again."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketeye.latency.check import CheckReport, check_table
from pocketeye.latency.plots import plot_check
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models.size import size_text
from pocketeye.models.space import SearchSpace, list_spaces, load_space
from pocketeye.results.figures import save_figure
from pocketeye.runtimes import get_runtime


def check_file(
    path: Path, *, nets: int, rounds: int | None, seed: int
) -> tuple[LatencyTable, CheckReport, tuple[Path, ...]]:
    """Measure fresh networks of the table's own space in its own runtime, and compare.

    Args:
        nets: number of fresh networks.
        rounds: visits of every network; those of the table where None.

    Returns:
        The table, the report, and the files that were written: an image and the report as JSON.

    Raises:
        MissingFile: no table there. InvalidValue: no table, or one of another device or version.
    """
    table = LatencyTable.load(path)
    protocol = Protocol(**table.header.protocol)
    report = check_table(
        table,
        table.space(),
        runtime=get_runtime(table.header.runtime),
        nets=nets,
        protocol=replace(protocol, rounds=rounds) if rounds else protocol,
        # Never the seed of the calibration, whose networks would be drawn again.
        seed=table.header.seed + 1 + seed,
    )
    base = path.with_name(path.name.removesuffix(".json"))
    files = (
        save_figure(plot_check(report), base.with_name(base.name + ".check.png"), 150),
        report.save(base.with_name(base.name + ".check.json")),
    )
    return table, report, files


def measure_again(name: str, space: SearchSpace, table: LatencyTable, path: Path) -> str | None:
    """Return the command line that measures ``table`` again with three times the rounds.

    Args:
        name: of a space that comes with pocketeye, or of its YAML; None is returned for others.
        space: as it was measured, so that options tell what differs from the space of that name.
        path: of the table.
    """
    # A space made in Python has no name that a command could take.
    if name not in list_spaces() and not name.endswith((".yaml", ".yml")):
        return None
    base, header = load_space(name), table.header
    always = table.segmenter is not None  # have no default size or classes
    changed = {
        "input-size": (size_text(space.input_size), size_text(base.input_size)),
        "width": (space.width, base.width),
        "num-classes": (space.num_classes, base.num_classes),
    }
    options: dict[str, Any] = {
        "runtime": header.runtime,
        "threads": header.threads,
        "precision": header.precision,
        **{
            key: now
            for key, (now, own) in changed.items()
            if now != own or (always and key != "width")
        },
        **_segmenter_options(table),
        # Three times the rounds: the noise falls with the root, so by four tenths.
        "rounds": 3 * int(header.protocol.get("rounds", Protocol().rounds)),
        "out": path,
    }
    words = ["pocketeye", "measure", name, "--overwrite"]
    for option, value in options.items():
        words += [f"--{option}", str(value)]
    return shlex.join(words)


def _segmenter_options(table: LatencyTable) -> dict[str, Any]:
    """Return the options that give the segmenter of a table again, other than the classes."""
    if table.segmenter is None:
        return {}
    spec = table.segmenter.spec
    return {
        "task": "semantic", "fpn-channels": spec.fpn_channels, "head-channels": spec.head_channels,
    }  # fmt: skip
