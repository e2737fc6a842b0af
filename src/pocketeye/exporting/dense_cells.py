"""What `bench` times of detectors and segmenters: their artefacts, and the images they are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketeye.artifacts.dense import DenseManifest, is_dense_artifact
from pocketeye.errors import InvalidValue
from pocketeye.exporting.dense import export_dense
from pocketeye.exporting.exported import ORIGIN, ExportOptions
from pocketeye.exporting.sample_images import sample_images
from pocketeye.models.bundled import located
from pocketeye.models.dense.described import DenseDescription, is_dense

# Decoding takes longer the more is found: a few images tell that, more would only take longer.
_IMAGES = 8


def are_dense(models: Sequence[str]) -> list[bool]:
    """Tell which of them are runs or artefacts of detectors and segmenters."""
    folders = [Path(located(model)) for model in models]
    return [is_dense(folder) or is_dense_artifact(folder) for folder in folders]


def images_for(
    folders: Sequence[Path], data: str | None, split: str | None, rounds: int
) -> list[np.ndarray]:
    """Return the same images for all, so that times can be compared; no more than there are rounds.

    Raises:
        InvalidValue, MissingFile: no such data, or models that read data in different ways.
    """
    described = [
        DenseManifest.load(folder) if is_dense_artifact(folder) else DenseDescription.load(folder)
        for folder in folders
    ]
    if data is None:
        return sample_images(described[0], None, 1)
    by_maps = [one.task == "semantic" for one in described]
    if any(by_maps) and not all(by_maps):
        boxes, maps = (folders[by_maps.index(kind)].name for kind in (False, True))
        raise InvalidValue(
            f"{boxes} finds objects and {maps} labels pixels, and their data is not read alike: "
            "bench them one by one, or without --data"
        )
    return sample_images(described[0], data, min(_IMAGES, rounds), split)


def dense_artifacts(
    folder: Path, exports: Sequence[ExportOptions], out: Path
) -> list[tuple[str, Path]]:
    """Return (name, folder) of what is timed; a run is exported in every asked for way below ``out``."""
    if is_dense_artifact(folder):
        origin = folder / ORIGIN
        known = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else {}
        return [(known.get("name", folder.name), folder)]
    found = []
    for options in exports:
        target = out / folder.name / f"{options.to}-{options.precision}"
        export_dense(folder, replace(options, out=target))
        found.append((folder.name, target))
    return found
