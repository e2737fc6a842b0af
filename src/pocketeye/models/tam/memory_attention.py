"""Let a frame's features read what the memory holds of an object (arXiv 2411.18933).

There are two ways to the same output. :meth:`MemoryAttention.forward` takes the raw memory and computes
as the authors do. :meth:`MemoryAttention.read` takes :class:`Memory`, whose keys were projected, rotated
and pooled once, when the map was written: projection, rotation and pooling are linear, so the part of a
key that depends on the memory's age is a constant table (:meth:`MemoryAttention.slot_keys`) added to
it. Values are attended as they lie in memory, ``mem_dim`` wide, and projected afterwards.

Legend: B objects, N tokens of the frame, L of the memory, C ``dim``, M ``mem_dim``, S slots, D layers.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.layers import (
    Linear,
    ProjectedAttention,
    attention,
    by_onednn,
    hidden_layer,
    linear,
    merge_heads,
    pool_tokens,
    rope_tables,
    rotate,
    sine_position,
    split_heads,
)


class Pooling(enum.Enum):
    """Say what stands for 2x2 tokens of the memory, once there are two maps or more.

    Their mean counts as four tokens either in the logits (equation 5 of the paper, by its tables the
    "/2" networks; the files ``_1``) or in every channel of the keys (equation 6; the files ``_2``).
    """

    NONE = enum.auto()
    COUNTED_LOGITS = enum.auto()
    COUNTED_KEYS = enum.auto()


class Memory(NamedTuple):
    """Hold tokens of the memory, ready to be read. :func:`join` puts several in a row."""

    keys: Tensor  # (D, B, L, C)
    values: Tensor  # (B, L, M)
    bias: Tensor  # (1 or B, L), added to the logits; -inf where there is nothing
    match: Tensor | None = None  # (B, L of the maps, channels), of Matching where there is one
    target: Tensor | None = None  # (B, E, E + 1), of TargetModel where there is one


def join(parts: list[Memory]) -> Memory:
    """Make one memory out of several; :meth:`TAM.gather` adds what the target model is solved from."""
    # Biases may come with a batch of 1: most are zero for every object.
    batch = max(part.bias.shape[0] for part in parts)
    match = [part.match for part in parts if part.match is not None]
    return Memory(
        keys=torch.cat([part.keys for part in parts], 2),
        values=torch.cat([part.values for part in parts], 1),
        bias=torch.cat([part.bias.expand(batch, -1) for part in parts], 1),
        match=torch.cat(match, 1) if match else None,
    )


class MemoryCrossAttention(ProjectedAttention):
    """Read values either projected (:meth:`attend`), or in the memory's own space (:meth:`read`).

    For a query and a key the second costs 320 multiplications instead of 512: 256 for the logit, and
    64 instead of 256 for the value.
    """

    def read(
        self, q: Tensor, keys: Tensor, values: Tensor, bias: Tensor, query_chunk: int
    ) -> Tensor:
        """Compute ``A (M Wv' + bv) Wo' + bo`` as ``(A M) (Wo Wv)' + Wo bv + bo``, for each head.

        Queries are ``(1 or B, N, C)``, keys ``(B, L, C)``, values ``(B, L, M)``, bias ``(1 or B, L)``.
        """
        # Softmax weights sum to one: hence the bias of the values passes through attention as it is.
        q = split_heads(q, self.num_heads).expand(keys.shape[0], -1, -1, -1)
        k = split_heads(keys, self.num_heads)
        v = values[:, None].expand(-1, self.num_heads, -1, -1)
        at_once = q.shape[2] if by_onednn(q) else query_chunk or q.shape[2]  # it has its own chunks
        # Not PyTorch's fused kernel: with values narrower than keys it falls back to a slow path.
        read = [
            attention(part, k, v, bias[:, None, None], fused=False) for part in q.split(at_once, 2)
        ]
        return linear(merge_heads(torch.cat(read, 2)), *self._folded())

    def _folded(self) -> tuple[Tensor, Tensor]:
        """Multiply the value and output projections: weight ``(C, heads * M)`` and bias ``(C,)``.

        Done at every call, because weights may have been loaded since; beside attention it is nothing.
        """
        wide = self.out_proj.weight.unflatten(1, (self.num_heads, -1)).transpose(0, 1)
        weight = wide @ self.v_proj.weight.unflatten(0, (self.num_heads, -1))
        bias = F.linear(self.v_proj.bias, self.out_proj.weight, self.out_proj.bias)
        return weight.transpose(0, 1).flatten(1), bias


class MemoryAttentionLayer(nn.Module):
    """Apply self-attention, reading and MLP, pre-norm; :class:`MemoryAttention` calls its pieces."""

    def __init__(self, dim: int, mem_dim: int, num_heads: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.self_attn = ProjectedAttention(dim, num_heads)
        self.cross_attn_image = MemoryCrossAttention(dim, num_heads, kv_dim=mem_dim)
        self.linear1 = Linear(dim, ffn_dim)
        self.linear2 = Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def look_around(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return ``x`` after self-attention."""
        # Rotation alone tells places here: the sine map is added once, before the first layer.
        attn, y = self.self_attn, self.norm1(x)
        q, k = rotate(attn.q_proj(y), cos, sin), rotate(attn.k_proj(y), cos, sin)
        return x + self.dropout(attn.attend(q, k, attn.v_proj(y), None))

    def query(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return rotated queries to the memory."""
        return rotate(self.cross_attn_image.q_proj(self.norm2(x)), cos, sin)

    def finish(self, x: Tensor, read: Tensor) -> Tensor:
        """Return ``x`` with what was read, after the MLP."""
        x = x + self.dropout(read)
        if by_onednn(x):  # inference only, where dropout does nothing
            return x + hidden_layer(self.norm3(x), self.linear1, self.linear2, "relu")
        hidden = self.dropout(F.relu(self.linear1(self.norm3(x))))
        return x + self.dropout(self.linear2(hidden))


class MemoryAttention(nn.Module):
    """Condition the features of a frame on the memory of ``B`` objects.

    Features may come with a batch of 1: what does not depend on the object (the first layer up to its
    reading) is then computed once for all.

    Args:
        feat_size: (height, width) of the map, in tokens; even where memory is pooled.
        dim: width of the features, a multiple of 4 per head.
        mem_dim: width of the memory, a divisor of ``dim``.
        num_heads: heads of both attentions (published: 1).
        pooling: see :class:`Pooling`.
        dropout: after each branch and inside the MLP, in training (the authors' also drops attention
            weights).
        query_chunk: queries per matrix of logits in :meth:`read`; 0 for all at once, which makes a
            smaller graph. At 512 pixels on one core chunks of 256 (7 MB) were the fastest.

    Raises:
        InvalidValue: pooling a map with an odd side.
    """

    cos: Tensor
    sin: Tensor
    feat_pos: Tensor
    memory_pos: Tensor

    def __init__(
        self,
        feat_size: tuple[int, int],
        dim: int = 256,
        mem_dim: int = 64,
        num_layers: int = 4,
        num_heads: int = 1,
        ffn_dim: int = 2048,
        pooling: Pooling = Pooling.NONE,
        dropout: float = 0.1,
        query_chunk: int = 256,
    ) -> None:
        super().__init__()
        if pooling is not Pooling.NONE and any(side % 2 for side in feat_size):
            raise InvalidValue(
                f"memory is pooled in cells of 2x2, and a map of {feat_size[0]}x{feat_size[1]} has "
                "an odd side: choose an image whose sides are multiples of 32"
            )
        # A published pointer of 256 channels becomes 4 tokens of 64.
        assert dim % mem_dim == 0, "a pointer is cut into whole tokens"
        self.feat_size, self.dim, self.mem_dim, self.pooling = feat_size, dim, mem_dim, pooling
        self.query_chunk = query_chunk
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(dim, mem_dim, num_heads, ffn_dim, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        cos, sin = rope_tables(dim // num_heads, *feat_size)
        constants = {
            "cos": cos,
            "sin": sin,
            "feat_pos": sine_position(dim, *feat_size).flatten(1).t(),
            "memory_pos": sine_position(mem_dim, *feat_size).flatten(1).t(),
        }
        # Not saved: the official files hold no tables, and a size of ours may differ from theirs.
        for name, value in constants.items():
            self.register_buffer(name, value.contiguous(), persistent=False)

    def _layers(self) -> Iterator[MemoryAttentionLayer]:
        for layer in self.layers:
            assert isinstance(layer, MemoryAttentionLayer)
            yield layer

    def _tokens(self, feat: Tensor) -> Tensor:
        # 0.1 is SAM 2's weight of positions at the input (pos_enc_at_input).
        return feat.flatten(2).transpose(1, 2) + 0.1 * self.feat_pos

    def _map(self, x: Tensor) -> Tensor:
        return self.norm(x).transpose(1, 2).unflatten(2, self.feat_size)

    def forward(
        self, feat: Tensor, memory: Tensor, memory_pos: Tensor, num_pointer_tokens: int = 0
    ) -> Tensor:
        """Read raw memory as the authors do: every key and value is projected in every frame.

        Args:
            feat: ``(1 or B, C, h, w)``.
            memory: ``(B, maps * N + num_pointer_tokens, M)``, the pointers last.
            memory_pos: added for the keys, of the same shape or with a batch of 1.
            num_pointer_tokens: these are neither rotated nor pooled.

        Returns:
            ``(B, C, h, w)``.
        """
        x = self._tokens(feat)
        for layer in self._layers():
            x = layer.look_around(x, self.cos, self.sin)
            q = layer.query(x, self.cos, self.sin).expand(memory.shape[0], -1, -1)
            attn = layer.cross_attn_image
            k, v, bias = self._project(attn, memory, memory + memory_pos, num_pointer_tokens)
            x = layer.finish(x, attn.attend(q, k, v, bias))
        return self._map(x)

    def _project(
        self, attn: MemoryCrossAttention, memory: Tensor, placed: Tensor, num_pointer_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        batch, num_tokens = memory.shape[0], self.cos.shape[0]
        sizes = [memory.shape[1] - num_pointer_tokens, num_pointer_tokens]
        k, k_pointers = attn.k_proj(placed).split(sizes, 1)
        v, v_pointers = attn.v_proj(memory).split(sizes, 1)
        # Every map has the frame's own table of angles: a place is a place, in whatever frame.
        k = rotate(k.reshape(-1, num_tokens, self.dim), self.cos, self.sin)
        bias = None
        # The pooled networks too read a single map whole: the authors' code pools only several.
        if self.pooling is not Pooling.NONE and sizes[0] > num_tokens:
            k, v = (pool_tokens(x.reshape(k.shape), *self.feat_size) for x in (k, v))
            # ln 4, since a mean stands for four tokens. Equation 6 adds it to every channel of the
            # key, so that the bias of a logit becomes ln 4 * sum(q) / sqrt(C): it depends on the query.
            if self.pooling is Pooling.COUNTED_KEYS:
                k = k + math.log(4)
            else:
                # Equation 5: the same bias for every query, and none for pointers, which are not pooled.
                bias = F.pad(k.new_full((1, sizes[0] // 4), math.log(4)), (0, num_pointer_tokens))
        k, v = (x.reshape(batch, -1, self.dim) for x in (k, v))
        return torch.cat([k, k_pointers], 1), torch.cat([v, v_pointers], 1), bias

    def read(self, feat: Tensor, memory: Memory) -> Tensor:
        """Read prepared memory: the same output as :meth:`forward`, for less work in every frame.

        Args:
            feat: ``(1 or B, C, h, w)``.

        Returns:
            ``(B, C, h, w)``.
        """
        return self.read_each(feat, [memory])

    def read_each(self, feat: Tensor, memories: Iterable[Memory]) -> Tensor:
        """Read several memories one after another, on the same features.

        There is less to hold at a time than with all as one batch: on a CPU that is faster.

        Returns:
            ``(B, C, h, w)``, where ``B`` is that of all memories together.
        """
        # Up to its reading the first layer depends on the frame alone: computed once for all objects.
        first, *others = self._layers()
        start = first.look_around(self._tokens(feat), self.cos, self.sin)
        q_first = first.query(start, self.cos, self.sin)
        done = []
        for memory in memories:
            x = self._finish(first, start, q_first, memory, 0)
            for n, layer in enumerate(others, 1):
                x = layer.look_around(x, self.cos, self.sin)
                x = self._finish(layer, x, layer.query(x, self.cos, self.sin), memory, n)
            done.append(x)
        return self._map(done[0] if len(done) == 1 else torch.cat(done))

    def _finish(
        self, layer: MemoryAttentionLayer, x: Tensor, q: Tensor, memory: Memory, n: int
    ) -> Tensor:
        attn, chunk = layer.cross_attn_image, self.query_chunk
        return layer.finish(x, attn.read(q, memory.keys[n], memory.values, memory.bias, chunk))

    def prepare_map(self, memory: Tensor, pooled: bool) -> Memory:
        """Prepare a map ``(B, M, h, w)`` when it is written, without the part that tells its age.

        Args:
            pooled: as it is read beside other maps; a single map is read whole by every network.
        """
        tokens = memory.flatten(2).transpose(1, 2)
        pooled = pooled and self.pooling is not Pooling.NONE
        keys = self._keys(tokens + self.memory_pos, pooled, bias=True)
        if pooled and self.pooling is Pooling.COUNTED_KEYS:
            keys = keys + math.log(4)
        values = pool_tokens(tokens, *self.feat_size) if pooled else tokens
        # Equation 5 keeps the count apart from the keys, as an attention mask that runtimes know.
        counted = pooled and self.pooling is Pooling.COUNTED_LOGITS
        bias = values.new_full((1, values.shape[1]), math.log(4) if counted else 0.0)
        return Memory(keys, values, bias)

    def slot_keys(self, slots: Tensor, pooled: bool) -> Tensor:
        """Return what the age of a map adds to its keys, for all slots: constant, keep it.

        Args:
            slots: ``(S, M)``, the embedding of each age.

        Returns:
            ``(S, D, 1, L, C)``: ``[slot]`` is added to ``Memory.keys``.
        """
        tokens = slots[:, None].expand(-1, self.cos.shape[0], -1)
        pooled = pooled and self.pooling is not Pooling.NONE
        # The bias of the projection is in the map's own keys already, and must not be added twice.
        return self._keys(tokens, pooled, bias=False).transpose(0, 1)[:, :, None]

    def _keys(self, tokens: Tensor, pooled: bool, bias: bool) -> Tensor:
        keys = []
        for layer in self._layers():
            proj = layer.cross_attn_image.k_proj
            k = linear(tokens, proj.weight, proj.bias if bias else None)
            k = rotate(k, self.cos, self.sin)
            keys.append(pool_tokens(k, *self.feat_size) if pooled else k)
        return torch.stack(keys)

    def prepare_pointers(self, pointers: Tensor) -> Memory:
        """Prepare pointers ``(B, P, C)``: each becomes ``C / M`` tokens.

        They have no place, so their keys are not rotated, and no age: SAM 2.1 gives pointers one, this
        family does not.
        """
        tokens = pointer_tokens(pointers, self.mem_dim)
        keys = [layer.cross_attn_image.k_proj(tokens) for layer in self._layers()]
        return Memory(torch.stack(keys), tokens, tokens.new_zeros(1, tokens.shape[1]))


def pointer_tokens(pointers: Tensor, mem_dim: int) -> Tensor:
    """Cut pointers ``(B, P, C)`` into tokens ``(B, P * C / mem_dim, mem_dim)``."""
    return pointers.reshape(pointers.shape[0], -1, mem_dim)
