"""Look at images through smooth maps: from output points to points of a layer, and sample there.

Points are normalised as ``grid_sample`` has them: -1 and 1 are the outer edges of the first and last
pixel. T times, an output of ``h`` by ``w`` pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Box = tuple[int, int, int, int]


def points_of(theta: np.ndarray, size: int, box: Box) -> Tensor:
    """Return where an affine map takes the pixels of ``box`` (x0, y0, x1, y1) of a square output.

    Args:
        theta: ``(T, 2, 3)``, from output points to points of the layer.
        size: side of the whole output in pixels.

    Returns:
        float32 ``(T, y1 - y0, x1 - x0, 2)``.
    """
    x0, y0, x1, y1 = box
    maps = torch.from_numpy(np.ascontiguousarray(theta, np.float32))
    # Half a pixel in: grid_sample's -1 and 1 are edges of pixels, not their centres.
    x = (torch.arange(x0, x1) + 0.5) * (2.0 / size) - 1.0
    y = (torch.arange(y0, y1) + 0.5) * (2.0 / size) - 1.0
    across = maps[:, :, 0, None] * x  # T 2 w
    down = maps[:, :, 1, None] * y + maps[:, :, 2, None]  # T 2 h
    return (across[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)


def bend(points: Tensor, control: np.ndarray) -> Tensor:
    """Shift points by a field that is smooth in the layer: so a deformation stays on its object.

    Args:
        points: ``(T, h, w, 2)``.
        control: shifts at a coarse grid over the layer, ``(T, 2, g, g)``; interpolated by cubics.
    """
    fine = _cubics(control.shape[-1])
    field = fine @ torch.from_numpy(control.astype(np.float32)) @ fine.T
    shift = F.grid_sample(field, points, padding_mode="border", align_corners=True)
    return points + shift.permute(0, 2, 3, 1)


@lru_cache(maxsize=8)
def _cubics(coarse: int, fine: int = 17) -> Tensor:
    """Return the matrix ``(fine, coarse)`` of a cubic interpolation from edge to edge."""
    # Interpolating the unit vectors gives the matrix; it is the same for every clip.
    eye = torch.eye(coarse)[None, None]
    rows = F.interpolate(eye, (fine, coarse), mode="bicubic", align_corners=True)
    return rows[0, 0]


def sample(layer: Tensor, points: Tensor, padding: str = "zeros") -> Tensor:
    """Sample a layer ``(C, H, W)`` or ``(T, C, H, W)`` at ``points``: ``(T, C, h, w)``."""
    frames = layer if layer.ndim == 4 else layer.expand(len(points), -1, -1, -1)
    return F.grid_sample(frames, points, padding_mode=padding, align_corners=False)


def inverse(theta: np.ndarray) -> np.ndarray:
    """Return the maps ``(T, 2, 3)`` that lead back."""
    full = np.zeros((len(theta), 3, 3))
    full[:, :2], full[:, 2, 2] = theta, 1.0
    return np.linalg.inv(full)[:, :2]


def chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the maps ``(T, 2, 3)`` that do ``first``, then ``second``."""
    linear = second[:, :, :2] @ first[:, :, :2]
    shift = second[:, :, :2] @ first[:, :, 2:] + second[:, :, 2:]
    return np.concatenate([linear, shift], 2)


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 ``(H, W)`` or ``(H, W, 3)`` to (width, height), smoothed where it shrinks."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def coverage(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a bool ``(H, W)`` to (width, height): uint8, 255 where a pixel is covered wholly."""
    # Resizing 0 and 255 keeps the share that is covered; a threshold is for the caller to choose.
    return resized(np.where(mask, np.uint8(255), np.uint8(0)), size)


def channels_first(pixels: np.ndarray) -> Tensor:
    """Return uint8 ``(H, W, C)`` as a tensor ``(C, H, W)`` of its own."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
