"""Give candidates their first weights: what they can hold of the teacher's block, and a solved last 1x1.

A narrower block keeps the hidden channels that reach the output with the most weight, a smaller kernel
the middle of the larger one. What hidden channels can say of the teacher's output at best is known in
closed form (as in channel pruning by reconstruction, arXiv 1707.06168, equation 3). Gradient steps then
begin there, and candidates whose other weights are random have a start, too.
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
def inherit(candidate: nn.Module, teacher: nn.Module) -> bool:
    """Give ``candidate`` what it can hold of ``teacher``; return False where they do not nest.

    Both are blocks of one layer. Nothing but inverted residuals whose 1x1s have no groups nests.
    """
    if not (isinstance(candidate, InvertedResidual) and isinstance(teacher, InvertedResidual)):
        return False
    if not (_plain(candidate) and _plain(teacher)):
        return False
    own = _first_pw(candidate)
    theirs = _first_pw(teacher)
    if (own is None) != (theirs is None):
        return False
    # Without a first 1x1 the hidden channels are the input's, and none can be left out.
    kept = _most_used(teacher, candidate.conv_dw.out_channels)
    num = len(kept)
    if own is not None and theirs is not None:
        own.weight[:num] = theirs.weight[kept]
        _copy_norm(candidate.bn1, teacher.bn1, kept)
    kernel = _fit_kernel(teacher.conv_dw.weight[kept], candidate.conv_dw.kernel_size[0])
    candidate.conv_dw.weight[:num] = kernel
    _copy_norm(candidate.bn2, teacher.bn2, kept)
    # Further channels begin silent: the block starts as the teacher's and can only gain.
    candidate.conv_pwl.weight.zero_()
    candidate.conv_pwl.weight[:, :num] = teacher.conv_pwl.weight[:, kept]
    candidate.bn3.load_state_dict(teacher.bn3.state_dict())
    return True


def _plain(block: InvertedResidual) -> bool:
    return block.conv_pwl.groups == 1


def _first_pw(block: InvertedResidual) -> nn.Conv2d | None:
    return block.conv_pw if isinstance(block.conv_pw, nn.Conv2d) else None


def _most_used(block: InvertedResidual, count: int) -> Tensor:
    """Return the ``count`` hidden channels with the largest share in the output, in their order."""
    reach = block.conv_pwl.weight.abs().sum((0, 2, 3))
    if isinstance(block.bn2, nn.BatchNorm2d):
        # What BN lets through: scale and shift tell how large a channel is after it.
        reach = reach * (block.bn2.weight.abs() + block.bn2.bias.clamp(min=0))
    count = min(count, len(reach))
    return reach.topk(count).indices.sort().values


def _fit_kernel(weight: Tensor, side: int) -> Tensor:
    """Cut (C, 1, K, K) to its middle, or put zeros around it."""
    border = (side - weight.shape[-1]) // 2
    if border < 0:
        return weight[..., -border : border or None, -border : border or None]
    return nn.functional.pad(weight, (border,) * 4)


def _copy_norm(ours: nn.Module, theirs: nn.Module, kept: Tensor) -> None:
    assert isinstance(ours, nn.BatchNorm2d)
    assert isinstance(theirs, nn.BatchNorm2d)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(ours, name)[: len(kept)] = getattr(theirs, name)[kept]


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
