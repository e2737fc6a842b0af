"""Define what the search minimises over theta: cross entropy against latency.

==========  ==========================================================  ============================
name        loss                                                        pressure (elasticity)
==========  ==========================================================  ============================
``target``  CE + lambda * (LAT / T - 1), lambda found by a controller   lambda * LAT / (T * CE)
            (or CE + weight * abs(LAT / T - 1) with a fixed weight)
``power``   CE * (LAT / T) ** exponent                                  exponent
``fbnet``   CE * alpha * log(LAT) ** beta, LAT in milliseconds          beta / log(LAT)
==========  ==========================================================  ============================

*Elasticity* is the exchange rate at the current point: by how many per cent CE may rise for latency
to fall by one per cent, (LAT * dL/dLAT) / (CE * dL/dCE). It makes the three comparable; that of
``fbnet`` depends on the unit of latency, which is why the unit is fixed.

``pressure`` scales the latency term: 0 removes it (``fbnet`` keeps its constant alpha), 1 is the
full loss. The search raises it linearly after warm-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from pocketeye.errors import InvalidValue

ObjectiveName = Literal["target", "power", "fbnet"]
OBJECTIVES: tuple[ObjectiveName, ...] = ("target", "power", "fbnet")


class Objective(Protocol):
    """Compute a loss over (CE in nats, latency in ms), both scalars."""

    def __call__(self, ce: Tensor, latency_ms: Tensor, pressure: float = 1.0) -> Tensor: ...

    def elasticity(self, latency_ms: float, ce: float, pressure: float = 1.0) -> float:
        """Return (LAT * dL/dLAT) / (CE * dL/dCE) at this point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FBNetObjective:
    """Equation 2 of FBNet, CE * alpha * log(LAT)**beta, with LAT in milliseconds.

    It has no target: alpha and beta set a pressure, and the latency that results is found out by
    searching. ``pressure`` multiplies beta.
    """

    alpha: float = 0.2  # alpha and beta as in the paper, section 4.1
    beta: float = 0.6

    def __call__(self, ce: Tensor, latency_ms: Tensor, pressure: float = 1.0) -> Tensor:
        return ce * self.alpha * latency_ms.log() ** (self.beta * pressure)

    def elasticity(self, latency_ms: float, ce: float, pressure: float = 1.0) -> float:
        return pressure * self.beta / math.log(latency_ms)

    def check(self, latency_range: tuple[float, float]) -> None:
        """Check that every network takes more than 1 ms: below, the logarithm is not positive.

        Raises:
            InvalidValue: the fastest network of the space takes 1 ms or less.
        """
        if latency_range[0] <= 1.0:
            raise InvalidValue(
                "the objective 'fbnet' takes the logarithm of milliseconds and needs every network "
                f"to take more than 1 ms; this space runs from {latency_range[0]:.3g} to "
                f"{latency_range[1]:.3g} ms: use the objective 'target' or 'power'"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerObjective:
    """CE * (LAT / T)**exponent (MnasNet's soft constraint, for a loss); T only sets the scale."""

    target_ms: float
    exponent: float = 0.6

    def __call__(self, ce: Tensor, latency_ms: Tensor, pressure: float = 1.0) -> Tensor:
        return ce * (latency_ms / self.target_ms) ** (self.exponent * pressure)

    def elasticity(self, latency_ms: float, ce: float, pressure: float = 1.0) -> float:
        return pressure * self.exponent


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetObjective:
    """Pull networks on either side of a hard target towards it.

    With ``weight`` None (the default) the loss is the Lagrangian CE + lambda * (LAT / T - 1), and
    ``pressure`` is lambda, signed, as :class:`TargetControl` finds it. A fixed ``weight`` gives
    CE + weight * abs(LAT / T - 1) (TuNAS; TF-NAS with 0.1), which reaches the target only where
    the weight exceeds the loss in CE that one target's worth of latency buys, and which reads the
    sign off the relaxed latency: at a high temperature that stays near the mean of all candidates
    whatever theta says, and theta is driven far past the target before the temperature falls.
    """

    target_ms: float
    weight: float | None = None

    def __call__(self, ce: Tensor, latency_ms: Tensor, pressure: float = 1.0) -> Tensor:
        gap = latency_ms / self.target_ms - 1
        # Lambda has a sign: where networks are too fast, it rewards latency.
        if self.weight is None:
            return ce + pressure * gap
        return ce + pressure * self.weight * gap.abs()

    def elasticity(self, latency_ms: float, ce: float, pressure: float = 1.0) -> float:
        ratio = latency_ms / self.target_ms
        if self.weight is None:
            return pressure * ratio / ce
        return pressure * self.weight * math.copysign(ratio, ratio - 1) / ce


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetControl:
    """Find lambda of a hard target: the method of multipliers on the expected latency.

    After each theta step, with gap = E[LAT] / T - 1, clipped to +-clip, and E[LAT] the exact
    expectation over networks drawn from ``softmax(theta)`` (not the relaxed latency, which depends
    on the temperature)::

        integral <- integral + rate * gap
        lambda    = integral + damping * gap

    The integral converges to the price of latency at the target, whatever CE is worth; the damping
    term (the augmented Lagrangian's quadratic penalty) keeps it from swinging past. Clipping keeps
    the integral from winding up, and CE in play, while theta is still far from the target. The
    values were chosen on a made-up space with a noisy CE (12 layers, prices of 0 and 0.8 nats for
    one target's worth of latency, 120 to 600 steps), where E[LAT] ends within 1 to 5 % of the
    target.
    """

    rate: float = 0.1
    damping: float = 16.0
    clip: float = 0.1

    def integrate(self, integral: float, gap: float) -> float:
        """Return the integral after a step that left the relative latency gap ``gap``."""
        return integral + self.rate * self._clipped(gap)

    def multiplier(self, integral: float, gap: float) -> float:
        """Return lambda, signed."""
        return integral + self.damping * self._clipped(gap)

    def _clipped(self, gap: float) -> float:
        return min(max(gap, -self.clip), self.clip)
