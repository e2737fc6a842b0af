"""Made-up latency tables, and a runtime in which networks take what such a table predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pocketeye import provenance
from pocketeye.latency.calibration import Calibration
from pocketeye.latency.device import Device
from pocketeye.latency.drift import Session
from pocketeye.latency.protocol import Measured
from pocketeye.latency.record import Timing
from pocketeye.latency.table import LatencyTable, Row, Segmenter, TableHeader
from pocketeye.models import Architecture
from pocketeye.models.architecture import PlacedBlock
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.models.ops import InvertedResidualOp, SkipOp
from pocketeye.models.space import SearchSpace, StageSpec
from pocketeye.runtimes import get_runtime
from tests.searching.toys import SPACE as TOY

# One layer more, and without the grouped block.
SPACE = replace(
    TOY,
    stages=(StageSpec(chs=8, depth=2), StageSpec(chs=16, depth=3, stride=2)),
    candidates=("k3_e1", "k3_e3", "k5_e3", "k3_e6", "skip"),
)
HEAD_MS = 0.7


def block_ms(placed: PlacedBlock) -> float:
    op = placed.spec.parsed
    if not isinstance(op, InvertedResidualOp):
        return 0.2
    return 0.1 + 0.08 * op.expansion + 0.02 * op.kernel


def row(ms: float, disagree: float = 0.0) -> Row:
    return Row(timing=timing(ms),
               halves_ms=(ms * (1 - disagree), ms * (1 + disagree)), dropped=0.0)  # fmt: skip


def timing(ms: float) -> Timing:
    return Timing(n=24, inner=1, p10_ms=ms, p50_ms=ms, p90_ms=ms, undisturbed_ms=ms)


def made_up_table(
    space: SearchSpace = SPACE, *, segmenter: SegmenterSpec | None = None, **header: Any
) -> LatencyTable:
    disagree = header.pop("disagree", 0.0)
    rows = {
        str(p): row(block_ms(p), disagree)
        for p in space.placed(with_head=segmenter is None)
        if not isinstance(p.spec.parsed, SkipOp)
    }
    facts: dict[str, Any] = {
        "space": space.to_dict(), "device": Device.here(), "runtime": "onnxruntime",
        "runtime_version": get_runtime("onnxruntime").version(), "flags": {}, "layout": "NCHW",
        "threads": 1, "precision": "fp32", "clock": "thread_cpu", "protocol": {},
        "overhead_ms": 0.0, "rounds": 24, "seed": 0, "date": provenance.now(), "git": None,
    }  # fmt: skip
    return LatencyTable(
        header=TableHeader(**{**facts, **header}),
        rows=rows,
        calibration=Calibration(
            fit="gain", gain=1.0, block_ms=0.0, constant_ms=0.0, mape=0.01, loo_mape=0.012,
            candidates={"gain": 0.012}, networks=("a@8=conv3:1>8/1|head16:8>10/1",),
            measured_ms=(1.0,),
        ),
        segmenter=Segmenter(spec=segmenter, row=row(HEAD_MS)) if segmenter else None,
    )  # fmt: skip


class FakeRuntime:
    """Stands for the measurement of whole networks."""

    def __init__(self, gain: float = 1.01, drift: float = 0.0) -> None:
        self.gain, self.drift, self.calls = gain, drift, 0

    def __call__(
        self, table: LatencyTable, architectures: Sequence[Architecture], **settings: Any
    ) -> Session:
        self.calls += 1
        assert settings["runtime"].name == "onnxruntime"
        latencies = [self.gain * (1 + self.drift) * table.predict(a) for a in architectures]
        measured = tuple(
            Measured(
                timing=timing(ms),
                halves_ms=(ms, ms),
                dropped=0.0,
                disturbed=False,
            )
            for ms in latencies
        )
        return Session(measured=measured, latency_ms=tuple(latencies), drift=self.drift)
