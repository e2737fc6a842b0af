"""How alike a detector or segmenter answers in torch and as an artefact, on real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pocketeye.progress import task
from pocketeye.results import Result
from pocketeye.runtimes.dense_artifact import DenseExecutable
from pocketeye.training.dense_predictor import TorchDensePredictor, result_of

_SURE, _SAME = 0.3, 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How alike the network in torch and the artefact answer on ``num_pictures`` pictures.

    Torch resizes a picture as in training; the artefact fits it into its canvas. So this tells what
    that costs, beside the rounding of the precision.

    Attributes:
        num_objects: that torch is sure of (a score of 0.3 or more); of ``semantic`` all pixels.
        found: share of them that the artefact has too (same class, IoU of 0.5 or more); of ``semantic``
            the share of equal pixels.
        iou: mean of the boxes or masks that belong together; None of ``semantic`` and without objects.
        score: mean difference of their scores, likewise.
    """

    num_pictures: int
    num_objects: int
    found: float
    iou: float | None = None
    score: float | None = None

    def line(self) -> str:
        if self.iou is None:
            kind = "pixels" if self.score is None and self.num_objects > 1000 else "objects"
            return f"{100 * self.found:.2f} % of {self.num_objects:,} {kind} alike"
        return (
            f"{100 * self.found:.1f} % of {self.num_objects} objects found again, mean IoU "
            f"{self.iou:.3f}, scores off by {self.score:.3f}"
        )


def agreement_of(
    predictor: TorchDensePredictor, executable: DenseExecutable, pictures: Sequence[np.ndarray]
) -> Agreement:
    classes = predictor.description.classes
    pairs: list[tuple[float, float]] = []
    total = equal = 0
    with task("comparing with torch", len(pictures)) as bar:
        for picture in pictures:
            [wanted] = predictor.predict([picture])
            got = executable(picture)
            if isinstance(got, np.ndarray):
                total += got.size
                equal += int((got == wanted).sum())
            else:
                assert isinstance(wanted, Result)
                count, found = _matched(wanted, result_of(got, classes, picture))
                total += count
                pairs += found
            bar.advance()
    if predictor.description.task == "semantic":
        return Agreement(num_pictures=len(pictures), num_objects=total, found=equal / max(total, 1))
    if not pairs:
        return Agreement(num_pictures=len(pictures), num_objects=total, found=0.0 if total else 1.0)
    iou, score = np.mean(pairs, 0).tolist()
    return Agreement(
        num_pictures=len(pictures),
        num_objects=total,
        found=len(pairs) / total,
        iou=iou,
        score=score,
    )


def _matched(wanted: Result, got: Result) -> tuple[int, list[tuple[float, float]]]:
    """How many objects are wanted, and (IoU, difference of scores) of those that were found."""
    from torchvision.ops import box_iou

    ours, theirs = (np.asarray(result.scores) for result in (wanted, got))
    classes, guesses = (tuple(result.class_ids or ()) for result in (wanted, got))
    overlaps = box_iou(*(torch.as_tensor(result.boxes) for result in (wanted, got))).numpy()
    sure = np.flatnonzero(ours >= _SURE).tolist()
    taken: set[int] = set()
    found = []
    for k in sure:
        best, best_iou = -1, _SAME
        for j in range(len(got)):
            if j in taken or guesses[j] != classes[k]:
                continue
            iou = float(overlaps[k, j])
            if iou >= best_iou:
                best, best_iou = j, iou
        if best < 0:
            continue
        taken.add(best)
        if wanted.masks is not None and got.masks is not None:
            best_iou = wanted.masks[k].iou(got.masks[best])
        found.append((best_iou, abs(float(ours[k]) - float(theirs[best]))))
    return len(sure), found
