"""Hand what networks find in images to files of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketeye.data import UnreadableImage
from pocketeye.data.inputs import ImageInput, decode_still
from pocketeye.data.labelled.label_files import LabelFiles
from pocketeye.data.labelled.losses import MOST_IN_LABEL_IMAGE
from pocketeye.data.labelled.objects import LabelledFrame, frame_of
from pocketeye.predicting.dense_files import Found
from pocketeye.predicting.predict import Prediction
from pocketeye.results import LabelMap


def label_found(
    labels: LabelFiles, place: int, encoded: bytes, pixels: np.ndarray, found: Found
) -> None:
    """Add the objects, or the classes of pixels, of the image at ``place`` to files of labels."""
    of_classes = isinstance(found, LabelMap)
    result = found.result() if isinstance(found, LabelMap) else found
    # An image of more objects than it has numbers is not written; the files say so.
    fits = result.masks is not None and max(result.ids, default=0) <= MOST_IN_LABEL_IMAGE
    image = result.label_image() if fits and labels.form == "voc" else None
    labels.add(place, frame_of(result), encoded, pixels, image, of_classes=of_classes)


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
