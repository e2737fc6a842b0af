"""A machine whose latencies are known, so that the arithmetic can be checked without timing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pocketeye.latency import build, protocol
from pocketeye.models.architecture import Architecture, PlacedBlock
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.models.ops import AdditiveOp, InvertedResidualOp, SkipOp
from pocketeye.models.size import sides
from pocketeye.models.space import SearchSpace, StageSpec

SPACE = SearchSpace(
    name="tiny",
    input_size=16,
    stages=(StageSpec(chs=8, depth=2), StageSpec(chs=16, depth=3, stride=2)),
    candidates=("k3_e1", "k3_e1_g2", "k3_e3", "k5_e3", "k3_e6", "skip"),
    stem_chs=8,
    head_chs=32,
    num_classes=10,
)
DENSE_SPACE = SearchSpace(
    name="tiny-dense",
    input_size=(64, 96),
    stages=tuple(StageSpec(chs=chs, depth=2, stride=2) for chs in (8, 8, 16, 16)),
    candidates=("k3_e1", "k3_e3", "k5_e3", "skip"),
    stem_chs=8,
    head_chs=16,
    num_classes=10,
)
SEGMENTER = SegmenterSpec(num_classes=3, fpn_channels=16, head_channels=8)
HEAD_MS = 0.9
OVERHEAD_MS, GAIN, BLOCK_MS, CONSTANT_MS = 0.003, 1.1, 0.02, 0.05


def true_block_ms(placed: PlacedBlock) -> float:
    """Without the cost of a call."""
    op = placed.spec.parsed
    if isinstance(op, SkipOp):
        return 0.0
    if isinstance(op, AdditiveOp):
        return (0.1 + 0.04 * op.mlp_ratio) * sum(sides(placed.size)) / 16
    if not isinstance(op, InvertedResidualOp):
        return 0.3
    return (
        (0.05 + 0.03 * op.expansion + 0.01 * op.kernel - 0.01 * op.groups)
        * sum(sides(placed.size))
        / 16
    )


def true_network_ms(architecture: Architecture, segmenter: bool = False) -> float:
    parts = [true_block_ms(p) for p in architecture.placed()]
    if segmenter:
        parts[-1] = HEAD_MS
    return CONSTANT_MS + sum(GAIN * ms + BLOCK_MS for ms in parts if ms)


class Timed:
    """A call of known latency, with the machine's noise on top."""

    def __init__(self, name: str, ms: float, noise: float = 0.0) -> None:
        self.name, self.ms, self.noise, self.times = name, ms, noise, 0
        self.rng = random.Random(name)

    def __call__(self) -> None:
        self.times += 1

    def sample(self) -> tuple[float, float]:
        cpu = self.ms * (1 + self.noise * self.rng.expovariate(1.0))
        return cpu * 1.01, cpu


def fake_sample(call: Timed, inner: int) -> tuple[float, float]:
    call()
    return call.sample()


def use_fake_clock(
    patch: pytest.MonkeyPatch, sample: Callable[[Timed, int], tuple[float, float]] = fake_sample
) -> None:
    patch.setattr(protocol, "sample", sample)
    patch.setattr(protocol, "calibrate_inner", lambda call, min_sample_ms: 4)


class FakeBench:
    """Stands for graphs in a runtime; counts what is asked of it."""

    noise = 0.0
    opened: list[str]
    verified: list[str]

    def __init__(
        self,
        folder: Path,
        runtime: object,
        threads: int,
        precision: str,
        segmenter: SegmenterSpec | None = None,
    ) -> None:
        type(self).opened, type(self).verified = [], []
        self.segmenter = segmenter

    def block(self, placed: PlacedBlock) -> Timed:
        self.opened.append(str(placed))
        return Timed(str(placed), OVERHEAD_MS + true_block_ms(placed), self.noise)

    def network(self, architecture: Architecture) -> Timed:
        ms = true_network_ms(architecture, self.segmenter is not None)
        return Timed(str(architecture), ms, self.noise)

    def neck_and_head(self, space: SearchSpace) -> Timed:
        assert self.segmenter == SEGMENTER
        return Timed("neck and head", OVERHEAD_MS + HEAD_MS, self.noise)

    def empty(self) -> Timed:
        return Timed("empty", OVERHEAD_MS, self.noise)

    def verify(self, placed: PlacedBlock) -> None:
        self.verified.append(placed.spec.op)


def use_fake_machine(patch: pytest.MonkeyPatch, noise: float = 0.0) -> None:
    use_fake_clock(patch)
    patch.setattr(build, "Bench", type("Bench", (FakeBench,), {"noise": noise}))
