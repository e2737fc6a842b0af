"""Prepare images for dense networks, and read label maps from logits, in torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketeye.layers import normalise
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.semantic_fpn import SemanticFPN

_CHUNK = 32


def label_map(network: SemanticFPN, image: Tensor, described: DenseDescription) -> Tensor:
    """int64 ``(H, W)`` on uint8 ``(3, H, W)``: resized as the description says, and back."""
    size: tuple[int, int] = (image.shape[1], image.shape[2])
    return best_class(network(as_seen(image, described)[None])[0], size)


def as_seen(image: Tensor, described: DenseDescription) -> Tensor:
    """uint8 ``(3, H, W)`` normalised and resized as the description says, float32."""
    size: tuple[int, int] = (image.shape[1], image.shape[2])
    return resize(
        normalised(image, described), fitted(size, described.min_size, described.max_size)
    )


def normalised(images: Tensor, described: DenseDescription) -> Tensor:
    """uint8 ``(…, 3, H, W)`` as the network takes them, float32."""
    return normalise(images.float() / 255, described.mean, described.std)


def fitted(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """``size`` (height, width) so that its shorter side is ``min_size`` and none above ``max_size``."""
    scale = min(min_size / min(size), max_size / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, ``(C, h, w)`` to ``(C, *size)``, as the numpy companion of artefacts does it."""
    if tuple(x.shape[1:]) == size:
        return x
    return F.interpolate(x[None], size, mode="bilinear", align_corners=False)[0]


def best_class(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """int64 ``size`` of ``(K, h, w)``: the class of the highest logit, resized before it is chosen."""
    best, labels = torch.empty(0), torch.empty(0)
    for start in range(0, len(logits), _CHUNK):
        value, label = resize(logits[start : start + _CHUNK].float(), size).max(dim=0)
        if not start:
            best, labels = value, label
            continue
        higher = value > best
        best, labels = torch.where(higher, value, best), torch.where(higher, label + start, labels)
    return labels
