"""Hold scores of objects that were followed through clips, and put them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.doubts import Doubt
from pocketeye.metrics.vos import Statistics
from pocketeye.results import CompactMask
from pocketeye.text import some

HEADER = (
    "model", "prompt", "protocol", "sequence", "object", "frames", "J&F", "J", "J recall", "J decay",
    "F", "F recall", "F decay", "shown frames", "clicks",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class WorstFrame:
    """Name a frame of an object with a low J&F."""

    clip: VideoSequence = field(repr=False)
    frame: int
    object_id: int
    j: float
    f: float
    mask: CompactMask = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectScore:
    """Hold the scores of one object of one clip; shares are 0 to 1.

    Attributes:
        num_frames: that were scored.
        num_visible: of them, in which the object is to be seen.
        num_empty: of those, in which its mask is empty.
        shown: frames in which it was shown or corrected.
        worst: the frame of the lowest J&F in each quarter of the clip, lowest first.
    """

    sequence: str
    object_id: int
    num_frames: int
    num_visible: int
    num_empty: int
    j: Statistics
    f: Statistics
    shown: int
    clicks: int
    worst: tuple[WorstFrame, ...] = field(repr=False)

    @property
    def jf(self) -> float:
        """J&F: the mean of the two."""
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """Hold means over objects, as the benchmark does it."""

    jf: float
    j: Statistics
    f: Statistics


@dataclass(frozen=True, kw_only=True, eq=False)
class VosResult:
    """Say how well one model follows the objects of a set.

    Attributes:
        seconds: of reading frames and following; None where masks were made elsewhere.
        followed: frames followed, of all passes.
        problems: clips that could not be scored, and why.
    """

    model: str
    data: str
    prompt: str
    protocol: str
    scores: tuple[ObjectScore, ...]
    seconds: float | None
    followed: int
    problems: tuple[str, ...] = ()

    @property
    def frames_per_second(self) -> float | None:
        """Frames followed per second, of all passes; None where masks were made elsewhere."""
        # All passes over all of their time: what a user of this protocol waits for.
        return self.followed / self.seconds if self.seconds else None

    @property
    def mean(self) -> Mean:
        """Means over all objects."""
        return mean_of(self.scores)

    def by_sequence(self) -> dict[str, Mean]:
        """Return means over the objects of each clip."""
        names = dict.fromkeys(score.sequence for score in self.scores)
        return {name: mean_of([s for s in self.scores if s.sequence == name]) for name in names}

    def worst(self, count: int = 8) -> list[WorstFrame]:
        """Return the worst frame of each object, worst first; then, if there is room, the next ones."""
        # By place first: each object's worst frame goes before any second one.
        ranked = [
            (place, worst.j + worst.f, number, worst)
            for number, score in enumerate(self.scores)
            for place, worst in enumerate(score.worst)
        ]
        return [worst for *_, worst in sorted(ranked, key=lambda each: each[:3])[:count]]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why these scores should not be taken at their word, if there is a reason."""
        return tuple(_doubts(self.scores))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return a row per object, in the order of :data:`HEADER`."""
        return [
            (
                self.model, self.prompt, self.protocol, s.sequence, s.object_id, s.num_frames, s.jf,
                s.j.mean, s.j.recall, s.j.decay, s.f.mean, s.f.recall, s.f.decay, s.shown, s.clicks,
            )
            for s in self.scores
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        fps = self.frames_per_second
        return {
            "model": self.model,
            "data": self.data,
            "prompt": self.prompt,
            "protocol": self.protocol,
            "mean": asdict(self.mean),
            "sequences": {name: asdict(mean) for name, mean in self.by_sequence().items()},
            "objects": [dict(zip(HEADER[3:], row[3:], strict=True)) for row in self.rows()],
            "doubts": [str(doubt) for doubt in self.doubts],
            "followed_frames": self.followed,
            "frames_per_second": None if fps is None else round(fps, 2),
            "problems": list(self.problems),
        }


def beaten_by(result: VosResult, others: Sequence[VosResult]) -> Iterator[Doubt]:
    """Doubt of a tracker that a baseline follows as well as."""
    for other in others:
        if result.mean.jf <= other.mean.jf:
            yield Doubt(
                what=f"{result.model} is no better than {other.model}, which learnt nothing",
                seen=f"J&F {100 * result.mean.jf:.1f}, against {100 * other.mean.jf:.1f}",
                remedy="train it longer, or take other weights",
            )


def _doubts(scores: Sequence[ObjectScore]) -> Iterator[Doubt]:
    unseen = [s for s in scores if not s.num_visible]
    if unseen:
        yield Doubt(
            what=f"{len(unseen)} of {len(scores)} objects are in no frame that counts",
            seen=f"an empty mask is right there, so they score up to 100 for nothing: {_named(unseen)}",
            remedy="leave those clips out, or judge on longer ones",
        )
    lost = [s for s in scores if s.num_visible and s.num_empty == s.num_visible]
    if lost:
        yield Doubt(
            what=f"{len(lost)} of {len(scores)} objects are never found",
            seen=f"the mask is empty in every frame that shows them: {_named(lost)}",
            remedy="check that the weights are trained, and the prompt (--prompt mask is the easiest)",
        )


def _named(scores: Sequence[ObjectScore]) -> str:
    return some([f"{score.sequence} (object {score.object_id})" for score in scores])


def mean_of(scores: Sequence[ObjectScore]) -> Mean:
    """Return the mean over objects, of which there is one at least.

    Over objects and not over clips, as DAVIS: a clip of five counts five times.
    """
    # Mean, recall and decay each by themselves, as DAVIS averages them.
    j, f = (_mean_statistics([getattr(score, name) for score in scores]) for name in ("j", "f"))
    return Mean(jf=(j.mean + f.mean) / 2, j=j, f=f)


def _mean_statistics(parts: Sequence[Statistics]) -> Statistics:
    def of(name: str) -> float:
        return float(sum(getattr(part, name) for part in parts) / len(parts))

    return Statistics(mean=of("mean"), recall=of("recall"), decay=of("decay"))
