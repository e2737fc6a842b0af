"""Prompts are where they should be, and everywhere they may be."""

from __future__ import annotations

import pytest
import torch

from pocketeye.training.tam.prompts import (
    BOX_NOISE,
    MOST_NOISE,
    centre,
    error_click,
    first_click,
    noisy_box,
)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def rectangle(x0: int, y0: int, x1: int, y1: int, size: int = 64) -> torch.Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[:, y0:y1, x0:x1] = True
    return mask


def inside(mask: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    x, y = points[:, 0].long().unbind(1)
    return mask[torch.arange(len(mask)), y, x]


def test_first_clicks_fill_the_object():
    mask = rectangle(10, 20, 13, 22).repeat(500, 1, 1)
    points, labels = first_click(mask)
    assert points.shape == (500, 1, 2)
    assert labels.tolist() == [[1]] * 500
    assert inside(mask, points).all()
    assert len(points[:, 0].unique(dim=0)) == 6


def test_the_centre_of_a_ring_lies_on_the_ring():
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    radius = ((x - 64.0) ** 2 + (y - 64.0) ** 2).sqrt()
    ring = ((radius > 20) & (radius < 50))[None].repeat(20, 1, 1)
    points, _ = first_click(ring, centre_prob=1.0)
    assert inside(ring, points).all()
    depth = radius[points[:, 0, 1].long(), points[:, 0, 0].long()]
    assert ((depth > 28) & (depth < 42)).all()


def test_the_centre_of_a_rectangle_is_its_middle_and_specks_have_none():
    mask = torch.cat([rectangle(8, 8, 40, 20, 128), rectangle(9, 9, 10, 10, 128)])
    otherwise = torch.full((2, 1, 2), -5.0)
    points = centre(mask, otherwise)
    assert points[0, 0, 1].item() == pytest.approx(14, abs=3)
    assert 10 <= points[0, 0, 0] <= 38
    assert points[1].tolist() == [[-5, -5]]


def test_error_clicks_are_in_the_error_and_know_its_kind():
    target, answered = rectangle(0, 0, 32, 64), rectangle(0, 32, 64, 64)
    target, answered = target.repeat(400, 1, 1), answered.repeat(400, 1, 1)
    points, labels = error_click(target, answered)
    assert inside(target ^ answered, points).all()
    assert torch.equal(labels[:, 0] == 1, inside(target, points))
    assert 0.4 < labels.float().mean() < 0.6


def test_without_an_error_the_click_says_where_the_object_is_or_is_not():
    target = torch.cat([rectangle(5, 5, 9, 9), torch.zeros(1, 64, 64, dtype=torch.bool)])
    points, labels = error_click(target, target)
    assert labels.tolist() == [[1], [0]]
    assert inside(target, points).tolist() == [True, False]


def test_boxes_have_the_noise_of_the_paper():
    size = 256
    narrow = rectangle(100, 100, 120, 180, size).repeat(2000, 1, 1)
    corners, labels = noisy_box(narrow)
    assert labels[0].tolist() == [2, 3]
    off = corners.view(-1, 4) - torch.tensor([100, 100, 119, 179])
    most = MOST_NOISE * size
    assert off.abs().max() <= most + 1e-3
    assert off[:, 0].std().item() == pytest.approx(BOX_NOISE * 20, rel=0.1)
    assert (off[:, 1].abs() > most - 1e-3).float().mean() > 0.3, "0.1 of 80 is beyond the limit"


def test_boxes_stay_in_the_image():
    corners, _ = noisy_box(rectangle(0, 0, 64, 64).repeat(200, 1, 1))
    assert corners.min() >= 0
    assert corners.max() <= 63
