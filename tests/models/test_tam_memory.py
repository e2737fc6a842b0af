"""Memory attention: prepared memory is read as raw memory is, and the tables are those of the papers."""

from __future__ import annotations

import math

import pytest
import torch

from pocketeye.layers import pool_tokens, rope_tables, rotate, set_fused_attn, sine_position
from pocketeye.models.tam import MemoryAttention, Pooling, join
from tests.models.test_tam import draws, randomised

SIZE = (6, 10)
NUM_TOKENS = SIZE[0] * SIZE[1]


def attention(pooling: Pooling = Pooling.NONE, num_heads: int = 1, **options) -> MemoryAttention:
    model = MemoryAttention(SIZE, 32, 8, 2, num_heads, 48, pooling, **options)
    made = randomised(model)
    assert isinstance(made, MemoryAttention)
    return made


def prepared(model, maps, slots, embeds, pointers):
    pooled = len(maps) > 1
    keys = model.slot_keys(embeds, pooled)
    parts = [model.prepare_map(m, pooled) for m in maps]
    parts = [p._replace(keys=p.keys + keys[slot]) for p, slot in zip(parts, slots, strict=True)]
    return join([*parts, model.prepare_pointers(pointers)])


def raw(model, maps, slots, embeds, pointers):
    place = model.memory_pos[None]
    heads = pointers.reshape(pointers.shape[0], -1, model.mem_dim)
    memory = torch.cat([*(m.flatten(2).transpose(1, 2) for m in maps), heads], 1)
    position = [place + embeds[slot] for slot in slots] + [heads.new_zeros(1, *heads.shape[1:])]
    return memory, torch.cat(position, 1), heads.shape[1]


