"""Multiply matrices in float32 on a CPU, by the faster of the two libraries inside PyTorch.

PyTorch gives them to MKL, which is slow on processors of AMD; oneDNN, which does the convolutions
anyway, is not. On one thread of an EPYC (Zen 5) ``(1024, 256) @ (256, 7232)`` takes 41 ms by MKL and 17
by oneDNN; processors of Intel were not measured. The sums come in another order: results differ by
rounding. The operator is the one that ``torch.compile`` calls, not part of PyTorch's documented API.

Within :func:`onednn_products`, :class:`Linear` and :func:`pocketeye.layers.attention` use oneDNN where
it can be used: inference, float32, x86. Everywhere else, and in training and export, nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Act = Literal["none", "relu", "gelu"]
_ENABLED = ContextVar(
    "onednn_products", default=False
)  # a switch of the caller, not of the process
_HIDDEN_ROWS = 512  # at a hidden width of 2048 they take 4 MB: what stays in the second-level cache
_LOGITS_BYTES = 4 << 20  # of logits at a time: they stay in the second-level cache


@contextmanager
def onednn_products(enable: bool = True) -> Iterator[None]:
    """Let products go to oneDNN; inference only, as the operator has no gradient."""
    token = _ENABLED.set(enable)
    try:
        yield
    finally:
        _ENABLED.reset(token)


def by_onednn(x: Tensor) -> bool:
    """Tell whether products with ``x`` go to oneDNN here and now."""
    return (
        # First of all: a tracer must not look at the state of this process.
        not torch.compiler.is_compiling()
        and _ENABLED.get()
        and x.dtype is torch.float32
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, act: Act = "none") -> Tensor:
    """Compute ``act(x weight' + bias)`` by oneDNN; ``x`` is ``(…, in)``, ``weight`` ``(out, in)``."""
    # A strided weight would go through oneDNN's reference code, a thousand times slower.
    kind = "none" if act == "gelu" else ""  # exact GELU, by the error function
    return torch.ops.mkldnn._linear_pointwise(x, weight.contiguous(), bias, act, [], kind)


class Linear(nn.Linear):
    """Do what ``nn.Linear`` does, with a product that may go to oneDNN."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute ``F.linear``, which may go to oneDNN."""
    return product(x, weight, bias) if by_onednn(x) else F.linear(x, weight, bias)


def hidden_layer(x: Tensor, first: nn.Linear, second: nn.Linear, act: Act) -> Tensor:
    """Compute ``second(act(first(x)))`` by oneDNN; the wide middle stays in the cache."""
    rows = x.flatten(0, -2)
    out = [
        product(product(some, first.weight, first.bias, act), second.weight, second.bias)
        for some in rows.split(_HIDDEN_ROWS)
    ]
    return torch.cat(out).reshape(*x.shape[:-1], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Compute ``softmax(q k' / sqrt(d) + bias) v`` by oneDNN, one head of one sample at a time.

    Args:
        q: ``(B, heads, N, d)``; ``k`` is ``(B, heads, L, d)`` and ``v`` ``(B, heads, L, d_v)``.
        bias: ``(1 or B, 1 or heads, 1, L)``.
    """
    batch, heads, num_queries, dim = q.shape
    q = q * dim**-0.5
    # Queries in multiples of 64, so that no chunk is a narrow rest, and the logits fill the cache.
    at_once = max(1, _LOGITS_BYTES // (4 * 64 * k.shape[2])) * 64
    out = q.new_empty(batch, heads, num_queries, v.shape[-1])
    for b in range(batch):
        for h in range(heads):
            keys, values = k[b, h].contiguous(), v[b, h].t().contiguous()
            shift = None if bias is None else bias[b % len(bias), h % bias.shape[1], 0]
            for start in range(0, num_queries, at_once):
                some = slice(start, start + at_once)
                # The bias of a linear layer is one value per output: per key, the same for all queries.
                logits = product(q[b, h, some], keys, shift)
                torch.softmax(logits, -1, out=logits)
                out[b, h, some] = product(logits, values)
    return out
