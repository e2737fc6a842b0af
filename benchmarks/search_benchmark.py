"""Can a search beat a lucky guess? Networks of one latency, drawn at random, trained to the end.

    python benchmarks/search_benchmark.py plan   --table T.latency.json --target-ms 0.16 --out DIR
    python benchmarks/search_benchmark.py train  --out DIR --data CIFAR10      # days; repeat to go on
    python benchmarks/search_benchmark.py add    --out DIR --table T.latency.json RUN [RUN ...]
    python benchmarks/search_benchmark.py report --out DIR --results results/NAME

``plan`` says how wide the space is at the target and draws random networks whose *measured* latency
lies in the band. ``train`` trains them one after another, each once, then the best and the three in
the middle with two more seeds; it may be killed at any time and repeated. ``add`` measures searched
networks (folders of ``pocketeye search``) beside them; a searched run counts with the accuracy it ended
with, or is trained like the others where it has none. ``report`` writes what can be said.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tables import search_benchmark as render_table, write_results

from pocketeye.latency.device import Device
from pocketeye.latency.drift import measure_session
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models import Architecture, count, create_model
from pocketeye.models.space import SearchSpace
from pocketeye.provenance import environment, git_hash, now
from pocketeye.runs import CONFIG, RESULT, write_json
from pocketeye.runtimes import get_runtime

_SPREAD = 200  # networks that say how wide a space is
_DRAWN_WIDER = (
    4  # predictions err by some per cent: drawn from a band this much wider, then measured
)
_EXTRA_SEEDS = (1, 2)
_NUM_MIDDLE = 3  # networks around the median that are trained with the extra seeds, as the best is


def plan(args: argparse.Namespace) -> None:
    table = LatencyTable.load(args.table)
    space = SearchSpace.from_dict(table.header.space)
    args.out.mkdir(parents=True, exist_ok=True)
    if (args.out / "plan.json").is_file():
        sys.exit(f"{args.out} has a plan already: go on with train, or name another folder")
    rng = random.Random(args.seed)
    spread = [table.predict(space.sample(rng)) for _ in range(_SPREAD)]
    inside = [abs(ms / args.target_ms - 1) <= args.band for ms in spread]
    nets = _nets_in_band(table, space, rng, args)
    rows = []
    for net, ms in nets:
        net.save(args.out / f"{net.name}.json")
        rows.append(_row(args.out, net, ms, table.predict(net)))
    record = {
        "space": space.name, "target_ms": args.target_ms, "band": args.band,
        "spread_ms": np.percentile(spread, [0, 5, 50, 95, 100]).tolist(),
        "share_in_band": sum(inside) / len(inside),
        "networks_in_space": float(space.num_architectures()),
        "rows": rows, "device": asdict(Device.here()), "runtime": table.header.runtime,
        "runtime_version": table.header.runtime_version, "threads": table.header.threads,
        "precision": table.header.precision, "measured_at": now(), "git": git_hash(),
    }  # fmt: skip
    _write(args.out / "plan.json", record)
    print(f"{len(rows)} networks of {space.name} within {args.band:.0%} of {args.target_ms:g} ms")


def _nets_in_band(
    table: LatencyTable, space: SearchSpace, rng: random.Random, args: argparse.Namespace
) -> list[tuple[Architecture, float]]:
    """Draw networks until enough of them measure inside the band."""
    chosen: list[tuple[Architecture, float]] = []
    seen = set()
    while len(chosen) < args.random:
        drawn = []
        while len(drawn) < 2 * args.random:
            net = space.sample(rng, f"drawn_{len(seen)}")
            near = abs(table.predict(net) / args.target_ms - 1) <= _DRAWN_WIDER * args.band
            if near and str(net) not in seen:
                seen.add(str(net))
                drawn.append(net)
        for net, ms in zip(drawn, _measure(table, drawn, args.rounds), strict=True):
            if abs(ms / args.target_ms - 1) <= args.band and len(chosen) < args.random:
                chosen.append((net.with_(name=f"random_{len(chosen)}"), ms))
    return chosen


def _measure(table: LatencyTable, nets: Sequence[Architecture], rounds: int) -> tuple[float, ...]:
    """Return milliseconds at the speed the machine had when the table was made."""
    runtime = get_runtime(table.header.runtime)
    session = measure_session(table, nets, runtime=runtime, protocol=Protocol(rounds=rounds))
    print(f"measured {len(nets)} networks, drift of the machine {session.drift:+.1%}", flush=True)
    return session.at_table_speed()


def _row(out: Path, net: Architecture, ms: float, predicted: float) -> dict[str, Any]:
    counts = count(
        create_model(out / f"{net.name}.json"), (net.in_chans, net.input_size, net.input_size)
    )
    return {"name": net.name, "latency_ms": ms, "predicted_ms": predicted,
            "choices": [block.op for block in net.blocks], **asdict(counts)}  # fmt: skip


def train(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    while (job := _next_job(args.out)) is not None:
        name, seed = job
        folder = args.out / f"{name}-{seed}"
        command = [
            sys.executable, "-m", "pocketeye", "train", "classify", str(args.out / f"{name}.json"),
            "--data", args.data, "--recipe", args.recipe, "--seed", str(seed), "--threads", "1",
            "--device", "cpu", "--out", str(folder),
        ]  # fmt: skip
        # A run that was killed goes on: its checkpoint makes it equal to one that was not.
        command += ["--resume"] if (folder / CONFIG).is_file() else []
        print(f"{now()} {name} seed {seed}", flush=True)
        done = subprocess.run(command, env=os.environ, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}; repeat to go on")
        print(f"{now()} {name} seed {seed}: {_accuracy(args.out, name, seed):.4f}", flush=True)


def _next_job(out: Path) -> tuple[str, int] | None:
    """Return the next training, or None: all networks once, then extra seeds of some."""
    rows = json.loads((out / "plan.json").read_text())["rows"]
    names = [row["name"] for row in rows if "top1" not in row]
    missing = [(name, 0) for name in names if not (out / f"{name}-0" / RESULT).is_file()]
    if missing:
        return missing[0]
    drawn = [name for name in names if name.startswith("random")]
    ranked = sorted(drawn, key=lambda name: -_accuracy(out, name, 0))
    first = (len(ranked) - _NUM_MIDDLE) // 2
    again = dict.fromkeys([ranked[0], *ranked[first : first + _NUM_MIDDLE]])
    again |= dict.fromkeys(name for name in names if name not in drawn)
    jobs = [(name, seed) for seed in _EXTRA_SEEDS for name in again]
    return next((j for j in jobs if not (out / f"{j[0]}-{j[1]}" / RESULT).is_file()), None)


def _accuracy(out: Path, name: str, seed: int) -> float:
    return float(json.loads((out / f"{name}-{seed}" / RESULT).read_text())["value"])


def add(args: argparse.Namespace) -> None:
    table = LatencyTable.load(args.table)
    path = args.out / "plan.json"
    record = json.loads(path.read_text())
    known = {row["name"] for row in record["rows"]}
    nets = [
        Architecture.load(run / "architecture.json").with_(name=f"searched_{run.name}")
        for run in args.runs
    ]
    nets = [net for net in nets if net.name not in known]
    for net, ms in zip(nets, _measure(table, nets, args.rounds), strict=True):
        net.save(args.out / f"{net.name}.json")
        record["rows"].append(_row(args.out, net, ms, table.predict(net)))
    _write(path, record)


def report(args: argparse.Namespace) -> None:
    record = json.loads((args.out / "plan.json").read_text())
    for row in record["rows"]:
        folders = sorted(args.out.glob(f"{row['name']}-*"))
        done = [json.loads((f / RESULT).read_text()) for f in folders if (f / RESULT).is_file()]
        row["top1"] = [each["value"] for each in done]
        row["seconds"] = [each["seconds"] for each in done]
    record["rows"] = [row for row in record["rows"] if row["top1"]]
    record["summary"] = summary(record["rows"])
    record["environment"] = environment()
    write_results(args.results, record, render_table)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, spread and best of the random networks, and the noise between seeds.

    The spread *between networks* is what is left of the variance of single trainings once the noise
    between seeds is taken out: no search can gain much more than twice that.
    """
    drawn = [row for row in rows if row["name"].startswith("random")]
    first = [row["top1"][0] for row in drawn]
    repeated = [row["top1"] for row in rows if len(row["top1"]) > 1]
    degrees = sum(len(scores) - 1 for scores in repeated)
    squares = sum((x - statistics.mean(scores)) ** 2 for scores in repeated for x in scores)
    noise = math.sqrt(squares / degrees) if degrees else None
    total = statistics.variance(first) if len(first) > 1 else None
    between = None if noise is None or total is None else math.sqrt(max(0.0, total - noise**2))
    mean = statistics.mean(first)
    # Of the mean over so many networks, 95 %: by the normal law, which 16 come near to.
    margin = 1.96 * math.sqrt(total / len(first)) if total is not None else None
    return {
        "num": len(first), "mean": mean, "mean_margin": margin, "std": total and math.sqrt(total),
        "best": max(first), "noise": noise, "noise_degrees": degrees, "between": between,
    }  # fmt: skip


def _write(path: Path, record: dict[str, Any]) -> None:
    write_json(path, record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    p = verbs.add_parser("plan")
    p.add_argument("--target-ms", type=float, required=True)
    p.add_argument("--random", type=int, default=16)
    p.add_argument("--band", type=float, default=0.03)
    p.add_argument("--seed", type=int, default=16)
    p.set_defaults(run=plan)
    t = verbs.add_parser("train")
    t.add_argument("--data", required=True)
    t.add_argument("--recipe", default="cifar10-compare")
    t.set_defaults(run=train)
    a = verbs.add_parser("add")
    a.add_argument("runs", type=Path, nargs="+")
    a.set_defaults(run=add)
    for sub in (p, a):
        sub.add_argument("--table", type=Path, required=True)
        sub.add_argument("--rounds", type=int, default=100, help="visits of a network")
    r = verbs.add_parser("report")
    r.add_argument("--results", type=Path, required=True)
    r.set_defaults(run=report)
    for sub in (p, t, a, r):
        sub.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
