"""Judge how alike two trackers' masks are, and what that says of an artefact.

In fp32 both compute the same up to rounding, so every frame counts. int8 rounds, and a rounding error
decides where torch itself wavers: behind something, or beside a look-alike. There torch's mask is no
measure, and the clip's known masks are. So int8 is held to two things: to agree with torch in the
frames in which torch is right, and to be no worse than torch against the truth over all frames.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.results import CompactMask
from pocketeye.runtimes.parity import Status

CLIP = "the clip of a hidden flower that comes along"
# Mean IoU of the masks of both, for PASS and for WARN: fp32 differs by rounding alone.
_ALIKE, _ROUGHLY = 0.99, 0.9
# The same of int8, over frames in which torch is right: outlines may move by a pixel.
_ALIKE_INT8, _ROUGHLY_INT8 = 0.95, 0.9
# How much of J int8 may lose against the truth, for PASS and for WARN.
_LOSS, _LARGE_LOSS = 0.01, 0.03
_RIGHT = 0.75  # IoU with the truth from which a mask is right, and not only near


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Compare the masks of both with those that are known.

    Attributes:
        right: frames with the object in which torch is right (IoU of 0.75 or more).
        iou: mean IoU of both trackers over those frames.
        torch_j, artifact_j: DAVIS's J of each over all frames; where nothing is to be seen a mask is
            wrong and none is right.
    """

    right: int
    iou: float
    torch_j: float
    artifact_j: float

    @property
    def loss(self) -> float:
        """What the artefact loses of J; below 0 where it is nearer to the truth than torch."""
        return self.torch_j - self.artifact_j


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackAgreement:
    """Compare the masks that torch and the artefact find in a clip of ``num_frames`` frames.

    Attributes:
        iou: mean over the frames in which either of them finds the object.
        worst: the least of them, in frame ``worst_frame``.
        seen: frames in which torch finds the object.
        graphs: relative error of each graph on inputs of this clip.
        judged: beside the truth, which decides in int8; None where both compute in floats.
    """

    num_frames: int
    iou: float
    worst: float
    worst_frame: int
    seen: int
    graphs: dict[str, float]
    judged: Judged | None = None

    @property
    def sample(self) -> str:
        """Say on what was compared."""
        return f"{self.num_frames} frames of {CLIP}"

    @property
    def status(self) -> Status:
        """Return the verdict.

        In floats PASS from a mean IoU of 0.99 on and WARN from 0.9 on. In int8 PASS from 0.95 on over
        the frames in which torch is right, with a loss of J up to 0.01; WARN from 0.9 on and up to
        0.03. WARN at best where nothing is proven.
        """
        judged = self.judged
        if judged is None or not judged.right:
            passed, tolerable = self.iou >= _ALIKE, self.iou >= _ROUGHLY
        else:
            passed = judged.iou >= _ALIKE_INT8 and judged.loss <= _LOSS
            tolerable = judged.iou >= _ROUGHLY_INT8 and judged.loss <= _LARGE_LOSS
        if not tolerable:
            return "FAIL"
        return "PASS" if passed and not self.doubts else "WARN"

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Say why the comparison is no proof, if there is a reason."""
        if not self.seen:
            seen = f"torch finds no object in {self.num_frames} frames"
        elif self.judged is not None and not self.judged.right:
            seen = f"torch itself is right in none of {self.num_frames} frames"
        else:
            return ()
        return (Doubt(what="the comparison proves nothing", seen=seen, remedy="train it first"),)

    def lines(self) -> list[str]:
        """Return the sentences that a person reads, and the doubts."""
        lines = [f"mean mask IoU {self.iou:.4f}, least {self.worst:.4f} (frame {self.worst_frame})"]
        if self.judged is not None and self.judged.right:
            judged = self.judged
            lines.append(
                f"where torch is right ({judged.right} frames) {judged.iou:.4f}; against the true "
                f"masks J {100 * judged.artifact_j:.1f}, torch {100 * judged.torch_j:.1f}"
            )
        lines[-1] += f"   {self.status}"
        return [*lines, *doubt_lines(self.doubts)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        doubts = [str(doubt) for doubt in self.doubts]
        return {**asdict(self), "status": self.status, "doubts": doubts}


def compare_masks(
    expected: Sequence[CompactMask],
    got: Sequence[CompactMask],
    truth: Sequence[CompactMask],
    *,
    graphs: Mapping[str, float],
    exact: bool,
) -> TrackAgreement:
    """Compare masks frame by frame.

    Args:
        expected: of torch.
        got: of the artefact.
        truth: those that are known.
        graphs: relative error of each graph.
        exact: both compute in floats: the truth has no say.
    """
    pairs = list(zip(expected, got, strict=True))
    found = [k for k, masks in enumerate(pairs) if any(mask.area for mask in masks)]
    ious = {k: expected[k].iou(got[k]) for k in found}
    # Where neither finds anything they agree, and the doubts say that nothing is proven.
    worst = min(ious, key=lambda k: ious[k]) if ious else 0
    return TrackAgreement(
        num_frames=len(pairs),
        iou=statistics.fmean(ious.values()) if ious else 1.0,
        worst=ious.get(worst, 1.0),
        worst_frame=worst,
        seen=sum(mask.area > 0 for mask in expected),
        graphs=dict(graphs),
        judged=None if exact else _judge(expected, got, truth),
    )


def _judge(
    expected: Sequence[CompactMask], got: Sequence[CompactMask], truth: Sequence[CompactMask]
) -> Judged:
    torch_j, artifact_j = (
        [_region(mask, known) for mask, known in zip(masks, truth, strict=True)]
        for masks in (expected, got)
    )
    right = [k for k, known in enumerate(truth) if known.area and torch_j[k] >= _RIGHT]
    return Judged(
        right=len(right),
        iou=statistics.fmean(expected[k].iou(got[k]) for k in right) if right else 0.0,
        torch_j=statistics.fmean(torch_j),
        artifact_j=statistics.fmean(artifact_j),
    )


def _region(mask: CompactMask, known: CompactMask) -> float:
    """Return DAVIS's region similarity: 1 where nothing is to be found and nothing was."""
    return mask.iou(known) if mask.area or known.area else 1.0
