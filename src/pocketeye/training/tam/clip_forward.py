"""Run a clip as training sees it: the rules of :class:`pocketeye.tracking.Session`, with gradients.

All objects of a batch of clips are computed together, each from the features of its own clip: the
first frame is prompted, its map written, and every later frame reads what the frames before have left.
A test holds this against a session, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pocketeye.data.clips import ClipBatch
from pocketeye.layers import normalise
from pocketeye.models.tam import TAM, ImageFeatures, MemoryRule, Prediction
from pocketeye.models.tam.memory_rule import frames_to_read
from pocketeye.models.tam.tam import as_prompt
from pocketeye.training.tam.losses import MaskPrediction
from pocketeye.training.tam.prompts import error_click, first_click, noisy_box

# SAM 2's max_obj_ptrs_in_encoder; counts the frame's own place, as in a session.
NUM_POINTERS = 16
Kind = Literal["mask", "click", "box"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Say how the clips of a batch are prompted.

    Attributes:
        kind: of the prompt in the first frame; with a mask there is nothing to correct in it.
        clicks: corrective ones in each corrected frame.
        corrected: frames that get them; from then on these count as prompted.
        centre_prob: share of the clicks that go to the middle of where they belong.
        binarize: remember prompted frames as yes or no, which is what sessions do by default.
        checkpointing: compute features and readings again in the backward pass, to save memory.
    """

    kind: Kind
    clicks: int = 0
    corrected: tuple[int, ...] = ()
    centre_prob: float = 0.0
    binarize: bool = True
    checkpointing: bool = False


class _FrameMemory(NamedTuple):
    """Hold what a frame leaves in memory."""

    map: Tensor  # (N, M, h, w)
    pointer: Tensor  # (N, C)
    found: tuple[bool, ...]  # of each object: the network says that it is in the frame


@dataclass(slots=True, eq=False)
class _Memory:
    """Keep what the frames of a clip have left, by frame: a clip is short, nothing is forgotten."""

    prompted: dict[int, _FrameMemory] = field(default_factory=dict)
    tracked: dict[int, _FrameMemory] = field(default_factory=dict)


