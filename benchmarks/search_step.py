"""What a step of the search costs beside a plain training step of FBNet-C.

    python benchmarks/search_step.py --input-size 224 --batch 4 --threads 1

All variants run in one process, a round of each in turn, so that whatever else the machine does
falls on all of them; the ratio is between medians. With one thread the clock is the CPU time of the
process, which other processes do not add to, else wall time; the record holds both. The two steps
of ``naive`` are the same code: how far their times differ is the noise of the run. An image costs
0.8 of a weight step and 0.2 of a theta step, as 80 % of the images train weights. Peak memory is
that of a process of its own.

plain   forward, backward and SGD step of FBNet-C
fast    one random path; theta on the exact mixture, weights frozen
paper   the mixture in both steps, weights frozen in theta steps
naive   the mixture by plain autograd, gradients of weights and theta in both steps, NCHW
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.models import create_model, load_space
from pocketeye.models.space import SearchSpace
from pocketeye.provenance import cpu_name, now
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import Theta, generator, gumbel

VARIANTS = ("plain", "fast", "paper", "naive")
THETA_SHARE = 0.2
Step = Callable[[], None]


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)


class Bench:
    """The steps of one variant on fixed images."""

    def __init__(self, variant: str, space: SearchSpace, batch: int, layout: str) -> None:
        torch.manual_seed(0)
        self.variant, self.space, self.rng = variant, space, random.Random(0)
        channels_last = layout == "channels_last" and variant != "naive"
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        size = space.input_size
        self.images = torch.randn(batch, 3, size, size).contiguous(memory_format=self.format)
        self.labels = torch.randint(space.num_classes, (batch,))
        self.draws = 0
        net = (
            create_model("fbnet_c", num_classes=space.num_classes)
            if variant == "plain"
            else SuperNet(space)
        )
        self.net = net.train().to(memory_format=self.format)
        self.optimiser = sgd(self.net)
        if isinstance(self.net, SuperNet):
            ms = torch.rand(self.net.mask.shape)
            self.theta = Theta(self.net.mask, ms, 1.0)
            self.theta_optimiser = torch.optim.Adam(self.theta.parameters(), lr=0.01)

    def steps(self) -> dict[str, Step]:
        """Weight step and theta step, as seconds are to be counted."""
        if self.variant == "plain":
            return {"w": self.plain}
        if self.variant == "fast":
            return {"w": self.path, "theta": self.theta_step}
        if self.variant == "paper":
            return {"w": self.mixture_step, "theta": self.theta_step}
        return {"w": self.naive, "theta": self.naive}

    def plain(self) -> None:
        self.finish(self.net(self.images), self.optimiser)

    def path(self) -> None:
        choices = [
            self.space.ops.index(op) for op in self.space.choices(self.space.sample(self.rng))
        ]
        self.hold(weights=False)
        self.finish(self.net.forward_path(self.images, choices), self.optimiser)

    def mixture_step(self) -> None:
        self.hold(weights=False)
        weights, _ = self.mixture()
        self.finish(self.net.forward_mixture(self.images, weights.detach()), self.optimiser)

    def theta_step(self) -> None:
        self.hold(weights=True)
        weights, latency = self.mixture()
        with self.net.batch_statistics_only():
            logits = self.net.forward_mixture(self.images, weights)
        self.finish(logits, self.theta_optimiser, latency)

    def naive(self) -> None:
        weights, latency = self.mixture()
        x = self.net.stem(self.images)
        for number, layer in enumerate(self.net.layers):
            x = sum(
                weights[number, self.space.ops.index(op)] * block(x) for op, block in layer.items()
            )
        self.finish(self.net.head(x), self.optimiser, latency)

    def hold(self, *, weights: bool) -> None:
        self.net.requires_grad_(not weights)

    def mixture(self) -> tuple[Tensor, Tensor]:
        self.draws += 1
        weights = self.theta.mixture(gumbel(tuple(self.net.mask.shape), generator(self.draws)), 1.0)
        return weights, self.theta.latency(weights)

    def finish(
        self, logits: Tensor, optimiser: torch.optim.Optimizer, latency: Tensor | None = None
    ) -> None:
        loss = F.cross_entropy(logits, self.labels)
        (loss if latency is None else loss + 0.1 * latency).backward()
        optimiser.step()
        self.net.zero_grad(set_to_none=True)
        optimiser.zero_grad(set_to_none=True)


def timed(step: Step) -> tuple[float, float]:
    """Seconds of CPU time of this process, and of wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return time.process_time() - cpu, time.perf_counter() - wall


