"""Judge a classifier on a labelled set."""

from __future__ import annotations

import time

import numpy as np
import torch

from pocketeye import progress
from pocketeye.data import ImageSet
from pocketeye.data.loaders.images import IGNORED, make_loader
from pocketeye.errors import InvalidValue
from pocketeye.metrics import Tally
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.evaluation.classification_result import EvalResult
from pocketeye.predicting.predictor import Predictor


def evaluate(
    predictor: Predictor, images: ImageSet, *, batch_size: int = 128, workers: int = 0
) -> EvalResult:
    """Run ``predictor`` over all of ``images``.

    Labels are matched by the names of the classes, so the data may hold fewer classes than the
    network knows, in another order.

    Damaged images of a set too large for memory are found here; they are left out and named in
    ``problems``.

    Raises:
        InvalidValue: a class the network does not know, another number of channels, or not one
            image that can be read.
    """
    info = predictor.info
    places = match_classes(images.classes, info.classes, images.source)
    if images.in_chans != info.in_chans:
        raise InvalidValue(
            f"{info.name} takes {info.in_chans} channels, the images of {images.source} have "
            f"{images.in_chans}"
        )
    loader = make_loader(
        images, info.transform(), batch_size,
        # Damage is told in the result, once, and not logged on the way.
        shuffle=False, seed=0, drop_last=False, workers=workers, on_damage="ignore",
    )  # fmt: skip
    start = time.perf_counter()
    tally, damaged, seen = Tally(info.classes), list[int](), 0
    with progress.task(f"evaluating {info.name}", len(images)) as bar:
        for x, y in loader:
            labels = y.numpy()
            # A damaged image has a place in the batch, but no label.
            good = np.flatnonzero(labels != IGNORED)
            damaged += [seen + int(i) for i in np.flatnonzero(labels == IGNORED)]
            seen += len(labels)
            if len(good):
                # From the data's numbers of classes to the network's.
                tally.add(predictor.logits(x[torch.from_numpy(good)]), places[labels[good]])
            bar.advance(len(x))
    if len(damaged) == len(images):
        raise InvalidValue(f"none of the {len(images)} images of {images.source} can be read")
    return EvalResult(
        model=info.name,
        data=images.source,
        classes=info.classes,
        report=tally.report(),
        seconds=time.perf_counter() - start,
        problems=tuple(f"{images.name(i)}: cannot be read" for i in damaged),
    )
