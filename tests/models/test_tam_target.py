"""The object told from its surroundings by ridge regression."""

from __future__ import annotations

import pytest
import torch

from pocketeye.models import create_tam
from pocketeye.models.tam import ImageFeatures
from pocketeye.models.tam.target_model import TargetModel

H, W = 4, 6  # tokens of stride 16


@pytest.fixture
def target() -> TargetModel:
    torch.manual_seed(0)
    return TargetModel(16, key_dim=8)


def seen_by(seed: int = 0, batch: int = 1) -> ImageFeatures:
    draw = torch.Generator().manual_seed(seed)
    feat, eighth, fourth = (
        torch.randn(batch, chs, k * H, k * W, generator=draw)
        for chs, k in ((16, 1), (4, 2), (2, 4))
    )
    return ImageFeatures(feat, (eighth, fourth))


def a_mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, 16 * H, 16 * W)
    mask[..., 16:48, 24:56] = 1
    return mask


@torch.no_grad()
def test_the_score_is_the_ridge_solution_of_balanced_cells(target):
    seen, mask = seen_by(), a_mask()
    sums = target.sums(target.write(seen, mask))
    keys = target.keys(seen)[0].flatten(1).T.double()
    rows = torch.cat([keys, torch.full((len(keys), 1), 0.3)], 1)
    share = torch.nn.functional.avg_pool2d(mask, 8).flatten().double()
    weight = (0.5 * share / share.sum() + 0.5 * (1 - share) / (1 - share).sum()).sqrt()[:, None]
    ridge = target.ridge.double().exp().sqrt() * torch.eye(9)
    solution = torch.linalg.lstsq(
        torch.cat([weight * rows, ridge]),
        torch.cat([weight[:, 0] * (2 * share - 1), torch.zeros(9)])[:, None],
    ).solution
    want = (rows @ solution).view(1, 1, 2 * H, 2 * W)
    torch.testing.assert_close(target.score(seen, sums).double(), want, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_what_looks_like_the_object_scores_high_wherever_it_is(target):
    seen, mask = seen_by(), a_mask()
    eighth = seen.details[0] * 0.1
    inside = torch.nn.functional.avg_pool2d(mask, 8)[0, 0] > 0
    eighth[0, :, inside] += torch.tensor([3.0, -2, 1, 4])[:, None]
    eighth[0, :, ~inside] += torch.tensor([1.0, 2, -2, 0])[:, None]
    seen = ImageFeatures(seen.feat * 0.01, (eighth, seen.details[1]))
    sums = target.sums(target.write(seen, mask))
    moved = ImageFeatures(seen.feat, (eighth.roll((3, -2), (2, 3)), seen.details[1]))
    score = target.score(moved, sums)[0, 0]
    there = inside.roll((3, -2), (0, 1))
    assert score[there].min() > 0.5
    assert score[~there].max() < 0


@torch.no_grad()
def test_prompted_frames_count_for_more(target):
    parts = [target.sums(target.write(seen_by(seed), a_mask())) for seed in (1, 2)]
    even = target.weigh(parts, [False, False])
    torch.testing.assert_close(even, (parts[0] + parts[1]) / 2)
    first = target.weigh(parts, [True, False])
    torch.testing.assert_close(first, (6 * parts[0] + parts[1]) / 7)


@torch.no_grad()
def test_an_object_that_is_not_there_has_a_solution(target):
    nothing = target.sums(target.write(seen_by(), torch.zeros(1, 1, 16 * H, 16 * W)))
    score = target.score(seen_by(3), nothing)
    assert score.isfinite().all()
    assert score.mean() < -0.5


def test_keys_and_ridge_are_learnt_through_the_solution(target):
    seen = seen_by(batch=2)
    sums = target.sums(target.write(seen, a_mask().expand(2, -1, -1, -1)))
    drawn = target(seen, target.weigh([sums, sums], [True, False]), seen.feat)
    assert [x.shape for x in drawn.details] == [x.shape for x in seen.details]
    sum(x.square().sum() for x in (drawn.feat, *drawn.details)).backward()
    for name in ("key_8.weight", "key_16.weight", "ridge"):
        slope = target.get_parameter(name).grad
        assert slope.isfinite().all() and slope.abs().sum() > 0, name  # noqa: PT018


def test_published_networks_have_none():
    with torch.device("meta"):
        assert create_tam("efficienttam_ti").target is None
        assert create_tam("pocketeye_tam_nano").target is not None
