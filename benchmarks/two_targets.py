"""Two targets, two networks: each measured on both (the paper's Samsung S8 and iPhone X experiment).

    python benchmarks/two_targets.py --run S-FP32 T-FP32 --run S-INT8 T-INT8 --results results/NAME

Every ``--run`` names the folder of a search and the latency table it was made for.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pocketeye.latency.drift import measure_session
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.record import Device
from pocketeye.latency.table import LatencyTable
from pocketeye.models import Architecture
from pocketeye.runs import git_hash, now, write_atomic
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
    lines = [
        "| network | " + " | ".join(f"ms in {n} (est.)" for n in names) + " |",
        "|---|" + "--:|" * len(names),
    ]
    for index, net in enumerate(nets):
        cells = [
            f"{columns[n]['latency_ms'][index]:.4f} ({columns[n]['predicted_ms'][index]:.4f})"
            for n in names
        ]
        lines.append(f"| {net.name} | " + " | ".join(cells) + " |")
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
    write_atomic(args.results.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    write_atomic(args.results.with_suffix(".md"), "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
