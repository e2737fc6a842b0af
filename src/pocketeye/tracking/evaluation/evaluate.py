"""Score how well objects are followed: the DAVIS benchmark on any set of annotated clips.

Scored are the annotated frames. ``semi`` is DAVIS's semi-supervised protocol: the frame in which an
object is shown and the last annotated one of the clip are left out, and frames before the object was
shown do not count. Interactive protocols score all annotated frames from the object's first on. Void
pixels count as background.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from pocketeye import progress
from pocketeye.data.vos.sequences import VideoSequence, VideoSet
from pocketeye.errors import InvalidValue
from pocketeye.metrics import boundary_accuracy, region_similarity
from pocketeye.metrics.vos import statistics
from pocketeye.results import CompactMask
from pocketeye.tracking.evaluation.folder import read_folder
from pocketeye.tracking.evaluation.follow import (
    MAX_FRAMES as MAX_FRAMES,
    Followed,
    PromptKind as PromptKind,
    Protocol as Protocol,
    VosPlan as VosPlan,
    follow_clip,
    truth_of,
)
from pocketeye.tracking.evaluation.result import ObjectScore, VosResult, WorstFrame
from pocketeye.tracking.evaluation.vos_models import VosModel


def evaluate_vos(
    follower: VosModel, videos: VideoSet, plan: VosPlan | None = None, *, name: str = "the tracker"
) -> VosResult:
    """Show the objects of every clip to ``follower`` and score what it makes of them.

    A clip that cannot be scored (a frame is damaged inside, nothing is left to score) is left out
    and named in ``problems``.

    Raises:
        InvalidValue: not one clip could be scored, or a prompt the follower does not take.
    """
    plan = plan or VosPlan()
    scores: list[ObjectScore] = []
    problems: list[str] = []
    seconds, followed = 0.0, 0
    with progress.task(f"following with {name}", sum(clip.num_frames for clip in videos)) as bar:
        for clip in videos:
            bar.note(clip.name)
            why = why_not_scorable(clip, plan)
            if why is None:
                done = follow_clip(follower, clip, plan, bar.advance)
                # Scored outside of the clock of follow_clip.
                scores += score_clip(clip, done, plan)
                seconds, followed = seconds + done.seconds, followed + done.num_frames
            else:
                problems.append(f"{clip.name}: {why}; left out")
    return _result(name, videos, plan, scores, problems, seconds, followed)


def evaluate_folder(folder: Path, videos: VideoSet, *, name: str | None = None) -> VosResult:
    """Score masks that were made elsewhere, in DAVIS's way: ``folder/SEQ/00000.png`` with ids.

    Raises:
        MissingFile: no such folder.
        InvalidValue: results are missing, damaged, or of the wrong size: how many, and which.
    """
    # Files hold no clicks: results made elsewhere are those of the semi-supervised protocol.
    plan = VosPlan()
    scores: list[ObjectScore] = []
    problems: list[str] = []
    fit = []
    for clip in videos:
        why = why_not_scorable(clip, plan)
        if why is None:
            fit.append(clip)
        else:
            problems.append(f"{clip.name}: {why}; left out")
    wanted = {clip.name: scored_frames(clip, plan) for clip in fit}
    found, more = read_folder(folder, fit, wanted)
    for clip in fit:
        scores += score_clip(clip, Followed(masks=found[clip.name]), plan)
    return _result(name or folder.name, videos, plan, scores, [*problems, *more], None, 0)


def scored_frames(clip: VideoSequence, plan: VosPlan) -> dict[int, tuple[int, ...]]:
    """Return which frames count, by object."""
    semi = plan.protocol == "semi"
    # DAVIS leaves out the last annotated frame as well, in its code and its numbers.
    frames = clip.annotated[:-1] if semi else clip.annotated
    return {
        # In semi the frame that was shown says nothing of the tracker; elsewhere clicks made its mask.
        object_id: tuple(frame for frame in frames if frame > first - (not semi))
        for object_id, first in clip.first_frames.items()
    }


def score_clip(clip: VideoSequence, done: Followed, plan: VosPlan) -> list[ObjectScore]:
    """Return scores of the objects of a clip of which there is a frame to score."""
    wanted = scored_frames(clip, plan)
    return [_score(clip, object_id, frames, done) for object_id, frames in wanted.items() if frames]


def _score(
    clip: VideoSequence, object_id: int, frames: tuple[int, ...], done: Followed
) -> ObjectScore:
    scored, num_visible, num_empty = [], 0, 0
    for frame in frames:
        mask, truth = done.masks[frame][object_id], truth_of(clip, frame, object_id)
        j, f = _measure(mask, truth)
        if truth.any():
            num_visible, num_empty = num_visible + 1, num_empty + (not mask.area)
        scored.append(WorstFrame(clip=clip, frame=frame, object_id=object_id, j=j, f=f, mask=mask))
    return ObjectScore(
        sequence=clip.name,
        object_id=object_id,
        num_frames=len(frames),
        num_visible=num_visible,
        num_empty=num_empty,
        j=statistics([each.j for each in scored]),
        f=statistics([each.f for each in scored]),
        shown=len(done.corrected.get(object_id, (0,))),
        clicks=done.clicks.get(object_id, 0),
        worst=_worst(scored),
    )


def _worst(scored: list[WorstFrame]) -> tuple[WorstFrame, ...]:
    """Choose one frame of each quarter, so that they do not all show the same moment."""
    edges = [len(scored) * quarter // 4 for quarter in range(5)]
    parts = [scored[start:stop] for start, stop in itertools.pairwise(edges) if start < stop]
    worst = [min(part, key=lambda each: each.j + each.f) for part in parts]
    return tuple(sorted(worst, key=lambda each: each.j + each.f))


def _measure(mask: CompactMask, truth: np.ndarray) -> tuple[float, float]:
    found = mask.dense()
    return region_similarity(found, truth), boundary_accuracy(found, truth)


def why_not_scorable(clip: VideoSequence, plan: VosPlan) -> str | None:
    """Tell why a clip cannot be scored; None where it can.

    All of it is read, before minutes of tracking are spent.
    """
    try:
        for index in range(clip.num_frames):
            clip.frame(index)
    except InvalidValue as error:
        return str(error)
    for frame in clip.annotated:
        clip.mask(frame)  # reading marks a damaged mask as not annotated
    if not clip.object_ids:
        return "no object in any mask"
    # Counting them as empty would reward a tracker that loses the object, and punish one that does not.
    if clip.num_lost:
        return f"{clip.num_lost} frames with objects, by meta.json, have no mask to score with"
    if len(clip.annotated) == 1 < clip.num_frames:
        return (
            f"{clip.num_frames} frames, of which one is annotated: there is nothing to score with"
        )
    for object_id, first in clip.first_frames.items():
        if object_id not in (clip.object_masks(first) or {}):
            return f"object {object_id} is not in the mask of frame {first}, where it is said to be"
    if not any(scored_frames(clip, plan).values()):
        annotated = len(clip.annotated)
        return f"{clip.num_frames} frames, {annotated} annotated, of which none is to be scored"
    return None


def _result(
    name: str,
    videos: VideoSet,
    plan: VosPlan,
    scores: list[ObjectScore],
    problems: list[str],
    seconds: float | None,
    followed: int,
) -> VosResult:
    if not scores:
        why = f": {problems[0]}" if problems else ""
        raise InvalidValue(f"not one clip of {videos.source} can be scored{why}")
    return VosResult(
        model=name, data=videos.source, prompt=plan.prompt, protocol=plan.protocol,
        scores=tuple(scores), seconds=seconds, followed=followed, problems=tuple(problems),
    )  # fmt: skip
