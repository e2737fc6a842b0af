"""Does the searched network beat random ones, MobileNetV2 and FBNet-C at equal measured latency?

    python benchmarks/equal_latency.py plan  --table T.latency.json --target-ms 0.2 --out DIR
    python benchmarks/equal_latency.py train --out DIR --data cifar10
  python benchmarks/equal_latency.py plan  --table T.latency.json --target-ms 0.2 --out DIR --search RUN
    python benchmarks/equal_latency.py train --out DIR --data cifar10
    python benchmarks/equal_latency.py table --out DIR --results results/NAME

``plan`` draws random networks of the space predicted at the target and scales MobileNetV2 and FBNet-C
by their width until their *measured* latency is nearest to it; with ``--search`` the searched network
joins them, and all are measured side by side. ``train`` trains what is not trained yet, with one
recipe and several seeds, a process a core; it can be interrupted and repeated. ``table`` writes the
table, the records and the image.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tables import equal_latency as render_table, write_results

from pocketeye.latency.device import Device
from pocketeye.latency.drift import measure_session
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models import Architecture, BlockSpec, count, create_model
from pocketeye.models.backbones.fbnet import architectures
from pocketeye.models.space import SearchSpace, scale_chs
from pocketeye.provenance import environment, git_hash, now
from pocketeye.runs import RunFolder, write_atomic, write_json
from pocketeye.runtimes import get_runtime

# MobileNetV2 (arXiv 1801.04381, table 2): expansion, channels, blocks; ReLU for ReLU6.
_MOBILENET_V2 = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
)
# For 32-pixel images: the stem halves, then maps of 16, 8 and 4 pixels as in the searched space.
_STRIDES = (1, 1, 2, 2, 1, 1, 1)
_WIDTHS = [w / 100 for w in range(6, 61, 3)]


def mobilenet_v2(width: float, space: SearchSpace) -> Architecture:
    """MobileNetV2 at any width, with the input, stem stride and classes of ``space``."""
    stem_chs = scale_chs(32, width, 4)
    blocks, in_chs = [], stem_chs
    for (expansion, chs, depth), stride in zip(_MOBILENET_V2, _STRIDES, strict=True):
        out_chs = scale_chs(chs, width, 4)
        for layer in range(depth):
            op = "k3_e1_nopw" if expansion == 1 else f"k3_e{expansion}"
            blocks.append(
                BlockSpec(op=op, in_chs=in_chs, out_chs=out_chs, stride=stride if not layer else 1)
            )
            in_chs = out_chs
    return _net(f"mobilenetv2_{width:.2f}", space, stem_chs, blocks, scale_chs(1280, width, 4))


def fbnet_c(width: float, space: SearchSpace) -> Architecture:
    """FBNet-C's rows at any width, with the input, stem stride and classes of ``space``."""
    stages = architectures()["fbnet_c"].stages()
    blocks = [
        BlockSpec(
            op=b.op,
            in_chs=scale_chs(b.in_chs, width, 4),
            out_chs=scale_chs(b.out_chs, width, 4),
            stride=stride if number == 0 else 1,
        )
        for stage, stride in zip(stages, _STRIDES, strict=True)
        for number, b in enumerate(stage)
    ]
    return _net(
        f"fbnet_c_{width:.2f}", space, scale_chs(16, width, 4), blocks, scale_chs(1984, width, 4)
    )


def _net(
    name: str, space: SearchSpace, stem_chs: int, blocks: list[BlockSpec], head_chs: int
) -> Architecture:
    return Architecture(
        name=name,
        input_size=space.input_size,
        stem=BlockSpec(
            op="conv3", in_chs=space.in_chans, out_chs=stem_chs, stride=space.stem_stride
        ),
        blocks=tuple(blocks),
        head=BlockSpec(op=f"head{head_chs}", in_chs=blocks[-1].out_chs, out_chs=space.num_classes),
    )


def plan(args: argparse.Namespace) -> None:
    table = LatencyTable.load(args.table)
    args.out.mkdir(parents=True, exist_ok=True)
    nets = _rivals(args, table)
    if args.search:
        nets.insert(0, Architecture.load(args.search / "architecture.json").with_(name="searched"))
    latencies = _measure(nets, table, args.rounds)
    rows = []
    for net in nets:
        net.save(args.out / f"{net.name}.json")
        shape = (net.in_chans, net.input_size, net.input_size)
        counts = count(create_model(args.out / f"{net.name}.json"), shape)
        rows.append({"name": net.name, "latency_ms": latencies[net.name], **asdict(counts)})
        print(f"{net.name:18s} {latencies[net.name]:.4f} ms  {counts.macs / 1e6:.2f} MMACs")
    header = table.header
    record = {"rows": rows, "target_ms": args.target_ms, "device": asdict(Device.here()),
              "runtime": header.runtime, "runtime_version": header.runtime_version,
              "threads": header.threads, "precision": header.precision, "measured_at": now(),
              "git": git_hash()}  # fmt: skip
    write_json(args.out / "plan.json", record)


def _rivals(args: argparse.Namespace, table: LatencyTable) -> list[Architecture]:
    """Random networks near the target, and the scaled ones nearest to it; kept once chosen."""
    if (args.out / "plan.json").is_file():
        names = [row["name"] for row in json.loads((args.out / "plan.json").read_text())["rows"]]
        return [Architecture.load(args.out / f"{n}.json") for n in names if n != "searched"]
    space = SearchSpace.from_dict(table.header.space)
    rng = random.Random(args.seed)
    nets: list[Architecture] = []
    while len(nets) < args.random:
        net = space.sample(rng, f"random_{len(nets)}")
        if abs(table.predict(net) / args.target_ms - 1) < args.band:
            nets.append(net)
    for family in (mobilenet_v2, fbnet_c):
        scaled = [family(width, space) for width in _WIDTHS]
        latencies = _measure(scaled, table)
        nets.append(min(scaled, key=lambda n: abs(latencies[n.name] / args.target_ms - 1)))
    return nets


