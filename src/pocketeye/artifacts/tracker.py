"""Open a tracker as an artefact: graphs of static shape, and the numbers that go around them.

The folder holds ``tracker.json`` and a folder for each graph but the first, the image encoder,
which lies in the folder itself. What runs them is
:class:`pocketeye.tracking.engine.artifact.ArtifactEngine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from pocketeye.errors import InvalidValue
from pocketeye.models.task import TRACK, Task
from pocketeye.models.weights.described import Description, require_length
from pocketeye.reading import Count, Pixels, Range
from pocketeye.runs import TRACKER_MANIFEST
from pocketeye.runtimes import get_runtime, open_artifact
from pocketeye.runtimes._store import check_stored
from pocketeye.runtimes.base import Artifact, Executable, Runtime
from pocketeye.runtimes.onnx.shared import WEIGHTS

IMAGE, PLACE, DECODE, PROMPT, WRITE = "image", "place", "decode", "prompt", "write"
READ = "read-"  # and the number of maps
_ALWAYS = (IMAGE, PLACE, DECODE, PROMPT, WRITE)

Rule = Literal["recent", "visible", "distinct"]


def reading_graph(num_maps: int) -> str:
    """Return the name of the graph that reads up to so many maps."""
    return f"{READ}{num_maps}"


@dataclass(frozen=True, kw_only=True)
class TrackerManifest(Description):
    """Hold the facts that one needs to use the graphs.

    Attributes:
        task: always track.
        variant: one of :func:`pocketeye.models.list_tams`.
        fingerprint: of the network's weights, see :meth:`Engine.fingerprint`.
        image_size: (height, width) of the network's input.
        memory_rule, session_rule: see :class:`MemoryRule`.
        stability_delta, stability_threshold: of the single mask, see ``stable_or_best``.
        no_mem_embed: added to features where an object is prompted for the first time.
        no_obj_ptr: pointer of an object that is not there.
        ages: embedding of each slot of the memory, the last of them that of prompted frames.
        mask_weight, mask_bias: make a mask prompt of a mask: a convolution of 4x4 pixels.
        prompted, ridge: of the target model, weight of a prompted frame and the ridge; None without
            one.
        capacities: how many maps the reading graphs hold; one name ``read-K`` for each.
        num_pointers, num_points: places for pointers, and for points of a prompt.
        map_bytes: bytes of one map of one object, an upper bound.
        graphs: of each its ``inputs`` and ``outputs`` by name, and the ``shapes`` of the inputs.
    """

    FILE: ClassVar[str] = TRACKER_MANIFEST
    SCHEMA: ClassVar[str] = "pocketeye.tracker-artifact/1"
    CURVE: ClassVar[str] = "confidence.json"
    WHAT: ClassVar[str] = "an artefact of a tracker"
    TASKS: ClassVar[tuple[Task, ...]] = (TRACK,)

    task: Task = TRACK
    variant: str
    fingerprint: str
    image_size: tuple[Pixels, Pixels]
    memory_rule: Rule
    session_rule: Rule
    stability_delta: float
    stability_threshold: float
    no_mem_embed: tuple[float, ...]
    no_obj_ptr: tuple[float, ...]
    ages: tuple[tuple[float, ...], ...]
    mask_weight: tuple[tuple[float, ...], ...]
    mask_bias: float
    prompted: float | None
    ridge: float | None
    capacities: tuple[Count, ...]
    num_pointers: Count
    num_points: Count
    map_bytes: Annotated[int, Range(1, 2**48)]
    graphs: dict[str, dict[str, Any]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all graphs, the image encoder first."""
        return (*_ALWAYS, *map(reading_graph, self.capacities))

    def require_sound(self) -> None:
        for name in self.names:
            said = self.graphs.get(name)
            if said is None:
                raise InvalidValue(f"graphs does not describe {name!r}")
            for key in ("inputs", "outputs", "shapes"):
                if not said.get(key):
                    raise InvalidValue(f"graphs.{name} has no {key}")
        if len(self.ages) < 2:
            raise InvalidValue("ages has fewer than 2 entries: prompted frames and the one before")
        for row in self.mask_weight:
            require_length("a row of mask_weight", row, 4, "the number of its columns")
        require_length("mask_weight", self.mask_weight, 4, "the number of its rows")
        if (self.prompted is None) != (self.ridge is None):
            raise InvalidValue("prompted and ridge are both numbers, or both null")


def graph_folder(folder: Path, name: str) -> Path:
    """Return where a graph lies: the image encoder in the artefact's own folder, others below it."""
    return folder if name == IMAGE else folder / name


class TrackerGraphs(Mapping[str, Callable[..., tuple[np.ndarray, ...]]]):
    """Hold the graphs of an artefact by name; each is opened when it is first asked for.

    A session needs five or six of them, and the largest memory only after many corrections.

    Args:
        manifest: of the artefact.
        artifacts: of each graph, by name.
        threads: of the runtime.
    """

    def __init__(
        self, manifest: TrackerManifest, artifacts: Mapping[str, Artifact], threads: int
    ) -> None:
        self.manifest, self.artifacts, self.threads = manifest, dict(artifacts), threads
        self._opened: dict[str, Executable] = {}

    @property
    def runtime(self) -> Runtime:
        """The runtime of all graphs."""
        return get_runtime(self.artifacts[IMAGE].runtime)

    def __getitem__(self, name: str) -> Executable:
        if name not in self._opened:
            self._opened[name] = open_artifact(self.artifacts[name], threads=self.threads)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.artifacts)

    def __len__(self) -> int:
        return len(self.artifacts)

    @property
    def size_bytes(self) -> int:
        """Size of the files of all graphs, and of the weights that they share."""
        shared = self.artifacts[IMAGE].folder / WEIGHTS
        own = sum(artifact.size_bytes for artifact in self.artifacts.values())
        return own + (shared.stat().st_size if shared.is_file() else 0)


def load_tracker_graphs(folder: Path, *, threads: int = 1) -> TrackerGraphs:
    """Read the manifest of an artefact and those of its graphs, and open the image encoder.

    Raises:
        MissingFile, InvalidValue: something is gone, damaged, or of another runtime than the rest.
        MissingExtra: the runtime is not installed.
    """
    manifest = TrackerManifest.load(folder)
    artifacts = {name: Artifact.load(graph_folder(folder, name)) for name in manifest.names}
    for name, artifact in artifacts.items():
        first = artifacts[IMAGE].runtime
        if artifact.runtime != first:
            raise InvalidValue(
                f"{artifact.folder} is for the runtime {artifact.runtime!r} and {folder} for "
                f"{first!r}: they were put together from two artefacts; export the tracker again"
            )
        inputs = [spec.name for spec in artifact.inputs]
        if inputs != list(manifest.graphs[name]["inputs"]):
            raise InvalidValue(
                f"{artifact.folder} takes {', '.join(inputs)}, and {folder / manifest.FILE} says "
                f"{', '.join(manifest.graphs[name]['inputs'])}: export the tracker again"
            )
    graphs = TrackerGraphs(manifest, artifacts, threads)
    # Damage shows here, and not when a graph is first used in the middle of a video.
    graphs[IMAGE]
    for artifact in artifacts.values():
        check_stored(artifact, SimpleNamespace(name=artifact.runtime))
    return graphs
