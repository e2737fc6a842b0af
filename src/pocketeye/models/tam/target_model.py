"""A linear model of the object, solved in closed form from the frames that the memory holds.

Memory attention and :class:`Matching` ask which cells of the memory a cell looks like. A linear model
asks what tells the object from everything else around it, which is what few-shot trackers solve for
(arXiv 2003.00908, arXiv 2003.11540). Here it is ridge regression of the masks on keys of stride 8, whose
solution is exact, cheap (a system of 65 unknowns an object) and differentiable, so the keys are learnt.
On the six development clips, with the maps of a classifier for keys and without any training of a
tracker, it reaches a J of 66 to 69; masks carried along by likeness reach 64.

Legend: B objects, K ``key_dim``, E = K + 1 with the constant, N cells of stride 8.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.models.tam.image_encoder import ImageFeatures

CONSTANT = 0.3  # the key of the intercept; the others have unit length together
# Of the mean eigenvalue of the keys' second moments; on cached maps 0.05 lost 1 point of J, 0.01 lost 4.
_RIDGE = 0.2
_PROMPTED = 6.0  # weight of a prompted frame: as much as all six tracked ones together
_SIDE = 2  # cells of stride 8 in the side of a token of stride 16
_HIDDEN = 16  # channels between the score and what it becomes


class TargetModel(nn.Module):
    """Tells the object's cells from all others by ridge regression on learned keys.

    The score (about 1 in the object, -1 elsewhere) is drawn into the features and the details of the
    frame that reads the memory, so that the mask decoder starts from it.

    Args:
        dim: channels of the features; the details of strides 8 and 4 have ``dim / 4`` and ``dim / 8``.
        key_dim: channels of the keys.
    """

    def __init__(self, dim: int, key_dim: int = 64) -> None:
        super().__init__()
        self.key_dim = key_dim
        self.key_16 = nn.Conv2d(dim, key_dim, 1, bias=False)
        self.key_8 = nn.Conv2d(dim // 4, key_dim, 1, bias=False)
        self.ridge = nn.Parameter(torch.tensor(_RIDGE / key_dim).log())
        self.prompted = nn.Parameter(torch.tensor(_PROMPTED).log())
        self.hidden = nn.Conv2d(2, _HIDDEN, 3, padding=1)
        self.to_16 = nn.Conv2d(_HIDDEN, dim, _SIDE, stride=_SIDE)
        self.to_8 = nn.Conv2d(_HIDDEN, dim // 4, 3, padding=1)
        self.to_4 = nn.Conv2d(_HIDDEN, dim // 8, 3, padding=1)

    @property
    def num_channels(self) -> int:
        """Channels of a map that :meth:`write` makes."""
        return _SIDE**2 * (self.key_dim + 1)

    @property
    def num_sums(self) -> int:
        """Numbers that :meth:`sums` gives for an object."""
        return (self.key_dim + 1) * (self.key_dim + 2)

    def keys(self, seen: ImageFeatures) -> Tensor:
        """Return keys of unit length, ``(1 or B, K, H / 8, W / 8)``."""
        detail = seen.details[0]
        coarse = F.interpolate(
            self.key_16(seen.feat), size=detail.shape[2:], mode="bilinear", align_corners=False
        )
        return F.normalize(coarse + self.key_8(detail), dim=1)

    def write(self, seen: ImageFeatures, mask: Tensor) -> Tensor:
        """Return a map of the memory, ``(B, num_channels, h, w)``: keys, and shares of the mask.

        Args:
            seen: of the frame.
            mask: ``(B, 1, H, W)``, 0 to 1.
        """
        shares = F.avg_pool2d(mask, 16 // _SIDE)
        keys = self.keys(seen).expand(len(mask), -1, -1, -1)
        return F.pixel_unshuffle(torch.cat([keys, shares.to(keys.dtype)], 1), _SIDE)

    def sums(self, written: Tensor) -> Tensor:
        """Return what the regression needs of a map, ``(B, E, E + 1)``: moments of keys, and with masks.

        Object and surroundings count the same, however small the object is.
        """
        cells = F.pixel_shuffle(written, _SIDE).float().flatten(2)  # B, K + 1, N
        keys, share = cells[:, : self.key_dim], cells[:, self.key_dim :]
        keys = torch.cat([keys, torch.full_like(share, CONSTANT)], 1)
        # An object that fills less than a cell would count as a whole one: it is hardly seen.
        inside = share / share.sum(2, keepdim=True).clamp(min=1)
        outside = (1 - share) / (1 - share).sum(2, keepdim=True).clamp(min=1)
        weighted = keys * (0.5 * (inside + outside))
        # In full precision: rounded moments need not have a solution.
        with torch.autocast(keys.device.type, enabled=False):
            return weighted @ torch.cat([keys, 2 * share - 1], 1).transpose(1, 2)

    def weigh(self, sums: list[Tensor], prompted: list[bool]) -> Tensor:
        """Return the mean of the sums of several maps, in which prompted frames count for more."""
        more = self.prompted.exp()
        weights = [more if each else torch.ones_like(more) for each in prompted]
        total = torch.stack([w * part for w, part in zip(weights, sums, strict=True)]).sum(0)
        return total / torch.stack(weights).sum()

    def score(self, seen: ImageFeatures, sums: Tensor) -> Tensor:
        """Return about 1 in the object and -1 elsewhere, ``(B, 1, H / 8, W / 8)``."""
        keys = self.keys(seen).float()
        with torch.autocast(sums.device.type, enabled=False):
            moments, with_mask = sums.float().split([self.key_dim + 1, 1], 2)
            eye = torch.eye(self.key_dim + 1, device=sums.device)
            weights = torch.linalg.solve(moments + self.ridge.exp() * eye, with_mask)
            inner = torch.einsum("bkhw,bk->bhw", keys.expand(len(weights), -1, -1, -1),
                                 weights[:, :-1, 0])  # fmt: skip
            return (inner + CONSTANT * weights[:, -1:])[:, None]

    def forward(self, seen: ImageFeatures, sums: Tensor, read: Tensor) -> ImageFeatures:
        """Draw the score of ``B`` objects into what they read of the memory.

        Args:
            seen: features and details of the frame, batch of 1 or ``B``.
            sums: of :meth:`weigh`, ``(B, E, E + 1)``.
            read: features that know the memory, ``(B, dim, h, w)``.

        Returns:
            Features and details, all with a batch of ``B``.
        """
        score = self.score(seen, sums)
        # Both as it is and as a soft decision: the regression's scale differs between objects.
        hidden = F.gelu(self.hidden(torch.cat([score, torch.tanh(math.pi * score)], 1)))
        detail_8, detail_4 = seen.details
        to_4 = F.interpolate(
            self.to_4(hidden), size=detail_4.shape[2:], mode="bilinear", align_corners=False
        )
        return ImageFeatures(
            read + self.to_16(hidden), (detail_8 + self.to_8(hidden), detail_4 + to_4)
        )
