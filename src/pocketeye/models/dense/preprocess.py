"""Prepare images for dense networks, and read label maps from logits, in torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketeye.layers import normalise
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.semantic_fpn import SemanticFPN

_CHUNK = 32  # classes at a time: logits of 150 classes at an image's size may not fit


def label_map(network: SemanticFPN, image: Tensor, described: DenseDescription) -> Tensor:
    """Label uint8 ``(3, H, W)``: int64 ``(H, W)``, resized as the description says, and back."""
    size: tuple[int, int] = (image.shape[1], image.shape[2])
    return best_class(network(as_seen(image, described)[None])[0], size)


def as_seen(image: Tensor, described: DenseDescription) -> Tensor:
    """Normalise and resize uint8 ``(3, H, W)`` as the description says, to float32."""
    size: tuple[int, int] = (image.shape[1], image.shape[2])
    return resize(
        normalised(image, described), fitted(size, described.min_size, described.max_size)
    )


def normalised(images: Tensor, described: DenseDescription) -> Tensor:
    """Normalise uint8 ``(…, 3, H, W)`` as the network takes them, to float32."""
    return normalise(images.float() / 255, described.mean, described.std)


def fitted(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """Fit ``size`` (height, width): its shorter side to ``min_size``, but none above ``max_size``."""
    scale = min(min_size / min(size), max_size / max(size))
    # A strip of an image keeps one pixel at least.
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly, ``(C, h, w)`` to ``(C, *size)``, as artefacts do it in numpy."""
    if tuple(x.shape[1:]) == size:
        return x
    return F.interpolate(x[None], size, mode="bilinear", align_corners=False)[0]


def best_class(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Choose the class of the highest logit, int64 ``size``, from ``(K, h, w)``.

    Logits are resized before the choice: labels themselves cannot be interpolated.
    """
    best, labels = torch.empty(0), torch.empty(0)
    for start in range(0, len(logits), _CHUNK):
        value, label = resize(logits[start : start + _CHUNK].float(), size).max(dim=0)
        if not start:
            best, labels = value, label
            continue
        # Not ">=": of equal logits the first class wins, as with argmax over all.
        higher = value > best
        best, labels = torch.where(higher, value, best), torch.where(higher, label + start, labels)
    return labels
