"""Look into many images with a detector or a segmenter, and write what is found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketeye import progress
from pocketeye.data import UnreadableImage
from pocketeye.data.inputs import ImageInput, decode_still
from pocketeye.data.labelled.writing.label_files import LabelFiles
from pocketeye.errors import InvalidValue
from pocketeye.outputs import held
from pocketeye.predicting.dense import DensePredictor
from pocketeye.predicting.dense_files import Found, ObjectRecords, found_in
from pocketeye.predicting.labels import label_found
from pocketeye.results import LabelMap
from pocketeye.results.result import save_image
from pocketeye.results.sheet import with_note
from pocketeye.runs import make_folder, write_atomic

DETECTIONS, LABELS = "detections.json", "labels"


def predict_into(
    predictor: DensePredictor,
    images: Sequence[tuple[ImageInput, str]],
    folder: Path,
    score_threshold: float,
    labels: LabelFiles | None = None,
) -> tuple[ObjectRecords, list[str]]:
    """Look into images and write ``STEM.png`` of each, and one ``detections.json``, into ``folder``.

    Args:
        images: each with the stem of its files.
        folder: of the drawings; where there are ``labels``, of their target.
        score_threshold: objects of a lower score are left out.
        labels: write the layout of an annotation tool instead.

    Returns:
        What was found, and a sentence for each image that could not be read.

    Raises:
        InvalidValue: not one image can be read.
    """
    gathered = ObjectRecords(predictor.description)
    problems: list[str] = []
    make_folder(folder if labels is None else folder.parent)
    with (
        labels.writing() if labels is not None else held(folder),
        progress.task("predicting", len(images)) as bar,
    ):
        try:
            for place, (image, stem) in enumerate(images):
                try:
                    encoded = image.read()
                    pixels = np.asarray(decode_still(image.name, encoded))
                    found = found_in(predictor, pixels, score_threshold)
                # One bad image does not end the job.
                except (UnreadableImage, MemoryError) as error:
                    problems.append(f"{image.name}: {error or 'too large for the memory'}")
                else:
                    if labels is not None:
                        label_found(labels, place, encoded, pixels, found)
                    else:
                        _save(found, folder / f"{stem}.png", score_threshold)
                        if isinstance(found, LabelMap):
                            # Colours are to look at; numbers of classes are to compute with.
                            found.save(folder / LABELS / f"{stem}.png", "labels")
                    gathered.add(image.name, found)
                bar.advance()
        finally:  # interrupted too: the images that are drawn are in the json
            if gathered.predictions and labels is not None:
                labels.finish()
            elif gathered.predictions:
                write_atomic(folder / DETECTIONS, json.dumps(gathered.to_coco()) + "\n")
    if not gathered.predictions:
        raise InvalidValue(f"none of {len(images)} images can be read; first: {problems[0]}")
    return gathered, problems


def _save(found: Found, path: Path, score_threshold: float) -> None:
    """Save an image with what was found drawn, or with the words that nothing was."""
    if isinstance(found, LabelMap) or len(found):
        found.save(path)
    else:
        save_image(with_note(found.plot(), f"nothing >= {score_threshold:g}"), path)
