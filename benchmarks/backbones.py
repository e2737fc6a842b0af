"""Backbones under one recipe: accuracy over seeds against measured latency.

    python benchmarks/backbones.py train --data DATA --recipe tiny-imagenet --epochs 6 --out DIR \
        --networks casvit_xs fbnet_c mobilenetv4_conv_small repvit_m0_9
    python benchmarks/backbones.py table --out DIR --results results/NAME

A network is a registered name or an ``architecture.json``. ``train`` trains what is not trained yet and
can be interrupted and repeated; it runs all networks of a seed before the next seed. ``table`` times
the networks side by side (fp32 and int8) and writes the table, the records and the image.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tables import backbones, write_results

import pocketeye
from pocketeye.latency.device import Device
from pocketeye.provenance import environment
from pocketeye.runs import RunFolder
from pocketeye.text import human_count

_PRECISIONS = ("fp32", "int8")
_MARKERS = "DosvP^Xhp*<>"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network with its accuracies (0 to 1, one a seed) and its latency in each precision."""

    name: str
    top1: tuple[float, ...]
    latency_ms: dict[str, float]
    macs: int
    params: int
    seconds: float

    @property
    def mean(self) -> float:
        return 100 * statistics.mean(self.top1)

    @property
    def std(self) -> float:
        return 100 * statistics.stdev(self.top1) if len(self.top1) > 1 else 0.0


def train(args: argparse.Namespace) -> None:
    for seed in args.seeds:
        for network in args.networks:
            folder = args.out / f"{_name(network)}-{seed}"
            if (folder / "result.json").is_file():
                continue
            begun = (folder / "last.ckpt").is_file()
            result = pocketeye.train_classifier(
                network, data=str(args.data), recipe=args.recipe, epochs=args.epochs, seed=seed,
                device=args.device, workers=args.workers, threads=args.threads, out=folder,
                resume=begun, overwrite=not begun,
            )  # fmt: skip
            print(f"{folder.name}: {result.lines()[0]}", flush=True)


def _name(network: str) -> str:
    path = Path(network)
    stem = path.name.removesuffix(".json").removesuffix(".architecture")
    return stem if path.suffix == ".json" else network


def table(args: argparse.Namespace) -> None:
    runs = [p.parent for p in sorted(args.out.glob("*/result.json"))]
    names = list(dict.fromkeys(run.name.rpartition("-")[0] for run in runs))
    first = {name: next(r for r in runs if r.name.rpartition("-")[0] == name) for name in names}
    timed = pocketeye.bench(
        [str(run) for run in first.values()], precisions=_PRECISIONS, rounds=args.rounds,
        out=args.out / "bench",
    )  # fmt: skip
    rows = []
    for name in names:
        cells = [row for row in timed.table.rows if row.model == first[name].name]
        assert all(cell.record for cell in cells), [cell.problem for cell in cells]
        results = [
            json.loads((run / "result.json").read_text())
            for run in runs
            if run.name.rpartition("-")[0] == name
        ]
        rows.append(
            Row(
                name=name,
                top1=tuple(r["top1"] for r in results),
                latency_ms={c.precision: c.record.latency_ms for c in cells if c.record},
                macs=cells[0].macs or 0,
                params=cells[0].params or 0,
                seconds=statistics.mean(r["seconds"] for r in results),
            )
        )
    rows.sort(key=lambda row: -row.mean)
    config = RunFolder(runs[0]).config()
    _write(rows, config, timed.to_dict(), args.results)


def _write(rows: list[Row], config: dict[str, Any], timed: dict[str, Any], out: Path) -> None:
    recipe = {k: v for k, v in config.items() if k not in ("model", "seed", "data", "out")}
    record = {
        "data": Path(config["data"]).name, "recipe": recipe, "device": str(Device.here()),
        "rows": [{**vars(r), "mean": r.mean, "std": r.std} for r in rows],
        "latency": timed, "environment": environment(),
    }  # fmt: skip
    write_results(out, record, backbones)
    _image(rows, record, out.with_name(out.name + ".png"))


def _image(rows: list[Row], record: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.subplots()
    for row, marker in zip(rows, _MARKERS, strict=False):
        line = axes.errorbar(
            row.latency_ms["fp32"], row.mean, yerr=row.std, fmt=marker, ms=8, capsize=3,
            label=f"{row.name} ({human_count(row.params)} params)",
        )  # fmt: skip
        colour = line[0].get_color()
        axes.plot(row.latency_ms["int8"], row.mean, marker, ms=8, mfc="none", color=colour)
    axes.set_xscale("log")
    axes.set_xlabel(
        f"measured latency, ms: filled fp32, open int8 (ONNX Runtime, {record['device']})"
    )
    recipe = record["recipe"]
    axes.set_ylabel(f"top-1 %, {record['data']} at {recipe['input_size']} px")
    seeds = max(len(row.top1) for row in rows)
    axes.set_title(
        f"one recipe, {recipe['epochs']} epochs, {seeds} seeds (bars: standard deviation)"
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    t = verbs.add_parser("train")
    t.add_argument("--data", type=Path, required=True)
    t.add_argument("--recipe", required=True)
    t.add_argument("--epochs", type=int)
    t.add_argument("--networks", nargs="+", required=True)
    t.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    t.add_argument("--device", default="auto")
    t.add_argument("--workers", type=int, default=0)
    t.add_argument("--threads", type=int, default=1)
    t.set_defaults(run=train)
    w = verbs.add_parser("table")
    w.add_argument("--results", type=Path, required=True)
    w.add_argument("--rounds", type=int, default=60)
    w.set_defaults(run=table)
    for sub in (t, w):
        sub.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
