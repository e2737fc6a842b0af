"""Make the form of a network that is shipped: everything folded that can be, the same outputs."""

from __future__ import annotations

import copy

import torch
from timm.layers import BatchNormAct2d
from timm.models import reparameterize_model
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, EdgeResidual, InvertedResidual
from timm.models._features import FeatureGetterNet
from torch import nn

from pocketeye.layers import fold_after, revert_sync_batchnorm
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


# By timm's names: convolutions of a block, each with the BN and activation behind it.
_STEM = ("conv_stem", "bn1")
_FOLLOWED: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    DepthwiseSeparableConv: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    EdgeResidual: (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
}


def fold_for_torch(backbone: nn.Module) -> nn.Module:
    """Make a copy of a backbone that PyTorch computes faster, with the same outputs in eval mode.

    Exporters fold BN into the convolution before it, PyTorch does not: in EfficientNet-Lite0 on a CPU
    that is a ninth of the time. Here it is done for the blocks of timm's EfficientNets, whose order is
    known; other backbones are fused as :func:`fuse` does it. Weights lie in channels-last order,
    which spares depthwise convolutions PyTorch's slow path (another quarter of the time).
    """
    folded = fuse(backbone)
    blocks = [(m, _FOLLOWED[type(m)]) for m in folded.modules() if type(m) in _FOLLOWED]
    # A ``conv_stem`` before other blocks may be followed by something else.
    if blocks and all(hasattr(folded, name) for name in _STEM):
        blocks.append((folded, (_STEM,)))
    for block, pairs in blocks:
        for conv, norm in pairs:
            _fold_pair(block, conv, norm)
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fold_pair(block: nn.Module, conv: str, norm: str) -> None:
    first, second = getattr(block, conv), getattr(block, norm)
    if isinstance(first, nn.Conv2d) and isinstance(second, BatchNormAct2d):
        setattr(block, conv, fold_after(first, second))
        setattr(block, norm, nn.Sequential(second.drop, second.act))
