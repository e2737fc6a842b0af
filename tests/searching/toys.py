"""A space, a latency table and images small enough for a search to take a second or two."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from pocketeye.data import ImageSet, load_images
from pocketeye.latency.calibration import Calibration
from pocketeye.latency.device import Device
from pocketeye.latency.record import Timing
from pocketeye.latency.table import LatencyTable, Row, TableHeader
from pocketeye.models.ops import InvertedResidualOp
from pocketeye.models.space import SearchSpace, StageSpec
from pocketeye.runs import RunFolder
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.problem import Classification
from pocketeye.searching.run import SearchOutcome, run_search
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import Theta

SPACE = SearchSpace(
    name="tiny",
    input_size=8,
    stages=(StageSpec(chs=8, depth=2), StageSpec(chs=16, depth=2, stride=2)),
    candidates=("k3_e1", "k3_e1_g2", "k5_e3", "k3_e6", "skip"),
    stem_chs=8,
    stem_stride=1,
    head_chs=16,
    in_chans=1,
    num_classes=10,
)
FIXED_MS = 2.5  # stem 1.0, head 1.5


def block_ms(text: str) -> float:
    """Made up: dearer with kernel and expansion, and a little different at every layer shape."""
    name, _, shape = text.partition(":")
    if name.startswith("conv"):
        return 1.0
    if name.startswith("head"):
        return 1.5
    kernel, expansion = int(name[1]), int(name.split("_e")[1][0])
    cheaper = 0.8 if "_g2" in name else 1.0
    return cheaper * (0.4 + 0.1 * kernel + 0.5 * expansion) * (1 + 0.01 * len(shape))


def make_table(space: SearchSpace = SPACE) -> LatencyTable:
    rows = {}
    for placed in space.placed():
        if isinstance(placed.spec.parsed, InvertedResidualOp) or placed.spec.op != "skip":
            ms = block_ms(str(placed))
            timing = Timing(n=9, inner=1, p10_ms=ms, p50_ms=ms, p90_ms=ms, undisturbed_ms=ms)
            rows[str(placed)] = Row(timing=timing, halves_ms=(ms, ms), dropped=0.0)
    header = TableHeader(
        space=space.to_dict(), device=Device.here(), runtime="made-up", runtime_version="0",
        flags={}, layout="nchw", threads=1, precision="fp32", clock="thread_cpu", protocol={},
        overhead_ms=0.0, rounds=9, seed=0, date="2026-01-01T00:00:00+00:00", git=None,
    )  # fmt: skip
    plain = Calibration(
        fit="none", gain=1.0, block_ms=0.0, constant_ms=0.0, mape=0.0, loo_mape=0.0, candidates={},
        networks=(), measured_ms=(),
    )  # fmt: skip
    return LatencyTable(header=header, rows=rows, calibration=plain)


@lru_cache
def digits(count: int = 160) -> ImageSet:
    return load_images("digits").subset(np.arange(count))


def make_theta(net: SuperNet) -> Theta:
    costs = make_table(net.space).matrix(net.space)
    return Theta(net.mask, torch.from_numpy(costs.ms), costs.fixed_ms)


def random_choices(space: SearchSpace, rng: random.Random) -> list[int]:
    return [space.ops.index(op) for op in space.choices(space.sample(rng))]


def config(**changes: object) -> SearchConfig:
    """Three epochs, the first of them warm-up, four steps of each kind."""
    settings: dict[str, object] = {
        "epochs": 3, "warmup_epochs": 1, "batch_size": 32, "theta_batch_size": 8, "lr": 0.05,
        "target_ms": 7.0, "ramp_epochs": 1, "device": "cpu", "seed": 3,
    }  # fmt: skip
    return SearchConfig(**{**settings, **changes})  # type: ignore[arg-type]


def search(folder: Path, settings: SearchConfig, *, resume: bool = False) -> SearchOutcome:
    run = RunFolder.open(folder, settings.to_dict(), resume=resume)
    return run_search(SPACE, make_table(), Classification(digits()), settings, run, resume=resume)
