"""Measure warm, interleaved in short shuffled rounds, watched by an anchor.

Every round visits every subject once, in a new order, so a slow spell of the machine hits all kinds
of subject alike. A visit warms up, then takes a few samples; a sample loops the call until it lasts
``min_sample_ms``. An anchor (one subject that never changes) is timed every few visits: where it is
slow, the visits beside it fell into a slow spell, are left out, and are taken again at the end.

What stands for a subject is its *undisturbed time*, the median of the fastest ``keep`` of its clean
samples: neighbours on a shared machine only ever add time (caches, memory, clock rate), even to the CPU
time of a thread. Blocks and whole networks are summarised alike, so that one may be predicted from the
other. Beside it stand the percentiles of all samples, which tell what a user of this machine met.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.latency.record import Clock, Timing, choose_clock
from pocketeye.reading import BadField, Count, NonNegative, Probability, Range, make
from pocketeye.runtimes.base import RemoteCall, RemoteVisit, Runtime

Call = Callable[[], None]
Pair = tuple[float, float]  # wall and CPU milliseconds of one sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Set how a measurement is made.

    Attributes:
        rounds: visits of every subject.
        samples: samples of one visit (twice as many of a call longer than a sample).
        min_sample_ms: a sample loops its call for at least this long.
        anchor_every: visits between two looks at the anchor.
        max_anchor: a visit whose anchor is this much above the usual fell into a slow spell.
        max_wall_over_cpu: a sample whose wall time exceeds its CPU time by this was interrupted
            (only where the thread's CPU time is the clock).
        extra_rounds: rounds that may be added for subjects with too few clean visits.
        keep: share of the clean samples, the fastest, that stand for the undisturbed device.
    """

    rounds: Count = 40
    samples: Count = 3
    min_sample_ms: NonNegative = 1.0  # long against the clock's step and a first, cold call
    anchor_every: Count = 25
    max_anchor: NonNegative = 1.3  # slow spells of a shared machine are 1.4 to 1.65 times as slow
    max_wall_over_cpu: NonNegative = 1.15  # interrupted: wall time that no CPU time explains
    extra_rounds: Annotated[int, Range(0, 1e9)] = 10
    keep: Probability = 0.15

    def __post_init__(self) -> None:
        if min(self.rounds, self.samples, self.anchor_every) < 1 or self.extra_rounds < 0:
            raise InvalidValue("protocol: rounds, samples and anchor_every must be at least 1")
        if self.min_sample_ms <= 0 or min(self.max_anchor, self.max_wall_over_cpu) <= 1:
            raise InvalidValue(
                "protocol: min_sample_ms must be above 0, max_anchor and max_wall_over_cpu above 1"
            )
        if not 0 < self.keep <= 1:
            raise InvalidValue(f"protocol: keep must be above 0 and at most 1, got {self.keep}")

    @classmethod
    def of(cls, runtime: Runtime, rounds: int | None = None) -> Protocol:
        """Return the usual protocol for a runtime, with another number of rounds where one is given."""
        return cls(**{**runtime.timing, **({"rounds": rounds} if rounds else {})})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return asdict(self)


@dataclass(kw_only=True, slots=True)
class Visit:
    """Hold samples of one subject taken together, in milliseconds per call."""

    wall_ms: list[NonNegative]
    cpu_ms: list[NonNegative]
    anchor_ms: NonNegative = 0.0


