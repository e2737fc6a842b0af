"""Compute losses of a promptable tracker as SAM 2 (arXiv 2408.00714) and EfficientTAM combine them.

Focal and dice loss on the mask, L1 between the expected and the true IoU, cross entropy on whether the
object is in the frame. Of competing masks only the best one learns its outline; all of them learn their
IoU. An object that is not in the frame has neither mask nor IoU to learn, only its absence; a frame
that is not annotated teaches nothing.

Legend: N objects, M masks of each, h and w of the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class MaskPrediction(NamedTuple):
    """Hold one answer of the network in one frame, before absence wipes out the masks."""

    frame: int
    masks: Tensor  # (N, M, H / 4, W / 4) logits: one, or three that compete
    ious: Tensor  # (N, M), expected
    score: Tensor  # (N, 1) logit: the object is there
    mask: Tensor  # (N, 1, H / 4, W / 4) logits: what a session would answer


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """Set the weights of the parts, and the form of the focal loss (arXiv 1708.02002)."""

    focal: float = 20.0  # 20:1:1:1 is the paper's (arXiv 2411.18933), and SAM 2's
    dice: float = 1.0
    iou: float = 1.0
    object: float = 1.0
    alpha: float = 0.25  # alpha and gamma are those of the focal loss's paper
    gamma: float = 2.0


class Parts(NamedTuple):
    """Hold the parts of the loss, unweighted."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    object: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """Return the weighted sum of the parts."""
        return (
            weights.focal * self.focal
            + weights.dice * self.dice
            + weights.iou * self.iou
            + weights.object * self.object
        )


def clip_loss(
    answers: Sequence[MaskPrediction],
    masks: Tensor,
    annotated: Tensor,
    weights: LossWeights,
    stride: int = 1,
) -> Parts:
    """Return the parts, summed over frames and answers and divided by the number of objects.

    Args:
        answers: of any frames, several of a frame that was corrected.
        masks: bool ``(N, T, H, W)``, ``annotated`` bool ``(N, T)``.
        stride: at which masks are compared: 1 is every pixel of the input, to which the logits are
            enlarged; 4 is the logits' own, with the share of each cell that the mask covers as target.
    """
    parts = [
        frame_loss(
            prediction, masks[:, prediction.frame], annotated[:, prediction.frame], weights, stride
        )
        for prediction in answers
    ]
    count = max(len(masks), 1)  # objects, not frames: SAM 2 sums over the frames of a clip
    return Parts(*(torch.stack(each).sum() / count for each in zip(*parts, strict=True)))


def frame_loss(
    prediction: MaskPrediction, target: Tensor, annotated: Tensor, weights: LossWeights, stride: int
) -> Parts:
    """Return the parts of one answer, summed over objects; target bool ``(N, H, W)``."""
    logits, target_share = prediction.masks.float(), cover(target, stride)
    if logits.shape[2:] != target_share.shape[1:]:
        size = (target_share.shape[1], target_share.shape[2])
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    known = annotated.float()
    # An object out of the frame has no outline to learn: its mask and IoU count nothing there.
    present = target.flatten(1).any(1).float()
    focal = focal_loss(logits, target_share[:, None], weights.alpha, weights.gamma)
    dice = dice_loss(logits, target_share[:, None])
    with torch.no_grad():
        true_ious = mask_iou(logits > 0, target_share[:, None] >= 0.5)
        # Of competing masks the one with the least loss learns alone: SAM's rule, without which all
        # three would become the same average.
        best = (weights.focal * focal + weights.dice * dice).argmin(1, keepdim=True)
    iou = (prediction.ious.float() - true_ious).abs().mean(1)
    score = F.binary_cross_entropy_with_logits(
        prediction.score[:, 0].float(), present, reduction="none"
    )
    with_mask = known * present
    return Parts(
        focal=(focal.gather(1, best)[:, 0] * with_mask).sum(),
        dice=(dice.gather(1, best)[:, 0] * with_mask).sum(),
        iou=(iou * with_mask).sum(),
        object=(score * known).sum(),
    )


def cover(masks: Tensor, stride: int) -> Tensor:
    """Return the share of each cell, ``(…, H / stride, W / stride)``, that masks ``(…, H, W)`` cover."""
    if stride == 1:
        return masks.float()
    flat = masks.flatten(0, -3)[:, None].float()
    return F.avg_pool2d(flat, stride)[:, 0].unflatten(0, masks.shape[:-2])


def focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the mean over pixels of ``alpha_t (1 - p_t)^gamma`` times the cross entropy: ``(N, M)``.

    Args:
        logits: ``(N, M, h, w)``; target 0 to 1, ``(N, 1, h, w)``.
    """
    target = target.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = logits.sigmoid()
    # 1 - p_t, also for targets between 0 and 1 (strides above 1).
    off = p + target - 2 * p * target
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * off**gamma * entropy).flatten(2).mean(2)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the dice loss ``1 - (2 |p t| + 1) / (|p| + |t| + 1)``: ``(N, M)``.

    The ones, as in SAM 2, keep it from dividing by zero.
    """
    p, target = logits.sigmoid().flatten(2), target.flatten(2)
    return 1 - (2 * (p * target).sum(2) + 1) / (p.sum(2) + target.sum(2) + 1)


def mask_iou(masks: Tensor, target: Tensor) -> Tensor:
    """Return IoU ``(N, M)`` of bool ``(N, M, h, w)`` with ``(N, 1, h, w)``, 0 where both are empty."""
    both = (masks & target).flatten(2).sum(2)
    either = (masks | target).flatten(2).sum(2)
    return both / either.clamp(min=1)
