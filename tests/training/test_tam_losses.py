"""Losses of the tracker, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pocketeye.training.tam.losses import (
    LossWeights,
    MaskPrediction,
    clip_loss,
    cover,
    dice_loss,
    focal_loss,
    frame_loss,
    mask_iou,
)

PLAIN = LossWeights(focal=1, dice=1, iou=1, object=1)


def said(
    masks: torch.Tensor, ious: float = 0.5, score: float = 0.0, frame: int = 0
) -> MaskPrediction:
    count, options = masks.shape[:2]
    return MaskPrediction(
        frame,
        masks,
        torch.full((count, options), ious),
        torch.full((count, 1), score),
        masks[:, :1],
    )


def test_focal_of_one_pixel_inside_and_three_outside():
    logits = torch.zeros(1, 1, 2, 2)
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    # p = 0.5 everywhere: (1 - p_t)^2 = 1/4, cross entropy log 2, alpha 1/4 inside and 3/4 outside
    expected = (0.25 + 3 * 0.75) / 4 * 0.25 * math.log(2)
    assert focal_loss(logits, target, 0.25, 2.0).item() == pytest.approx(expected)


def test_focal_is_torchvisions():
    from torchvision.ops import sigmoid_focal_loss

    logits = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 4
    target = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.6).float()
    theirs = sigmoid_focal_loss(logits, target.expand_as(logits), 0.25, 2.0).flatten(2).mean(2)
    torch.testing.assert_close(focal_loss(logits, target, 0.25, 2.0), theirs)


def test_dice_of_half_a_mask():
    logits = torch.tensor([[[[60.0, -60.0], [-60.0, -60.0]]]])
    target = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    # |p t| = 1, |p| = 1, |t| = 2
    assert dice_loss(logits, target).item() == pytest.approx(1 - 3 / 4)


def test_iou():
    a = torch.tensor([[[[True, True], [False, False]]]])
    assert mask_iou(a, a).item() == 1
    assert mask_iou(a, ~a).item() == 0
    assert mask_iou(a, torch.ones_like(a)).item() == 0.5
    assert mask_iou(a & ~a, a & ~a).item() == 0


def test_cover_is_the_share_of_each_cell():
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[0, :2, :4] = True
    expected = torch.zeros(2, 2, 2)
    expected[0, 0, 0] = 0.5
    assert torch.equal(cover(mask, 4), expected)
    assert torch.equal(cover(mask, 1), mask.float())


def test_only_the_best_mask_learns_its_outline_and_all_their_iou():
    target = torch.zeros(1, 16, 16, dtype=torch.bool)
    target[:, :8] = True
    good = torch.where(target, 3.0, -3.0)[:, None]
    masks = torch.cat([-good, good, torch.zeros_like(good)], 1).requires_grad_()
    ious = torch.full((1, 3), 0.25).requires_grad_()
    answer = MaskPrediction(0, masks, ious, torch.zeros(1, 1), masks[:, :1])
    parts = frame_loss(answer, target, torch.ones(1, dtype=torch.bool), PLAIN, 1)
    (parts.focal + parts.dice).backward(retain_graph=True)
    assert masks.grad is not None
    assert masks.grad.abs().sum((0, 2, 3))[[0, 2]].tolist() == [0, 0]
    assert masks.grad[:, 1].abs().sum() > 0
    # true IoUs are 0, 1 and 0 (nothing is above zero)
    assert parts.iou.item() == pytest.approx((0.25 + 0.75 + 0.25) / 3)
    parts.iou.backward()
    assert ious.grad is not None
    assert ious.grad.tolist() == [[pytest.approx(x / 3) for x in (1, -1, 1)]]
    assert parts.focal.item() == pytest.approx(
        focal_loss(good, target[:, None].float(), 0.25, 2).item()
    )


def test_an_absent_object_learns_its_absence_and_an_unannotated_frame_nothing():
    target = torch.zeros(2, 8, 8, dtype=torch.bool)
    annotated = torch.tensor([True, False])
    masks = torch.zeros(2, 1, 8, 8)
    parts = frame_loss(said(masks, score=2.0), target, annotated, PLAIN, 1)
    assert (parts.focal, parts.dice, parts.iou) == (0, 0, 0)
    assert parts.object.item() == pytest.approx(math.log(1 + math.exp(2)))


def test_sums_over_frames_and_answers_per_object():
    masks = torch.zeros(2, 3, 8, 8, dtype=torch.bool)
    masks[:, :, 2:5, 2:5] = True
    annotated = torch.ones(2, 3, dtype=torch.bool)
    logits = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one = clip_loss([said(logits, frame=1)], masks, annotated, PLAIN)
    two = clip_loss([said(logits, frame=1), said(logits, frame=2)], masks, annotated, PLAIN)
    for a, b in zip(one, two, strict=True):
        assert b.item() == pytest.approx(2 * a.item())
    weights = LossWeights()
    assert (weights.focal, weights.dice, weights.iou, weights.object) == (20, 1, 1, 1)
    expected = 20 * one.focal + one.dice + one.iou + one.object
    torch.testing.assert_close(one.total(weights), expected)
    half = F.binary_cross_entropy_with_logits(torch.zeros(1), torch.ones(1))
    assert one.object.item() == pytest.approx(half.item())


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_good_answer_is_good_at_every_stride(stride):
    target = torch.zeros(1, 32, 32, dtype=torch.bool)
    target[:, 8:20, 4:28] = True
    low = F.avg_pool2d(target[:, None].float(), 4) * 20 - 10
    known = torch.ones(1, dtype=torch.bool)
    good = frame_loss(said(low, score=9.0, ious=1.0), target, known, PLAIN, stride)
    bad = frame_loss(said(-low, score=9.0, ious=1.0), target, known, PLAIN, stride)
    assert good.dice < 0.1 < 0.9 < bad.dice
    assert good.focal < 0.05 * bad.focal
    assert good.iou < 0.05
    assert bad.iou > 0.9
