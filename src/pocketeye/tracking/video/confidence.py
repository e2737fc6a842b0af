"""From a tracker's signals to a confidence that was checked against truth.

The score of a network says whether it believes the object is in the frame, and stays at 0.99 where the
mask has drifted away. A confidence is the probability that the mask has a J (IoU) of at least 0.5: a
logistic curve over :class:`~pocketeye.tracking.video.signals.Signals`, fitted on clips that the weights
have not learnt from. It belongs to one file of weights and lies beside it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.doubts import Doubt
from pocketeye.errors import InvalidValue
from pocketeye.reading import Kind, make, reading
from pocketeye.runs import sha256_of, write_json
from pocketeye.tracking.video.signals import Signals

logger = logging.getLogger(__name__)
SUFFIX = ".confidence.json"
LOW = 0.5
"""Below it a mask is more likely wrong (J under 0.5) than right."""
_SPANS_SHOWN = 6
_FILE = Kind(what="a confidence curve of pocketeye", remedy="delete it")


@dataclass(frozen=True, kw_only=True)
class ConfidenceCurve:
    """The curve of one file of weights: ``1 / (1 + exp(-(intercept + sum of weight * signal)))``.

    Attributes:
        weights_sha256: of the file that it belongs to.
        weights: by name of the signal; none is below 0.
        intercept: of the logit.
        fitted_on: clips and frames, in words.
    """

    weights_sha256: str
    weights: Mapping[str, float]
    intercept: float
    fitted_on: str

    def __post_init__(self) -> None:
        unknown = set(self.weights) - set(Signals._fields)
        numbers = [self.intercept, *self.weights.values()]
        if unknown or not all(isinstance(n, float | int) and math.isfinite(n) for n in numbers):
            raise InvalidValue(
                f"a confidence curve has a finite weight for {', '.join(Signals._fields)}, got "
                f"{dict(self.weights)} and {self.intercept!r}"
            )

    def of(self, signals: Signals) -> float:
        """Return the confidence, 0 to 1; 0 where a signal is no number."""
        logit = self.intercept
        logit += sum(weight * getattr(signals, name) for name, weight in self.weights.items())
        if not math.isfinite(logit):
            return 0.0
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))

    def save(self, weights: Path) -> Path:
        """Write it beside its file of weights."""
        return write_json(beside(weights), asdict(self))


def beside(weights: Path) -> Path:
    """Return where the curve of a file of weights lies."""
    return weights.with_name(f"{weights.stem}{SUFFIX}")


def curve_of(weights: Path | None) -> ConfidenceCurve | None:
    """Return the curve beside a file of weights; None where there is none of exactly these weights.

    Raises:
        InvalidValue: the file of the curve is damaged.
    """
    if weights is None or not (path := beside(weights)).is_file():
        return None
    curve = read_curve(path)
    if curve.weights_sha256 != sha256_of(weights):
        logger.warning("%s is of other weights than %s: there is no confidence", path, weights.name)
        return None
    return curve


def read_curve(path: Path) -> ConfidenceCurve:
    """Read the file of a curve.

    Raises:
        InvalidValue: it is damaged.
    """
    data = _FILE.read(path)
    with reading(path, _FILE.what, _FILE.remedy):
        return make(ConfidenceCurve, data)


def doubts_of_rows(frames: Sequence[Mapping[str, Any]]) -> list[Doubt]:
    """Say of each object in which frames its mask is empty throughout, or likely wrong.

    Args:
        frames: ``{"frame": n, "objects": [{"id", "area", "confidence"}]}``.
    """
    rows: dict[int, dict[int, Mapping[str, Any]]] = {}
    for each in frames:
        for row in each["objects"]:
            rows.setdefault(row["id"], {})[each["frame"]] = row
    doubts = [doubt for number, of in sorted(rows.items()) for doubt in _of_object(number, of)]
    if rows and all(row["confidence"] is None for of in rows.values() for row in of.values()):
        doubts.append(
            Doubt(
                what="nothing tells whether these masks are right",
                seen="this tracker's scores say that it believes to see the object, and stay near 1 "
                "when the mask has drifted",
                remedy="look at the frames; the tracker that comes along has a checked confidence",
            )
        )
    return doubts


def _of_object(number: int, rows: Mapping[int, Mapping[str, Any]]) -> Iterator[Doubt]:
    if not any(row["area"] for row in rows.values()):
        yield Doubt(
            what=f"object {number} was never found",
            seen=f"its mask is empty in all {len(rows)} frames",
            remedy="check the place of the click (x,y from the upper left), or give a box",
        )
        return
    sure = {
        frame: row["confidence"] for frame, row in rows.items() if row["confidence"] is not None
    }
    low = sorted(frame for frame, value in sure.items() if value < LOW)
    if low:
        worst = min(low, key=lambda frame: sure[frame])
        yield Doubt(
            what=f"object {number} is likely lost in {len(low)} of {len(sure)} frames",
            seen=f"confidence below {LOW:g} in frames {spans(low)}, least in {worst} "
            f"({sure[worst]:.2f})",
            remedy=f"look at frame {low[0]}, and click on the object there: "
            f"--object {number}:X,Y@{low[0]}",
        )


def spans(numbers: Sequence[int]) -> str:
    """Return sorted numbers in short: ``3 to 7, 9 and 2 more stretches``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = [f"{a}" if a == b else f"{a} to {b}" for a, b in found[:_SPANS_SHOWN]]
    more = len(found) - _SPANS_SHOWN
    return ", ".join(shown) + (f" and {more} more stretches" if more > 0 else "")
