"""COCO's average precision: against its definition, against stored numbers, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketeye.metrics.detection import CocoAP, coco_ap
from pocketeye.metrics.objects import found_objects, true_objects
from pocketeye.results import CompactMask, Masks
from tests.metrics.coco_by_hand import coco_by_hand
from tests.metrics.random_objects import random_images

pytest.importorskip("faster_coco_eval")
STORED = Path(__file__).parent / "coco_stored.json"
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100",
         "ar_small", "ar_medium", "ar_large")  # fmt: skip


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", range(4))
def test_the_definition(seed: int, kind: str) -> None:
    truths, found = random_images(seed)
    values = coco_ap(truths, found, ("a", "b", "c"), kind).values
    assert values == pytest.approx(coco_by_hand(truths, found, 3, kind), abs=1e-12, nan_ok=True)
    assert 0.05 < values["ap"] < 0.95


@pytest.mark.parametrize(("kind", "iou_type"), [("box", "bbox"), ("mask", "segm")])
def test_stored_numbers_of_the_public_evaluator(kind: str, iou_type: str) -> None:
    """Truth and results as files, and the twelve numbers it printed for them."""
    stored = json.loads(STORED.read_text())
    metric = CocoAP([c["name"] for c in stored["truth"]["categories"]], masks=True)
    for image in stored["truth"]["images"]:
        own = [a for a in stored["truth"]["annotations"] if a["image_id"] == image["id"]]
        size = (image["width"], image["height"])
        metric.add_truth(
            image["id"], [_corners(a["bbox"]) for a in own], [a["category_id"] - 1 for a in own],
            crowd=[a["iscrowd"] for a in own], areas=[a["area"] for a in own],
            masks=_masks(own, size),
        )  # fmt: skip
        mine = [r for r in stored["results"] if r["image_id"] == image["id"]]
        if mine:
            metric.update(
                image["id"], [_corners(r["bbox"]) for r in mine],
                [r["category_id"] - 1 for r in mine], [r["score"] for r in mine], _masks(mine, size),
            )  # fmt: skip
    values = metric.compute()
    found = [values[f"{kind}_{name}"] for name in NAMES]
    expected = [np.nan if value == -1 else value for value in stored["stats"][iou_type]]
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def _corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]


def _masks(rows: list[dict], size: tuple[int, int]) -> Masks:
    return Masks(size=size, items=tuple(CompactMask.from_rle(r["segmentation"]) for r in rows))


def test_one_box_by_hand() -> None:
    metric = CocoAP(["a", "never seen"])
    metric.add_truth("x", [[0, 0, 40, 10]], [0])
    metric.update("x", [[0, 0, 24, 10]], [0], [0.3])  # IoU 0.6: right at 3 of 10 overlaps
    values = metric.compute()
    assert values["box_ap"] == pytest.approx(0.3)
    assert values["box_ap50"] == 1 and values["box_ap75"] == 0  # noqa: PT018
    assert values["box_ap_small"] == pytest.approx(0.3)
    assert np.isnan([values["box_ap_medium"], values["box_ap_large"]]).all()
    (report,) = metric.reports()
    assert report.ap(0) == pytest.approx(0.3)
    assert np.isnan(report.ap(1))
    assert report.counts == (1, 0)
    assert report.ar(0) == pytest.approx(0.3)


def test_a_false_box_above_the_true_one_halves_precision() -> None:
    metric = CocoAP(["a"])
    metric.add_truth(1, [[0, 0, 10, 10]], [0])
    metric.update(1, [[50, 50, 60, 60], [0, 0, 10, 10]], [0, 0], [0.9, 0.8])
    assert metric.compute()["box_ap"] == pytest.approx(0.5)


def test_nothing_found_and_nothing_true() -> None:
    metric = CocoAP(["a"])
    metric.add_truth(1, [[0, 0, 10, 10]], [0])
    assert metric.compute()["box_ap"] == 0
    empty = CocoAP(["a"], masks=True)
    empty.add_truth(1, [], [])
    empty.update(1, [], [], [])
    assert np.isnan(list(empty.compute().values())).all()
    assert len(empty.compute()) == 24


def test_order_of_images_and_processes_is_nothing() -> None:
    truths, found = random_images(7)
    parts = [CocoAP("abc"), CocoAP("abc")]
    for image_id in sorted(truths, reverse=True):
        truth = truths[image_id]
        part = parts[image_id % 2]
        part.add_truth(image_id, truth.boxes, truth.labels, crowd=truth.crowd, areas=truth.areas)
        if image_id in found:
            guess = found[image_id]
            part.update(image_id, guess.boxes, guess.labels, guess.scores)
    parts[0].merge(parts[1])
    expected = coco_ap(truths, found, "abc").values
    assert parts[0].compute() == pytest.approx({f"box_{k}": v for k, v in expected.items()})


def test_the_hundred_surest_count() -> None:
    far = [[20 + 2 * i, 0, 21 + 2 * i, 1] for i in range(100)]
    truth = true_objects([[0, 0, 10, 10]], [0])
    for first, expected in ((0.2, 0.0), (0.9, 1.0)):
        found = found_objects([[0, 0, 10, 10], *far], [0] * 101, [first] + [0.5] * 100)
        assert coco_ap({1: truth}, {1: found}, ["a"]).values["ar100"] == expected
