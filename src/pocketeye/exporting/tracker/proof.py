"""Prove that an exported tracker tracks as the network does: graph by graph, and through a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from pocketeye.artifacts.tracker import DECODE, IMAGE, WRITE, TrackerGraphs, reading_graph
from pocketeye.data.clips.flower import HiddenFlowerClip
from pocketeye.exporting.timing import record_of
from pocketeye.exporting.tracker.agreement import TrackAgreement, compare_masks
from pocketeye.latency.protocol import Call, Protocol, measure_interleaved
from pocketeye.latency.record import LatencyRecord
from pocketeye.models import TAM
from pocketeye.progress import task
from pocketeye.results import CompactMask
from pocketeye.runtimes import ParityReport, check_parity
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.tracking.engine.base import Answers, Features, Reading
from pocketeye.tracking.engine.torch_engine import TorchEngine
from pocketeye.tracking.video.tracker import Tracker

_CORRECTED = 8  # a frame in which the proof clicks again: prompts with memory are proved too
_KEPT = 3  # inputs of each graph that are compared with torch
_ROUNDS = 12  # enough to see where the time goes

Arrays = tuple[np.ndarray, ...]


class Recorded(Mapping[str, Callable[..., Arrays]]):
    """Pass calls on to the graphs, and keep the inputs of a few of them.

    Attributes:
        inputs: of each graph, of its first call and of later ones.
    """

    def __init__(self, graphs: TrackerGraphs) -> None:
        self.graphs = graphs
        self.inputs: dict[str, list[Arrays]] = {}

    def __getitem__(self, name: str) -> Callable[..., Arrays]:
        return partial(self._call, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __len__(self) -> int:
        return len(self.graphs)

    def _call(self, name: str, *arrays: np.ndarray) -> Arrays:
        kept = self.inputs.setdefault(name, [])
        if len(kept) == _KEPT:
            kept.pop(1)  # the first stays: it is unlike the others
        kept.append(tuple(array.copy() for array in arrays))
        return self.graphs[name](*arrays)


class Watched(ArtifactEngine):
    """Compute as usual, and keep the last reading: what a usual frame costs."""

    reading: Reading | None = None

    def track(
        self, features: Features, readings: Sequence[Reading], *, stability_fallback: bool
    ) -> Answers:
        self.reading = readings[0]
        return super().track(features, readings, stability_fallback=stability_fallback)


def agreement_of(
    model: TAM, modules: Mapping[str, nn.Module], graphs: TrackerGraphs, num_frames: int
) -> tuple[TrackAgreement, dict[str, ParityReport], Watched]:  # fmt: skip
    """Follow the flower with both, and compare masks and each graph.

    Args:
        modules: of the graphs, in torch.
        num_frames: of the clip, from its first frame on.

    Returns:
        The agreement, the parity of each graph, and the engine as the last frame left it.
    """
    clip = HiddenFlowerClip()
    frames = [clip[number][0] for number in range(min(num_frames, len(clip)))]
    recorded = Recorded(graphs)
    engine = Watched(graphs.manifest.to_dict(), recorded)
    with task("comparing with torch", 2 * len(frames)) as bar:
        expected = _followed(Tracker(TorchEngine(model, "cpu")), frames, clip, bar)
        got = _followed(Tracker(engine), frames, clip, bar)
    _call_the_rest(engine, frames[0])
    reports = {
        name: check_parity(modules[name], graphs[name], recorded.inputs[name],
                           graphs.artifacts[name].precision)
        for name in graphs
    }  # fmt: skip
    truth = [CompactMask.from_dense(clip[number][1]) for number in range(len(frames))]
    errors = {name: report.rel for name, report in reports.items()}
    exact = all(artifact.precision != "int8" for artifact in graphs.artifacts.values())
    found = compare_masks(expected, got, truth, graphs=errors, exact=exact)
    return found, reports, engine


def _followed(
    tracker: Tracker[Any], frames: Sequence[np.ndarray], clip: HiddenFlowerClip, bar: Any
) -> list[CompactMask]:
    """Follow the flower from a click on, with a correction on the way."""
    masks = []
    with tracker.open(list(frames)) as session:
        session.add(1, frame=0, points=[clip.point(0)])
        for result in session.run():
            if result.frame == _CORRECTED:
                result = session.add(1, frame=_CORRECTED, points=[clip.point(_CORRECTED)])
            assert result.masks is not None
            masks.append(result.masks[0])
            bar.advance()
    return masks


def _call_the_rest(engine: Watched, frame: np.ndarray) -> None:
    """Call the graphs that the clip had no use for, with what it left; forget that it happened."""
    reading, features = engine.reading, engine.encode(frame)
    assert reading is not None
    for number in engine.said["capacities"]:
        # Places filled with what there is, over and over: as many as the graph holds.
        maps, slots = (
            tuple(values[n % len(values)] for n in range(number))
            for values in (reading.maps, reading.slots)
        )
        full = replace(reading, maps=maps, slots=slots)
        engine.track(features, [full], stability_fallback=True)
    engine.reading = reading


def time_tracker(name: str, graphs: TrackerGraphs, engine: Watched, threads: int) -> LatencyRecord:
    """Time a tracked frame as a whole, and its stages one by one.

    A frame is encoded, its object found, and its map written; the features of one object are timed
    as the last frame of the clip had them.
    """
    frame = HiddenFlowerClip()[0][0]
    reading = engine.reading
    assert reading is not None
    plain = ArtifactEngine(engine.said, graphs)

    def whole() -> None:
        features = plain.encode(frame)
        answers = plain.track(features, [reading], stability_fallback=True)
        plain.write(features, answers.mask, binarize=False)

    recorded = engine.graphs
    assert isinstance(recorded, Recorded)
    read = reading_graph(min(n for n in engine.said["capacities"] if n >= len(reading.maps)))
    stages = {"encode": IMAGE, "read": read, "decode": DECODE, "write": WRITE}
    calls: dict[str, Call] = {
        stage: graphs[graph].bind(*recorded.inputs[graph][-1]) for stage, graph in stages.items()
    }
    calls["all"] = whole
    protocol = Protocol(rounds=_ROUNDS, samples=1)
    measured = measure_interleaved(calls, protocol, threads=threads, description="timing")
    record = record_of(
        name, measured.pop("all"), runtime=graphs.runtime,
        precision=graphs.artifacts[IMAGE].precision, threads=threads, protocol=protocol,
    )  # fmt: skip
    extra = {"image_size": list(plain.facts.image_size), "maps": len(reading.maps), "objects": 1}
    return replace(
        record,
        stages={stage: one.timing for stage, one in measured.items()},
        flags={**record.flags, **extra},
    )
