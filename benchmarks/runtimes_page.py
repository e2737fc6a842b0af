"""Accuracy, latency and size of trained networks over all runtimes and precisions, in one page.

    python benchmarks/runtimes_page.py --results results/runtimes-DEVICE \\
        --judge casvit_xs.tiny_imagenet_24=tiny-imagenet-24 --judge tf_efficientnet_lite0=imagenet-sample

Each network is exported to every runtime that is installed, in every precision that it has, and judged
on the validation images of its data where it has weights here; peers and networks without weights are
timed alone. What was exported and judged stays in ``--scratch``, so that a run that was broken off goes
on. Latencies are measured at the end, all files interleaved. A cell that a runtime refuses stays in the
page, with the sentence why.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from tables import runtimes_page, write_results

from pocketeye.errors import UserError
from pocketeye.exporting.bench.cells import Cell, artifact_cell
from pocketeye.exporting.timing import record_of
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.provenance import environment
from pocketeye.runs import MANIFEST
from pocketeye.runtimes import PACKAGES, available_runtimes, get_runtime
from pocketeye.verbs.evaluate.verb import evaluate
from pocketeye.verbs.export import export

NETWORKS = (
    "casvit_xs.tiny_imagenet_24", "fbnet_c", "tf_efficientnet_lite0", "mobilenetv4_conv_small",
)  # fmt: skip
# Others that aim at CPUs; those that this timm does not have are left out.
PEERS = (
    "iformer_t", "cpubone_b0_bfrobust", "lowformer_b0", "lcnetv2_base", "repvit_m0_9", "fastvit_t8",
)  # fmt: skip
PRETRAINED = ("tf_efficientnet_lite0",)
_BUNDLED = Path(__file__).resolve().parents[1] / "src/pocketeye/weights"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A network in one runtime at one precision."""

    network: str
    runtime: str
    precision: str
    data: str | None

    @property
    def name(self) -> str:
        return f"{self.network}/{self.runtime}-{self.precision}"


def wanted(args: argparse.Namespace) -> Iterator[Wanted]:
    data = dict(one.split("=", 1) for one in args.judge)
    here = [name for name, version in available_runtimes().items() if version]
    for network in (*args.networks, *args.peers):
        if network in PEERS and not timm.is_model(network):
            print(f"{network} is not in this timm: left out", flush=True)
            continue
        for name in args.runtimes or here:
            if name.startswith("browser") or not get_runtime(name).runs_here:
                continue
            for precision in get_runtime(name).precisions:
                if network in args.networks or precision == "fp32":
                    yield Wanted(network=network, runtime=name, precision=precision,
                                 data=data.get(network))  # fmt: skip


def is_trained(network: str) -> bool:
    """Tell whether weights of a network are here."""
    return network in PRETRAINED or (_BUNDLED / network).is_dir()


def made(one: Wanted, args: argparse.Namespace) -> dict[str, Any]:
    """Export and judge a cell, or take what an earlier run left of it."""
    folder = args.scratch / one.name
    note = folder.with_suffix(".json")
    if note.is_file() and (folder / MANIFEST).is_file():
        kept: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return kept
    found: dict[str, Any] = {"problem": None, "verdict": None, "top1": None}
    bundled = _BUNDLED / one.network
    try:
        result = export(
            str(bundled) if bundled.is_dir() else one.network, to=one.runtime,
            precision=one.precision, out=folder, data=one.data, samples=args.samples,  # type: ignore[arg-type]
            pretrained=one.network in PRETRAINED,
        )  # fmt: skip
        found |= {"verdict": result.status, "size_bytes": result.size_bytes}
        if one.data is not None:
            judged: Any = evaluate(str(folder), data=one.data, threads=1)
            found["top1"] = judged.result.report.top1
    except UserError as error:
        found["problem"] = str(error)
    except (RuntimeError, NotImplementedError) as error:  # what converters raise
        found["problem"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(found), encoding="utf-8")
    return found


def timed(cells: dict[Wanted, Cell], rounds: int) -> dict[Wanted, dict[str, Any]]:
    """Time all cells in one go."""
    calls = {
        one.name: cell.executable.bind(*cell.arrays)
        for one, cell in cells.items()
        if cell.executable is not None
    }
    protocol = Protocol(rounds=rounds)
    measured = measure_interleaved(calls, protocol, threads=1)
    return {
        one: record_of(
            one.network, measured[one.name], runtime=get_runtime(one.runtime),
            precision=cell.artifact.precision, threads=1, protocol=protocol,
            input_size=cell.input_size,
        ).to_dict()
        for one, cell in cells.items()
        if cell.artifact is not None and one.name in measured
    }  # fmt: skip


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw latency against size, a colour for each runtime and a mark for each precision."""
    import matplotlib as mpl
    import matplotlib.ticker

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    marks = {"fp32": "o", "fp16": "s", "int8": "^"}
    colours = {name: f"C{n}" for n, name in enumerate(PACKAGES)}
    for row in rows:
        if row["record"] is None:
            continue
        x, y = row["record"]["latency_ms"], row["size_bytes"] / 1e6
        axes.scatter(x, y, marker=marks[row["precision"]], color=colours[row["runtime"]])
        if row["runtime"] == "onnxruntime" and row["precision"] == "fp32":
            axes.annotate(row["network"], (x, y), (4, 4), textcoords="offset points", fontsize=8)
    for name in dict.fromkeys(row["runtime"] for row in rows):
        axes.scatter([], [], color=colours[name], label=name)
    for precision, mark in marks.items():
        axes.scatter([], [], color="0.4", marker=mark, label=precision)
    axes.set(xscale="log", yscale="log", xlabel="ms, one thread", ylabel="MB of the file")
    for axis in (axes.xaxis, axes.yaxis):  # plain numbers: a page spans one decade or two
        axis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axis.set_minor_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--peers", nargs="*", default=PEERS)
    parser.add_argument("--runtimes", nargs="*", help="all that are installed by default")
    parser.add_argument("--judge", action="append", default=[], metavar="NETWORK=DATA")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--scratch", type=Path, default=Path("out/runtimes-page"))
    args = parser.parse_args()
    notes: dict[Wanted, dict[str, Any]] = {}
    cells: dict[Wanted, Cell] = {}
    for one in wanted(args):
        notes[one] = made(one, args)
        print(f"{one.name}: {notes[one]['problem'] or notes[one]['verdict']}", flush=True)
        if notes[one]["problem"] is None:
            cells[one] = artifact_cell(args.scratch / one.name, threads=1)
    records = timed(cells, args.rounds)
    rows = [
        {"network": one.network, "runtime": one.runtime, "precision": one.precision,
         "peer": one.network in args.peers, "trained": is_trained(one.network),
         "data": one.data, "record": records.get(one), **note}
        for one, note in notes.items()
    ]  # fmt: skip
    versions = {one.runtime: get_runtime(one.runtime).version() for one in notes}
    record = {"rows": rows, "versions": versions, "device": str(Device.here()),
              "environment": environment()}  # fmt: skip
    write_results(args.results, record, runtimes_page)
    draw(rows, args.results.with_name(args.results.name + ".png"))


if __name__ == "__main__":
    main()
