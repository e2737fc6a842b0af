"""Run detectors and segmenters as artefacts: graphs of static shape, and numpy around them.

The folder of an artefact holds ``dense.json``: the task, its classes, the graph's input (the *canvas*,
into which an image is fitted at its upper left corner), and the numbers of the decoder. Mask R-CNN has
two more graphs in ``box_head`` and ``mask_head``. ``predict.py`` in it does the same without pocketeye.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from pocketeye.artifacts.detection_numpy import RetinaDecoder
from pocketeye.artifacts.mask_rcnn_numpy import MaskRCNNDecoder
from pocketeye.artifacts.semantic_numpy import label_map, prepare
from pocketeye.errors import InvalidValue
from pocketeye.models.task import DENSE, DETECT, INSTANCE, Task
from pocketeye.models.weights.described import Description, Share, Spread, require_length
from pocketeye.reading import Pixels, Range, make
from pocketeye.runs import DENSE_MANIFEST
from pocketeye.runtimes import Artifact, Executable

BOX_HEAD, MASK_HEAD = "box_head", "mask_head"
# What turns the outputs of the graphs into objects; a segmenter's output is its answer.
_DECODERS: Mapping[Task, type[RetinaDecoder] | type[MaskRCNNDecoder]] = {
    DETECT: RetinaDecoder, INSTANCE: MaskRCNNDecoder,
}  # fmt: skip


# 4096 crops of 256 channels are 800 MB; none is the count of a network without crops.
Crops = Annotated[int, Range(0, 4096)]


@dataclass(frozen=True, kw_only=True)
class DenseManifest(Description):
    """Hold the facts that one needs to use the graphs.

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
    canvas: tuple[Pixels, Pixels]
    mean: tuple[Share, ...]
    std: tuple[Spread, ...]
    decoder: dict[str, Any]
    crops_per_run: tuple[Crops, Crops] = (0, 0)

    def require_sound(self) -> None:
        if not self.classes:
            raise InvalidValue("classes is empty: a network without classes finds nothing")
        for name in ("mean", "std"):
            require_length(name, getattr(self, name), 3, "the number of channels")
        # Made once here: a damaged description must not fail at the first image.
        decoder = self.make_decoder()
        if decoder is None:
            return
        require_length("classes", self.classes, decoder.num_classes, "decoder.num_classes")
        require_length(
            "decoder.sizes", decoder.sizes, len(decoder.strides), "the number of strides"
        )
        anchors = [
            *decoder.strides,
            *decoder.aspect_ratios,
            *(s for row in decoder.sizes for s in row),
        ]
        # Anchors of 0 have no box, and would be divided by.
        if not anchors or not min(anchors) > 0:
            raise InvalidValue("decoder has no strides, sizes and ratios above 0")
        for name in ("score_thresh", "nms_thresh"):
            if not 0 <= getattr(decoder, name) <= 1:
                raise InvalidValue(f"decoder.{name} is {getattr(decoder, name)}, not from 0 to 1")

    def make_decoder(self) -> RetinaDecoder | MaskRCNNDecoder | None:
        """Return what turns the outputs of the graphs into objects; None for a segmenter."""
        kind: Any = _DECODERS.get(self.task)
        return None if kind is None else make(kind, self.decoder, "decoder")


Graph = Callable[..., tuple[np.ndarray, ...]]
Found = dict[str, np.ndarray] | np.ndarray


class DenseExecutable:
    """Call a detector or segmenter on images: graphs in their runtime, the rest in numpy."""

    def __init__(self, manifest: DenseManifest, graphs: Sequence[Executable]) -> None:
        self.manifest, self.graphs = manifest, tuple(graphs)
        self._decoder: Any = manifest.make_decoder()

    @property
    def artifact(self) -> Artifact:
        """Return the artefact of the first graph."""
        return self.graphs[0].artifact

    @property
    def size_bytes(self) -> int:
        """Return the size of the files of all graphs."""
        return sum(graph.artifact.size_bytes for graph in self.graphs)

    def __call__(self, image: np.ndarray) -> Found:
        """Answer for one image, uint8 RGB ``(H, W, 3)``.

        Returns:
            ``boxes``, ``scores``, ``labels`` and, of ``instance``, ``masks (N, H, W)`` (probabilities),
            best first; of ``semantic`` the class of every pixel, int64 ``(H, W)``.
        """
        prepared, size = self._prepare(image)
        graphs = [self._graph(number) for number in range(len(self.graphs))]
        return self._decode(prepared, graphs, size, image.shape[:2])

    def stages(self, image: np.ndarray) -> dict[str, Callable[[], object]]:
        """Take the way of one image apart, so that its stages can be timed one by one.

        Returns:
            Calls without arguments: ``prepare`` fits and normalises the image, ``network`` runs every
            graph on the inputs it gets for this image, bound before, ``decode`` does the rest with the
            outputs that the graphs gave here.
        """
        runs: list[tuple[Callable[[], None], tuple[np.ndarray, ...]]] = []

        def watched(number: int) -> Graph:
            graph = self._graph(number)

            def run(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
                outputs = graph(*arrays)
                # Bound to this image's inputs, so that only the run is timed.
                runs.append((self.graphs[number].bind(*map(np.ascontiguousarray, arrays)), outputs))
                return outputs

            return run

        prepared, size = self._prepare(image)
        original = image.shape[:2]
        self._decode(prepared, [watched(k) for k in range(len(self.graphs))], size, original)

        def network() -> None:
            for call, _ in runs:
                call()

        def decode() -> None:
            # The outputs of the graphs are given again, so that only decoding is timed.
            replies = iter([outputs for _, outputs in runs])
            self._decode(prepared, [lambda *_: next(replies)] * len(self.graphs), size, original)

        return {"prepare": lambda: self._prepare(image), "network": network, "decode": decode}

    def _prepare(self, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        said = self.manifest
        return prepare(image, said.canvas, said.mean, said.std)

    def _decode(
        self,
        prepared: np.ndarray,
        graphs: Sequence[Graph],
        size: tuple[int, int],
        original: tuple[int, ...],
    ) -> Found:
        said, shape = self.manifest, (original[0], original[1])
        if said.task.labels_pixels:
            return label_map(graphs[0](prepared)[0][0], said.canvas, size, shape)
        if said.task.outlines_objects:
            found = self._decoder(prepared, *graphs, said.crops_per_run, size, shape)
            return dict(found._asdict())
        [one] = self._decoder(graphs[0](prepared), size, shape)
        return dict(one._asdict())

    def _graph(self, number: int) -> Graph:
        def run(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            return self.graphs[number](*(np.ascontiguousarray(array) for array in arrays))

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
