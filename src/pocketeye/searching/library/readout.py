"""Solve the last 1x1 of every candidate by least squares before it learns.

What a block's hidden channels can say of the teacher's output at best is known in closed form (as in
channel pruning by reconstruction, arXiv 1707.06168, equation 3). Gradient steps then begin there, and
candidates whose other weights are random have a start, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pocketeye.models.blocks import InvertedResidual
from pocketeye.searching.library.task import block_of, learners
from pocketeye.searching.supernet.supernet import SuperNet

# Over the mean variance of the hidden channels: those that hardly differ must not get huge weights.
_DAMPING = 1e-3


@torch.no_grad()
def solve_readouts(supernet: SuperNet, teacher: Sequence[int], batches: Sequence[Tensor]) -> None:
    """Set the last 1x1 and BN of all inverted residuals that learn.

    Args:
        supernet: changed in place, left in eval mode.
        teacher: columns of the teacher's blocks.
        batches: images (N, C, H, W), placed; a few hundred in all are enough.
    """
    supernet.eval()
    maps = [supernet.stem(images) for images in batches]
    for layer, column in enumerate(teacher):
        targets = [block_of(supernet, layer, column)(x) for x in maps]
        for module in learners(supernet, layer, column).values():
            if isinstance(module, InvertedResidual):
                _solve(module, maps, targets)
        maps = targets


def _solve(block: InvertedResidual, maps: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    # BN by the batch, as in the steps that follow.
    block.train()
    num = sum(y.numel() // y.shape[1] for y in targets)
    first, second = _moments(block, maps, targets, num)
    mid = block.conv_dw.out_channels
    covariance = second - torch.outer(first, first)
    groups, outs = block.conv_pwl.groups, block.conv_pwl.out_channels
    assert isinstance(block.bn3, nn.BatchNorm2d)
    for group in range(groups):
        hidden = slice(group * mid // groups, (group + 1) * mid // groups)
        out = slice(group * outs // groups, (group + 1) * outs // groups)
        gram = covariance[:mid, :mid][hidden, hidden]
        cross = covariance[:mid, mid:][hidden, out]
        damping = _DAMPING * gram.diagonal().mean() + torch.finfo(torch.float32).tiny
        eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        weight = torch.linalg.solve(gram + damping * eye, cross).T
        block.conv_pwl.weight[out] = weight[..., None, None].float()
        # BN divides by the spread of what it gets, and multiplies by it again.
        variance = torch.einsum("oi,ij,oj->o", weight, gram, weight).clamp(min=0.0)
        block.bn3.weight[out] = (variance + block.bn3.eps).sqrt().float()
        block.bn3.bias[out] = first[mid:][out].float()
    block.eval()


def _moments(
    block: InvertedResidual, maps: Sequence[Tensor], targets: Sequence[Tensor], num: int
) -> tuple[Tensor, Tensor]:
    """Return means (M + D,) and second moments (M + D, M + D) of hidden channels and targets."""
    first: Tensor | float = 0.0
    second: Tensor | float = 0.0
    for x, y in zip(maps, targets, strict=True):
        hidden = block.shuffle(block.act1(block.bn1(block.conv_pw(x))))
        hidden = block.act2(block.bn2(block.conv_dw(hidden)))
        wanted = y - x if block.has_skip else y
        rows = torch.cat([hidden, wanted], 1).movedim(1, -1).flatten(0, 2)
        # Summed in double: covariances are differences of large numbers.
        first = first + rows.double().sum(0) / num
        second = second + (rows.T @ rows).double() / num
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    return first, second
