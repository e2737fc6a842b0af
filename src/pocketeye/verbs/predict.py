"""``pocketeye predict``: class probabilities of pictures."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape

from pocketeye.training.predict import Prediction, find_pictures
from pocketeye.training.predict import predict as run_prediction
from pocketeye.training.predictor import open_predictor
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.train import problem_lines

_MOST_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class PredictResult(VerbResult):
    """Predictions in the order of the pictures, and pictures that could not be read."""

    model: str
    predictions: tuple[Prediction, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "predictions": [
                {
                    "path": row.path,
                    "classes": list(row.classes),
                    "probabilities": list(row.probabilities),
                }
                for row in self.predictions
            ],
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        lines = []
        for row in self.predictions[:_MOST_SHOWN]:
            best = ", ".join(
                f"{escape(name)} {100 * share:.1f} %"
                for name, share in zip(row.classes, row.probabilities, strict=True)
            )
            lines.append(f"{escape(str(row.path))}: [bold]{best.partition(',')[0]}[/bold]"
                         f"{''.join(best.partition(',')[1:])}")  # fmt: skip
        if len(self.predictions) > _MOST_SHOWN:
            lines.append(f"… and {len(self.predictions) - _MOST_SHOWN} more (all with --json)")
        return lines + problem_lines(self.problems)

    def next_commands(self) -> list[str]:
        path = Path(self.model)
        if (path / "best.safetensors").is_file():
            return [f"pocketeye export {shlex.quote(self.model)}"]
        return []


def predict(
    model: str,
    images: list[Path],
    *,
    topk: int = 5,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int = 1,
) -> PredictResult:
    """Name what is in pictures.

    Args:
        model: a run folder, an exported artefact, or a name or architecture.json with weights.
        images: picture files, and folders of them.
        topk: classes per picture.
        checkpoint: weights for a name or an architecture.json.
        pretrained: fetch the published weights of a name.
        input_size: another side of the input in pixels than the network's.
        device: where a torch network runs.
        threads: threads of an artefact's runtime.

    Raises:
        InvalidValue: no weights, or none of the pictures can be read.
        MissingFile: no such network or picture.
    """
    pictures = find_pictures(images)
    predictor = open_predictor(
        model, checkpoint=checkpoint, pretrained=pretrained, input_size=input_size,
        device=device, threads=threads,
    )  # fmt: skip
    predictions, problems = run_prediction(predictor, pictures, topk=topk)
    return PredictResult(model=model, predictions=tuple(predictions), problems=tuple(problems))
