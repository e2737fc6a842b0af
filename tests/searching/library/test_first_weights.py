"""What a candidate can say at best is found without a step of learning."""

from __future__ import annotations

from typing import Any

import torch

from pocketeye.models.space import SearchSpace
from pocketeye.searching.library.chain import columns
from pocketeye.searching.library.first_weights import solve_readouts
from pocketeye.searching.library.learn import first_supernet
from pocketeye.searching.library.task import channel_scale, normalized_error, teacher_maps
from tests.searching.toys import SPACE

from .toys import TEACHER, teacher


def errors(supernet: Any, own: tuple[int, ...], images: torch.Tensor) -> dict[str, float]:
    """Of every candidate at the second layer, with BN by the batch."""
    supernet.eval()
    with torch.no_grad():
        for layer, x, y in teacher_maps(supernet, own, images):
            if layer == 1:
                return {
                    op: float(normalized_error(module.train()(x), y, channel_scale(y)))
                    for op, module in supernet.layers[1].items()
                }
    raise AssertionError


def test_a_solved_readout_is_better_than_what_fits_of_the_teachers() -> None:
    space = SearchSpace.from_dict(
        {**SPACE.to_dict(), "candidates": ["k3_e1_g2", "k5_e3", "k3_e6", "k7_e3", "k5_e1"]}
    )
    supernet, own = first_supernet(space, teacher(), 0), columns(space, TEACHER)
    torch.manual_seed(1)
    images = torch.randn(64, 1, 8, 8)
    before = errors(supernet, own, images)
    solve_readouts(supernet, own, [images])
    after = errors(supernet, own, images)
    assert after["k3_e1_g2"] < 0.8 * before["k3_e1_g2"]
    assert after["k5_e1"] < before["k5_e1"]
    assert after["k3_e6"] < before["k3_e6"]
    assert all(error < 1.0 for op, error in after.items() if op != "k5_e3")
