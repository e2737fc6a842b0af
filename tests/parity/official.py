"""Weights and inputs made from names alone, so that a parity fixture needs to store outputs only.

A fixture was taken from the official implementation with exactly these values in it: every float entry
of its state dict is ``fill(key, shape)``, every input ``draw(name, shape)``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import torch

Shape = tuple[int, ...]
_EMBEDDINGS = ("embed", "token", "tpos", "no_obj", "no_mem")


def draw(name: str, shape: Shape) -> np.ndarray:
    """Standard normal float32 that depends on ``name`` and ``shape`` alone."""
    state = np.random.RandomState(zlib.crc32(name.encode()))
    return state.standard_normal(shape).astype(np.float32)


def fill(name: str, shape: Shape, gain: float = 1.0) -> np.ndarray:
    """Value of the float entry ``name``; ``gain`` scales convolutions and linear layers."""
    leaf, z = name.rsplit(".", 1)[-1], draw(name, shape)
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(z)
    if leaf == "running_mean":
        return 0.1 * z
    if leaf == "positional_encoding_gaussian_matrix":
        return z
    if leaf == "gamma":
        return 0.3 + 0.1 * z
    if leaf == "bias":
        return 0.05 * z
    if any(word in name for word in _EMBEDDINGS) and "patch_embed" not in name:
        return 0.3 * z
    if len(shape) == 1:
        return 1 + 0.1 * z
    return gain * z / np.sqrt(np.prod(shape[1:]))


def filled(keys: dict[str, Shape], gain: float = 1.0) -> dict[str, torch.Tensor]:
    """A state dict of these keys; counters are zero."""
    return {
        key: torch.zeros(shape, dtype=torch.int64)
        if key.endswith("num_batches_tracked")
        else torch.from_numpy(np.asarray(fill(key, shape, gain), np.float32))
        for key, shape in keys.items()
    }


def sample(x: np.ndarray, count: int) -> np.ndarray:
    """``count`` values of ``x`` at evenly spaced flat positions."""
    flat = np.ascontiguousarray(x).reshape(-1)
    return flat if flat.size <= count else flat[np.linspace(0, flat.size - 1, count).astype(int)]


def casvit_keys(
    depths: Shape, dims: Shape, *, heads: int = 1, out_norms: bool = False, num_classes: int = 1000
) -> dict[str, Shape]:
    """Keys and shapes of the official network: with heads, or with a norm on each output."""
    keys: dict[str, Shape] = {}
    for index, chs_in, chs in ((0, 3, dims[0] // 2), (3, dims[0] // 2, dims[0])):
        keys |= _conv(f"patch_embed.{index}", (chs, chs_in, 3, 3)) | _norm(
            f"patch_embed.{index + 1}", chs
        )
    for stage, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
        if stage:
            down = f"network.{2 * stage - 1}"
            keys |= _conv(f"{down}.proj", (dim, dims[stage - 1], 3, 3)) | _norm(f"{down}.norm", dim)
        for block in range(depth):
            keys |= dict(_block(f"network.{2 * stage}.{block}", dim))
        if out_norms:
            keys |= _norm(f"norm{2 * stage}", dim)
    if not out_norms:
        keys |= _norm("norm", dims[-1])
        for name in ("head", "dist_head")[:heads]:
            keys |= _conv(name, (num_classes, dims[-1]))
    return keys


def _conv(name: str, shape: Shape, *, bias: bool = True) -> dict[str, Shape]:
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def _norm(name: str, chs: int) -> dict[str, Shape]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (chs,) for leaf in leaves} | {f"{name}.num_batches_tracked": ()}


def _block(name: str, dim: int) -> Iterator[tuple[str, Shape]]:
    local, attn = f"{name}.local_perception.network", f"{name}.attn"
    depthwise, pointwise = (dim, 1, 3, 3), (dim, dim, 1, 1)
    yield from _conv(f"{local}.0", pointwise).items()
    yield from _norm(f"{local}.1", dim).items()
    yield from _conv(f"{local}.2", depthwise).items()
    yield from _conv(f"{local}.4", pointwise).items()
    yield from _norm(f"{name}.norm1", dim).items()
    yield from _conv(f"{attn}.qkv", (3 * dim, dim, 1, 1), bias=False).items()
    for gate in (f"{attn}.oper_q", f"{attn}.oper_k"):
        yield from _conv(f"{gate}.0.block.0", depthwise).items()
        yield from _norm(f"{gate}.0.block.1", dim).items()
        yield from _conv(f"{gate}.0.block.3", (1, dim, 1, 1), bias=False).items()
        yield from _conv(f"{gate}.1.block.1", pointwise, bias=False).items()
    yield from _conv(f"{attn}.dwc", depthwise).items()
    yield from _conv(f"{attn}.proj", depthwise).items()
    yield from _norm(f"{name}.norm2", dim).items()
    yield from _conv(f"{name}.mlp.fc1", (4 * dim, dim, 1, 1)).items()
    yield from _conv(f"{name}.mlp.fc2", (dim, 4 * dim, 1, 1)).items()
