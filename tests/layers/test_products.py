"""Products by oneDNN: the same numbers as PyTorch's own, and only where they are asked for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pocketeye.layers import (
    MLP,
    Linear,
    ProjectedAttention,
    attention,
    by_onednn,
    onednn_products,
)

on_x86 = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="not on this processor"
)


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@on_x86
@torch.inference_mode()
def test_where_they_are_asked_for():
    x = draws(2, 3)
    assert not by_onednn(x)
    with onednn_products():
        assert by_onednn(x)
        assert not by_onednn(x.bfloat16())
        with onednn_products(False):
            assert not by_onednn(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert not by_onednn(x)
        with torch.inference_mode(False), torch.enable_grad():
            assert not by_onednn(draws(2, 3))
        assert by_onednn(x)
    assert not by_onednn(x)


@on_x86
def test_an_error_inside_leaves_nothing_behind():
    with pytest.raises(KeyError), torch.no_grad(), onednn_products():
        raise KeyError
    with torch.no_grad():
        assert not by_onednn(draws(1))


def counted(monkeypatch) -> list[int]:
    """How often oneDNN is called, from now on."""
    from pocketeye.layers import _products

    calls, product = [], _products.product
    monkeypatch.setattr(_products, "product", lambda *args: (calls.append(1), product(*args))[1])
    return calls


@on_x86
@torch.inference_mode()
@pytest.mark.parametrize("act_layer", [nn.ReLU, nn.GELU, nn.Tanh])
@pytest.mark.parametrize("shape", [(1, 5), (1030, 5), (2, 3, 4, 5)])
def test_layers_say_the_same(act_layer, shape, monkeypatch):
    torch.manual_seed(0)
    layers = MLP(5, 16, 7, act_layer=act_layer)
    x = draws(*shape)
    want = layers(x)
    calls = counted(monkeypatch)
    with onednn_products():
        torch.testing.assert_close(layers(x), want, rtol=1e-5, atol=1e-5)
    assert calls


@on_x86
@torch.inference_mode()
@pytest.mark.parametrize("bias", [None, (1,), (1, 1, 1), (2, 1, 1), (2, 3, 1)])
@pytest.mark.parametrize("width", [8, 5])
def test_attention_says_the_same(bias, width, monkeypatch):
    """Also with more queries than go at once, heads that lie beside each other, and nothing to see."""
    monkeypatch.setattr("pocketeye.layers._products._LOGITS_BYTES", 4 * 64 * 70)
    q, k = (draws(2, n, 3, 8, seed=n).transpose(1, 2) for n in (150, 70))
    v = draws(2, 70, 3, width, seed=5).transpose(1, 2)
    shift = None
    if bias is not None:
        shift = draws(*bias, 70, seed=3)
        shift[..., 60:] = -torch.inf
    want = ((q @ k.transpose(-1, -2)) / 8**0.5 + (0 if shift is None else shift)).softmax(-1) @ v
    calls = counted(monkeypatch)
    with onednn_products():
        torch.testing.assert_close(attention(q, k, v, shift), want, rtol=1e-5, atol=1e-5)
    assert len(calls) == 2 * 2 * 3 * 3


@on_x86
@torch.inference_mode()
def test_a_bias_for_each_query_is_left_to_pytorch(monkeypatch):
    q, k, v = (draws(1, 2, 6, 4, seed=n) for n in range(3))
    bias = draws(1, 1, 6, 6, seed=4)
    calls = counted(monkeypatch)
    with onednn_products():
        said = attention(q, k, v, bias)
    assert not calls
    torch.testing.assert_close(said, F.scaled_dot_product_attention(q, k, v, attn_mask=bias))


def test_training_is_untouched():
    torch.manual_seed(0)
    layer = ProjectedAttention(8, 2)
    with onednn_products():
        layer(*draws(3, 1, 4, 8)).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_keys_are_those_of_a_linear_layer():
    layer, plain = Linear(4, 6), nn.Linear(4, 6)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer(draws(2, 4)), plain(draws(2, 4)))