class ClipForward:
    """Pass once over a batch of clips whose objects are all to be seen in the first frame.

    Args:
        model: in training or eval mode; in eval mode the fall-back of unstable single masks is on.
        batch: frames have the network's size.
        plan: the prompts.
    """

    def __init__(self, model: TAM, batch: ClipBatch, plan: Plan) -> None:
        self.model, self.batch, self.plan = model, batch, plan
        self.num_frames = batch.frames.shape[1]
        images = normalise(batch.frames.flatten(0, 1).float() / 255)
        if next(model.image_encoder.parameters()).is_contiguous(memory_format=torch.channels_last):
            images = images.contiguous(memory_format=torch.channels_last)
        self.images = images
        # All frames at once, before any is tracked: the encoder's part does not depend on the memory.
        self.features: ImageFeatures = self._checkpointed(model.encode_image, images)
        self.memory = _Memory()

    def __call__(self) -> list[MaskPrediction]:
        """Return the answers in all frames, those to corrections included; none to a mask prompt."""
        answers = self._prompt()
        for frame in range(1, self.num_frames):
            answers += self._track(frame)
        return answers

    def _prompt(self) -> list[MaskPrediction]:
        seen, target = self._at(0), self.batch.masks[:, 0]
        if self.plan.kind == "mask":
            adopted = self.model.adopt_mask(seen.feat, target[:, None].float(), seen.details)
            # No loss here: the answer to a mask is the mask.
            self._keep(0, seen, adopted, True)
            return []
        if self.plan.kind == "box":
            points, labels = noisy_box(target)
        else:
            points, labels = first_click(target, self.plan.centre_prob)
        conditioned = seen._replace(feat=self.model.without_memory(seen.feat))
        first, chosen = self._predict(0, conditioned, points, labels)
        answers = [first]
        if 0 in self.plan.corrected:
            more, chosen = self._correct(0, conditioned, chosen, points, labels)
            answers += more
        self._keep(0, seen, chosen, True)
        return answers

    def _track(self, frame: int) -> list[MaskPrediction]:
        seen = self._at(frame)
        conditioned = self._read(seen, frame)
        first, chosen = self._predict(frame, conditioned)
        answers = [first]
        corrected = frame in self.plan.corrected
        if corrected:
            more, chosen = self._correct(frame, conditioned, chosen)
            answers += more
        # Nothing would read the memory of the last frame.
        if frame + 1 < self.num_frames:
            self._keep(frame, seen, chosen, corrected)
        return answers

    def _correct(
        self,
        frame: int,
        conditioned: ImageFeatures,
        chosen: Prediction,
        points: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> tuple[list[MaskPrediction], Prediction]:
        """Click into what is wrong, again and again; each click sees the points and answer before it."""
        answers, target = [], self.batch.masks[:, frame]
        for _ in range(self.plan.clicks):
            before = chosen.mask.detach()  # where the next click goes has no gradient anyway
            answered = F.interpolate(before.float(), size=target.shape[1:], mode="bilinear")[:, 0]
            point, label = error_click(target, answered > 0, self.plan.centre_prob)
            points = point if points is None else torch.cat([points, point], 1)
            labels = label if labels is None else torch.cat([labels, label], 1)
            prediction, chosen = self._predict(
                frame, conditioned, points, labels, as_prompt(before)
            )
            answers.append(prediction)
        return answers, chosen

    def _predict(
        self,
        frame: int,
        conditioned: ImageFeatures,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[MaskPrediction, Prediction]:
        decoded = self.model.decode(conditioned.feat, points, labels, mask, conditioned.details)
        multimask = points is None or points.shape[1] <= 1
        # The fall-back is for inference alone, as in SAM 2: the single mask learns to be stable itself.
        chosen = self.model.choose(decoded, multimask, not self.model.training)
        # Only the masks that would be chosen from are trained: three that compete, or the single one.
        which = slice(1, None) if multimask else slice(0, 1)
        prediction = MaskPrediction(
            frame, decoded.masks[:, which], decoded.ious[:, which], decoded.score, chosen.mask
        )
        return prediction, chosen

    # --- features and memory ----------------------------------------------------------------------

    def _at(self, frame: int) -> ImageFeatures:
        """Return features and details of a frame, a row for each object."""
        rows = self.batch.clip_of * self.num_frames + frame
        return _rows(self.features, rows)

    def _keep(
        self, frame: int, seen: ImageFeatures, prediction: Prediction, prompted: bool
    ) -> None:
        if self.num_frames == 1:  # an image: nobody reads its memory
            return
        written = self.model.encode_memory(seen, prediction.mask, prompted and self.plan.binarize)
        kept = self.memory.prompted if prompted else self.memory.tracked
        kept[frame] = _FrameMemory(
            written, prediction.pointer, tuple((prediction.score[:, 0] > 0).tolist())
        )

    def _read(self, seen: ImageFeatures, frame: int) -> ImageFeatures:
        """Return features that know their memory; objects that read the same frames are one batch."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for row in range(len(seen.feat)):
            groups.setdefault(self._kept_frames(row), []).append(row)
        if len(groups) == 1:
            (kept,) = groups
            return self._read_frames(seen, frame, kept, slice(None))
        read = [
            self._read_frames(_rows(seen, rows), frame, kept, rows) for kept, rows in groups.items()
        ]
        # Groups put the rows out of order: argsort of where they went brings them back.
        order = torch.tensor([row for rows in groups.values() for row in rows])
        joined = ImageFeatures(
            torch.cat([each.feat for each in read]),
            tuple(torch.cat(level) for level in zip(*(each.details for each in read), strict=True)),
        )
        return _rows(joined, order.argsort().to(seen.feat.device))

    def _kept_frames(self, row: int) -> tuple[int, ...]:
        """Return the tracked frames that the network's rule keeps of an object."""
        all_kept = self.model.memory_rule is MemoryRule.RECENT
        return tuple(f for f, left in self.memory.tracked.items() if all_kept or left.found[row])

    def _read_frames(
        self, seen: ImageFeatures, frame: int, kept: tuple[int, ...], rows: list[int] | slice
    ) -> ImageFeatures:
        rule, num_slots = self.model.memory_rule, self.model.num_maskmem
        prompted = list(self.memory.prompted.values())
        reads = frames_to_read(rule, frame, 1, kept, num_slots - 1)
        maps = [left.map[rows] for left in prompted]
        maps += [self.memory.tracked[read.frame].map[rows] for read in reads]
        slots = [num_slots - 1] * len(prompted) + [read.slot for read in reads]
        pointers = [left.pointer[rows] for left in prompted]
        for read in frames_to_read(rule, frame, 1, kept, NUM_POINTERS - 1):
            pointers.append(self.memory.tracked[read.frame].pointer[rows])
        # The authors' way: prepared keys save work only where maps are read without gradients.
        return self._checkpointed(self.model.read_raw, seen, maps, slots, torch.stack(pointers, 1))

    def _checkpointed(self, function: Any, *arguments: Any) -> Any:
        """Call a function, and again in the backward pass if the plan says so."""
        if self.plan.checkpointing and torch.is_grad_enabled():
            return checkpoint(function, *arguments, use_reentrant=False)
        return function(*arguments)


def _rows(seen: ImageFeatures, rows: Tensor | list[int]) -> ImageFeatures:
    return ImageFeatures(seen.feat[rows], tuple(x[rows] for x in seen.details))
