"""BN statistics over all processes, for timm's norms with an activation inside as well."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.plugins import LayerSync
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import nn


class TimmSyncBatchNorm(LayerSync):
    """Lightning calls ``apply`` when processes are up and ``revert`` after the training."""

    def apply(self, model: Any) -> Any:
        return convert_sync_batchnorm(model)

    def revert(self, model: Any) -> Any:
        for name, child in model.named_children():
            if isinstance(child, nn.SyncBatchNorm):
                model.add_module(name, _plain(child))
            else:
                self.revert(child)
        return model


def _plain(norm: nn.SyncBatchNorm) -> nn.Module:
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
