"""Two targets, two networks: each measured on both (the paper's Samsung S8 and iPhone X experiment).

    python benchmarks/two_targets.py --run S-FP32 T-FP32 --run S-INT8 T-INT8 --results results/NAME

Every ``--run`` names the folder of a search and the latency table it was made for.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from tables import two_targets, write_results

from pocketeye.latency.device import Device
from pocketeye.latency.drift import measure_session
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models import Architecture
from pocketeye.provenance import git_hash, now
from pocketeye.runtimes import get_runtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs=2, action="append", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=150)
    args = parser.parse_args()
    tables = [LatencyTable.load(path) for _, path in args.run]
    names = [f"{t.header.runtime} {t.header.precision}" for t in tables]
    nets = [
        Architecture.load(folder / "architecture.json").with_(name=f"searched for {name}")
        for (folder, _), name in zip(args.run, names, strict=True)
    ]
    columns = {}
    for name, table in zip(names, tables, strict=True):
        session = measure_session(
            table,
            nets,
            runtime=get_runtime(table.header.runtime),
            protocol=Protocol(rounds=args.rounds),
        )
        columns[name] = {
            "latency_ms": session.at_table_speed(),
            "predicted_ms": [table.predict(net) for net in nets],
            "drift": session.drift,
        }
    record = {
        "schema": "pocketeye.two-targets/1",
        "networks": [str(net) for net in nets],
        "columns": columns,
        "device": asdict(Device.here()),
        "runtime_version": tables[0].header.runtime_version,
        "threads": tables[0].header.threads,
        "measured_at": now(),
        "git": git_hash(),
    }
    write_results(args.results, record, two_targets)


if __name__ == "__main__":
    main()
