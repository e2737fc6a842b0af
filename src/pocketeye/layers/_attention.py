"""Compute scaled dot-product attention, and the projections around it."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.layers._products import Linear, attend, by_onednn


def attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, *, fused: bool = True
) -> Tensor:
    """Compute ``softmax(q k^T / sqrt(d) + bias) v``.

    Args:
        q: ``(B, heads, N, d)``; ``k`` is ``(B, heads, L, d)`` and ``v`` ``(B, heads, L, d_v)``.
        bias: added to the logits, broadcast to ``(B, heads, N, L)``.
        fused: PyTorch's kernel; without it two matrix products and a softmax, which some runtimes
            run faster (ExecuTorch) and which export to any.
    """
    if by_onednn(q):
        shift = None if bias is None else bias[(None,) * (4 - bias.ndim)]
        # oneDNN adds a bias per key: one per query as well is a matrix, which it cannot add.
        if shift is None or shift.shape[2] == 1:
            return attend(q, k, v, shift)
    if fused:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    # Scaled before the product: N x d numbers instead of N x L.
    logits = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    return logits.softmax(-1) @ v


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Turn ``(B, N, C)`` into ``(B, heads, N, C / heads)``."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Undo :func:`split_heads`."""
    return x.transpose(1, 2).flatten(2)


class ProjectedAttention(nn.Module):
    """Apply multi-head attention whose keys and values may have a width of their own.

    Args:
        dim: width of queries and of the output.
        kv_dim: width of what is attended to; ``dim`` if None.
        inner_dim: width at which attention takes place; ``dim`` if None.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 1,
        kv_dim: int | None = None,
        inner_dim: int | None = None,
    ) -> None:
        super().__init__()
        inner, kv = inner_dim or dim, kv_dim or dim
        assert inner % num_heads == 0
        self.num_heads, self.fused_attn = num_heads, True
        self.q_proj = Linear(dim, inner)
        self.k_proj = Linear(kv, inner)
        self.v_proj = Linear(kv, inner)
        self.out_proj = Linear(inner, dim)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """Attend with projected tokens, and project the result."""
        q, k, v = (split_heads(x, self.num_heads) for x in (q, k, v))
        return self.out_proj(merge_heads(attention(q, k, v, bias, fused=self.fused_attn)))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        return self.attend(q, k, v, None)


def set_fused_attn(module: nn.Module, enable: bool = True) -> nn.Module:
    """Switch every attention inside ``module`` to the fused or the explicit form; return ``module``."""
    # By the attribute and not by the class: timm's attentions carry the same switch.
    for m in module.modules():
        if hasattr(m, "fused_attn"):
            m.fused_attn = enable  # type: ignore[assignment]
    return module