def peak_mib(variant: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--only", variant, "--input-size", arguments.input_size,
               "--batch", arguments.batch, "--threads", arguments.threads,
               "--layout", arguments.layout]  # fmt: skip
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(arguments: argparse.Namespace) -> list[dict[str, float | str]]:
    # first, as a process passes its own peak on to its children
    peaks = {variant: peak_mib(variant, arguments) for variant in VARIANTS}
    space = load_space("fbnet").with_(input_size=arguments.input_size, num_classes=100)
    benches = [Bench(v, space, arguments.batch, arguments.layout) for v in VARIANTS]
    steps = {(b.variant, kind): step for b in benches for kind, step in b.steps().items()}
    samples: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in steps}
    for number in range(arguments.rounds + 1):
        for key, step in steps.items():
            # a random path differs from step to step: several of them a round
            repeat = 4 if key == ("fast", "w") else 1
            spent = [timed(step) for _ in range(repeat)]
            if number:  # the first round warms up
                cpu, wall = (sum(column) / repeat for column in zip(*spent, strict=True))
                samples[key].append((cpu, wall))
    clock = 0 if arguments.threads == 1 else 1
    seconds = {key: [pair[clock] for pair in pairs] for key, pairs in samples.items()}
    walls = {key: statistics.median(pair[1] for pair in pairs) for key, pairs in samples.items()}
    rows: list[dict[str, float | str]] = []
    for variant in VARIANTS:
        weight = statistics.median(seconds[variant, "w"]) / arguments.batch
        theta = statistics.median(seconds.get((variant, "theta"), [0.0])) / arguments.batch
        image = weight if variant == "plain" else (1 - THETA_SHARE) * weight + THETA_SHARE * theta
        rows.append({"variant": variant, "weight_ms": 1e3 * weight, "theta_ms": 1e3 * theta,
                     "weight_wall_ms": 1e3 * walls[variant, "w"] / arguments.batch,
                     "theta_wall_ms": 1e3 * walls.get((variant, "theta"), 0.0) / arguments.batch,
                     "image_ms": 1e3 * image, "peak_mib": peaks[variant]})  # fmt: skip
    for row in rows:
        row["ratio"] = float(row["image_ms"]) / float(rows[0]["image_ms"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layout", choices=("channels_last", "nchw"), default="channels_last")
    parser.add_argument("--out", type=Path, default=Path("search_step.json"))
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only:
        space = load_space("fbnet").with_(input_size=arguments.input_size, num_classes=100)
        for step in (
            Bench(arguments.only, space, arguments.batch, arguments.layout).steps().values()
        ):
            step()
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(kib / (1024**2 if platform.system() == "Darwin" else 1024))
        return
    rows = measure(arguments)
    print(
        "| variant | weight step, ms/image | theta step, ms/image | ms/image | x plain | peak MiB |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for r in rows:
        theta = f"{r['theta_ms']:.1f}" if r["theta_ms"] else "-"
        print(f"| {r['variant']} | {r['weight_ms']:.1f} | {theta} | {r['image_ms']:.1f} "
              f"| {r['ratio']:.2f} | {r['peak_mib']:.0f} |")  # fmt: skip
    record = {
        "benchmark": "search_step", "date": now(), "cpu": cpu_name(), "torch": torch.__version__,
        "input_size": arguments.input_size, "batch": arguments.batch, "threads": arguments.threads,
        "clock": "process CPU" if arguments.threads == 1 else "wall",
        "rounds": arguments.rounds, "layout": arguments.layout, "rows": rows,
    }  # fmt: skip
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
