"""Open what a detector or segmenter is trained on; refuse sets with nothing to learn."""

from __future__ import annotations

from pocketeye.data import SemanticSet, load_detection, load_semantic
from pocketeye.training.dense.fit import DenseSet
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.engine import (
    require_classes,
    require_objects,
)


def open_sets(config: DenseRecipe, data: str, classes: str | None) -> tuple[DenseSet, DenseSet]:
    """Open the parts ``train`` and ``val`` of a set of the task's kind."""
    if config.record.labels_pixels:
        train, val = (load_semantic(data, split, classes=classes) for split in ("train", "val"))
        return train, val
    masks = config.record.outlines_objects
    first, second = (load_detection(data, split, masks=masks) for split in ("train", "val"))
    return first, second


def require_content(train: DenseSet, val: DenseSet) -> None:
    """Refuse sets in which there is nothing to learn, before anything is made."""
    if isinstance(train, SemanticSet) or isinstance(val, SemanticSet):
        # A segmenter needs two classes; whether masks are empty only reading tells.
        require_classes(train.classes, train.source)
        return
    first, second = (int((~part.objects.crowd).sum()) for part in (train, val))
    names = (f"{part.source} ({part.split or 'all'})" for part in (train, val))
    require_objects(first, second, *names)
