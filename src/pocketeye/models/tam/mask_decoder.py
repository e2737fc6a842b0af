"""Decode masks as SAM 2 does: prompts and the image's map attend to each other, masks are read off."""

from __future__ import annotations

from typing import NamedTuple

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from pocketeye.layers import MLP, ProjectedAttention


class TwoWayBlock(nn.Module):
    """Let tokens and image attend to each other.

    Tokens to tokens, tokens to image, MLP, image to tokens; a norm follows each of the four.

    Args:
        first: in the first block the tokens are their own positions, so these are not added, and
            self-attention stands in place of the tokens instead of beside them.
    """

    def __init__(self, dim: int, num_heads: int, mlp_dim: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = ProjectedAttention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        # SAM halves the width where all pixels take part ("attention_downsample_rate" 2).
        self.cross_attn_token_to_image = ProjectedAttention(dim, num_heads, inner_dim=dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = ProjectedAttention(dim, num_heads, inner_dim=dim // 2)
        self.norm4 = nn.LayerNorm(dim)

    def forward(
        self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.first:
            # SAM's skip_first_layer_pe: no position, and no residual either.
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pos
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        placed_image = image + image_pos
        attended = self.cross_attn_token_to_image(tokens + token_pos, placed_image, image)
        tokens = self.norm2(tokens + attended)
        tokens = self.norm3(tokens + self.mlp(tokens))
        attended = self.cross_attn_image_to_token(placed_image, tokens + token_pos, tokens)
        return tokens, self.norm4(image + attended)


class TwoWayTransformer(nn.Module):
    """Bring tokens ``(B, T, dim)`` and image ``(B, N, dim)`` up to date with each other."""

    def __init__(self, dim: int, depth: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, num_heads, mlp_dim, first=n == 0) for n in range(depth)
        )
        self.final_attn_token_to_image = ProjectedAttention(dim, num_heads, inner_dim=dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, image: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        token_pos = tokens  # prompts carry their places: they stay the positions in all layers
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pos, image_pos)
        attended = self.final_attn_token_to_image(tokens + token_pos, image + image_pos, image)
        return self.norm_final_attn(tokens + attended), image


class DecodedMasks(NamedTuple):
    """Hold everything the decoder says about ``B`` objects: mask 0 stands alone, the others compete."""

    masks: Tensor  # (B, M, 4 h, 4 w) logits
    ious: Tensor  # (B, M), 0..1
    tokens: Tensor  # (B, M, dim), from which pointers are made
    score: Tensor  # (B, 1), logit: is the object in the frame


class MaskDecoder(nn.Module):
    """Decode masks at four times the map's size, their expected IoUs, and whether the object is there.

    Args:
        dim: width.
        num_multimask: competing masks, for prompts that fit several objects.
    """

    def __init__(
        self,
        dim: int = 256,
        num_multimask: int = 3,
        depth: int = 2,
        num_heads: int = 8,
        mlp_dim: int = 2048,
    ) -> None:
        super().__init__()
        self.num_masks = num_multimask + 1
        self.transformer = TwoWayTransformer(dim, depth, num_heads, mlp_dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_masks, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        # SAM's upscaling: 4x in two steps, to as many channels as the hypernetworks give.
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        # One MLP per mask token turns it into the weights of a 1x1 convolution over the enlarged map.
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim, dim // 8) for _ in range(self.num_masks)
        )
        self.iou_prediction_head = MLP(dim, dim, dim, self.num_masks)
        self.pred_obj_score_head = MLP(dim, dim, dim, 1)

    def forward(
        self,
        image: Tensor,
        image_pos: Tensor,
        prompts: Tensor,
        dense: Tensor,
        details: tuple[Tensor, ...] = (),
    ) -> DecodedMasks:
        """Decode ``B`` objects.

        Args:
            image: ``(1 or B, dim, h, w)``; ``image_pos`` is ``(1, dim, h, w)``.
            prompts: ``(B, P, dim)`` and ``dense`` (broadcast to ``image``): of the prompt encoder.
            details: ``(1 or B, dim / 4, 2 h, 2 w)`` and ``(1 or B, dim / 8, 4 h, 4 w)`` of the image
                encoder, added as the map is enlarged; or none.
        """
        batch, (height, width) = prompts.shape[0], image.shape[2:]
        # The order is that of SAM 2's weights: object score, IoU, masks, then the prompts.
        own = (self.obj_score_token, self.iou_token, self.mask_tokens)
        own_tokens = torch.cat([embedding.weight for embedding in own])
        tokens = torch.cat([own_tokens.expand(batch, -1, -1), prompts], 1)
        source = (image + dense).flatten(2).transpose(1, 2).expand(batch, -1, -1)
        place = image_pos.flatten(2).transpose(1, 2)
        tokens, source = self.transformer(tokens, source, place)
        pixels = self._enlarge(source.transpose(1, 2).unflatten(2, (height, width)), details)
        # 0 is the object score's token and 1 the IoU's.
        mask_tokens = tokens[:, 2 : 2 + self.num_masks]
        weights = torch.stack(
            [mlp(mask_tokens[:, n]) for n, mlp in enumerate(self.output_hypernetworks_mlps)], 1
        )
        return DecodedMasks(
            masks=(weights @ pixels.flatten(2)).unflatten(2, (4 * height, 4 * width)),
            ious=self.iou_prediction_head(tokens[:, 1]).sigmoid(),
            tokens=mask_tokens,
            score=self.pred_obj_score_head(tokens[:, 0]),
        )

    def _enlarge(self, x: Tensor, details: tuple[Tensor, ...]) -> Tensor:
        if not details:
            return self.output_upscaling(x)
        # Details are added inside, as in SAM 2: before the norm, and before the last activation.
        to_8, norm, act_8, to_4, act_4 = self.output_upscaling
        x = act_8(norm(to_8(x) + details[0]))
        return act_4(to_4(x) + details[1])
