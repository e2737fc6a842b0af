"""Masks that are carried along by likeness."""

from __future__ import annotations

import pytest
import torch

from pocketeye.models import create_tam
from pocketeye.models.tam.matching import Matching


@pytest.fixture
def matching() -> Matching:
    """Its keys are the features, and channel n of what is carried is channel n of the answer."""
    matching = Matching((4, 6), 8, key_dim=8)
    with torch.no_grad():
        matching.key.weight.copy_(torch.eye(8)[:, :, None, None])
        matching.proj.weight.copy_(torch.eye(8, 6))
        matching.sharpness.fill_(4.0)  # only what is alike counts
        matching.reach.fill_(2.0)  # however far away
    return matching


@torch.no_grad()
def test_a_mask_goes_with_what_looks_like_it(matching):
    torch.manual_seed(0)
    feat = torch.randn(1, 8, 4, 6)
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., 16:48, 32:56] = 1  # cells 2 and the left half of 3, in rows 1 and 2
    written = matching.write(feat, mask)
    assert written.shape == (1, matching.num_channels, 4, 6)
    moved = feat.roll(2, 3)  # everything two cells to the right
    carried = matching(moved, written.flatten(2).transpose(1, 2))
    quarters = (carried[0, :4] + 1) / 2
    want = torch.zeros(4, 4, 6)
    want[:, 1:3, 4] = 1
    want[[0, 2], 1:3, 5] = 1  # its left quarters
    torch.testing.assert_close(quarters, want, atol=1e-3, rtol=0)
    likest = carried[0, 4]  # the cosine with the object's own cells
    assert likest[1:3, 4].min() == pytest.approx(1.0, abs=1e-4)


@torch.no_grad()
def test_what_is_near_is_preferred(matching):
    matching.sharpness.fill_(0.0)
    matching.reach.fill_(-3.0)
    feat = torch.ones(1, 8, 4, 6)  # all alike
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., :16, :16] = 1
    written = matching.write(feat, mask).flatten(2).transpose(1, 2)
    carried = matching(feat, torch.cat([written, written], 1))[0, 0]  # two maps
    assert carried.argmax() == 0
    assert carried[0, 0] > 0.9
    assert carried[3, 5] < -0.99


def test_published_networks_have_none():
    with torch.device("meta"):
        published, ours = create_tam("efficienttam_ti"), create_tam("pocketeye_tam_nano")
    assert published.matching is None
    assert published.map_chs == published.mem_dim == 64
    assert ours.map_chs == 64 + (64 + 4) + 4 * (64 + 1)
