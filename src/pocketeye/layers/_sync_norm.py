"""Turn BN over all processes back into plain BN, with timm's activation inside as well."""

from __future__ import annotations

from typing import Any, TypeVar

from timm.layers import BatchNormAct2d
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def revert_sync_batchnorm(module: _Module) -> _Module:
    """Replace every ``SyncBatchNorm`` inside ``module``, in place; parameters and buffers are kept."""
    for name, child in module.named_children():
        if isinstance(child, nn.SyncBatchNorm):
            module.add_module(name, _plain(child))
        else:
            revert_sync_batchnorm(child)
    return module


def _plain(norm: nn.SyncBatchNorm) -> nn.Module:
    # timm's SyncBatchNorm carries an activation, which PyTorch's own way back would lose.
    plain: Any
    if hasattr(norm, "act"):
        plain = BatchNormAct2d(norm.num_features, norm.eps, affine=norm.affine)
        plain.momentum = norm.momentum
        plain.act, plain.drop = norm.act, norm.drop
    else:
        plain = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine)
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(plain, name, getattr(norm, name))
    return plain.train(norm.training)  # type: ignore[no-any-return]
