"""What networks are ranked by, and how sure their difference is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pocketeye.data.semantic.class_maps import IGNORE
from pocketeye.searching.deriving.baseline import compare
from pocketeye.searching.metric import PixelIoU, Top1, metric_key

CLASSES = 3


def maps(seed: int, count: int = 12, right: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, 3, 6, 8) that are right at a share of the pixels, and labels with some ignored."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count, 6, 8), generator=torch.Generator().manual_seed(999))
    other = torch.randint(CLASSES, labels.shape, generator=generator)
    guess = torch.where(torch.rand(labels.shape, generator=generator) < right, labels, other)
    logits = F.one_hot(guess, CLASSES).permute(0, 3, 1, 2).float()
    ignored = labels.clone().to(torch.uint8)
    ignored[:, 0] = IGNORE
    return logits, ignored


def test_mean_iou_is_that_of_all_pixels_together() -> None:
    logits, labels = maps(0)
    metric = PixelIoU(CLASSES)
    counts = metric.counts(logits, labels)
    assert counts.shape == (12, 3, CLASSES)
    _, true, predicted = counts.sum(axis=0)
    assert true.sum() == predicted.sum() == 12 * 5 * 8  # one row of six is ignored
    guess, kept = logits.argmax(1), labels != IGNORE
    ious = [
        ((guess == c) & (labels == c) & kept).sum() / (((guess == c) | (labels == c)) & kept).sum()
        for c in range(CLASSES)
    ]
    assert metric.value(counts) == pytest.approx(float(np.mean(ious)))


def test_logits_are_brought_to_the_size_of_the_labels() -> None:
    logits, labels = maps(0, right=1.0)
    small = F.avg_pool2d(logits, 2)
    assert PixelIoU(CLASSES).counts(small, labels)[:, 1].sum() == 12 * 5 * 8


def test_a_network_does_not_differ_from_itself() -> None:
    counts = PixelIoU(CLASSES).counts(*maps(0))
    assert PixelIoU(CLASSES).difference_se(counts, counts) == 0.0
    assert PixelIoU(CLASSES).difference_se(counts[:1], counts[:1]) is None
    rights = np.array([True, False, True])
    assert Top1().difference_se(rights, rights) == 0.0


def test_bootstrap_agrees_with_the_spread_over_fresh_images() -> None:
    """The standard error that pairs of networks show over many sets of images."""
    metric = PixelIoU(CLASSES)
    differences, errors = [], []
    for seed in range(40):
        better = metric.counts(*maps(2 * seed, 40, right=0.8))
        worse = metric.counts(*maps(2 * seed + 1, 40, right=0.6))
        differences.append(metric.value(better) - metric.value(worse))
        error = metric.difference_se(better, worse)
        assert error is not None
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(differences, ddof=1), rel=0.35)


def test_the_comparison_names_its_metric() -> None:
    metric = PixelIoU(CLASSES)
    better, worse = (metric.counts(*maps(1, 40, right=share)) for share in (0.9, 0.5))
    found = compare([better, worse], [worse, worse], metric=metric)
    assert found.metric == "mean IoU"
    assert found.sentence().startswith("mean IoU ")
    assert "searched is better" in found.sentence()
    assert found.difference == pytest.approx(metric.value(better) - metric.value(worse))
    assert compare([np.ones(4, bool)], [np.zeros(4, bool)]).metric == "top-1"


def test_keys_of_files() -> None:
    assert [metric_key(name) for name in ("top-1", "mean IoU")] == ["top1", "miou"]
