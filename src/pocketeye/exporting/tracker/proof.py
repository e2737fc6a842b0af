"""Prove that an exported tracker tracks as the network does: graph by graph, and through a clip."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from pocketeye.artifacts.tracker import DECODE, IMAGE, WRITE, TrackerGraphs, reading_graph
from pocketeye.data.clips.flower import HiddenFlowerClip
from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.exporting.timing import record_of
from pocketeye.latency import Call, LatencyRecord, Protocol, measure_interleaved
from pocketeye.models import TAM
from pocketeye.progress import task
from pocketeye.results import CompactMask
from pocketeye.runtimes import ParityReport, Precision, check_parity
from pocketeye.runtimes.parity import Status
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.tracking.engine.base import Answers, Features, Reading
from pocketeye.tracking.engine.torch_engine import TorchEngine
from pocketeye.tracking.video.tracker import Tracker

CLIP = "the clip of a hidden flower that comes along"
_CORRECTED = 8  # a frame in which the proof clicks again: prompts with memory are proved too
_KEPT = 3  # inputs of each graph that are compared with torch
# Mean IoU of the masks of both, for PASS and for WARN: fp32 differs by rounding alone.
_ALIKE, _ROUGHLY = 0.99, 0.9
_ROUNDS = 12  # enough to see where the time goes

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackAgreement:
    """Compare the masks that torch and the artefact find in a clip of ``num_frames`` frames.

    Attributes:
        iou: mean over the frames in which either of them finds the object.
        worst: the least of them, in frame ``worst_frame``.
        seen: frames in which torch finds the object.
        graphs: relative error of each graph on inputs of this clip.
    """

    num_frames: int
    iou: float
    worst: float
    worst_frame: int
    seen: int
    graphs: dict[str, float]

    @property
    def sample(self) -> str:
        """Say on what was compared."""
        return f"{self.num_frames} frames of {CLIP}"

    @property
    def status(self) -> Status:
        """Return PASS from a mean IoU of 0.99 on, WARN from 0.9 on or where nothing is proven."""
        if self.iou < _ROUGHLY:
            return "FAIL"
        return "PASS" if self.iou >= _ALIKE and not self.doubts else "WARN"

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Say why the comparison is no proof, if there is a reason."""
        if self.seen:
            return ()
        seen = f"torch finds no object in {self.num_frames} frames"
        return (Doubt(what="the comparison proves nothing", seen=seen, remedy="train it first"),)

    def lines(self) -> list[str]:
        """Return the sentence that a person reads, and the doubts."""
        text = (
            f"mean mask IoU {self.iou:.4f}, least {self.worst:.4f} (frame {self.worst_frame})   "
            f"{self.status}"
        )
        return [text, *doubt_lines(self.doubts)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        doubts = [str(doubt) for doubt in self.doubts]
        return {**asdict(self), "status": self.status, "doubts": doubts}


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
    model: TAM, modules: Mapping[str, nn.Module], graphs: TrackerGraphs, num_frames: int,
    precision: Precision,
) -> tuple[TrackAgreement, dict[str, ParityReport], Watched]:  # fmt: skip
    """Follow the flower with both, and compare masks and each graph.

    Args:
        modules: of the graphs, in torch.
        num_frames: of the clip, from its first frame on.
        precision: of the image encoder; the other graphs are in fp32.

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
                           precision if name == IMAGE else "fp32")
        for name in graphs
    }  # fmt: skip
    found = [
        k for k, masks in enumerate(zip(expected, got, strict=True)) if any(m.area for m in masks)
    ]
    ious = {k: expected[k].iou(got[k]) for k in found}
    # Where neither finds anything they agree, and the doubts say that nothing is proven.
    worst = min(ious, key=lambda k: ious[k]) if ious else 0
    return (
        TrackAgreement(
            num_frames=len(frames),
            iou=statistics.fmean(ious.values()) if ious else 1.0,
            worst=ious.get(worst, 1.0),
            worst_frame=worst,
            seen=sum(mask.area > 0 for mask in expected),
            graphs={name: report.rel for name, report in reports.items()},
        ),
        reports,
        engine,
    )


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
