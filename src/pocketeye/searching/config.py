"""Hold every number of a search."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pocketeye.errors import InvalidValue, unknown
from pocketeye.searching.objective import (
    OBJECTIVES,
    FBNetObjective,
    Objective,
    ObjectiveName,
    PowerObjective,
    TargetControl,
    TargetObjective,
)

Mode = Literal["fast", "paper", "library"]
MODES: tuple[Mode, ...] = ("fast", "paper", "library")
# Adam's; the paper trains 80 epochs, a fast search has fewer to come to a decision in.
_THETA_LR = {"fast": 0.05, "paper": 0.01, "library": 0.05}
_THETA_WEIGHT_DECAY = {"fast": 0.0, "paper": 5e-4, "library": 0.0}


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Hold settings of the differentiable search; :meth:`paper` gives those of the paper.

    Args:
        mode: ``fast`` trains weights on one sampled path a step and theta on the exact mixture with
            frozen weights; ``paper`` uses the mixture and the whole loss in both; ``library`` trains
            theta alone, on candidates that a block library has taught.
        epochs: epochs in all, warm-up included.
        warmup_epochs: first epochs, in which only weights are trained.
        batch_size: images of a weight step in each process.
        theta_batch_size: images of a theta step in each process (none: ``batch_size``).
        theta_fraction: share of the images that trains theta; the others train weights.
        lr: learning rate of the weights at the start (SGD; cosine to 0 over all steps).
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD.
        clip_norm: largest norm of the weights' gradient (none: not clipped).
        theta_lr: learning rate of theta, Adam (none: 0.01 in mode paper, else 0.05).
        theta_weight_decay: weight decay of theta (none: 5e-4 in mode paper, else 0).
        temperature: of the Gumbel softmax until the end of warm-up.
        temperature_decay: factor an epoch after that in mode paper; the other modes come to the same end
            value in their own number of epochs.
        objective: ``target`` (hard target), ``power`` or ``fbnet`` (equation 2).
        target_ms: wanted latency in milliseconds (``target``, ``power``).
        target_weight: fixed weight of abs(LAT/T - 1) in ``target`` (none: a controller finds it).
        exponent: exponent of ``power``.
        alpha: alpha of ``fbnet``.
        beta: beta of ``fbnet``.
        ramp_epochs: epochs after warm-up over which latency pressure rises to its full value
            (0: full from the start, as in the paper).
        per_image_gumbel: one Gumbel draw an image instead of one a batch in theta steps; less
            noise in the gradient.
        checkpointing: keep only the maps between layers in theta steps (less memory, more time).
        aligned: candidates of a layer begin as the same function (none: in mode fast).
        augment: random crops, and flips where a mirrored image means the same.
        seed: of everything random.
        precision: ``bf16`` is mixed precision; theta and latency stay fp32.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        num_processes: processes on this machine (DDP).
        workers: data loading processes.
    """

    mode: Mode = "fast"
    epochs: int = 40
    warmup_epochs: int = 10
    batch_size: int = 64
    theta_batch_size: int | None = None
    theta_fraction: float = 0.2
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float | None = 5.0
    theta_lr: float | None = None
    # FBNet's start, at which all candidates of a layer are mixed nearly alike
    theta_weight_decay: float | None = None
    temperature: float = 5.0  # FBNet's factor an epoch
    temperature_decay: float = math.exp(-0.045)
    objective: ObjectiveName = "target"
    target_ms: float | None = None
    target_weight: float | None = None
    exponent: float = 0.6
    alpha: float = 0.2  # alpha and beta as FBNet gives them
    beta: float = 0.6
    ramp_epochs: int = 3
    per_image_gumbel: bool = False
    checkpointing: bool = False
    # None is told from False: only the mode knows what suits it.
    aligned: bool | None = None
    augment: bool = True
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    num_processes: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("search mode", self.mode, MODES)
        if self.objective not in OBJECTIVES:
            raise unknown("objective", self.objective, OBJECTIVES)
        if self.objective != "fbnet" and self.target_ms is None:
            raise InvalidValue(f"the objective {self.objective!r} needs a target in ms (target_ms)")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise InvalidValue(
                f"warmup_epochs must be 0 or more and below epochs: theta is trained only after "
                f"warm-up; got {self.warmup_epochs} of {self.epochs}"
            )
        if not 0 < self.theta_fraction < 1:
            raise InvalidValue(
                f"theta_fraction must lie between 0 and 1, got {self.theta_fraction}"
            )
        # Written so that NaN is refused too: no comparison with it is true.
        for name in ("batch_size", "lr", "temperature", "temperature_decay", "num_processes",
                     "theta_batch_size", "theta_lr", "target_ms", "target_weight"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidValue(f"{name} must be above 0, got {value}")
        for name in ("seed", "ramp_epochs", "workers", "weight_decay", "momentum"):
            if getattr(self, name) < 0:
                raise InvalidValue(f"{name} must be 0 or more, got {getattr(self, name)}")

    @classmethod
    def paper(cls, **changes: Any) -> SearchConfig:
        """Return the paper's settings (FBNet, section 4.1; 3.2 for equation 2), with ``changes``."""
        settings: dict[str, Any] = {
            # FBNet, section 4.1; the paper has no ramp and does not clip
            "mode": "paper", "objective": "fbnet", "epochs": 90, "warmup_epochs": 10,
            "batch_size": 192, "ramp_epochs": 0, "clip_norm": None,
        }  # fmt: skip
        return cls(**{**settings, **changes})

    @classmethod
    def library(cls, **changes: Any) -> SearchConfig:
        """Return settings for theta on taught candidates, with ``changes``."""
        # Theta begins where it can tell candidates apart: a few epochs settle it.
        settings: dict[str, Any] = {
            "mode": "library", "epochs": 8, "warmup_epochs": 0, "theta_batch_size": 32,
        }  # fmt: skip
        return cls(**{**settings, **changes})

    @property
    def theta_batch(self) -> int:
        return self.theta_batch_size or self.batch_size

    @property
    def begins_aligned(self) -> bool:
        return self.mode == "fast" if self.aligned is None else self.aligned

    @property
    def theta_rates(self) -> tuple[float, float]:
        """Return learning rate and weight decay of theta, those of the mode where none are given."""
        lr, decay = self.theta_lr, self.theta_weight_decay
        return (
            _THETA_LR[self.mode] if lr is None else lr,
            _THETA_WEIGHT_DECAY[self.mode] if decay is None else decay,
        )

    def build_objective(self) -> Objective:
        """Make the loss over theta."""
        if self.objective == "fbnet":
            return FBNetObjective(alpha=self.alpha, beta=self.beta)
        assert self.target_ms is not None
        if self.objective == "power":
            return PowerObjective(target_ms=self.target_ms, exponent=self.exponent)
        return TargetObjective(target_ms=self.target_ms, weight=self.target_weight)

    def build_control(self) -> TargetControl | None:
        """Make the controller of lambda, where the objective leaves lambda open."""
        controlled = self.objective == "target" and self.target_weight is None
        return TargetControl() if controlled else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a run folder stores them."""
        return asdict(self)
