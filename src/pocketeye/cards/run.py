"""Write the card of a run folder: what was trained, on what, how, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketeye.cards.text import wrapped
from pocketeye.metrics import wilson_interval
from pocketeye.predicting.info import ModelInfo
from pocketeye.reading import NonNegative, Probability
from pocketeye.runs import (
    CONFIG,
    ENVIRONMENT,
    EVALUATION,
    MODEL,
    RESULT,
    RunFolder,
    read_json,
)
from pocketeye.text import human_seconds

_SEARCHED = "train"
_RECIPE = ("epochs", "batch_size", "optimizer", "lr", "schedule", "weight_decay", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Hold what ``pocketeye eval`` left: ``top1`` and its 95 % interval are 0 to 1, of ``n`` images."""

    data: str
    n: int
    top1: float
    top1_interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCard:
    """Describe a run; ``top1`` (0 to 1, validation, best epoch) is None until finished, ``recipe``,
    ``date`` and ``device`` are empty where the folder does not say."""

    network: str
    data: str
    data_sha256: str
    classes: tuple[str, ...]
    top1: float | None
    best_epoch: int | None
    epochs: int | None
    seconds: float | None
    num_val: int | None
    evaluation: Evaluation | None
    recipe: dict[str, Any]
    date: str
    device: str

    def lines(self) -> list[str]:
        """Lay the card out for a person."""
        names = ", ".join(self.classes[:6]) + (", …" if len(self.classes) > 6 else "")
        recipe = ", ".join(f"{k} {self.recipe[k]}" for k in _RECIPE if k in self.recipe)
        made = " on ".join(filter(None, (self.date.replace("T", " "), self.device)))
        rows = (
            ("network", self.network),
            ("trained on", f"{self.data} (sha256 {self.data_sha256[:12] or 'unknown'})"),
            ("classes", f"{len(self.classes)}: {names}"),
            ("result", self._result()),
            ("judged", self._judged()),
            ("recipe", f"{recipe} (all of it: {CONFIG})" if recipe else f"{CONFIG} is missing"),
            ("begun", made or f"{ENVIRONMENT} is missing"),
        )
        return [line for label, text in rows for line in wrapped(text, label, 12)]

    def _result(self) -> str:
        if self.top1 is None:
            return "the training is not finished"
        took, images = human_seconds(self.seconds or 0.0), "the validation images"
        if self.num_val:
            low, high = wilson_interval(round(self.top1 * self.num_val), self.num_val)
            images = f"{self.num_val} images (95 %: {100 * low:.1f} to {100 * high:.1f})"
        return (
            f"top-1 {100 * self.top1:.2f} % on {images}, epoch {self.best_epoch} of "
            f"{self.epochs}, {took}"
        )

    def _judged(self) -> str:
        if self.evaluation is None:
            return "not yet; pocketeye eval tells top-1 with its interval"
        low, high = (100 * share for share in self.evaluation.top1_interval)
        return (
            f"top-1 {100 * self.evaluation.top1:.2f} % ({low:.1f} to {high:.1f}) on "
            f"{self.evaluation.n} images of {self.evaluation.data}"
        )


_MACHINE = {"created": str | None, "cpu": str | None}


def read_run_card(folder: Path) -> RunCard | None:
    """Read the card of a run folder, or of the training in the folder of a search; None without one.

    Raises:
        InvalidValue: one of its files is damaged.
    """
    if not (folder / MODEL).is_file():
        return None
    # A search holds the training of the network found in a folder of its own.
    if (folder / _SEARCHED / MODEL).is_file():
        folder = folder / _SEARCHED
    info = ModelInfo.load(folder)
    result = _result(folder / RESULT)
    has = {name: (folder / name).is_file() for name in (ENVIRONMENT, CONFIG)}
    environment = read_json(folder / ENVIRONMENT, **_MACHINE) if has[ENVIRONMENT] else {}
    config = RunFolder(folder).config() if has[CONFIG] else {}
    return RunCard(
        network=info.name,
        data=info.data,
        data_sha256=info.data_sha256,
        classes=info.classes,
        top1=result.get("top1"),
        best_epoch=result.get("best_epoch"),
        epochs=result.get("epochs"),
        seconds=result.get("seconds"),
        num_val=result.get("num_val"),
        evaluation=_evaluation(folder / EVALUATION),
        recipe=config,
        date=environment.get("created") or "",
        device=environment.get("cpu") or "",
    )


def _result(path: Path) -> dict[str, Any]:
    """Read what a finished training came to; empty for one that is not finished."""
    if not path.is_file():
        return {}
    return read_json(
        path, top1=Probability, best_epoch=int, epochs=int, seconds=NonNegative, num_val=int
    )


def _evaluation(path: Path) -> Evaluation | None:
    if not path.is_file():
        return None
    share = tuple[Probability, Probability]
    found = read_json(path, data=str, n=int, top1=Probability, top1_interval=share)
    return Evaluation(**{field.name: found[field.name] for field in fields(Evaluation)})
