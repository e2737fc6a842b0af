"""Begin candidates with weights of the teacher's block, as far as one fits into the other.

A narrower block keeps the hidden channels that reach the output with the most weight, a smaller kernel
the middle of the larger one. Learning then takes a few hundred steps and not thousands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketeye.models.blocks import InvertedResidual


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
