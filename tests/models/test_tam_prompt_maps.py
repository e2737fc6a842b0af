"""Prompts drawn into the image's map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pocketeye.models import create_tam
from pocketeye.models.tam.prompt_maps import PromptMaps
from pocketeye.models.tam.prompt_numbers import (
    BOTTOM_RIGHT,
    NEGATIVE,
    NO_POINT,
    POSITIVE,
    TOP_LEFT,
)


@pytest.fixture
def maps() -> PromptMaps:
    """Channel n of the map is channel n of what is drawn."""
    torch.manual_seed(0)
    maps = PromptMaps((4, 6), 8)
    with torch.no_grad():
        maps.proj.weight.copy_(torch.eye(8, 5))
    return maps


@torch.no_grad()
def draw(maps, points, labels):
    feat = torch.randn(1, 8, 4, 6, generator=torch.Generator().manual_seed(1))
    drawn = maps(feat, torch.tensor(points).float(), torch.tensor(labels))
    assert drawn.shape == (len(points), 8, 4, 6)
    return drawn, feat


def test_without_prompts_nothing_is_drawn(maps):
    drawn, _ = draw(maps, [[[0, 0], [5, 5]]], [[NO_POINT, NO_POINT]])
    assert not drawn.any()


def test_a_click_is_near_itself_and_like_itself(maps):
    drawn, feat = draw(maps, [[[39.5, 23.5]], [[0, 0]]], [[POSITIVE], [NEGATIVE]])
    near, alike = drawn[0, 0], drawn[0, 1]
    assert near.argmax() == alike.argmax() == 1 * 6 + 2  # the middle of the cell (2, 1)
    assert near.max() == pytest.approx(1.0)
    want = F.cosine_similarity(feat[0], feat[0, :, 1:2, 2:3], dim=0) + 1
    torch.testing.assert_close(alike, want)
    assert not drawn[0, 2:].any()
    assert drawn[1, 3].argmax() == 0
    assert not drawn[1, :2].any()


def test_cosines_are_read_between_cells(maps):
    drawn, feat = draw(maps, [[[31.5, 23.5]]], [[POSITIVE]])  # between the cells (1, 1) and (2, 1)
    unit = F.normalize(feat, dim=1)
    under = F.normalize(unit[0, :, 1, 1] + unit[0, :, 1, 2], dim=0)
    want = torch.einsum("c,chw->hw", under, unit[0]) + 1
    torch.testing.assert_close(drawn[0, 1], want)


def test_a_box_is_filled_and_of_several_clicks_the_nearest_counts(maps):
    points = [[[16, 16], [64, 48]], [[8, 8], [88, 56]]]
    labels = [[TOP_LEFT, BOTTOM_RIGHT], [POSITIVE, POSITIVE]]
    drawn, _ = draw(maps, points, labels)
    inside = torch.zeros(4, 6)
    inside[1:3, 1:4] = 1
    assert torch.equal(drawn[0, 4], inside)
    assert not drawn[0, :4].any()
    assert drawn[1, 0, 0, 0] > 0.9
    assert drawn[1, 0, 3, 5] > 0.9
    assert not drawn[1, 4].any()


def test_published_networks_have_none():
    with torch.device("meta"):
        assert create_tam("efficienttam_ti").prompt_maps is None
        assert create_tam("pocketeye_tam_nano").prompt_maps is not None
