"""Detectors and segmenters as artefacts: graphs of static shape, and what stands around them in numpy.

The folder of an artefact holds ``dense.json``: the task, its classes, the graph's input (the *canvas*,
into which an image is fitted at its upper left corner), and the numbers of the decoder. Mask R-CNN has
two more graphs in ``box_head`` and ``mask_head``. ``predict.py`` in it does the same without pocketeye.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pocketeye.artifacts.detection_numpy import RetinaDecoder
from pocketeye.artifacts.mask_rcnn_numpy import MaskRCNNDecoder
from pocketeye.artifacts.semantic_numpy import label_map, prepare
from pocketeye.models.described import Description
from pocketeye.models.task import DENSE, DETECT, INSTANCE, Task
from pocketeye.runs import DENSE_MANIFEST
from pocketeye.runtimes.base import Artifact, Executable

BOX_HEAD, MASK_HEAD = "box_head", "mask_head"
# What turns the outputs of the graphs into objects; a segmenter's output is its answer.
_DECODERS: Mapping[Task, type[RetinaDecoder] | type[MaskRCNNDecoder]] = {
    DETECT: RetinaDecoder, INSTANCE: MaskRCNNDecoder,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DenseManifest(Description):
    """What one must know to use the graphs.

    Attributes:
        task: ``detect``, ``instance`` or ``semantic``.
        canvas: height and width of the graph's input.
        decoder: arguments of the decoder; of ``semantic`` empty.
        crops_per_run: of ``instance``: crops that the box head and the mask head take at once.
    """

    FILE: ClassVar[str] = DENSE_MANIFEST
    SCHEMA: ClassVar[str] = "pocketeye.dense-artifact/1"
    WHAT: ClassVar[str] = "an artefact of a detector or segmenter"
    TASKS: ClassVar[tuple[Task, ...]] = DENSE

    task: Task
    classes: tuple[str, ...]
    canvas: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decoder: dict[str, Any]
    crops_per_run: tuple[int, int] = (0, 0)


class Stages(NamedTuple):
    """Milliseconds of one image: fitting and normalising it, the graphs, and what is in between."""

    prepare: float
    network: float
    decode: float

    @property
    def total(self) -> float:
        return self.prepare + self.network + self.decode


class DenseExecutable:
    """Images in, boxes, masks or label maps out; graphs in their runtime, the rest in numpy.

    Attributes:
        stages: of the last image.
    """

    def __init__(self, manifest: DenseManifest, graphs: Sequence[Executable]) -> None:
        self.manifest, self.graphs = manifest, tuple(graphs)
        self.stages = Stages(0.0, 0.0, 0.0)
        self._network_ms = 0.0
        decoder = _DECODERS.get(manifest.task)
        self._decoder: Any = decoder(**manifest.decoder) if decoder else None

    @property
    def artifact(self) -> Artifact:
        """Of the first graph."""
        return self.graphs[0].artifact

    def raw(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Outputs of the first graph on ``(1, 3, *canvas)``, prepared."""
        return self._timed(0)(image)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray] | np.ndarray:
        """One image, uint8 RGB ``(H, W, 3)``.

        Returns:
            ``boxes``, ``scores``, ``labels`` and, of ``instance``, ``masks (N, H, W)`` (probabilities),
            best first; of ``semantic`` the class of every pixel, int64 ``(H, W)``.
        """
        start = time.perf_counter()
        self._network_ms = 0.0
        said = self.manifest
        original = (image.shape[0], image.shape[1])
        prepared, size = prepare(image, said.canvas, said.mean, said.std)
        ready = time.perf_counter()
        found: dict[str, np.ndarray] | np.ndarray
        if said.task.labels_pixels:
            found = label_map(self._timed(0)(prepared)[0][0], said.canvas, size, original)
        elif said.task.outlines_objects:
            graphs = [self._timed(number) for number in range(3)]
            found = self._decoder(prepared, *graphs, said.crops_per_run, size, original)._asdict()
        else:
            [one] = self._decoder(self._timed(0)(prepared), size, original)
            found = one._asdict()
        spent = 1000 * (time.perf_counter() - ready) - self._network_ms
        self.stages = Stages(1000 * (ready - start), self._network_ms, spent)
        return found

    def _timed(self, number: int) -> Any:
        """A graph whose time is counted."""

        def run(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            start = time.perf_counter()
            outputs = self.graphs[number](*(np.ascontiguousarray(array) for array in arrays))
            self._network_ms += 1000 * (time.perf_counter() - start)
            return outputs

        return run


def load_dense_artifact(folder: Path, *, threads: int = 1) -> DenseExecutable:
    """Open the graphs of an artefact in the runtime they were made for.

    Raises:
        MissingFile, InvalidValue: something is gone or damaged.
    """
    from pocketeye.runtimes import get_runtime

    manifest = DenseManifest.load(folder)
    parts = [folder]
    if manifest.task.outlines_objects:
        parts += [folder / BOX_HEAD, folder / MASK_HEAD]
    artifacts = [Artifact.load(part) for part in parts]
    runtime = get_runtime(artifacts[0].runtime)
    return DenseExecutable(manifest, [runtime.load(a, threads=threads) for a in artifacts])
