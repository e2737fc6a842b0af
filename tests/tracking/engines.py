"""Engines to run the same session on: one that makes its answers up, torch, and an artefact's graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketeye.artifacts.tracker import IMAGE, graph_folder
from pocketeye.exporting.tracker.graphs import tracker_graphs, tracker_manifest
from pocketeye.models.tam import MemoryRule
from pocketeye.runtimes._store import run_module, seal, store
from pocketeye.runtimes.base import Artifact, TensorSpec
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.tracking.engine.base import (
    Answers,
    Engine,
    Features,
    MemoryMap,
    Reading,
    TrackerFacts,
)
from pocketeye.tracking.engine.torch_engine import TorchEngine
from tests.tracking.trackers import make_tracker

LOGIT = 5.0


@dataclass(eq=False)
class MadeUpMap:
    """Stands for a map: the place of the object when it was written, and some bytes to count."""

    place: tuple[float, float]
    data: np.ndarray


class MadeUpEngine(Engine):
    """Find a disc that goes a pixel to the right from frame to frame, beginning where it was shown."""

    def __init__(self, **facts: Any) -> None:
        usual = {
            "image_size": (64, 96), "num_maskmem": 4, "pointer_dim": 2, "map_bytes": 400,
            "memory_rule": MemoryRule.RECENT, "session_rule": MemoryRule.RECENT,
        }  # fmt: skip
        self.facts = TrackerFacts(**{**usual, **facts})

    def fingerprint(self) -> str:
        return "made up"

    def encode(self, image: np.ndarray) -> Features:
        return float(image.mean())

    def track(
        self, features: Features, readings: Sequence[Reading], *, stability_fallback: bool
    ) -> Answers:
        found = []
        for reading in readings:
            x, y = reading.maps[-1].place
            found.append(self._disc(x + 1, y, reading))
        return Answers(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def prompt(
        self,
        features: Features,
        reading: Reading | None,
        points: np.ndarray | None,
        labels: np.ndarray | None,
        mask_logits: np.ndarray | None,
        *,
        stability_fallback: bool,
        multimask: bool | None = None,
    ) -> Answers:
        assert points is not None
        x, y = points[0].mean(0) / 4
        return self._disc(float(x), float(y), reading)

    def adopt_mask(self, features: Features, mask: np.ndarray) -> Answers:
        rows, columns = np.nonzero(mask[0, 0])
        return self._disc(columns.mean() / 4, rows.mean() / 4, None)

    def write(
        self, features: Features, masks: np.ndarray, *, binarize: bool
    ) -> tuple[MemoryMap, ...]:
        return tuple(
            MadeUpMap(tuple(np.argwhere(mask[0] > 0).mean(0)[::-1]), np.zeros(100, np.float32))
            for mask in masks
        )

    def _disc(self, x: float, y: float, reading: Reading | None) -> Answers:
        height, width = self.facts.mask_size
        rows, columns = np.mgrid[:height, :width]
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= 9
        mask = np.where(inside, LOGIT, -LOGIT).astype(np.float32)[None, None]
        known = 0 if reading is None else len(reading.maps)
        pointer, score = np.array([[x, known]], np.float32), np.array([LOGIT], np.float32)
        return Answers(mask, np.ones((1, 1), np.float32), mask, pointer, score)


class Noted(Engine):
    """Hand on to another engine, and note what each call reads.

    Attributes:
        calls: name, frame, and of each reading the frames of its maps, their slots, and how many
            pointers; () where there is none.
    """

    def __init__(self, engine: Engine, frame: Callable[[], int]) -> None:
        self.engine, self.facts, self._frame = engine, engine.facts, frame
        self.calls: list[tuple[str, int, tuple[Any, ...]]] = []
        self._written: list[tuple[MemoryMap, int]] = []  # kept, so that no two have one id

    def fingerprint(self) -> str:
        return self.engine.fingerprint()

    def batches(self, readings: Sequence[Reading]) -> list[list[int]]:
        return self.engine.batches(readings)

    def encode(self, image: np.ndarray) -> Features:
        self._note("encode")
        return self.engine.encode(image)

    def track(
        self, features: Features, readings: Sequence[Reading], *, stability_fallback: bool
    ) -> Answers:
        self._note("track", *readings)
        return self.engine.track(features, readings, stability_fallback=stability_fallback)

    def prompt(
        self, features: Features, reading: Reading | None, *args: Any, **kwargs: Any
    ) -> Answers:
        self._note("prompt", *([] if reading is None else [reading]))
        return self.engine.prompt(features, reading, *args, **kwargs)

    def adopt_mask(self, features: Features, mask: np.ndarray) -> Answers:
        self._note("adopt")
        return self.engine.adopt_mask(features, mask)

    def write(
        self, features: Features, masks: np.ndarray, *, binarize: bool
    ) -> tuple[MemoryMap, ...]:
        written = self.engine.write(features, masks, binarize=binarize)
        self._written += [(one, self._frame()) for one in written]
        return written

    def _note(self, name: str, *readings: Reading) -> None:
        read = tuple((self._frames(r), r.slots, len(r.pointers)) for r in readings)
        self.calls.append((name, self._frame(), read))

    def _frames(self, reading: Reading) -> tuple[int, ...]:
        frames = {id(one): frame for one, frame in self._written}
        return tuple(frames[id(one)] for one in reading.maps)


def graph_engine(torch_engine: TorchEngine) -> ArtifactEngine:
    """An artefact of the network, whose graphs are called as they are and not exported."""
    modules = tracker_graphs(torch_engine.model.requires_grad_(False))
    said = tracker_manifest(torch_engine.model, modules).to_dict()

    return ArtifactEngine(said, {name: as_graph(module) for name, module in modules.items()})


def as_graph(module: torch.nn.Module) -> Callable[..., tuple[np.ndarray, ...]]:
    """A module as a function of arrays."""

    def call(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(array.copy()) for array in arrays))
        return tuple(x.numpy() for x in ((found,) if torch.is_tensor(found) else found))

    return call


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def exported(folder: Path, torch_engine: TorchEngine) -> dict[str, torch.nn.Module]:
    """Write the folder of an artefact whose files hold no graph; return the graphs by their files."""
    modules = tracker_graphs(torch_engine.model.requires_grad_(False))
    tracker_manifest(torch_engine.model, modules).save(folder)
    found = {}
    for name, module in modules.items():
        example = module.example()
        specs = [
            tuple(
                TensorSpec(
                    name=each, shape=tuple(x.shape), dtype=str(x.dtype).removeprefix("torch.")
                )
                for each, x in zip(names, tensors, strict=True)
            )
            for names, tensors in (
                (module.input_names, example),
                (module.output_names, run_module(module, example)),
            )
        ]
        artifact = Artifact(
            folder=graph_folder(folder, name), file="model.onnx", runtime="onnxruntime",
            precision="fp32", inputs=specs[0], outputs=specs[1],
        )  # fmt: skip
        artifact = store(artifact, partial(_write, name.encode()))
        found[str(artifact.path)] = module
        if name == IMAGE:
            seal(artifact)
    return found


def engine_named(name: str) -> Engine:
    """One of ``made up``, ``torch`` and ``graphs``; the last two are the same small network."""
    if name == "made up":
        return MadeUpEngine(num_maskmem=7)
    engine = make_tracker().engine
    return engine if name == "torch" else graph_engine(engine)
