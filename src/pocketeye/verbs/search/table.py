"""Open the latency table of a search, and what it must fit."""

from __future__ import annotations

from pathlib import Path

from pocketeye.latency.device import Device
from pocketeye.latency.noise import require_usable
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import SearchSpace, load_space
from pocketeye.runtimes import Runtime, get_runtime
from pocketeye.searching.deriving.sampling import check_target
from pocketeye.searching.report.build import describe


def open_table(
    path: Path,
    space: str | SearchSpace | None,
    runtime: str | None,
    precision: str | None,
    threads: int | None,
    target_ms: float,
) -> tuple[LatencyTable, SearchSpace, Runtime]:
    """Open the table, its space and its runtime, where a search for the target makes sense with them."""
    table = LatencyTable.load(path)
    if space is None:
        space = SearchSpace.from_dict(table.header.space)
    shape = space if isinstance(space, SearchSpace) else load_space(space)
    # Exact: latencies of another runtime or precision would be optimised in vain.
    table.require(space=shape, runtime=runtime, precision=precision, threads=threads)
    check_target(target_ms, table.matrix(shape), describe(table), fixed=table.head_ms)
    # Noise above the differences between blocks would choose among them by chance.
    require_usable(table, shape)
    timer = get_runtime(table.header.runtime)
    # The same names on another machine mean other times.
    table.require_device(Device.of(timer), timer.version())
    return table, shape, timer
