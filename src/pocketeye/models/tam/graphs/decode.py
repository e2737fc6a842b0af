"""Decode masks of tracked frames: the target model's score is drawn in, then SAM's decoder."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.layers import bilinear_matrix
from pocketeye.models.tam.graphs.layers import (
    Enlarge,
    attend_heads,
    beside,
    dense,
    in_cells,
    in_quarters,
    norm_of_rows,
    on_rows,
    out_of_quarters,
    rows_of,
)
from pocketeye.models.tam.mask_decoder import TwoWayBlock
from pocketeye.models.tam.prompt_numbers import NO_POINT
from pocketeye.models.tam.tam import TAM
from pocketeye.models.tam.target_model import CONSTANT, TargetModel

DETAILS = ("detail_8", "detail_4")


class Draw(nn.Module):
    """Draw the target model's score into features and details, from its weights."""

    def __init__(self, target: TargetModel, feat_size: tuple[int, int]) -> None:
        super().__init__()
        self.feat_size, self.key_dim = feat_size, target.key_dim
        self.hidden, self.to_16 = target.hidden, target.to_16
        self.to_8, self.to_4 = target.to_8, target.to_4
        self.enlarge = Enlarge([bilinear_matrix(4 * side, 2 * side) for side in feat_size])

    def forward(
        self,
        feat: Tensor,
        details: tuple[Tensor, Tensor],
        key: Tensor,
        weights: Tensor,
        on: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return features ``(B, N, C)`` and details with the score in them.

        Args:
            key: unit keys ``(1, 4 N, K)``, row by row.
            weights: ``(B, K + 1)``, the solution of the regression.
            on: ``(B, 1, 1)``, 0 leaves features and details as they are; 1 by default.
        """
        height, width = self.feat_size
        inner = weights[:, None, :-1] @ key.transpose(1, 2)  # B 1 4N
        score = inner + CONSTANT * weights[:, None, -1:]
        score = score.reshape(-1, 1, 2 * height, 2 * width)
        hidden = F.gelu(self.hidden(torch.cat([score, torch.tanh(math.pi * score)], 1)))
        to_16 = rows_of(self.to_16(hidden))
        to_8 = in_cells(rows_of(self.to_8(hidden)), height, width)
        to_4 = in_quarters(self.enlarge(rows_of(self.to_4(hidden))), height, width)
        if on is not None:
            to_16, to_8, to_4 = to_16 * on, to_8 * on, to_4 * on
        return feat + to_16, (details[0] + to_8, details[1] + to_4)


class TwoWay(nn.Module):
    """Compute :class:`TwoWayBlock` with the products that read the image put together."""

    def __init__(self, block: TwoWayBlock, image_pos: Tensor) -> None:
        super().__init__()
        self.block, self.first = block, block.first
        to_image, to_token = block.cross_attn_token_to_image, block.cross_attn_image_to_token
        self.num_heads = to_image.num_heads
        scale = (to_image.q_proj.out_features // self.num_heads) ** -0.5
        # Keys and queries see the image with its places, values without.
        placed = [to_image.k_proj.weight, to_token.q_proj.weight * scale]
        self.of_image = beside(
            to_image.k_proj, _times(to_token.q_proj, scale), to_image.v_proj,
        )  # fmt: skip
        place = torch.cat([image_pos @ weight.t() for weight in placed], -1).detach()
        place = F.pad(place, (0, to_image.v_proj.out_features))
        self.register_buffer("place", place, persistent=False)  # (1, N, 3 inner)
        self.to_image_q = _times(to_image.q_proj, scale)
        own = block.self_attn
        self.own_q = _times(own.q_proj, (own.q_proj.out_features // own.num_heads) ** -0.5)

    place: Tensor

    def forward(
        self, tokens: Tensor, image: Tensor, token_pos: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Bring tokens ``(B, T, C)`` and image ``(B, N, C)`` up to date.

        Args:
            bias: ``(B, 1, 1, T)``, of the tokens' logits.
        """
        block, num = self.block, self.num_heads
        own = block.self_attn
        placed = tokens if self.first else tokens + token_pos
        q = on_rows(self.own_q, placed)
        k, v = on_rows(own.k_proj, placed), on_rows(own.v_proj, tokens)
        seen = on_rows(own.out_proj, attend_heads(q, k, v, own.num_heads, bias))
        tokens = on_rows(block.norm1, seen if self.first else tokens + seen)
        k, back_q, v = (on_rows(self.of_image, image) + self.place).chunk(3, -1)
        q = on_rows(self.to_image_q, tokens + token_pos)
        attended = attend_heads(q, k, v, num)
        out = block.cross_attn_token_to_image.out_proj
        tokens = on_rows(block.norm2, tokens + on_rows(out, attended))
        tokens = on_rows(block.norm3, tokens + on_rows(block.mlp, tokens))
        back = block.cross_attn_image_to_token
        k, v = on_rows(back.k_proj, tokens + token_pos), on_rows(back.v_proj, tokens)
        attended = attend_heads(back_q, k, v, num, bias)
        return tokens, on_rows(block.norm4, image + on_rows(back.out_proj, attended))


def _times(layer: nn.Linear, scale: float) -> nn.Linear:
    return dense(layer.weight.detach() * scale, layer.bias.detach() * scale)


class Decoder(nn.Module):
    """Compute :class:`MaskDecoder` and the pointers, from rows.

    Outputs are ``masks`` (B, 4, 4 h, 4 w) logits, ``ious`` (B, 4), ``pointers`` (B, 4, C) and
    ``score`` (B, 1): of mask 0, which stands alone, and of the three that compete.
    """

    output_names = ("masks", "ious", "pointers", "score")

    def __init__(self, model: TAM) -> None:
        super().__init__()
        decoder = model.mask_decoder
        self.decoder, self.feat_size, self.pointer = decoder, model.feat_size, model.obj_ptr_proj
        transformer = decoder.transformer
        image_pos = rows_of(model.prompt_encoder.dense_pos).detach()
        blocks = [block for block in transformer.layers if isinstance(block, TwoWayBlock)]
        self.blocks = nn.ModuleList(TwoWay(block, image_pos) for block in blocks)
        final = transformer.final_attn_token_to_image
        self.final_image = beside(final.k_proj, final.v_proj)
        scale = (final.q_proj.out_features // final.num_heads) ** -0.5
        self.final_q = _times(final.q_proj, scale)
        place = image_pos @ final.k_proj.weight.detach().t()
        place = F.pad(place, (0, final.v_proj.out_features))
        self.register_buffer("final_place", place, persistent=False)
        to_8, norm, _, to_4, _ = decoder.output_upscaling
        self.to_8, self.to_4 = _cells_of(to_8), _cells_of(to_4)
        self.norm = norm_of_rows(norm)

    final_place: Tensor

    def own_tokens(self) -> Tensor:
        """Return the tokens that are asked: object score, IoU, masks, ``(1, 6, C)``."""
        own = (self.decoder.obj_score_token, self.decoder.iou_token, self.decoder.mask_tokens)
        return torch.cat([embedding.weight for embedding in own])[None]

    def forward(
        self, source: Tensor, tokens: Tensor, bias: Tensor | None, details: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Decode features with the dense prompt in them, ``(B, N, C)``, and tokens ``(B, T, C)``."""
        decoder, token_pos = self.decoder, tokens
        for block in self.blocks:
            tokens, source = block(tokens, source, token_pos, bias)
        final = decoder.transformer.final_attn_token_to_image
        k, v = (on_rows(self.final_image, source) + self.final_place).chunk(2, -1)
        q = on_rows(self.final_q, tokens + token_pos)
        attended = on_rows(final.out_proj, attend_heads(q, k, v, final.num_heads))
        tokens = on_rows(decoder.transformer.norm_final_attn, tokens + attended)
        mask_tokens = tokens[:, 2 : 2 + decoder.num_masks]
        weights = torch.stack(
            [mlp(mask_tokens[:, n]) for n, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1
        )
        masks = weights @ self._pixels(source, details).transpose(1, 2)
        return (
            out_of_quarters(masks, *self.feat_size),
            decoder.iou_prediction_head(tokens[:, 1]).sigmoid(),
            self.pointer(mask_tokens),
            decoder.pred_obj_score_head(tokens[:, 0]),
        )

    def _pixels(self, source: Tensor, details: tuple[Tensor, ...]) -> Tensor:
        """Enlarge ``(B, N, C)`` to ``(B, 16 N, C / 8)``."""
        # A transposed convolution without overlap is a product, of which each cell becomes four.
        batch, num, _ = source.shape
        x = on_rows(self.to_8, source).reshape(batch, 4 * num, -1)
        x = x + details[0] if details else x
        x = F.gelu(on_rows(self.norm, x))
        x = on_rows(self.to_4, x).reshape(batch, 16 * num, -1)
        return F.gelu(x + details[1] if details else x)


def _cells_of(conv: nn.Module) -> nn.Linear:
    """Return the product that computes the four pixels of each cell."""
    assert isinstance(conv, nn.ConvTranspose2d)
    assert conv.kernel_size == conv.stride == (2, 2)
    weight = conv.weight.detach().permute(2, 3, 1, 0).flatten(0, 2)  # (2 2 out) x in
    assert conv.bias is not None
    return dense(weight, conv.bias.detach().repeat(4))


class DecodeGraph(nn.Module):
    """Decode the masks of ``batch`` tracked objects.

    Inputs: ``read`` (B, N, C); where the network has details, those of the frame; where it has a
    target model, ``target_key`` (1, 4 N, K) and its solution ``target`` (B, K + 1). Outputs:
    :class:`Decoder`.
    """

    output_names = Decoder.output_names

    def __init__(self, model: TAM, batch: int) -> None:
        super().__init__()
        self.batch, self.dim = batch, model.dim
        self.has_details = has_details(model)
        self.decoder = Decoder(model)
        self.draw = None if model.target is None else Draw(model.target, model.feat_size)
        self.num_tokens = model.feat_size[0] * model.feat_size[1]
        encoder = model.prompt_encoder
        points = torch.full((1, 1), NO_POINT)
        prompts, dense_prompt = encoder(torch.zeros(1, 1, 2), points)
        self.register_buffer("prompts", prompts.detach(), persistent=False)
        self.register_buffer("dense", dense_prompt.detach().flatten(2).transpose(1, 2),
                             persistent=False)  # fmt: skip

    prompts: Tensor
    dense: Tensor

    @property
    def input_names(self) -> tuple[str, ...]:
        target = ("target_key", "target") if self.draw is not None else ()
        return ("read", *(DETAILS if self.has_details else ()), *target)

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes."""
        num, dim = self.num_tokens, self.dim
        inputs = [torch.zeros(self.batch, num, dim)]
        if self.has_details:
            inputs += [torch.zeros(1, 4 * num, dim // 4), torch.zeros(1, 16 * num, dim // 8)]
        if self.draw is not None:
            inputs += [torch.ones(1, 4 * num, self.draw.key_dim),
                       torch.zeros(self.batch, self.draw.key_dim + 1)]  # fmt: skip
        return tuple(inputs)

    def forward(self, read: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        details = rest[:2] if self.has_details else ()
        if self.draw is not None:
            key, weights = rest[-2:]
            read, details = self.draw(read, (details[0], details[1]), key, weights)
        tokens = torch.cat([self.decoder.own_tokens(), self.prompts], 1).expand(self.batch, -1, -1)
        return self.decoder(read + self.dense, tokens, None, details)


def has_details(model: TAM) -> bool:
    """Tell whether the decoder sees maps of strides 8 and 4."""
    return model.image_encoder.details is not None
