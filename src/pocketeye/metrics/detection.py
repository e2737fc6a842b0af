"""Average precision of detections as COCO defines it (T.-Y. Lin et al. 2014; cocodataset.org).

The counting is done by faster-coco-eval, whose numbers are those of pycocotools. Found objects take
true ones of their class in the order of their scores, at ten overlaps from 0.50 to 0.95; precision is
read off at 101 recalls and averaged. Small, medium and large are below 32², to 96² and above, in
pixels of area.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pocketeye.metrics.objects import (
    NOTHING,
    FoundObjects,
    TrueObjects,
    found_objects,
    true_objects,
)
from pocketeye.results.masks import Masks

Kind = Literal["box", "mask"]
ImageId = int | str
# Rounded: 0.5 + 0.05 * 3 is not 0.65 to a computer, and overlaps are looked up.
IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)
SIZES = ("small", "medium", "large")
MOST_FOUND = (1, 10, 100)
"""Objects of one class that are judged in one image at most, the surest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ApReport:
    """Hold COCO's numbers of boxes or of masks; shares are 0 to 1, and nan where nothing is true.

    Attributes:
        kind: which of the two.
        values: ``ap``, ``ap50``, ``ap75``, ``ap_small`` … ``ar100``, ``ar_large``: of all classes.
        counts: true objects of each class, crowds left out.
        precision: float64 ``(10, 101, K)``, at each overlap, recall and class.
        recall: float64 ``(10, K)``: the highest that is reached.
    """

    kind: Kind
    values: dict[str, float]
    counts: tuple[int, ...]
    precision: np.ndarray
    recall: np.ndarray

    def ap(self, label: int, iou: float | None = None) -> float:
        """Return the AP of one class, at one overlap or over all of them."""
        chosen = self.precision if iou is None else self.precision[[IOUS.index(iou)]]
        return float(chosen[:, :, label].mean())  # nan throughout, or nowhere

    def ar(self, label: int) -> float:
        """Highest recall of one class, over all overlaps."""
        return float(self.recall[:, label].mean())


class CocoAP:
    """Take the truth and what was found image by image, in any order.

    An image of which nothing was said counts as one in which nothing was found.

    Args:
        classes: names, in the order of the labels.
        masks: judge masks too, which all objects then have.
    """

    def __init__(self, classes: Sequence[str], *, masks: bool = False) -> None:
        self.classes, self.masks = tuple(classes), masks
        self.truths: dict[ImageId, TrueObjects] = {}
        self.found: dict[ImageId, FoundObjects] = {}

    def add_truth(
        self,
        image_id: ImageId,
        boxes: Any,
        labels: Any,
        *,
        crowd: Any = None,
        difficult: Any = None,
        areas: Any = None,
        masks: Masks | None = None,
    ) -> None:
        """Add what is annotated in an image: boxes ``(N, 4)`` x0, y0, x1, y1.

        See :class:`TrueObjects` for the rest.
        """
        made = true_objects(
            boxes, labels, crowd=crowd, difficult=difficult, areas=areas, masks=masks
        )
        assert not self.masks or masks is not None or not len(made), "masks are judged: give them"
        self.truths[image_id] = made

    def update(
        self,
        image_id: ImageId,
        boxes: Any,
        labels: Any,
        scores: Any,
        masks: Masks | np.ndarray | None = None,
    ) -> None:
        """Add what was found in an image: boxes ``(N, 4)`` x0, y0, x1, y1, with labels and scores."""
        made = found_objects(boxes, labels, scores, masks)
        assert not self.masks or masks is not None or not len(made), "masks are judged: give them"
        self.found[image_id] = made

    def merge(self, other: CocoAP) -> None:
        """Take over what another one has (of another process)."""
        self.truths.update(other.truths)
        self.found.update(other.found)

    def compute(self) -> dict[str, float]:
        """Return ``box_ap``, ``box_ap50`` …, ``mask_ap`` …; nan where no object of that size is true."""
        return {
            f"{report.kind}_{name}": value
            for report in self.reports()
            for name, value in report.values.items()
        }

    def reports(self) -> tuple[ApReport, ...]:
        """Return the numbers of boxes, and of masks where they are judged."""
        kinds: tuple[Kind, ...] = ("box", "mask") if self.masks else ("box",)
        assert set(self.found) <= set(self.truths), "found in images without truth"
        return tuple(coco_ap(self.truths, self.found, self.classes, kind) for kind in kinds)