@dataclass(kw_only=True, slots=True)
class Samples:
    """Hold everything measured so far; plain enough to be kept as JSON between two sessions."""

    rounds: Annotated[int, Range(0, 1e9)] = 0
    inner: dict[str, Count] = field(default_factory=dict)
    visits: dict[str, list[Visit]] = field(default_factory=dict)
    anchors_ms: list[NonNegative] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return {
            "rounds": self.rounds,
            "inner": self.inner,
            "anchors_ms": self.anchors_ms,
            "visits": {
                name: [[v.wall_ms, v.cpu_ms, v.anchor_ms] for v in visits]
                for name, visits in self.visits.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Any) -> Samples:
        """Read back what :meth:`to_dict` gave.

        Raises:
            InvalidValue: it is something else; the sentence names the field.
        """
        return make(cls, data, converters={Visit: _stored_visit})


def _stored_visit(row: Any) -> Visit:
    """Read a visit of the list that stands for it in a file."""
    if not isinstance(row, list) or len(row) != 3:
        raise BadField("a visit is a list of wall_ms, cpu_ms and anchor_ms")
    return make(Visit, dict(zip(("wall_ms", "cpu_ms", "anchor_ms"), row, strict=True)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Hold the result of one subject.

    Attributes:
        timing: percentiles of all samples, and the undisturbed time (see the module's text).
        halves_ms: the undisturbed time from the even and from the odd visits alone.
        dropped: share of samples that were not clean (slow spell or interrupted).
        disturbed: True where too few clean samples were left, so that all were used.
    """

    timing: Timing
    halves_ms: tuple[float, float]
    dropped: float
    disturbed: bool

    @property
    def split_half(self) -> float:
        """Return the disagreement of the two halves as a fraction of their mean."""
        first, second = self.halves_ms
        return abs(first - second) / max((first + second) / 2, 1e-12)


def measure_interleaved(
    calls: Mapping[str, Call],
    protocol: Protocol | None = None,
    *,
    anchor: Call | None = None,
    threads: int = 1,
    seed: int = 0,
    samples: Samples | None = None,
    on_round: Callable[[Samples], None] | None = None,
    description: str = "measuring",
) -> dict[str, Measured]:
    """Time several calls side by side.

    Args:
        calls: subjects by name; each call runs its subject once.
        anchor: the watch; the first subject where None.
        threads: of the subjects; chooses the clock (:func:`choose_clock`).
        samples: where an interrupted measurement is continued; changed in place.
        on_round: called after every finished round, for keeping ``samples``.
    """
    protocol = protocol or Protocol()
    samples = samples if samples is not None else Samples()
    if not calls:
        return {}
    anchor = anchor or next(iter(calls.values()))
    clock = choose_clock(threads, isinstance(anchor, RemoteCall))
    watch = _AnchorTimer(anchor, protocol, clock, samples)
    # Once, and kept with the samples: a continued run must loop as often.
    new = [name for name in calls if name not in samples.inner]
    inner = _calibrate_all([calls[name] for name in new], protocol.min_sample_ms)
    samples.inner |= dict(zip(new, inner, strict=True))
    last = protocol.rounds + protocol.extra_rounds
    with progress.task(description, protocol.rounds) as task:
        task.advance(min(samples.rounds, protocol.rounds))
        while samples.rounds < last:
            names = list(calls)
            if samples.rounds >= protocol.rounds:
                # Half of the rounds clean is enough: the slow ones say nothing of the subject.
                names = [n for n in names if _num_clean(n, samples, protocol) < protocol.rounds / 2]
                if not names:
                    break
                task.note(f"again: {len(names)} in a slow spell")
            # The order depends on the round alone: a continued run shuffles like a whole one.
            random.Random(f"{seed}/{samples.rounds}").shuffle(names)
            _round(names, calls, protocol, watch, samples)
            samples.rounds += 1
            if samples.rounds <= protocol.rounds:
                task.advance()
            if on_round is not None:
                on_round(samples)
    return {name: summarise(name, samples, protocol, clock) for name in calls}


class _AnchorTimer:
    """Know how the anchor is timed, and keep every timing."""

    def __init__(self, call: Call, protocol: Protocol, clock: Clock, samples: Samples) -> None:
        # Anew in each session: a look is milliseconds of one call, however many it loops.
        (inner,) = _calibrate_all([call], protocol.min_sample_ms)
        self.look = _Taking(call, inner, 2)
        self.clock, self.samples = clock, samples

    def keep(self, pairs: list[Pair]) -> float:
        """Return the milliseconds of one call of the anchor, of the samples of a look."""
        # The faster of two: the look asks how fast the machine is, not whether it was interrupted.
        ms = min(cpu if self.clock == "thread_cpu" else wall for wall, cpu in pairs)
        self.samples.anchors_ms.append(ms)
        return ms


class _Taking(NamedTuple):
    """Say what to take at once: ``num`` samples, each of ``inner`` calls in a row."""

    call: Call
    inner: int
    num: int


def _take(takings: list[_Taking], done: float) -> list[list[Pair]]:
    """Take samples one after another; a device elsewhere gets all of them in one message."""
    first = takings[0].call
    if isinstance(first, RemoteCall):
        visits = []
        for call, inner, num in takings:
            assert isinstance(call, RemoteCall), "calls here and elsewhere are not timed together"
            visits.append(RemoteVisit(call, inner, num))
        return [[(ms, ms) for ms in times] for times in first.take(visits, done)]
    taken = []
    for call, inner, num in takings:
        sample(call, inner)  # caches of the last subject's data are replaced by ours
        taken.append([sample(call, inner) for _ in range(num)])
    return taken


def _round(
    names: list[str],
    calls: Mapping[str, Call],
    protocol: Protocol,
    watch: _AnchorTimer,
    samples: Samples,
) -> None:
    visits: list[tuple[str, Visit]] = []
    before: float | None = None
    for start in range(0, len(names), protocol.anchor_every):
        chunk = names[start : start + protocol.anchor_every]
        first = [watch.look] if before is None else []
        done = (samples.rounds + start / len(names)) / protocol.rounds
        taken = _take(
            [*first, *(_visit(calls[n], samples.inner[n], protocol) for n in chunk), watch.look],
            min(done, 1.0),
        )
        if before is None:
            before = watch.keep(taken.pop(0))
        after = watch.keep(taken.pop())
        # Both looks enclose the visits: one slow end is enough to distrust them.
        anchor_ms = max(before, after)
        for name, pairs in zip(chunk, taken, strict=True):
            wall, cpu = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            visits.append((name, Visit(wall_ms=wall, cpu_ms=cpu, anchor_ms=anchor_ms)))
        before = after
    # A round counts only when it is whole: an interrupt in the middle loses this round and no more.
    for name, visit in visits:
        samples.visits.setdefault(name, []).append(visit)


def _visit(call: Call, inner: int, protocol: Protocol) -> _Taking:
    # A long call rarely stays undisturbed to its end: it gets twice the chances.
    return _Taking(call, inner, protocol.samples * (2 if inner == 1 else 1))


def _clean(visit: Visit, samples: Samples, protocol: Protocol) -> bool:
    # The lower quartile: usual speed, even when the machine was slow for half of the time.
    usual = float(np.percentile(samples.anchors_ms, 25))
    return visit.anchor_ms <= protocol.max_anchor * usual


def _num_clean(name: str, samples: Samples, protocol: Protocol) -> int:
    return sum(_clean(v, samples, protocol) for v in samples.visits.get(name, ()))


def summarise(name: str, samples: Samples, protocol: Protocol, clock: Clock) -> Measured:
    """Sum up one subject: percentiles of everything, and its undisturbed time."""
    visits = samples.visits[name]
    all_samples = [list(zip(v.wall_ms, v.cpu_ms, strict=True)) for v in visits]
    kept = [
        pairs
        for visit, all_pairs in zip(visits, all_samples, strict=True)
        if _clean(visit, samples, protocol)
        and (pairs := [p for p in all_pairs if _uninterrupted(p, protocol, clock)])
    ]
    # Too few clean visits say less than all visits together, marked as disturbed.
    disturbed = len(kept) < max(2, min(8, protocol.rounds // 4)) and len(kept) < len(visits)
    if disturbed:
        kept = all_samples
    total = sum(map(len, all_samples))
    column = 1 if clock == "thread_cpu" else 0
    # Even and odd visits, not first and second half: a drift would show as noise.
    halves = [
        _undisturbed(half, protocol.keep, column) for half in (kept[0::2], kept[1::2] or kept)
    ]
    p10, p50, p90 = np.percentile(
        [wall for pairs in all_samples for wall, _ in pairs], (10, 50, 90)
    )
    return Measured(
        timing=Timing(
            n=total,
            inner=samples.inner[name],
            p10_ms=float(p10),
            p50_ms=float(p50),
            p90_ms=float(p90),
            undisturbed_ms=_undisturbed(kept, protocol.keep, column),
        ),
        halves_ms=(halves[0], halves[1]),
        dropped=0.0 if disturbed else 1 - sum(map(len, kept)) / total,
        disturbed=disturbed,
    )


def _uninterrupted(pair: Pair, protocol: Protocol, clock: Clock) -> bool:
    wall, cpu = pair
    return clock != "thread_cpu" or wall <= protocol.max_wall_over_cpu * cpu


def _undisturbed(visits: list[list[Pair]], share: float, column: int) -> float:
    """Return the median of the fastest ``share`` of the samples, one at least."""
    flat = sorted(pair[column] for pairs in visits for pair in pairs)
    return float(np.median(flat[: max(1, round(share * len(flat)))]))


def sample(call: Call, inner: int) -> tuple[float, float]:
    """Return wall and thread-CPU milliseconds per call over ``inner`` back-to-back calls."""
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    for _ in range(inner):
        call()
    wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
    return wall / inner / 1e6, cpu / inner / 1e6  # nanoseconds to milliseconds


def _calibrate_all(calls: Sequence[Call], min_sample_ms: float) -> list[int]:
    """Return how many calls in a row make a sample of each long enough."""
    elsewhere = [call for call in calls if isinstance(call, RemoteCall)]
    if elsewhere:
        return elsewhere[0].calibrate(elsewhere, min_sample_ms)
    return [calibrate_inner(call, min_sample_ms) for call in calls]


def calibrate_inner(call: Call, min_sample_ms: float) -> int:
    """Warm up, then find how many calls make a sample last at least ``min_sample_ms``."""
    inner = 1
    # The first calls allocate, load code and fill caches.
    for _ in range(3):
        call()
    while True:
        wall_ms, _ = sample(call, inner)
        if wall_ms * inner >= min_sample_ms:
            return inner
        # A fifth more than seems needed: the next look may find the call faster.
        inner = max(inner + 1, int(inner * 1.2 * min_sample_ms / max(wall_ms * inner, 1e-3)))
        inner = min(inner, 1_000_000)  # a call that the clock cannot see at all
