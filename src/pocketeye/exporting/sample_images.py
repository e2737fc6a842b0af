"""Read real images for detectors and segmenters: to compare, to quantise and to time with."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from pocketeye.artifacts.dense import DenseManifest
from pocketeye.data import SampleSet, load_detection, load_maps, readable
from pocketeye.errors import InvalidValue, UserError
from pocketeye.models.dense.described import DenseDescription

PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def sample_images(
    described: DenseDescription | DenseManifest,
    data: str | None,
    count: int,
    split: str | None = None,
) -> list[np.ndarray]:
    """Return uint8 RGB images, evenly out of a part of ``data``; else scikit-learn's photographs.

    Args:
        described: whose task and classes say how the set is read.
        count: at most; of the photographs there are two.
        split: by default the part for validation, or all of a set that is not divided.

    Raises:
        InvalidValue, MissingFile: no such data.
    """
    if count < 1:
        raise InvalidValue(f"at least one image is needed, not {count}")
    if data is None:
        files = [resources.files("sklearn.datasets.images") / name for name in PHOTOGRAPHS[:count]]
        return [np.asarray(Image.open(str(file)).convert("RGB")) for file in files]
    images = _open(described, data, split)
    # Evenly, not the first: sets are often sorted by scene.
    places = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int).tolist()
    found = [np.asarray(sample.image) for sample in readable(images, places)]
    if not found:
        raise InvalidValue(f"not one image of {data} can be read")
    return found


def _open(
    described: DenseDescription | DenseManifest, data: str, split: str | None
) -> SampleSet[Any]:
    def load(part: str | None) -> SampleSet[Any]:
        if described.task.labels_pixels:
            return load_maps(data, part, None, described.classes)
        return load_detection(data, part)

    if split is not None:
        return load(split)
    try:
        return load("val")
    except UserError:
        return load(None)