def coco_ap(
    truths: Mapping[ImageId, TrueObjects],
    found: Mapping[ImageId, FoundObjects],
    classes: Sequence[str],
    kind: Kind = "box",
) -> ApReport:
    """See the top of this file."""
    true, guessed = _datasets(truths, found, len(classes), kind)
    precision, recall = _counted(true, guessed, kind)
    counts = np.zeros(len(classes), np.int64)
    for objects in truths.values():
        # Crowds are not objects that could be found.
        counts += np.bincount(objects.labels[~objects.crowd], minlength=len(classes))
    return ApReport(
        kind=kind,
        values=_values(precision, recall),
        counts=tuple(counts.tolist()),
        precision=precision[:, :, :, 0, -1],
        recall=recall[:, :, 0, -1],
    )


def _values(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """Return pycocotools' twelve: precision ``(T, R, K, A, M)``, recall ``(T, K, A, M)``."""
    values = {
        "ap": precision[:, :, :, 0, -1],
        "ap50": precision[IOUS.index(0.5), :, :, 0, -1],
        "ap75": precision[IOUS.index(0.75), :, :, 0, -1],
    }
    values |= {f"ap_{name}": precision[:, :, :, 1 + i, -1] for i, name in enumerate(SIZES)}
    values |= {f"ar{most}": recall[:, :, 0, i] for i, most in enumerate(MOST_FOUND)}
    values |= {f"ar_{name}": recall[:, :, 1 + i, -1] for i, name in enumerate(SIZES)}
    return {name: _mean(part) for name, part in values.items()}


def _mean(values: np.ndarray) -> float:
    # Classes without truth are nan: they are left out, as pycocotools does.
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _datasets(
    truths: Mapping[ImageId, TrueObjects],
    found: Mapping[ImageId, FoundObjects],
    num_classes: int,
    kind: Kind,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Truth and results as COCO's json has them.

    Images are counted in the order of their ids, which decides between equal scores.
    """
    # Numbers before texts: the two cannot be compared.
    order = sorted(truths, key=lambda name: (isinstance(name, str), name))
    images = [_image(number, truths[name]) for number, name in enumerate(order, 1)]
    head = {"images": images, "categories": [{"id": label} for label in range(num_classes)]}
    true: list[dict[str, Any]] = []
    guessed: list[dict[str, Any]] = []
    for number, name in enumerate(order, 1):
        objects, guesses = truths[name], found.get(name, NOTHING)
        own = {"area": objects.areas, "iscrowd": objects.crowd.astype(int)}
        _append(true, number, objects, own, kind)
        _append(guessed, number, guesses, {"score": guesses.scores}, kind)
    return {**head, "annotations": true}, {**head, "annotations": guessed}


def _image(number: int, objects: TrueObjects) -> dict[str, Any]:
    width, height = (0, 0) if objects.masks is None else objects.masks.size
    return {"id": number, "width": width, "height": height}


def _append(
    annotations: list[dict[str, Any]],  # boxes need no size
    image: int,
    objects: TrueObjects | FoundObjects,
    own: dict[str, np.ndarray],
    kind: Kind,
) -> None:
    # COCO writes corner and size.
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    columns = {
        "bbox": np.concatenate([objects.boxes[:, :2], sides], axis=1),
        "category_id": objects.labels,
        "iscrowd": np.zeros(len(objects), np.int64),
        "area": sides.prod(axis=1),
        **own,
    }
    if kind == "mask" and objects.masks is not None:
        # COCO's areas of masks are in pixels of the mask; the truth brings its own.
        columns = {"area": objects.masks.areas, **{k: v for k, v in columns.items() if k != "area"},
                   **own}  # fmt: skip
    lists = {name: column.tolist() for name, column in columns.items()}
    for index in range(len(objects)):
        row = {name: values[index] for name, values in lists.items()}
        # 0 would mean unmatched
        row |= {"id": len(annotations) + 1, "image_id": image}
        if kind == "mask":
            assert objects.masks is not None
            row["segmentation"] = objects.masks[index].to_rle()
        annotations.append(row)


def _counted(
    true: dict[str, Any], guessed: dict[str, Any], kind: Kind
) -> tuple[np.ndarray, np.ndarray]:
    """Precision ``(T, R, K, A, M)`` and recall ``(T, K, A, M)``, nan for what has no truth."""
    from faster_coco_eval import COCO
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    judge = COCOeval_faster(
        COCO(true), COCO(guessed), "bbox" if kind == "box" else "segm", print_function=_silent
    )
    judge.evaluate()
    judge.accumulate()
    precision, recall = (np.array(judge.eval[name]) for name in ("precision", "recall"))
    # pycocotools writes -1 for what does not exist; a mean over it would be wrong.
    return np.where(precision < 0, np.nan, precision), np.where(recall < 0, np.nan, recall)


def _silent(*_: Any) -> None: ...
