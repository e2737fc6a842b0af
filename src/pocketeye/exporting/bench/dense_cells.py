"""Prepare what `bench` times of detectors and segmenters: artefacts, and images they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketeye.artifacts.dense import DenseManifest
from pocketeye.errors import InvalidValue
from pocketeye.exporting.dense import export_dense
from pocketeye.exporting.exported import ExportOptions
from pocketeye.exporting.sample_images import sample_images
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.reference import ArtifactFolder, Run
from pocketeye.runs import read_origin

# Decoding takes longer the more is found: a few images tell that, more would only take longer.
_IMAGES = 8


def images_for(
    models: Sequence[Run | ArtifactFolder], data: str | None, split: str | None, rounds: int
) -> list[np.ndarray]:
    """Return the same images for all, so that times can be compared; no more than there are rounds.

    Raises:
        InvalidValue, MissingFile: no such data, or models that read data in different ways.
    """
    described = [
        DenseDescription.load(model.folder)
        if isinstance(model, Run)
        else DenseManifest.load(model.folder)
        for model in models
    ]
    if data is None:
        return sample_images(described[0], None, 1)
    by_maps = [model.task.labels_pixels for model in models]
    if any(by_maps) and not all(by_maps):
        boxes, maps = (models[by_maps.index(kind)].name for kind in (False, True))
        raise InvalidValue(
            f"{boxes} finds objects and {maps} labels pixels, and their data is not read alike: "
            "bench them one by one, or without --data"
        )
    # By the first model's classes: classes decide names of labels, not which images there are.
    return sample_images(described[0], data, min(_IMAGES, rounds), split)


def dense_artifacts(
    model: Run | ArtifactFolder, exports: Sequence[ExportOptions], out: Path
) -> list[tuple[str, Path]]:
    """Return (name, folder) of what is timed; a run is exported in every asked for way below ``out``."""
    if isinstance(model, ArtifactFolder):
        return [(read_origin(model.folder).get("name") or model.name, model.folder)]
    found = []
    for options in exports:
        target = out / model.name / f"{options.to}-{options.precision}"
        export_dense(model.folder, replace(options, out=target))
        found.append((model.name, target))
    return found
