"""A predictor that knows the answers: tests say how it falls short of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pocketeye.data.detection.samples import DetectionSet
from pocketeye.data.semantic.samples import SemanticSet
from pocketeye.models.dense.described import DenseDescription, DenseTask
from pocketeye.models.task import task_named
from pocketeye.results import Result

Change = Callable[[int, Result], Result]


class Oracle:
    """Tells images apart by their pixels."""

    def __init__(
        self,
        samples: DetectionSet | SemanticSet,
        task: DenseTask,
        classes: tuple[str, ...] | None = None,
        change: Callable = lambda _, found: found,
    ) -> None:
        self.name = "the oracle"
        self.samples, self.change, self.seen = samples, change, 0
        self.description = DenseDescription(
            task=task_named(task), backbone="none", classes=classes or samples.classes
        )
        self.numbers = {}
        for index in range(len(samples)):
            try:
                image = samples.read(index).image
            except Exception:  # noqa: BLE001 - a damaged one is never asked for
                continue
            self.numbers[np.asarray(image).tobytes()] = index

    def predict(self, images: Sequence[np.ndarray]) -> list:
        self.seen += len(images)
        return [self._one(self.numbers[image.tobytes()], image) for image in images]

    def _one(self, index: int, image: np.ndarray) -> Result | np.ndarray:
        names, samples = self.samples.classes, self.samples
        if isinstance(samples, SemanticSet):
            places = np.array([self.description.classes.index(n) for n in names] + [0])
            labels = samples.targets(index)
            return self.change(index, places[np.minimum(labels, len(names))])
        sample = samples.targets(index)
        found = Result(
            size=sample.size,
            boxes=sample.boxes,
            scores=np.linspace(0.9, 0.6, len(sample)),
            labels=[names[label] for label in sample.labels],
            masks=sample.masks() if self.description.task.outlines_objects else None,
            image=image,
        )
        return self.change(index, found)