def _measure(nets: list[Architecture], table: LatencyTable, rounds: int = 40) -> dict[str, float]:
    """Milliseconds at the speed the machine had when the table was made."""
    session = measure_session(
        table,
        nets,
        runtime=get_runtime(table.header.runtime),
        protocol=Protocol(rounds=rounds),
    )
    print(f"measured {len(nets)} networks, drift of the machine {session.drift:+.1%}", flush=True)
    return {n.name: ms for n, ms in zip(nets, session.at_table_speed(), strict=True)}


def train(args: argparse.Namespace) -> None:
    rows = json.loads((args.out / "plan.json").read_text())["rows"]
    names = [row["name"] for row in rows if row["name"].startswith(tuple(args.only))]
    jobs = [
        (name, seed, args) for seed in args.seeds for name in names
        if not (args.out / f"{name}-{seed}.result.json").is_file()
    ]  # fmt: skip
    context = multiprocessing.get_context("spawn")
    cores = context.Queue()
    for core in args.cores:
        cores.put(core)
    with context.Pool(len(args.cores), _pin, (cores,)) as pool:
        for done, line in enumerate(pool.imap_unordered(_train_one, jobs), 1):
            print(f"{done}/{len(jobs)} {line}", flush=True)


def _pin(cores: Any) -> None:
    import torch

    torch.set_num_threads(1)
    os.sched_setaffinity(0, {cores.get()})


def _train_one(job: tuple[str, int, argparse.Namespace]) -> str:
    from pocketeye.data.classification.images import load_images
    from pocketeye.training.classify.fit import fit
    from pocketeye.training.classify.recipe import ClassifyRecipe

    name, seed, args = job
    train = load_images(args.data, "train")
    config = ClassifyRecipe.load(
        args.recipe, epochs=args.epochs, seed=seed, device="cpu", threads=1
    )
    folder = args.out / f"{name}-{seed}"
    run = RunFolder.open(folder, config.to_dict(), overwrite=True)
    import torch

    torch.manual_seed(seed)
    model = create_model(args.out / f"{name}.json")
    result = fit(model, train, load_images(args.data, "val"), config, run)
    write_atomic(
        args.out / f"{name}-{seed}.result.json",
        json.dumps({"name": name, "seed": seed, "top1": result.value, "seconds": result.seconds,
                    "images": len(train), "epochs": config.epochs, "recipe": config.to_dict(),
                    "data": str(Path(args.data).name)}) + "\n",
    )  # fmt: skip
    return f"{name} seed {seed}: top-1 {result.value:.4f} in {result.seconds:.0f} s"


def table(args: argparse.Namespace) -> None:
    record = json.loads((args.out / "plan.json").read_text())
    results = [json.loads(p.read_text()) for p in sorted(args.out.glob("*.result.json"))]
    for row in record["rows"]:
        scores = [r["top1"] for r in results if r["name"] == row["name"]]
        row |= {"top1": scores, "mean": statistics.mean(scores), "seeds": len(scores),
                "std": statistics.stdev(scores) if len(scores) > 1 else 0.0}  # fmt: skip
    record |= {"training": {k: results[0][k] for k in ("data", "images", "epochs", "recipe")},
               "seconds_per_training": statistics.mean(r["seconds"] for r in results),
               "environment": environment()}  # fmt: skip
    write_results(args.results, record, render_table)
    _image(record, args.results.with_name(args.results.name + ".png"))


def _image(record: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    styles = {"searched": ("D", "#c1272d"), "random": ("o", "#888888"),
              "mobilenetv2": ("s", "#0072b2"), "fbnet_c": ("^", "#009e73")}  # fmt: skip
    for family, (marker, colour) in styles.items():
        rows = [row for row in record["rows"] if row["name"].startswith(family)]
        label = f"{len(rows)} random" if family == "random" else rows[0]["name"]
        axes.errorbar(
            [row["latency_ms"] for row in rows], [100 * row["mean"] for row in rows],
            yerr=[100 * row["std"] for row in rows], fmt=marker, color=colour, label=label,
            capsize=2, ms=8,
        )  # fmt: skip
    device = record["device"]
    axes.set_xlabel(
        f"measured latency, ms ({device['cpu']}, {record['runtime']} {record['precision']}, "
        f"{record['threads']} thread)"
    )
    training = record["training"]
    axes.set_ylabel(f"top-1 %, {training['data']} (bars: standard deviation over seeds)")
    axes.set_title(f"{training['images']} images, {training['epochs']} epochs, one recipe")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    p = verbs.add_parser("plan")
    p.add_argument("--table", type=Path, required=True)
    p.add_argument("--target-ms", type=float, required=True)
    p.add_argument("--search", type=Path)
    p.add_argument("--random", type=int, default=8)
    p.add_argument("--rounds", type=int, default=150, help="visits in the final measurement")
    p.add_argument("--band", type=float, default=0.02)
    p.add_argument("--seed", type=int, default=123)
    p.set_defaults(run=plan)
    t = verbs.add_parser("train")
    t.add_argument("--data", required=True)
    t.add_argument("--recipe", default="cifar10-short")
    t.add_argument("--epochs", type=int)
    t.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    t.add_argument("--only", nargs="+", default=[""], help="beginnings of names")
    t.add_argument("--cores", type=int, nargs="+", default=[0, 1], help="a process on each")
    t.set_defaults(run=train)
    w = verbs.add_parser("table")
    w.add_argument("--results", type=Path, required=True)
    w.set_defaults(run=table)
    for sub in (p, t, w):
        sub.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
