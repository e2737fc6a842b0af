"""Decode masks of prompted frames: clicks, boxes and masks, as many as there are or none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketeye.models.tam.graphs.decode import DETAILS, Decoder, Draw, has_details
from pocketeye.models.tam.graphs.layers import rows_of
from pocketeye.models.tam.prompt_encoder import PromptEncoder
from pocketeye.models.tam.prompt_numbers import EMPTY_BIAS, FILL_LABEL, NO_POINT
from pocketeye.models.tam.tam import TAM


class PromptTokens(nn.Module):
    """Turn points into tokens: a product with which label it is, in place of a table."""

    def __init__(self, encoder: PromptEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        kinds = (encoder.not_a_point_embed, *encoder.point_embeddings)
        table = torch.cat([kind.weight.detach() for kind in kinds])  # type: ignore[misc]
        self.register_buffer("table", table, persistent=False)  # (5, C), labels -1 to 3
        self.register_buffer("labels", torch.arange(-1.0, 4.0), persistent=False)

    table: Tensor
    labels: Tensor

    def forward(self, points: Tensor, labels: Tensor) -> Tensor:
        """Return tokens ``(1, P + 1, C)``: one that is no point comes first."""
        encoder = self.encoder
        position = encoder.pe_layer((points + 0.5) / encoder.image_wh)
        is_point = (labels >= 0)[:, :, None].to(position.dtype)
        kind = (labels[:, :, None] == self.labels).to(position.dtype)
        tokens = position * is_point + kind @ self.table
        return torch.cat([self.table[None, :1], tokens], 1)


class PromptGraph(nn.Module):
    """Decode one object from up to ``num_points`` points and a mask.

    Inputs: ``known`` (1, N, C), features that know the memory or have the embedding of none in
    them; details and ``target_key``, ``target`` as in :class:`DecodeGraph`, with ``target_on`` (1,
    1), 0 where no memory was read; ``points`` (1, P, 2) in pixels of the input and ``labels`` (1,
    P), float, ``FILL_LABEL`` where there is none; ``mask`` (1, 1, 4 h, 4 w) logits with ``mask_on`` (1,
    1). A prompt without points has one of label ``NO_POINT``. Outputs: :class:`Decoder`.
    """

    output_names = Decoder.output_names

    def __init__(self, model: TAM, num_points: int) -> None:
        super().__init__()
        self.feat_size, self.dim, self.num_points = model.feat_size, model.dim, num_points
        self.has_details = has_details(model)
        self.decoder = Decoder(model)
        self.draw = None if model.target is None else Draw(model.target, model.feat_size)
        self.tokens, self.maps = PromptTokens(model.prompt_encoder), model.prompt_maps

    @property
    def input_names(self) -> tuple[str, ...]:
        target = ("target_key", "target", "target_on") if self.draw is not None else ()
        details = DETAILS if self.has_details else ()
        return ("known", *details, *target, "points", "labels", "mask", "mask_on")

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes: one click."""
        (height, width), dim = self.feat_size, self.dim
        num = height * width
        inputs = [torch.zeros(1, num, dim)]
        if self.has_details:
            inputs += [torch.zeros(1, 4 * num, dim // 4), torch.zeros(1, 16 * num, dim // 8)]
        if self.draw is not None:
            inputs += [torch.ones(1, 4 * num, self.draw.key_dim),
                       torch.zeros(1, self.draw.key_dim + 1), torch.zeros(1, 1)]  # fmt: skip
        labels = torch.full((1, self.num_points), FILL_LABEL)
        labels[0, 0] = 1.0
        points = torch.zeros(1, self.num_points, 2)
        mask = torch.zeros(1, 1, 4 * height, 4 * width)
        return (*inputs, points, labels, mask, torch.zeros(1, 1))

    def forward(self, known: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        *rest, points, labels, mask, mask_on = rest  # type: ignore[assignment]
        details = tuple(rest[:2]) if self.has_details else ()
        if self.draw is not None:
            key, weights, on = rest[-3:]
            known, details = self.draw(known, (details[0], details[1]), key, weights, on[..., None])
        encoder = self.tokens.encoder
        shown = rows_of(encoder.mask_downscaling(mask))
        source = known + mask_on * shown + (1 - mask_on) * encoder.no_mask_embed.weight
        if self.maps is not None:
            feat = known.transpose(1, 2).unflatten(2, self.feat_size)
            source = source + rows_of(self.maps(feat, points, labels))
        prompts = self.tokens(points, labels)
        own = self.decoder.own_tokens()
        # All but the places that hold no point: those are seen by nobody.
        fill = (labels < NO_POINT - 0.5).to(points.dtype) * EMPTY_BIAS
        bias = torch.cat([fill.new_zeros(1, own.shape[1] + 1), fill], 1)[:, None, None]
        return self.decoder(source, torch.cat([own, prompts], 1), bias, details)
