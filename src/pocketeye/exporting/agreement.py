"""Tell how alike a detector or segmenter answers in torch and as an artefact, on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketeye.artifacts.dense import DenseExecutable
from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.predicting.dense import TorchDensePredictor, result_of
from pocketeye.progress import task
from pocketeye.results import Result
from pocketeye.runs import write_json
from pocketeye.runtimes import Status

# Share of the answers that must be alike for PASS and for WARN. The canvas alone moves a box or an edge
# a little, so that a few answers in a hundred differ in fp32 too.
_ALIKE, _HALF = 0.9, 0.5
# Below this score an object is no answer; from this IoU on two boxes are one object, as in COCO AP50.
_MIN_SCORE, _MIN_IOU = 0.3, 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Compare what the network in torch and the artefact answer on ``num_images`` images.

    Torch resizes an image as in training; the artefact fits it into its canvas. So this tells what
    that costs, beside the rounding of the precision.

    Attributes:
        unit: ``objects``, those with a score of 0.3 or more; of ``semantic`` ``pixels``.
        total: that torch is sure of; of ``semantic`` all.
        found: share of them that the artefact has too (same class, IoU of 0.5 or more); of ``semantic``
            the share of equal pixels. None where there are none.
        num_classes: that torch sees in these images.
        surplus: objects that the artefact is sure of and torch does not have at all.
        iou: mean of the boxes or masks that belong together; None of ``semantic`` and without any.
        score: mean difference of their scores, likewise.
    """

    num_images: int
    unit: str
    total: int
    found: float | None
    num_classes: int
    surplus: int = 0
    iou: float | None = None
    score: float | None = None

    def save(self, path: Path) -> Path:
        """Write it as JSON."""
        return write_json(path, asdict(self))

    @property
    def sample(self) -> str:
        """Say on what was compared."""
        return f"{self.num_images} images"

    @property
    def status(self) -> Status:
        """Return PASS where nine answers in ten are alike, WARN where half are or nothing is proven."""
        if self.found is None:  # an object or so in each image is one at the edge of the score
            return "WARN" if self.surplus <= self.num_images else "FAIL"
        alike = self.total * self.found / max(self.total + self.surplus, 1)
        if alike < _HALF:
            return "FAIL"
        return "PASS" if alike >= _ALIKE and not self.doubts else "WARN"

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Say why the comparison is no proof, if there is a reason."""
        data = "compare on images with objects (--data), with a network that finds some"
        if self.found is None:
            seen = f"in {self.num_images} images torch is sure of no object (score {_MIN_SCORE} or more)"
            return (Doubt(what="nothing was compared", seen=seen, remedy=data),)
        if self.unit == "pixels" and self.num_classes == 1:
            seen = f"torch says one class of every pixel of {self.num_images} images"
            remedy = "train it first, and compare on images of several classes (--data)"
            return (Doubt(what="the comparison proves nothing", seen=seen, remedy=remedy),)
        return ()

    def lines(self) -> list[str]:
        """Return the sentence that a person reads, and the doubts."""
        return [f"{self._text()}   {self.status}", *doubt_lines(self.doubts)]

    def _text(self) -> str:
        if self.found is None:
            return f"no object to find again, {self.surplus} more found"
        if self.unit == "pixels":
            return f"{100 * self.found:.2f} % of {self.total:,} pixels alike"
        text = f"{100 * self.found:.1f} % of {self.total} objects found again, {self.surplus} more found"
        if self.iou is None:
            return text
        return f"{text}, mean IoU {self.iou:.3f}, scores off by {self.score:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        doubts = [str(doubt) for doubt in self.doubts]
        return {**asdict(self), "status": self.status, "doubts": doubts}


def agreement_of(
    predictor: TorchDensePredictor, executable: DenseExecutable, images: Sequence[np.ndarray]
) -> Agreement:
    """Compare the answers of both for all images."""
    semantic = predictor.description.task.labels_pixels
    classes = predictor.description.classes
    pairs: list[tuple[float, float]] = []
    total = equal = surplus = 0
    seen: set[int] = set()
    with task("comparing with torch", len(images)) as bar:
        for image in images:
            # Torch's way is the one that was trained and judged: it is the measure.
            [expected] = predictor.predict([image])
            actual = executable(image)
            if isinstance(actual, np.ndarray):
                total += actual.size
                equal += int((actual == expected).sum())
                seen |= set(np.unique(np.asarray(expected)).tolist())
            else:
                assert isinstance(expected, Result)
                result = result_of(actual, classes, image)
                count, found = _matched(expected, result)
                sure, back = _matched(result, expected)
                # What the artefact is sure of and torch has at no score at all.
                total, surplus = total + count, surplus + sure - len(back)
                pairs += found
                seen |= {c for c, at in zip(expected.class_ids or (), _scores(expected), strict=True)
                         if at >= _MIN_SCORE}  # fmt: skip
            bar.advance()
    # Where nothing was to be found a share would say nothing, not even that all is well.
    share = (equal if semantic else len(pairs)) / total if total else None
    iou, score = np.mean(pairs, 0).tolist() if pairs else (None, None)
    return Agreement(
        num_images=len(images), unit="pixels" if semantic else "objects", total=total, found=share,
        num_classes=len(seen), surplus=surplus, iou=iou, score=score,
    )  # fmt: skip


def _scores(result: Result) -> list[float]:
    return [] if result.scores is None else result.scores.tolist()


def _matched(expected: Result, actual: Result) -> tuple[int, list[tuple[float, float]]]:
    """Count expected objects, and return (IoU, difference of scores) of those that were found."""
    from torchvision.ops import box_iou

    ours, theirs = (np.asarray(result.scores) for result in (expected, actual))
    classes, guesses = (tuple(result.class_ids or ()) for result in (expected, actual))
    overlaps = box_iou(*(torch.as_tensor(result.boxes) for result in (expected, actual))).numpy()
    # Results come surest first, so the surest object chooses first, as in COCO's matching.
    sure = np.flatnonzero(ours >= _MIN_SCORE).tolist()
    matched: set[int] = set()
    found = []
    for k in sure:
        best, best_iou = -1, _MIN_IOU
        # Among all answers, also unsure ones: a score a little below the limit is no lost object.
        for j in range(len(actual)):
            if j in matched or guesses[j] != classes[k]:
                continue
            iou = float(overlaps[k, j])
            if iou >= best_iou:
                best, best_iou = j, iou
        if best < 0:
            continue
        matched.add(best)
        if expected.masks is not None and actual.masks is not None:
            # Matched by boxes, which are quick to compare, and judged by masks.
            best_iou = expected.masks[k].iou(actual.masks[best])
        found.append((best_iou, abs(float(ours[k]) - float(theirs[best]))))
    return len(sure), found
