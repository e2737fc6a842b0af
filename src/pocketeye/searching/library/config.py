"""Hold the numbers of a block library and of what is chosen from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pocketeye.errors import InvalidValue

Score = Literal["kl", "error", "loss"]
LARGE = 96
"""Side in pixels from which on a mixture of all candidates fills the memory, and steps take seconds."""
SCORES: tuple[Score, ...] = ("kl", "error", "loss")


@dataclass(frozen=True, kw_only=True)
class LibraryConfig:
    """Say how candidates are taught, judged and put together.

    Args:
        epochs: passes over the images in which candidates learn.
        steps: of each pass; none for all of it.
        batch_size: images of a step.
        lr: learning rate at the start (Adam; cosine to 0 over all steps).
        judge_images: at most so many kept-back images tell what a swap costs.
        score: what the integer program adds up: ``kl`` of a single swap to the teacher, ``loss`` the
            cross entropy it adds (needs labels), or the ``error`` of the block alone.
        tune_steps: steps of distilled fine-tuning of every whole network before it is ranked.
        tune_lr: learning rate of those at the start (Adam; cosine to 0).
    """

    epochs: int = 3
    steps: int | None = None
    batch_size: int = 64
    # Adam's usual rate, doubled: most candidates begin with channels of the teacher.
    lr: float = 2e-3
    judge_images: int = 1024
    score: Score = "kl"
    tune_steps: int = 40
    tune_lr: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "judge_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValue(f"{name} must be at least 1, got {value}")
        for name in ("lr", "tune_lr"):
            if not getattr(self, name) > 0:
                raise InvalidValue(f"{name} must be above 0, got {getattr(self, name)}")
        if self.tune_steps < 0:
            raise InvalidValue(f"tune_steps must be 0 or more, got {self.tune_steps}")
        if self.score not in SCORES:
            raise InvalidValue(f"score must be one of {', '.join(SCORES)}, got {self.score!r}")

    @classmethod
    def for_side(cls, side: int, **changes: Any) -> LibraryConfig:
        """Return settings for images of ``side`` pixels, with ``changes``: fewer large ones are seen."""
        # At 224 pixels every swap of EfficientNet-Lite0 takes seconds for a hundred images on a core.
        large: dict[str, Any] = {"judge_images": 256}
        return cls(**{**(large if side >= LARGE else {}), **changes})

    def taught(self) -> dict[str, Any]:
        """Return what the weights of the library follow from, as its folder stores it."""
        names = ("epochs", "steps", "batch_size", "lr", "judge_images")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
