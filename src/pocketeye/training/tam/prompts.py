"""Draw prompts as a user might give them, for N objects at once, from torch's global generator.

As SAM (arXiv 2304.02643, appendix A) and SAM 2 (arXiv 2408.00714, appendix) draw them: a first click
anywhere in the object, a box around it with noise, later clicks in what the last answer got wrong.
Points are (x, y) in pixels, labels those of the prompt encoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketeye.models.tam.prompt_numbers import BOTTOM_RIGHT, NEGATIVE, POSITIVE, TOP_LEFT

# SAM's noise (appendix A): a tenth of the box's side, at most 20 pixels in an image of 1024.
BOX_NOISE = 0.1  # standard deviation, in sides of the box
MOST_NOISE = 20 / 1024  # in sides of the image
_GRID = 64  # cells of a side: middles to 1/64 of the image, without a distance transform


def first_click(target: Tensor, centre_prob: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return a click ``(N, 1, 2)`` in each of bool ``(N, H, W)``, none empty, and its label."""
    points = _click_in(target, centre_prob)
    return points, points.new_full(points.shape[:2], POSITIVE, dtype=torch.int64)


def error_click(
    target: Tensor, answered: Tensor, centre_prob: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Click into what was answered wrongly: positive where the object was missed, else negative.

    Where nothing is wrong the click is in the object (and positive), or, if there is none, anywhere
    (and negative).

    Args:
        target: bool ``(N, H, W)``, ``answered`` too.
    """
    wrong = target ^ answered
    # Nothing wrong: then the click goes anywhere in the object, or anywhere at all if there is none.
    whole = ~wrong.flatten(1).any(1)[:, None, None]
    there = target.flatten(1).any(1)[:, None, None]
    points = _click_in(wrong | (whole & (target | ~there)), centre_prob)
    x, y = points[:, 0].long().unbind(1)
    inside = target[torch.arange(len(target), device=target.device), y, x]
    return points, torch.where(inside, POSITIVE, NEGATIVE)[:, None]


def noisy_box(target: Tensor) -> tuple[Tensor, Tensor]:
    """Return corners ``(N, 2, 2)`` and labels ``(N, 2)`` of a noisy box around each mask."""
    height, width = target.shape[1:]
    low_x, high_x = _extent(target.any(1))
    low_y, high_y = _extent(target.any(2))
    corners = torch.stack([low_x, low_y, high_x, high_y], 1).float()
    sides = (corners[:, 2:] - corners[:, :2] + 1).repeat(1, 2)
    size = torch.tensor([width, height, width, height], device=target.device)
    noise = torch.randn_like(corners) * BOX_NOISE * sides
    most = MOST_NOISE * size
    corners = corners + noise.clamp(-most, most)
    corners = torch.minimum(corners.clamp(min=0), size - 1)
    labels = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=target.device)
    return corners.view(-1, 2, 2), labels.expand(len(target), 2)


def _extent(filled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last True along the last axis of bool ``(N, L)``."""
    filled = filled.int()
    # argmax of integers finds the first of the largest.
    last = filled.shape[1] - 1
    return filled.argmax(1), last - filled.flip(1).argmax(1)


def _click_in(region: Tensor, centre_prob: float) -> Tensor:
    points = _uniform(region)
    if centre_prob > 0:
        centred = torch.rand(len(region), 1, 1, device=region.device) < centre_prob
        points = torch.where(centred, centre(region, points), points)
    return points


def _uniform(region: Tensor) -> Tensor:
    """Draw a pixel ``(N, 1, 2)`` of each region, all equally likely."""
    width = region.shape[2]
    # The largest of independent draws is at every place equally likely; -1 is below all of them.
    draws = torch.rand(region.shape, device=region.device).masked_fill_(~region, -1.0)
    place = draws.flatten(1).argmax(1)
    return torch.stack([place % width, place // width], 1)[:, None].float()


def centre(region: Tensor, fallback: Tensor) -> Tensor:
    """Return the point ``(N, 1, 2)`` deepest in each region, to the cell of a coarse grid.

    Args:
        region: bool ``(N, H, W)``; what is outside of the image is outside of the region.
        fallback: points for regions without a whole cell.
    """
    cell = max(1, max(region.shape[1:]) // _GRID)
    whole = -F.max_pool2d(-region[:, None].float(), cell)  # cells that are in the region altogether
    depth, inside = whole.clone(), whole
    # A cell's depth is the number of erosions that it outlives.
    while bool(inside.any()):
        # Minimum filter, as the negative of a maximum filter. Padded with zeros: outside is outside.
        inside = -F.max_pool2d(F.pad(-inside, (1, 1, 1, 1)), 3, stride=1)
        depth = depth + inside
    columns = depth.shape[3]
    # Below one half, so that noise decides between equals and never between different depths.
    deepest, place = (depth + 0.5 * torch.rand_like(depth)).flatten(1).max(1)
    points = torch.stack([place % columns, place // columns], 1)[:, None] * cell + cell // 2
    return torch.where(deepest[:, None, None] >= 1, points.to(fallback.dtype), fallback)
