"""Encode prompts as SAM does (arXiv 2304.02643): clicks, box corners and a mask to tokens and a map."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from pocketeye.models.tam.prompt_numbers import NO_POINT


class FourierPosition(nn.Module):
    """Encode places in the unit square by random Fourier features (arXiv 2006.10739)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        # A buffer, not a constant: the frequencies are random, and come with the weights.
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """Turn ``(…, 2)`` as (x, y) in 0..1 into ``(…, dim)``."""
        phase = (2 * math.pi) * ((2 * xy - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([phase.sin(), phase.cos()], -1)


class PromptEncoder(nn.Module):
    """Encode prompts to tokens ``(B, P + 1, dim)`` and a map to be added to the image's.

    Args:
        image_size: (height, width) of the model's input, in pixels.
        dim: width of the tokens.
        mask_chs: width inside the mask branch.
    """

    image_wh: Tensor
    dense_pos: Tensor

    def __init__(self, image_size: tuple[int, int], dim: int = 256, mask_chs: int = 16) -> None:
        super().__init__()
        height, width = (size // 16 for size in image_size)
        self.pe_layer = FourierPosition(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.no_mask_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_chs // 4, 2, stride=2),
            LayerNorm2d(mask_chs // 4),
            nn.GELU(),
            nn.Conv2d(mask_chs // 4, mask_chs, 2, stride=2),
            LayerNorm2d(mask_chs),
            nn.GELU(),
            nn.Conv2d(mask_chs, dim, 1),
        )
        wh = torch.tensor([float(image_size[1]), float(image_size[0])])
        self.register_buffer("image_wh", wh, persistent=False)
        # Position of each cell, (1, dim, H / 16, W / 16). It depends on the frequencies, which loading
        # replaces: hence the hook.
        dense_pos = self._dense_position(height, width)
        self.register_buffer("dense_pos", dense_pos, persistent=False)
        self.register_load_state_dict_post_hook(_refresh)

    def _dense_position(self, height: int, width: int) -> Tensor:
        device = self.pe_layer.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, device=device) + 0.5) / height  # centres of the cells
        x = (torch.arange(width, device=device) + 0.5) / width
        xy = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)
        return self.pe_layer(xy).permute(2, 0, 1)[None]

    def forward(
        self, points: Tensor, labels: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode the prompts of a batch of objects.

        Args:
            points: ``(B, P, 2)``, (x, y) in pixels of the model's input. A box is two points.
            labels: ``(B, P)`` integers: 1 positive, 0 negative, 2 and 3 top left and bottom right of a
                box, -1 no point. One point of label -1 stands for no prompt at all.
            mask: ``(B, 1, H / 4, W / 4)`` logits.

        Returns:
            Tokens ``(B, P + 1, dim)`` and the map,
            ``(B, dim, H / 16, W / 16)`` or ``(1, dim, 1, 1)`` without a mask.
        """
        # SAM appends a point that is none unless a box comes apart from the points. The predictors of
        # SAM 2 and EfficientTAM give boxes as points, so their networks always see it.
        points = F.pad(points, (0, 0, 0, 1))
        tokens = self._points(points, F.pad(labels.long(), (0, 1), value=NO_POINT))
        if mask is None:
            return tokens, self.no_mask_embed.weight[:, :, None, None]
        return tokens, self.mask_downscaling(mask)

    def _points(self, points: Tensor, labels: Tensor) -> Tensor:
        kinds = (self.not_a_point_embed, *self.point_embeddings)
        # A table indexed by label, where SAM assigns by masks: the graph stays without branches.
        table = torch.cat([kind.weight for kind in kinds])  # type: ignore[misc]
        position = self.pe_layer((points + 0.5) / self.image_wh)  # to the centre of the pixel
        is_point = (labels >= 0)[:, :, None].to(position.dtype)
        return position * is_point + table[labels + 1]  # no point has no place, only its embedding


def _refresh(encoder: nn.Module, incompatible_keys: object) -> None:
    # Weights were loaded: the positions of the cells are made anew from their frequencies.
    assert isinstance(encoder, PromptEncoder)
    fresh = encoder._dense_position(*encoder.dense_pos.shape[2:])
    encoder.dense_pos = fresh.to(encoder.dense_pos)
