"""Hand what networks find in images to files of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketeye.data import UnreadableImage
from pocketeye.data.inputs import ImageInput, decode_still
from pocketeye.data.labelled.objects import LabelledFrame
from pocketeye.data.labelled.writing.label_files import LabelFiles
from pocketeye.predicting.dense_files import Found
from pocketeye.predicting.predict import Prediction
from pocketeye.results import LabelMap


def label_found(
    labels: LabelFiles, place: int, encoded: bytes, pixels: np.ndarray, found: Found
) -> None:
    """Add the objects, or the classes of pixels, of the image at ``place`` to files of labels."""
    result = found.result() if isinstance(found, LabelMap) else found
    labels.add_result(place, result, encoded, pixels, of_classes=isinstance(found, LabelMap))


def label_classes(
    labels: LabelFiles, predictions: Sequence[Prediction], images: Sequence[ImageInput]
) -> list[str]:
    """Add the likeliest class of each image to files of labels; each image is read once more.

    Returns:
        A sentence for each image that cannot be read any more.
    """
    problems = []
    for row in predictions:
        image = images[row.place]
        try:
            encoded = image.read()
            pixels = np.asarray(decode_still(image.name, encoded))
        except UnreadableImage as error:
            problems.append(f"{image.name}: {error}")
            continue
        size = (pixels.shape[1], pixels.shape[0])
        labels.add(
            row.place, LabelledFrame(frame=0, size=size, tags=row.classes[:1]), encoded, pixels
        )
    return problems
