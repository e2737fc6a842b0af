"""Tell the likeliest classes of images that have no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from pocketeye import progress
from pocketeye.data import UnreadableImage
from pocketeye.data.inputs import ImageInput, still_of
from pocketeye.errors import InvalidValue
from pocketeye.metrics import softmax
from pocketeye.predicting.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Hold the likeliest classes of one image, likeliest first; probabilities are 0 to 1.

    Attributes:
        name: the path or address as the user would write it.
        place: of the image among those that were given.
        thumbnail: the image made small, where that was asked for.
    """

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    place: int = field(default=0, compare=False)
    thumbnail: Image.Image | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "path": self.name,
            "classes": list(self.classes),
            "probabilities": list(self.probabilities),
        }


def predict(
    predictor: Predictor,
    images: Sequence[ImageInput],
    *,
    topk: int = 5,
    batch_size: int = 32,
    thumbnails: int = 0,
    thumbnail_size: int = 192,
) -> tuple[list[Prediction], list[str]]:
    """Return predictions, and a sentence about each image that cannot be read.

    Args:
        predictor: from ``open_predictor``.
        images: from ``find_inputs``; each is read once.
        topk: classes per image, at most as many as there are.
        batch_size: images at once.
        thumbnails: of how many images to keep a small one.
        thumbnail_size: its longer side, in pixels.

    Raises:
        InvalidValue: ``topk`` or ``batch_size`` below 1, or none of the images can be read.
    """
    for what, number in (("topk", topk), ("the batch size", batch_size)):
        if number < 1:
            raise InvalidValue(f"{what} must be at least 1, got {number}")
    transform, info = predictor.info.transform(), predictor.info
    predictions: list[Prediction] = []
    problems: list[str] = []
    with progress.task("predicting", len(images)) as bar:
        # Batch by batch: thousands of images do not fit into memory at once.
        for start in range(0, len(images), batch_size):
            inputs: list[torch.Tensor] = []
            read: list[tuple[int, Image.Image | None]] = []
            for place, image in enumerate(images[start : start + batch_size], start):
                try:
                    decoded = still_of(image, info.in_chans)
                except UnreadableImage as error:
                    # One bad file does not end the job; it is named at the end.
                    problems.append(f"{image.name}: {error}")
                else:
                    inputs.append(transform(decoded))
                    # Thumbnails of a whole collection would fill the memory.
                    kept = len(predictions) + len(read) < thumbnails
                    read.append((place, _small(decoded, thumbnail_size) if kept else None))
                bar.advance()
            if inputs:
                shares = softmax(predictor.logits(torch.stack(inputs)))
                predictions += [
                    replace(
                        best_classes(images[place].name, row, info.classes, topk, thumbnail),
                        place=place,
                    )
                    for (place, thumbnail), row in zip(read, shares, strict=True)
                ]
    if not predictions:
        raise InvalidValue(f"none of {len(images)} images can be read; first: {problems[0]}")
    return predictions, problems


def _small(image: Image.Image, size: int) -> Image.Image:
    """Shrink an image to at most ``size`` pixels; tiny ones are enlarged in whole steps."""
    # Tiny images are often pixel graphics: whole steps keep their squares.
    if max(image.size) * 2 <= size:
        factor = size // max(image.size)
        wanted = image.width * factor, image.height * factor
        return image.resize(wanted, Image.Resampling.NEAREST)
    small = image.copy()
    small.thumbnail((size, size))
    return small


def best_classes(
    name: str,
    shares: np.ndarray,
    classes: tuple[str, ...],
    topk: int,
    thumbnail: Image.Image | None = None,
) -> Prediction:
    """Return the ``topk`` likeliest classes of one image by their ``shares``, float ``(classes,)``."""
    # Stable: equal shares stay in the order of the classes.
    order = np.argsort(-shares, kind="stable")[:topk]
    return Prediction(
        name=name,
        classes=tuple(classes[index] for index in order),
        probabilities=tuple(float(shares[index]) for index in order),
        thumbnail=thumbnail,
    )
