"""Untrained weights that look near first."""

from __future__ import annotations

import torch

from pocketeye.models import TAM, create_tam
from pocketeye.models.tam import ImageFeatures
from pocketeye.training.tam.init import look_near_first


def attention_of(model: TAM) -> torch.Tensor:
    """Share of its attention that each token of an 8x8 map gives to each token of a map in memory."""
    torch.manual_seed(1)
    feat, memory = torch.randn(1, 128, 8, 8), torch.randn(1, 64, 8, 8)
    attention = model.memory_attention
    layer = attention.layers[0]
    with torch.no_grad():
        keys = attention.prepare_map(memory, pooled=False).keys[0, 0]
        x = layer.look_around(attention._tokens(feat), attention.cos, attention.sin)
        q = layer.query(x, attention.cos, attention.sin)[0]
    return (q @ keys.t() / q.shape[1] ** 0.5).softmax(-1)


def test_a_token_reads_its_own_place_first():
    torch.manual_seed(0)
    model = create_tam("pocketeye_tam_nano", 128).eval()
    usual = attention_of(model)
    look_near_first(model)
    near = attention_of(model)
    place = torch.arange(64)
    y, x = place // 8, place % 8
    distance = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).float().sqrt()
    assert usual.diagonal().mean() < 2 / 64
    assert near.diagonal().mean() > 4 / 64
    # and falls with distance
    rings = [near[(distance >= low) & (distance < low + 1)].mean() for low in range(5)]
    assert rings == sorted(rings, reverse=True)
    assert (near * distance).sum(1).mean() < 0.6 * (usual * distance).sum(1).mean()


def test_the_mask_stands_out_in_the_memory():
    def contrast(model: TAM) -> float:
        torch.manual_seed(2)
        details = torch.randn(1, 32, 16, 16), torch.randn(1, 16, 32, 32)
        seen = ImageFeatures(torch.randn(1, 128, 8, 8), details)
        mask = torch.full((1, 1, 128, 128), -10.0)
        with torch.no_grad():
            without = model.encode_memory(seen, mask)[:, : model.mem_dim]
            there = model.encode_memory(seen, -mask)[:, : model.mem_dim]
        return float((there - without).std() / without.std())

    torch.manual_seed(0)
    model = create_tam("pocketeye_tam_nano", 128).eval()
    before = contrast(model)
    look_near_first(model)
    assert contrast(model) > 1.3 * before
