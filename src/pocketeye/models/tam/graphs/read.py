"""Let a frame's features read the memory: attention and matching, over a bank of fixed capacity.

Legend: B objects, K maps, N tokens of a map, L of a map as it is read (N, or N / 4 where it is
pooled), C ``dim``, M ``mem_dim``, D layers, P pointers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.layers import pool_tokens
from pocketeye.models.tam.graphs.layers import (
    attend,
    beside,
    dense,
    halves,
    on_rows,
    turn,
    turning,
)
from pocketeye.models.tam.matching import Matching
from pocketeye.models.tam.memory_attention import (
    MemoryAttention,
    MemoryAttentionLayer,
    Pooling,
    pointer_tokens,
)
from pocketeye.models.tam.prompt_numbers import EMPTY_BIAS
from pocketeye.models.tam.tam import TAM

# Bytes of logits at a time: they stay in the second-level cache, and at 1024 pixels in memory at all.
_LOGITS_BYTES = 4 << 20
_FEWEST = 128  # queries at a time: with 14 maps at 1024 pixels fewer would make a thousand products


def chunk_for(num_keys: int) -> int:
    """Return for how many queries logits are held at a time: a multiple of 16."""
    return max(_FEWEST, _LOGITS_BYTES // (4 * 16 * num_keys) * 16)


def ordered(layer: nn.Linear, scale: float = 1.0) -> nn.Linear:
    """Return a projection whose channels lie as :func:`turn` wants them, times ``scale``."""
    order = halves(len(layer.weight))
    return dense(layer.weight.detach()[order] * scale, layer.bias.detach()[order] * scale)


def layers_of(attention: MemoryAttention) -> list[MemoryAttentionLayer]:
    """Return the layers, with one head each.

    Raises:
        InvalidValue: there are more heads; no published tracker has them.
    """
    found = [layer for layer in attention.layers if isinstance(layer, MemoryAttentionLayer)]
    if any(layer.cross_attn_image.num_heads != 1 for layer in found):
        raise InvalidValue(
            "memory attention with several heads cannot be exported: make it with one"
        )
    return found


class ReadLayer(nn.Module):
    """Compute one layer of memory attention, from products that share their input."""

    def __init__(self, layer: MemoryAttentionLayer) -> None:
        super().__init__()
        own, cross = layer.self_attn, layer.cross_attn_image
        scale = own.q_proj.out_features**-0.5
        self.qkv = beside(ordered(own.q_proj, scale), ordered(own.k_proj), own.v_proj)
        self.out = own.out_proj
        self.q = ordered(cross.q_proj, scale)
        self.pointer_keys = ordered(cross.k_proj)
        weight, bias = cross._folded()
        self.folded = dense(weight.detach(), bias.detach())
        self.linear1, self.linear2 = layer.linear1, layer.linear2
        self.norm1, self.norm2, self.norm3 = layer.norm1, layer.norm2, layer.norm3

    def query(self, x: Tensor, cos: Tensor, sin: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
        """Return ``x`` after self-attention, and queries to the memory."""
        q, k, v = on_rows(self.qkv, on_rows(self.norm1, x)).chunk(3, -1)
        seen = attend(turn(q, cos, sin), turn(k, cos, sin), v, None, chunk)
        x = x + on_rows(self.out, seen)
        return x, turn(on_rows(self.q, on_rows(self.norm2, x)), cos, sin)

    def finish(self, x: Tensor, read: Tensor) -> Tensor:
        """Return ``x`` with what was read, after the MLP."""
        x = x + on_rows(self.folded, read)
        return x + on_rows(self.linear2, F.relu(on_rows(self.linear1, on_rows(self.norm3, x))))


class Carry(nn.Module):
    """Compute :class:`Matching` from rows."""

    near: Tensor

    def __init__(self, matching: Matching) -> None:
        super().__init__()
        sharpness = float(matching.sharpness.detach().exp())
        self.sharpness = sharpness
        weight = matching.proj.weight.detach().clone()
        weight[:, -2:] /= sharpness  # the likenesses come times the sharpness
        self.proj = dense(weight, matching.proj.bias.detach())
        near = matching.distance * (-0.5 * torch.exp(-2 * matching.reach.detach()))
        self.register_buffer("near", near, persistent=False)

    def forward(self, query: Tensor, keys: Tensor, masks: Tensor, bias: Tensor) -> Tensor:
        """Return what is carried into a frame, rows ``(B, N, C)``.

        Args:
            query: unit keys of the frame ``(1, N, Km)``.
            keys: unit keys of the maps ``(B, K N, Km)``. An empty place repeats another one: then no
                likeness changes.
            masks: shares of the quarters of each cell, ``(B, K N, 4)``.
            bias: ``(B, K)``.
        """
        num = self.near.shape[0]
        likeness = (query * self.sharpness) @ keys.transpose(1, 2)  # B N KN, times the sharpness
        near = self.near[None, :, None] + bias[:, None, :, None]
        weights = (likeness + near.reshape(bias.shape[0], num, -1)).softmax(2)
        whole = masks.mean(2)[:, None]
        best = [(likeness * share).amax(2, keepdim=True) for share in (whole, 1 - whole)]
        return on_rows(self.proj, torch.cat([2 * (weights @ masks) - 1, *best], 2))


class ReadGraph(nn.Module):
    """Condition features on ``num_maps`` maps of ``batch`` objects; a single map is read whole.

    Inputs: ``feat`` (1, N, C); ``keys`` (D, B, K L, C) as :class:`PlaceGraph` and
    :class:`WriteGraph` made them together; ``values`` (B, K L, M); ``map_bias`` (B, K) and
    ``pointer_bias`` (B, P), zero or ``EMPTY_BIAS`` where a place is empty; ``pointers`` (B, P, C);
    where the network matches, ``match_key`` (1, N, Km), ``match_keys`` (B, K N, Km) and
    ``match_masks`` (B, K N, 4). An empty place of the last two repeats another one.

    Output: ``read`` (B, N, C).
    """

    cos: Tensor
    sin: Tensor
    feat_pos: Tensor

    def __init__(self, model: TAM, num_maps: int, batch: int, num_pointers: int) -> None:
        super().__init__()
        attention = model.memory_attention
        self.num_maps, self.batch, self.num_pointers = num_maps, batch, num_pointers
        self.mem_dim, self.dim = attention.mem_dim, attention.dim
        self.num_tokens = attention.cos.shape[0]
        pooled = num_maps > 1 and attention.pooling is not Pooling.NONE
        self.map_len = self.num_tokens // 4 if pooled else self.num_tokens
        self.count = math.log(4) if pooled and attention.pooling is Pooling.COUNTED_LOGITS else 0.0
        self.layers = nn.ModuleList(ReadLayer(layer) for layer in layers_of(attention))
        self.norm = attention.norm
        cos, sin = turning(attention.cos, attention.sin)
        for name, value in (("cos", cos), ("sin", sin), ("feat_pos", 0.1 * attention.feat_pos)):
            self.register_buffer(name, value.clone(), persistent=False)
        self.carry = None if model.matching is None else Carry(model.matching)
        self.match_dim = 0 if model.matching is None else model.matching.key_dim

    output_names = ("read",)

    @property
    def input_names(self) -> tuple[str, ...]:
        names = ("feat", "keys", "values", "map_bias", "pointers", "pointer_bias")
        match = ("match_key", "match_keys", "match_masks")
        return (*names, *match) if self.carry is not None else names

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes; all places but the first are empty."""
        batch, length, num = self.batch, self.num_maps * self.map_len, self.num_tokens
        map_bias = torch.full((batch, self.num_maps), EMPTY_BIAS)
        pointer_bias = torch.full((batch, self.num_pointers), EMPTY_BIAS)
        map_bias[:, 0] = pointer_bias[:, 0] = 0.0
        shapes = [(1, num, self.dim), (len(self.layers), batch, length, self.dim),
                  (batch, length, self.mem_dim)]  # fmt: skip
        pointers = torch.zeros(batch, self.num_pointers, self.dim)
        inputs = [*(torch.zeros(shape) for shape in shapes), map_bias, pointers, pointer_bias]
        if self.carry is not None:
            kept = self.num_maps * num
            shapes = [(1, num, self.match_dim), (batch, kept, self.match_dim), (batch, kept, 4)]
            inputs += [torch.zeros(shape) for shape in shapes]
        return tuple(inputs)

    def forward(
        self, feat: Tensor, keys: Tensor, values: Tensor, map_bias: Tensor, pointers: Tensor,
        pointer_bias: Tensor, *match: Tensor,
    ) -> Tensor:  # fmt: skip
        tokens = pointer_tokens(pointers, self.mem_dim)
        per_pointer = tokens.shape[1] // self.num_pointers
        bias = torch.cat(
            [_repeated(map_bias + self.count, self.map_len), _repeated(pointer_bias, per_pointer)],
            1,
        )[:, None]
        values = torch.cat([values, tokens], 1)
        chunk, own_chunk = chunk_for(values.shape[1]), chunk_for(self.num_tokens)
        x = feat + self.feat_pos
        for n, layer in enumerate(self.layers):
            assert isinstance(layer, ReadLayer)
            # The first layer's queries do not depend on the object: one for all.
            x, q = layer.query(x, self.cos, self.sin, own_chunk)
            k = torch.cat([keys[n], on_rows(layer.pointer_keys, tokens)], 1)
            x = layer.finish(x, attend(q, k, values, bias, chunk))
        read = on_rows(self.norm, x)
        return read if self.carry is None else read + self.carry(*match, map_bias)