@torch.no_grad()
@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("chunk", [0, 7])
@pytest.mark.parametrize("num_maps", [1, 2, 7])
@pytest.mark.parametrize("pooling", Pooling)
def test_prepared_memory_is_read_like_raw_memory(pooling, num_maps, chunk, num_heads):
    """Two objects, features shared by both and features of their own."""
    model = attention(pooling, num_heads, query_chunk=chunk)
    maps = [draws(2, 8, *SIZE, seed=n) for n in range(num_maps)]
    slots = [6, *range(num_maps - 1)]
    embeds, pointers = draws(7, 8, seed=20), draws(2, 3, 32, seed=21)
    memory = prepared(model, maps, slots, embeds, pointers)
    quarter = 4 if pooling is not Pooling.NONE and num_maps > 1 else 1
    assert memory.values.shape == (2, num_maps * NUM_TOKENS // quarter + 12, 8)
    for batch in (1, 2):
        feat = draws(batch, 32, *SIZE, seed=30)
        want = model(feat, *raw(model, maps, slots, embeds, pointers))
        got = model.read(feat, memory)
        assert got.shape == (2, 32, *SIZE)
        assert (got - want).abs().max() < 1e-4 * want.std()


@torch.no_grad()
def test_the_two_equations_differ_and_only_beside_other_maps():
    outputs = {}
    embeds, pointers = draws(7, 8, seed=20), draws(1, 1, 32, seed=21)
    for num_maps in (1, 2):
        maps = [draws(1, 8, *SIZE, seed=n) for n in range(num_maps)]
        for pooling in Pooling:
            model = attention(pooling)
            args = raw(model, maps, [6, 0][:num_maps], embeds, pointers)
            outputs[num_maps, pooling] = model(draws(1, 32, *SIZE), *args)
    whole = outputs[1, Pooling.NONE]
    for pooling in (Pooling.COUNTED_LOGITS, Pooling.COUNTED_KEYS):
        assert torch.equal(outputs[1, pooling], whole)
        assert not torch.allclose(outputs[2, pooling], outputs[2, Pooling.NONE], atol=1e-3)
    first, second = (outputs[2, p] for p in (Pooling.COUNTED_LOGITS, Pooling.COUNTED_KEYS))
    assert not torch.allclose(first, second, atol=1e-3)


@torch.no_grad()
def test_pooled_attention_is_equation_5():
    """Means of rotated keys over 2x2 cells, each counted four times; pointers as they are."""
    model = attention(Pooling.COUNTED_LOGITS)
    attn = model.layers[0].cross_attn_image
    memory, placed = draws(1, 2 * NUM_TOKENS + 5, 8), draws(1, 2 * NUM_TOKENS + 5, 8, seed=4)
    q = draws(1, NUM_TOKENS, 32, seed=5)
    k, v, bias = model._project(attn, memory, placed, 5)
    rotated = rotate(attn.k_proj(placed[:, :NUM_TOKENS]), model.cos, model.sin)
    cell = rotated.reshape(3, 2, 5, 2, 32).mean((1, 3)).reshape(15, 32)
    torch.testing.assert_close(k[0, :15], cell, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(k[:, 30:], attn.k_proj(placed[:, -5:]), atol=1e-5, rtol=1e-4)
    weight = (q @ k.transpose(1, 2) / math.sqrt(32)).exp()
    weight[..., :30] *= 4
    want = attn.out_proj(weight / weight.sum(-1, keepdim=True) @ v)
    torch.testing.assert_close(attn.attend(q, k, v, bias), want, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_empty_places_are_not_read():
    """A memory of fixed length with nothing in a part of it, as exported graphs have it."""
    model = attention(Pooling.COUNTED_KEYS)
    embeds, pointers = draws(7, 8, seed=20), draws(2, 2, 32, seed=21)
    maps = [draws(2, 8, *SIZE, seed=n) for n in range(3)]
    feat = draws(1, 32, *SIZE)
    full = prepared(model, maps, [6, 0, 1], embeds, pointers)
    pooled = NUM_TOKENS // 4
    bias = full.bias.clone()
    bias[:, pooled : 2 * pooled] = -torch.inf
    want = model.read(feat, prepared(model, [maps[0], maps[2]], [6, 1], embeds, pointers))
    torch.testing.assert_close(
        model.read(feat, full._replace(bias=bias)), want, atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(model.read(feat, full), want, atol=1e-2)


@torch.no_grad()
def test_explicit_attention():
    model = attention(Pooling.COUNTED_LOGITS)
    args = draws(1, 2 * NUM_TOKENS, 8), draws(1, 2 * NUM_TOKENS, 8, seed=3), 0
    feat = draws(1, 32, *SIZE)
    want = model(feat, *args)
    got = set_fused_attn(model, False)(feat, *args)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("heads", [1, 3])
def test_rotation_is_that_of_complex_numbers(heads):
    dim, (height, width) = 16, SIZE
    x = draws(2, NUM_TOKENS, heads * dim)
    freq = 10_000.0 ** (-4 * torch.arange(dim // 4) / dim)
    token = torch.arange(NUM_TOKENS)
    phase = torch.cat([(token % width)[:, None] * freq, (token // width)[:, None] * freq], 1)
    turn = torch.polar(torch.ones_like(phase), phase).repeat(1, heads)
    want = torch.view_as_real(torch.view_as_complex(x.reshape(2, NUM_TOKENS, -1, 2)) * turn)
    got = rotate(x, *rope_tables(dim, height, width))
    torch.testing.assert_close(got, want.flatten(2), atol=1e-5, rtol=1e-5)


def test_sine_map_by_the_formula():
    position = sine_position(16, *SIZE)
    for channel, row, column in ((0, 2, 3), (5, 5, 0), (8, 0, 9), (15, 4, 4)):
        place, size = (row, SIZE[0]) if channel < 8 else (column, SIZE[1])
        turn = (place + 1) / (size + 1e-6) * 2 * math.pi
        wave = (math.sin, math.cos)[channel % 2](turn / 10_000 ** (2 * (channel % 8 // 2) / 8))
        assert position[channel, row, column].item() == pytest.approx(wave, abs=1e-6)


def test_pooling_is_the_mean_of_cells():
    x = draws(3, 4, *SIZE)
    want = torch.nn.functional.avg_pool2d(x, 2)
    got = pool_tokens(x.flatten(2).transpose(1, 2), *SIZE)
    torch.testing.assert_close(got, want.flatten(2).transpose(1, 2))
