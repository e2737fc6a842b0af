"""BN statistics over all processes, for timm's norms with an activation inside as well."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.plugins import LayerSync
from timm.layers import convert_sync_batchnorm

from pocketeye.layers import revert_sync_batchnorm


class TimmSyncBatchNorm(LayerSync):
    """Swap timm's BN for a synchronised one while a training runs.

    Lightning calls ``apply`` when processes are up and ``revert`` after the training.
    """

    def apply(self, model: Any) -> Any:
        # Lightning's own swap knows torch's BN alone, and would lose timm's activation.
        return convert_sync_batchnorm(model)

    def revert(self, model: Any) -> Any:
        return revert_sync_batchnorm(model)
