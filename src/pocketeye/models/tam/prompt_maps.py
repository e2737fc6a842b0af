"""Draw prompts into the map of an image: where clicks and boxes are, and what looks like a click.

SAM's decoder finds a click through attention alone, which takes it tens of thousands of steps to learn;
before, it answers with what stands out in an image. These maps tell it at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.models.tam.prompt_numbers import BOTTOM_RIGHT, NEGATIVE, POSITIVE, TOP_LEFT

_NEAR = 1.5  # standard deviation of a click's spot, in cells of the map
_NOWHERE = -1.0  # the cosine where there is no such click: the least that there is


class PromptMaps(nn.Module):
    """Turn prompts into a map ``(B, dim, h, w)`` that is added to the image's.

    Five channels go through a linear layer: for positive and for negative clicks the nearness to one
    and the cosine of the image's features with those under the click (of several the largest), and the
    inside of a box. Without prompts the map is zero.

    Args:
        feat_size: (height, width) of the map; of the image a sixteenth.
        dim: width.
    """

    cells: Tensor

    def __init__(self, feat_size: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(5, dim, bias=False)
        # as loud as the image's features, whose channels have a variance of one
        nn.init.normal_(self.proj.weight, std=1.0)
        y, x = (torch.arange(side) + 0.5 for side in feat_size)
        cells = torch.stack([x.expand(feat_size), y[:, None].expand(feat_size)], -1)
        self.register_buffer("cells", cells, persistent=False)  # (h, w, 2)

    def forward(self, feat: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        """Return the map of ``B`` objects, ``(B, dim, h, w)``.

        Args:
            feat: ``(1 or B, dim, h, w)``.
            points: ``(B, P, 2)`` pixels of the model's input, ``labels`` ``(B, P)`` as in
                :class:`pocketeye.models.tam.PromptEncoder`.
        """
        height, width = self.cells.shape[:2]
        cells = self.cells.flatten(0, 1)  # hw 2
        place = (points + 0.5) / 16.0  # in cells; a pixel's centre is half a pixel from its corner
        near = torch.exp(-0.5 * (cells - place[:, :, None]).square().sum(-1) / _NEAR**2)  # B P hw
        similarity = self._similarity(feat, place)
        channels = []
        for label in (POSITIVE, NEGATIVE):
            of_kind = (labels == label)[:, :, None]
            # Of several clicks the nearest counts, not their sum: two clicks are no stronger than one.
            channels.append((near * of_kind).amax(1))
            # Shifted by the least cosine, so that a frame without such a click gets exactly zero.
            channels.append(torch.where(of_kind, similarity, _NOWHERE).amax(1) - _NOWHERE)
        # Points of other kinds are multiplied away: indexing by label would make shapes depend on data.
        low, high = (
            (place * (labels == label)[:, :, None]).sum(1, keepdim=True)
            for label in (TOP_LEFT, BOTTOM_RIGHT)
        )
        boxed = (labels == TOP_LEFT).any(1, keepdim=True)
        inside = ((cells >= low) & (cells <= high)).all(-1) & boxed
        channels.append(inside.to(near.dtype))
        projected = self.proj(torch.stack(channels, -1))  # B hw dim
        return projected.transpose(1, 2).unflatten(2, (height, width))

    def _similarity(self, feat: Tensor, place: Tensor) -> Tensor:
        """Return cosines ``(B, P, hw)`` of the features with those at each point.

        Features under a point are read between the four cells around it, as ``grid_sample`` would.
        """
        unit = F.normalize(feat.flatten(2), dim=1)
        # Points near the border are read at the outermost cell's centre.
        most = place.new_tensor([self.cells.shape[1], self.cells.shape[0]]) - 0.5
        held = torch.minimum(place.clamp(min=0.5), most)
        # bilinear weights by hand: a product, which every exporter knows
        distance = (self.cells.flatten(0, 1) - held[:, :, None]).abs()
        weights = (1 - distance).clamp(min=0).prod(-1)  # B P hw
        under = F.normalize(weights @ unit.transpose(1, 2), dim=2)  # B P dim
        return under @ unit
