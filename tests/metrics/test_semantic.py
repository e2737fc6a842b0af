"""Mean IoU by hand and against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from pocketeye.metrics.semantic import IGNORE, MeanIoU, mean_iou_of


def test_by_hand() -> None:
    metric = MeanIoU(["sky", "road", "car", "never seen"])
    truth = np.array([[0, 0, 1], [1, 1, IGNORE]], np.uint8)
    found = np.array([[0, 1, 1], [1, 2, 3]])
    counts = metric.update(found, truth)
    # sky 1 of 2, road 2 of 4, car 0 of 1
    report = metric.report()
    assert [row.iou for row in report.rows] == [0.5, 0.5, 0.0, None]
    assert report.miou == pytest.approx(1 / 3) == pytest.approx(mean_iou_of(counts))
    assert [row.accuracy for row in report.rows] == [0.5, pytest.approx(2 / 3), None, None]
    assert report.macc == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert report.accuracy == pytest.approx(3 / 5)
    assert [row.pixels for row in report.rows] == [2, 3, 0, 0]
    assert report.confusion.tolist() == [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert metric.compute() == {
        "miou": report.miou, "macc": report.macc, "pixel_accuracy": report.accuracy,
    }  # fmt: skip


def test_against_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (3, 40, 50), generator=generator)
    found = torch.where(torch.rand(truth.shape, generator=generator) < 0.6, truth, 4 - truth)
    truth[torch.rand(truth.shape, generator=generator) < 0.1] = IGNORE
    metric = MeanIoU(list("abcde"))
    for one, true in zip(found, truth, strict=True):
        metric.update(one, true)
    each = MulticlassJaccardIndex(5, average="none", ignore_index=IGNORE)(found, truth)
    report = metric.report()
    assert [row.iou for row in report.rows] == pytest.approx(each.tolist())
    assert report.miou == pytest.approx(float(each.mean()))
    micro = MulticlassAccuracy(5, average="micro", ignore_index=IGNORE)(found, truth)
    assert report.accuracy == pytest.approx(float(micro))


def test_processes_are_added_and_nothing_is_nan() -> None:
    parts = [MeanIoU(["a", "b"]), MeanIoU(["a", "b"])]
    parts[0].update([[0, 1]], [[0, 0]])
    parts[1].update(torch.tensor([1, 1]), torch.tensor([1, IGNORE]))
    parts[0].merge(parts[1].confusion)
    assert parts[0].confusion.tolist() == [[1, 1], [0, 1]]
    assert np.isnan(MeanIoU(["a"]).compute()["miou"])


@pytest.mark.parametrize(("found", "truth"), [([2], [0]), ([-1], [0]), ([0], [2])])
def test_labels_that_are_none(found: list[int], truth: list[int]) -> None:
    with pytest.raises(AssertionError, match="no such label"):
        MeanIoU(["a", "b"]).update(found, truth)
