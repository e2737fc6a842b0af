"""Cells of `bench` for detectors and segmenters: the whole way from image to answer."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketeye.artifacts.dense import DenseExecutable, DenseManifest, Stages, is_dense_artifact
from pocketeye.errors import InvalidValue
from pocketeye.exporting.sample_images import sample_images
from pocketeye.models.bundled import located
from pocketeye.models.dense.described import DenseDescription, is_dense
from pocketeye.progress import task
from pocketeye.runtimes import Precision
from pocketeye.verbs.export.dense import export_dense

_WARM_UP = 2
_IMAGES = 8


def are_dense(models: Sequence[str]) -> list[bool]:
    """Which of them are runs or artefacts of detectors and segmenters."""
    folders = [Path(located(model)) for model in models]
    return [is_dense(folder) or is_dense_artifact(folder) for folder in folders]


def _images(
    folders: Sequence[Path], data: str | None, split: str | None, rounds: int
) -> list[np.ndarray]:
    """The same for all, so that their times can be compared; no more than there are rounds.

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


def _artifacts(
    folder: Path, runtimes: Sequence[str], precisions: Sequence[Precision], threads: int,
    input_size: int | None, data: str | None, samples: int, out: Path,
) -> list[tuple[str, Path]]:  # fmt: skip
    """(Name, folder) of what is timed; a run is exported to every runtime and precision."""
    if is_dense_artifact(folder):
        origin = folder / "export.json"
        known = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else {}
        return [(known.get("name", folder.name), folder)]
    found = []
    for to in runtimes:
        for precision in precisions:
            target = out / folder.name / f"{to}-{precision}"
            export_dense(folder, to=to, precision=precision, out=target, input_size=input_size,
                         data=data, samples=samples, threads=threads)  # fmt: skip
            found.append((folder.name, target))
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