def _repeated(bias: Tensor, times: int) -> Tensor:
    return bias[:, :, None].expand(-1, -1, times).flatten(1)


class MapKeys(nn.Module):
    """Project tokens of maps to the keys of all layers, rotated: ``(D, B, N, C)``."""

    cos: Tensor
    sin: Tensor

    def __init__(self, attention: MemoryAttention) -> None:
        super().__init__()
        layers = layers_of(attention)
        self.num_layers = len(layers)
        self.proj = beside(*(ordered(layer.cross_attn_image.k_proj) for layer in layers))
        cos, sin = turning(attention.cos, attention.sin)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        chunks = on_rows(self.proj, tokens).chunk(self.num_layers, -1)
        return torch.stack([turn(k, self.cos, self.sin) for k in chunks])


class PlaceGraph(nn.Module):
    """Compute what the age of a map adds to its keys: constant for each age.

    Input ``embedding`` (1, M), of the age. Outputs ``keys`` (D, 1, N, C), and ``pooled_keys``
    (D, 1, N / 4, C) where several maps are read by their means.
    """

    def __init__(self, model: TAM) -> None:
        super().__init__()
        attention = model.memory_attention
        self.keys, self.pooling, self.feat_size = (
            MapKeys(attention), attention.pooling, attention.feat_size,
        )  # fmt: skip
        self.mem_dim = attention.mem_dim
        # The bias of the projection is in the map's own keys already.
        with torch.no_grad():
            self.keys.proj.bias.zero_()
        self.num_tokens = attention.cos.shape[0]

    @property
    def input_names(self) -> tuple[str, ...]:
        return ("embedding",)

    @property
    def output_names(self) -> tuple[str, ...]:
        return ("keys",) if self.pooling is Pooling.NONE else ("keys", "pooled_keys")

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes."""
        return (torch.zeros(1, self.mem_dim),)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        keys = self.keys(embedding[:, None].expand(-1, self.num_tokens, -1))
        if self.pooling is Pooling.NONE:
            return (keys,)
        return keys, pooled(keys, self.feat_size)


def pooled(keys: Tensor, feat_size: tuple[int, int]) -> Tensor:
    """Take the means over 2x2 cells of keys ``(D, B, N, C)``."""
    return pool_tokens(keys.flatten(0, 1), *feat_size).unflatten(0, keys.shape[:2])
