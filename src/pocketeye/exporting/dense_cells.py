"""Cells of `bench` for detectors and segmenters: the whole way from image to answer."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketeye.artifacts.dense import DenseExecutable, DenseManifest, Stages
from pocketeye.errors import InvalidValue
from pocketeye.exporting.dense import export_dense
from pocketeye.exporting.sample_images import sample_images
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.reference import ArtifactFolder, Run
from pocketeye.progress import task
from pocketeye.runs import ORIGIN
from pocketeye.runtimes import Precision

_WARM_UP = 2
_IMAGES = 8


def _images(
    models: Sequence[Run | ArtifactFolder], data: str | None, split: str | None, rounds: int
) -> list[np.ndarray]:
    """The same for all, so that their times can be compared; no more than there are rounds.

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
    return sample_images(described[0], data, min(_IMAGES, rounds), split)


def _artifacts(
    model: Run | ArtifactFolder, runtimes: Sequence[str], precisions: Sequence[Precision], threads: int,
    input_size: int | None, data: str | None, samples: int, out: Path,
) -> list[tuple[str, Path]]:  # fmt: skip
    """(Name, folder) of what is timed; a run is exported to every runtime and precision."""
    if isinstance(model, ArtifactFolder):
        origin = model.folder / ORIGIN
        known = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else {}
        return [(known.get("name", model.name), model.folder)]
    found = []
    for to in runtimes:
        for precision in precisions:
            target = out / model.name / f"{to}-{precision}"
            export_dense(model.folder, to=to, precision=precision, out=target, input_size=input_size,
                         data=data, samples=samples, threads=threads)  # fmt: skip
            found.append((model.name, target))
    return found


def _measured(
    executables: Sequence[DenseExecutable], images: Sequence[np.ndarray], rounds: int
) -> list[Stages]:
    """Medians; images come in turn, and so do the artefacts: drift of the machine falls on all."""
    samples: list[list[Stages]] = [[] for _ in executables]
    with task("timing", rounds + _WARM_UP) as bar:
        for number in range(rounds + _WARM_UP):
            for executable, taken in zip(executables, samples, strict=True):
                executable(images[number % len(images)])
                if number >= _WARM_UP:
                    taken.append(executable.stages)
            bar.advance()
    return [
        Stages(*(statistics.median(column) for column in zip(*taken, strict=True)))
        for taken in samples
    ]
