"""Fill small holes and remove specks, the same on every device.

The rule is that of SAM 2 (``fill_holes_in_mask_scores``), whose code needs CUDA: a connected component
of the background, over eight neighbours, of at most ``max_area`` pixels becomes foreground; pixels at
the border of the image count like others. Specks are the same with the sides exchanged.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from pocketeye.errors import InvalidValue

_EIGHT = np.ones((3, 3), bool)  # neighbours of a pixel, diagonal ones included
_SCORE = 0.1  # what official code writes into filled pixels


def fill_holes(masks: torch.Tensor, max_area: int) -> torch.Tensor:
    """Fill background components of at most ``max_area`` pixels.

    Args:
        masks: bool, or logits whose foreground is above 0, of shape ``(..., height, width)``.
        max_area: in pixels of ``masks``; 0 changes nothing.

    Returns:
        A new tensor of that shape, dtype and device; filled logits are 0.1.

    Raises:
        InvalidValue: a negative area, or fewer than two axes.
    """
    return _change(masks, max_area, holes=True)


def remove_specks(masks: torch.Tensor, max_area: int) -> torch.Tensor:
    """Remove foreground components of at most ``max_area`` pixels; removed logits are -0.1.

    Arguments and the rest as in :func:`fill_holes`. A mask that is nothing but specks becomes empty.
    """
    return _change(masks, max_area, holes=False)


def _change(masks: torch.Tensor, max_area: int, *, holes: bool) -> torch.Tensor:
    if max_area < 0 or masks.ndim < 2:
        raise InvalidValue(
            f"the largest area is {max_area} pixels and the masks have the shape "
            f"{tuple(masks.shape)}: expected 0 or more, and (..., height, width)"
        )
    result = masks.clone()
    if not max_area or not masks.numel():
        return result
    # On the CPU whatever the device: that is what makes masks the same everywhere.
    filled = (masks if masks.dtype == torch.bool else masks > 0).cpu().numpy()
    flat = filled.reshape(-1, *masks.shape[-2:])
    small = np.zeros_like(flat)
    for mask, out in zip(flat, small, strict=True):
        where = _region(mask, max_area + 1 if holes else 0)
        if where is not None:
            inside = mask[where]
            out[where] = small_components(~inside if holes else inside, max_area)
    where_small = torch.from_numpy(small.reshape(masks.shape)).to(masks.device)
    if masks.dtype == torch.bool:
        return result.logical_or_(where_small) if holes else result.logical_and_(~where_small)
    return result.masked_fill_(where_small, _SCORE if holes else -_SCORE)


def small_components(mask: np.ndarray, max_area: int) -> np.ndarray:
    """Return a bool map of the components (eight neighbours) of at most ``max_area`` pixels."""
    labels, count = ndimage.label(mask, _EIGHT)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    small = areas <= max_area
    small[0] = False  # label 0 is everything else, not a component
    return small[labels] if small.any() else np.zeros(mask.shape, bool)


def _region(mask: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """Return the filled pixels and ``margin`` more on each side; None where nothing is filled.

    Background that goes on outside of this region fills the margin at its edge, so it is larger than
    any component to be filled, and all others lie inside whole.
    """
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        # There is nothing but background: one component, which is small only if the whole image is.
        return (slice(None), slice(None)) if mask.size < margin else None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
        slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin),
    )
