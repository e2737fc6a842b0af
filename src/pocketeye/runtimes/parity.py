"""Prove parity: does the exported file still compute what the module computes?

Limits (:data:`THRESHOLDS`):

=========  =====================================================  ==================================
precision  PASS                                                   WARN
=========  =====================================================  ==================================
fp32       rel <= 1e-4 and every top-1 equal                      rel <= 1e-3 and 99 % of top-1
fp16       rel <= 1e-2 and 98 % of top-1                          rel <= 3e-2 and 95 % of top-1
int8       PSNR >= 25 dB and 95 % of top-1                        PSNR >= 20 dB and 85 % of top-1
=========  =====================================================  ==================================

``rel`` is ``||got - expected|| / ||expected||``. fp32 differs by the order of sums only, 1e-6 to 1e-5
in practice; weights in fp16 are 5e-4 off, which EfficientNet-Lite0 makes 5e-3 of. int8 is judged by
what it decides: 25 dB is an error of about a twentieth of the span between the largest and the smallest
logit; one image in twenty may change its class.

A comparison that could not have failed is no proof: where the module says the same of every image, or
int8 is compared on images of which all get one class, PASS becomes WARN, and ``doubts`` say why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import nn

from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.errors import InvalidValue
from pocketeye.progress import task
from pocketeye.reading import Kind, NonNegative, Probability, Range, make, reading, require_file
from pocketeye.runs import write_json
from pocketeye.runtimes._store import eval_mode, run_module
from pocketeye.runtimes.base import Executable, Precision

Status = Literal["PASS", "WARN", "NOT RUN", "FAIL"]
"""From best to worst; "NOT RUN" is of a runtime that only converts here, and proves nothing."""
PARITY, COLLAPSED = "parity.json", "int8 has collapsed"
_ROUNDING = 1e-6  # float32 has seven digits
_OTHER_RANGES = (
    "quantise with images like those it will see (--data), or stay with fp32; a layer whose values "
    "span orders of magnitude leaves int8 no steps for the rest"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Numbers that a comparison must reach; top-1 agreement counts only where there are classes."""

    max_rel: float = math.inf
    min_psnr_db: float = -math.inf
    min_top1_agreement: float = 0.0

    def met(self, rel: float, psnr_db: float, top1_agreement: float | None) -> bool:
        """Tell whether the numbers stay within the limits; NaN never does."""
        return (
            rel <= self.max_rel
            and psnr_db >= self.min_psnr_db
            and (top1_agreement is None or top1_agreement >= self.min_top1_agreement)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Limits of a verdict: PASS within ``passing``, else WARN within ``warning``, else FAIL."""

    passing: Limits
    warning: Limits

    def judge(self, rel: float, psnr_db: float, top1_agreement: float | None) -> Status:
        """Return the verdict on these numbers."""
        if self.passing.met(rel, psnr_db, top1_agreement):
            return "PASS"
        return "WARN" if self.warning.met(rel, psnr_db, top1_agreement) else "FAIL"


THRESHOLDS: Mapping[Precision, Thresholds] = {
    "fp32": Thresholds(
        passing=Limits(max_rel=1e-4, min_top1_agreement=1.0),
        warning=Limits(max_rel=1e-3, min_top1_agreement=0.99),
    ),
    "fp16": Thresholds(
        passing=Limits(max_rel=1e-2, min_top1_agreement=0.98),
        warning=Limits(max_rel=3e-2, min_top1_agreement=0.95),
    ),
    "int8": Thresholds(
        passing=Limits(min_psnr_db=25.0, min_top1_agreement=0.95),
        warning=Limits(min_psnr_db=20.0, min_top1_agreement=0.85),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerNoise:
    """Say what is left of the signal behind a layer of an int8 network, in decibels."""

    layer: str
    sqnr_db: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityReport:
    """Report the distance of an artefact from its module, over ``n`` images.

    ``top1_agreement`` is in 0…1, None unless the first output is (N, classes). ``psnr_db`` takes the
    span of the expected output as its peak and is infinite where nothing differs. With several
    outputs, each number is the worst of them. ``doubts`` say what stands behind a WARN or FAIL besides
    the numbers. ``layers`` are of int8 that failed: see :mod:`pocketeye.runtimes.layer_noise`.
    """

    max_abs: float
    rel: float
    psnr_db: float
    top1_agreement: float | None
    n: int
    precision: Precision
    status: Status
    thresholds: Thresholds
    doubts: tuple[str, ...] = ()
    layers: tuple[LayerNoise, ...] = ()

    @classmethod
    def not_run(cls, precision: Precision, reason: str) -> ParityReport:
        """Return the report of an artefact that nothing here can run: no numbers, and no PASS."""
        nan = math.nan
        return cls(
            max_abs=nan, rel=nan, psnr_db=nan, top1_agreement=None, n=0, precision=precision,
            status="NOT RUN", thresholds=THRESHOLDS[precision], doubts=(reason,),
        )  # fmt: skip

    def lines(self) -> list[str]:
        """Return the sentence that a person reads, and the doubts."""
        if self.status == "NOT RUN":
            return [f"parity not run here: {'; '.join(self.doubts)}   NOT RUN"]
        psnr = "∞" if math.isinf(self.psnr_db) else f"{self.psnr_db:.0f}"
        parts = [f"parity max|Δ| {self.max_abs:.1e}", f"PSNR {psnr} dB"]
        if self.top1_agreement is not None:
            same = round(self.top1_agreement * self.n)
            parts.append(f"top-1 agreement {same}/{self.n}")
        return [" · ".join(parts) + f"   {self.status}", *doubt_lines(self.doubts)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; infinite and undefined numbers become None, as JSON has none."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def save(self, path: Path) -> Path:
        """Write the report as JSON."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> ParityReport:
        """Read a file written by :meth:`save`.

        Raises:
            MissingFile: nothing there. InvalidValue: not a parity report.
        """
        require_file(path, f"no parity report at {path}")
        data = _FILE.read(path)
        with reading(path, _FILE.what, _FILE.remedy):
            stored = make(_Stored, data)
            limits = Thresholds(passing=stored.limits("passing"), warning=stored.limits("warning"))
            # JSON has neither: in a report that did not fail None was infinite (a PSNR without error).
            unknown = math.inf if stored.status in ("PASS", "WARN") else math.nan
            numbers = {
                key: unknown if value is None else value
                for key, value in (
                    ("max_abs", stored.max_abs), ("rel", stored.rel), ("psnr_db", stored.psnr_db)
                )
            }  # fmt: skip
            return cls(
                **numbers, top1_agreement=stored.top1_agreement, n=stored.n,
                precision=stored.precision, status=stored.status, thresholds=limits,
                doubts=tuple(stored.doubts), layers=tuple(stored.layers),
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """What the file holds: numbers that are infinite or undefined are None."""

    max_abs: NonNegative | None
    rel: NonNegative | None
    psnr_db: float | None
    top1_agreement: Probability | None
    n: Annotated[int, Range(0, 1e12)]
    precision: Precision
    status: Status
    thresholds: dict[str, dict[str, float | None]]
    doubts: list[str]
    layers: list[LayerNoise] = field(default_factory=list)

    def limits(self, name: str) -> Limits:
        """Return the limits of a verdict; those that are None are no limits."""
        given = self.thresholds.get(name, {})
        return make(Limits, {key: value for key, value in given.items() if value is not None}, name)


_FILE = Kind(what="a parity report of pocketeye", remedy="export the network again")


def check_parity(
    module: nn.Module,
    executable: Executable,
    inputs: Sequence[tuple[np.ndarray, ...]],
    precision: Precision,
    thresholds: Thresholds | None = None,
) -> ParityReport:
    """Run ``module`` (eval mode, on the CPU) and ``executable`` on the same inputs and compare.

    Args:
        inputs: one tuple of arrays for every run, each in the static shapes of the artefact.
        thresholds: limits to judge by, those of ``precision`` by default.

    Raises:
        InvalidValue: no inputs, or arrays the artefact does not take.
    """
    if not inputs:
        raise InvalidValue("parity needs at least one input")
    expected: list[tuple[np.ndarray, ...]] = []
    got: list[tuple[np.ndarray, ...]] = []
    with eval_mode(module), task("parity", len(inputs)) as bar:
        for arrays in inputs:
            got.append(executable(*arrays))
            # One by one, as the artefact is run.
            outputs = run_module(module, [torch.from_numpy(a) for a in arrays])
            expected.append(tuple(t.numpy(force=True) for t in outputs))
            bar.advance()
    return compare(expected, got, precision, thresholds or THRESHOLDS[precision])


def compare(
    expected: Sequence[tuple[np.ndarray, ...]],
    got: Sequence[tuple[np.ndarray, ...]],
    precision: Precision,
    thresholds: Thresholds,
) -> ParityReport:
    """Compare outputs already computed: one tuple of arrays for every run.

    Raises:
        InvalidValue: the two differ in the number or shapes of their outputs.
    """
    shapes = [[a.shape for a in run] for run in expected]
    if shapes != [[a.shape for a in run] for run in got]:
        raise InvalidValue("the module and the artefact differ in the shapes of their outputs")
    errors = [
        _errors(np.concatenate([r[i] for r in expected]), np.concatenate([r[i] for r in got]))
        for i in range(len(expected[0]))
    ]
    # The worst output: a detector whose boxes are right and classes wrong is wrong.
    max_abs, rel = (float(np.max([e[i] for e in errors])) for i in (0, 1))
    psnr_db = float(np.min([e[2] for e in errors]))
    # Classes are in the first output, if in any.
    agreement = _agreement([run[0] for run in expected], [run[0] for run in got])
    status = thresholds.judge(rel, psnr_db, agreement)
    found = list(_doubts(expected, got, precision, status))
    doubts = [str(doubt) for doubt in found]
    # A network that has stopped to look at its image is broken, however near its one answer is.
    if any(doubt.what == COLLAPSED for doubt in found):
        status = "FAIL"
    return ParityReport(
        max_abs=max_abs,
        rel=rel,
        psnr_db=psnr_db,
        top1_agreement=agreement,
        n=sum(len(run[0]) for run in expected),
        precision=precision,
        status="WARN" if doubts and status == "PASS" else status,
        thresholds=thresholds,
        doubts=tuple(doubts),
    )


def _doubts(
    expected: Sequence[tuple[np.ndarray, ...]],
    got: Sequence[tuple[np.ndarray, ...]],
    precision: Precision,
    status: Status,
) -> Iterator[Doubt]:
    """Say why the numbers are no proof, or what a failure comes from."""
    for runs, who, remedy in (
        (
            expected,
            "the network itself",
            "its weights are damaged: train it anew, with a lower --lr",
        ),
        (got, "the artefact", "its values overflow in this precision: export it in fp32"),
    ):
        lost = sum(not all(np.isfinite(array).all() for array in run) for run in runs)
        if lost:
            seen = f"outputs for {lost} of {len(runs)} images are nan or infinite"
            yield Doubt(what=f"{who} computes no numbers", seen=seen, remedy=remedy)
            return
    if len(expected) > 1 and _is_constant(expected):
        yield Doubt(
            what="the comparison proves nothing",
            seen=f"the network says the same of all {len(expected)} images",
            remedy="train it first, and compare on images of several kinds (--data)",
        )
    elif precision == "int8":
        yield from _doubts_of_int8(expected, got, status)


def _doubts_of_int8(
    expected: Sequence[tuple[np.ndarray, ...]],
    got: Sequence[tuple[np.ndarray, ...]],
    status: Status,
) -> Iterator[Doubt]:
    wanted, found = ([run[0] for run in runs] for runs in (expected, got))
    if wanted[0].ndim != 2 or wanted[0].shape[1] < 2:
        classes = None
    else:
        classes = [
            len(np.unique(np.concatenate([a.argmax(1) for a in each]))) for each in (wanted, found)
        ]
    n = sum(len(array) for array in wanted)
    if _is_constant(got) and len(got) > 1:
        yield Doubt(
            what=COLLAPSED,
            seen=f"the artefact says the same of all {n} images, and the network does not",
            remedy=_OTHER_RANGES,
        )
    elif classes and n > 1 and classes[0] > 1 == classes[1]:
        yield Doubt(
            what=COLLAPSED,
            seen=f"the artefact says one class of all {n} images, the network {classes[0]}",
            remedy=_OTHER_RANGES,
        )
    elif classes and n > 1 and classes[0] == 1:
        yield Doubt(
            what="what int8 costs cannot be seen here",
            seen=f"the network says one class of all {n} images",
            remedy="compare on images of several classes (--data), with trained weights",
        )
    elif status != "PASS":
        yield Doubt(
            what="int8 answers otherwise too often",
            seen="see the limits in parity.json",
            remedy=_OTHER_RANGES,
        )


def _is_constant(runs: Sequence[tuple[np.ndarray, ...]]) -> bool:
    """Tell whether all outputs are the same for every input, but for rounding."""
    for arrays in zip(*runs, strict=True):
        stacked = np.concatenate(arrays)
        scale = max(1.0, float(np.abs(stacked).max(initial=0.0)))
        if stacked.size and float(np.ptp(stacked, axis=0).max()) > _ROUNDING * scale:
            return False
    return True


def _errors(expected: np.ndarray, got: np.ndarray) -> tuple[float, float, float]:
    # In float64: the squares of small differences would vanish beside large outputs.
    want, difference = expected.astype(np.float64), got.astype(np.float64) - expected
    rms, peak = float(np.sqrt(np.mean(difference**2))), float(np.ptp(want))
    # One NaN spoils everything: it must not be averaged away.
    if not math.isfinite(rms):
        return math.nan, math.nan, math.nan
    # An output of zeros has no relative error, unless something differs: then it is infinite.
    norm = float(np.linalg.norm(want))
    rel = float(np.linalg.norm(difference)) / norm if norm > 0 else (math.inf if rms > 0 else 0.0)
    if rms == 0:
        psnr_db = math.inf
    else:
        psnr_db = 20 * math.log10(peak / rms) if peak > 0 else -math.inf
    return float(np.abs(difference).max()), rel, psnr_db


def _agreement(expected: list[np.ndarray], got: list[np.ndarray]) -> float | None:
    # A map or a single number has no class to agree on.
    if expected[0].ndim != 2 or expected[0].shape[1] < 2:
        return None
    pairs = zip(expected, got, strict=True)
    return float(np.mean(np.concatenate([e.argmax(1) == g.argmax(1) for e, g in pairs])))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    # Python would write NaN and Infinity, which other readers of JSON refuse.
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
