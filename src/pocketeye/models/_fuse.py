"""Make the form of a network that is shipped: everything folded that can be, the same outputs."""

from __future__ import annotations

import copy

from timm.models import reparameterize_model
from timm.models._features import FeatureGetterNet
from torch import nn

from pocketeye.layers import revert_sync_batchnorm
from pocketeye.models.backbones.casvit import CASViT


def fuse(model: nn.Module) -> nn.Module:
    """Make a copy of ``model`` for inference, in eval mode; ``model`` itself is left alone.

    CAS-ViT folds its BN and averages its heads (:meth:`pocketeye.models.CASViT.fuse`), networks of
    timm that can be re-parameterised are (RepViT, FastViT, MobileOne, GhostNetV3 …), and others are
    copied as they are: runtimes fold a BN that follows a convolution themselves. Modules inside
    ``model`` are fused, not ``model`` itself: put a bare block into a ``Sequential``. A BN over all
    processes becomes a plain one.
    """
    # Exporters do not know SyncBatchNorm, and in eval mode it is an ordinary BN.
    if any(isinstance(m, nn.SyncBatchNorm) for m in model.modules()):
        model = revert_sync_batchnorm(copy.deepcopy(model))
    if isinstance(model, FeatureGetterNet):
        # A shallow copy: timm's wrapper describes its maps, and only the network inside is replaced.
        features = copy.copy(model)
        features._modules = {**model._modules, "model": fuse(model.model)}
        return features.eval()
    # CAS-ViT folds its heads too, which reparameterize_model, going from block to block, cannot.
    fused: nn.Module = model.fuse() if isinstance(model, CASViT) else reparameterize_model(model)
    return fused.eval()
