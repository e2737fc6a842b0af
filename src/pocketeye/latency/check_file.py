"""Check a table that lies in a file, and leave the report and its picture beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pocketeye.latency.check import CheckReport, check_table
from pocketeye.latency.plots import plot_check, save_figure
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
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
        save_figure(plot_check(report), base.with_name(base.name + ".check.png")),
        report.save(base.with_name(base.name + ".check.json")),
    )
    return table, report, files
