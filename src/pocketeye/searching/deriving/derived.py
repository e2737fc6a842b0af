"""What a derivation found: the networks, how they did, and the file that keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pocketeye.latency.record import Timing
from pocketeye.models.architecture import Architecture
from pocketeye.reading import BadField, Kind, NonNegative, Probability, Range, Whole, make, reading
from pocketeye.searching.deriving.baseline import Comparison
from pocketeye.searching.deriving.sampling import Origin

# Latencies are divided by: none is zero.
Ms = Annotated[float, Range(1e-9, 1e9)]
_FILE = Kind(
    what="the candidates of a search", remedy="delete it and repeat the command with --resume"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A network with what is known of it.

    ``predicted_ms`` comes from the calibrated table, ``measured_ms`` from the runtime by the
    table's clock, at the speed the machine had when the table was made (None: not among those
    measured); ``timing`` is what it took now. ``supernet_score`` (a fraction, of the search's metric)
    and ``supernet_loss`` (nats) use the supernet's weights, on images that trained no weight.
    """

    architecture: Architecture
    origin: Origin
    predicted_ms: Ms
    supernet_score: Probability
    supernet_loss: float
    measured_ms: Ms | None = None
    timing: Timing | None = None

    @property
    def prediction_error(self) -> float | None:
        """(predicted - measured) / measured."""
        if self.measured_ms is None:
            return None
        return self.predicted_ms / self.measured_ms - 1

    @property
    def drift(self) -> float | None:
        """How much slower the machine was than when the table was made; taken out of ``measured_ms``."""
        if self.timing is None or self.measured_ms is None:
            return None
        return self.timing.latency_ms / self.measured_ms - 1

    @property
    def spread_ms(self) -> tuple[float, float] | None:
        """10th and 90th percentile of all samples, with the drift taken out as in ``measured_ms``."""
        timing, drift = self.timing, self.drift
        if timing is None or drift is None or timing.p10_ms is None or timing.p90_ms is None:
            return None
        return timing.p10_ms / (1 + drift), timing.p90_ms / (1 + drift)

    def off_target(self, target_ms: float) -> float | None:
        """(measured - target) / target: below 0 for a network that keeps the budget."""
        return None if self.measured_ms is None else self.measured_ms / target_ms - 1

    def keeps(self, target_ms: float, tolerance: float) -> bool | None:
        """Whether it was measured at no more than the budget, or ``tolerance`` above; None: not
        measured."""
        off = self.off_target(target_ms)
        return None if off is None else off <= tolerance

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"architecture": str(self.architecture)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One pass: the predicted band aimed at, how it was filled, measured / predicted found.

    ``within`` counts the measured candidates that kept the budget. ``drift`` of the machine since the
    table is taken out of all measured latencies (0.1: it ran 10 % slower).
    """

    low_ms: NonNegative
    high_ms: NonNegative
    draws: Whole
    draws_in_band: Whole
    random_draws: Whole
    random_draws_in_band: Whole
    measured_over_predicted: NonNegative
    within: Whole
    drift: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """Outcome: candidates and random networks, each best first; ``best`` indexes the chosen one."""

    target_ms: Ms
    tolerance: Probability
    best_index: int
    candidates: tuple[Candidate, ...]
    random: tuple[Candidate, ...]
    rounds: tuple[Round, ...]
    comparison: Comparison

    @property
    def metric(self) -> str:
        """What networks were ranked by: ``top-1`` or ``mean IoU``."""
        return self.comparison.metric

    @property
    def best(self) -> Candidate:
        return self.candidates[self.best_index]

    def to_dict(self) -> dict[str, Any]:
        return {
            "target_ms": self.target_ms,
            "tolerance": self.tolerance,
            "best_index": self.best_index,
            "candidates": [c.to_dict() for c in self.candidates],
            "random": [c.to_dict() for c in self.random],
            "rounds": [asdict(r) for r in self.rounds],
            "comparison": self.comparison.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Derived:
        """Read back what :meth:`to_dict` gave.

        Raises:
            InvalidValue: it is something else; the sentence names the field.
        """
        derived = make(cls, data, converters={Architecture: _architecture})
        if not derived.candidates or not derived.rounds:
            raise BadField("it has no candidates, or no rounds")
        if not 0 <= derived.best_index < len(derived.candidates):
            raise BadField(
                f"the field 'best_index' should be from 0 to {len(derived.candidates) - 1}, and is "
                f"{derived.best_index}"
            )
        return derived

    @classmethod
    def load(cls, path: Path) -> Derived:
        """Read ``candidates.json``.

        Raises:
            MissingFile: nothing there. InvalidValue: damaged; the sentence names the field.
        """
        data = _FILE.read(path)
        with reading(path, _FILE.what, _FILE.remedy):
            return cls.from_dict(data)


def _architecture(text: Any) -> Architecture:
    if not isinstance(text, str):
        raise BadField("an architecture should be text")
    return Architecture.parse(text)
