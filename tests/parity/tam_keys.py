"""Names and shapes of the official EfficientTAM networks (455 entries, S and Ti)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.parity.official import Shape

DIM, MEM, FFN = 256, 64, 2048


def tam_keys(dim: int) -> dict[str, Shape]:
    """``dim`` is the width of the ViT: 384 for S, 192 for Ti."""
    keys: dict[str, Shape] = {
        "maskmem_tpos_enc": (7, 1, 1, MEM),
        "no_mem_embed": (1, 1, DIM),
        "no_mem_pos_enc": (1, 1, DIM),
        "no_obj_ptr": (1, DIM),
        **_layer("mask_downsample", 1, 1, 4, 4),
        **_mlp("obj_ptr_proj", DIM, DIM, DIM, DIM),
    }
    for part in (
        _image_encoder(dim),
        _memory_attention(),
        _memory_encoder(),
        _prompt(),
        _decoder(),
    ):
        keys |= dict(part)
    return keys


def _layer(name: str, *shape: int, bias: int | None = None) -> dict[str, Shape]:
    return {f"{name}.weight": shape, f"{name}.bias": (shape[0] if bias is None else bias,)}


def _norm(name: str, dim: int = DIM) -> dict[str, Shape]:
    return _layer(name, dim)


def _mlp(name: str, *dims: int) -> dict[str, Shape]:
    keys: dict[str, Shape] = {}
    for n, (a, b) in enumerate(itertools.pairwise(dims)):
        keys |= _layer(f"{name}.layers.{n}", b, a)
    return keys


def _attention(name: str, inner: int = DIM, kv: int = DIM) -> dict[str, Shape]:
    return {
        **_layer(f"{name}.q_proj", inner, DIM),
        **_layer(f"{name}.k_proj", inner, kv),
        **_layer(f"{name}.v_proj", inner, kv),
        **_layer(f"{name}.out_proj", DIM, inner),
    }


def _image_encoder(dim: int) -> Iterator[tuple[str, Shape]]:
    trunk, neck = "image_encoder.trunk", "image_encoder.neck.convs.0"
    yield f"{trunk}.pos_embed", (1, 197, dim)
    yield from _layer(f"{trunk}.patch_embed.proj", dim, 3, 16, 16).items()
    for n in range(12):
        block = f"{trunk}.blocks.{n}"
        for norm in ("norm1", "norm2"):
            yield from _norm(f"{block}.{norm}", dim).items()
        yield from _layer(f"{block}.attn.qkv", 3 * dim, dim).items()
        yield from _layer(f"{block}.attn.proj", dim, dim).items()
        yield from _mlp(f"{block}.mlp", dim, 4 * dim, dim).items()
    yield f"{neck}.conv_1x1.weight", (DIM, dim, 1, 1)
    yield f"{neck}.conv_3x3.weight", (DIM, DIM, 3, 3)
    for norm in ("norm_0", "norm_1"):
        yield from _norm(f"{neck}.{norm}").items()


def _memory_attention() -> Iterator[tuple[str, Shape]]:
    yield from _norm("memory_attention.norm").items()
    for n in range(4):
        layer = f"memory_attention.layers.{n}"
        yield from _attention(f"{layer}.self_attn").items()
        yield from _attention(f"{layer}.cross_attn_image", kv=MEM).items()
        yield from _layer(f"{layer}.linear1", FFN, DIM).items()
        yield from _layer(f"{layer}.linear2", DIM, FFN).items()
        for norm in ("norm1", "norm2", "norm3"):
            yield from _norm(f"{layer}.{norm}").items()


def _memory_encoder() -> Iterator[tuple[str, Shape]]:
    encoder = "memory_encoder.mask_downsampler.encoder"
    for n, (a, b) in enumerate(((1, 4), (4, 16), (16, 64), (64, 256))):
        yield from _layer(f"{encoder}.{3 * n}", b, a, 3, 3).items()
        yield from _norm(f"{encoder}.{3 * n + 1}", b).items()
    yield from _layer(f"{encoder}.12", DIM, 256, 1, 1).items()
    yield from _layer("memory_encoder.pix_feat_proj", DIM, DIM, 1, 1).items()
    yield from _layer("memory_encoder.out_proj", MEM, DIM, 1, 1).items()
    for n in range(2):
        layer = f"memory_encoder.fuser.layers.{n}"
        yield f"{layer}.gamma", (DIM,)
        yield from _layer(f"{layer}.dwconv", DIM, 1, 7, 7).items()
        yield from _norm(f"{layer}.norm").items()
        yield from _layer(f"{layer}.pwconv1", 4 * DIM, DIM).items()
        yield from _layer(f"{layer}.pwconv2", DIM, 4 * DIM).items()


def _prompt() -> Iterator[tuple[str, Shape]]:
    encoder = "sam_prompt_encoder"
    yield f"{encoder}.pe_layer.positional_encoding_gaussian_matrix", (2, DIM // 2)
    names = [f"point_embeddings.{n}" for n in range(4)] + ["not_a_point_embed", "no_mask_embed"]
    for name in names:
        yield f"{encoder}.{name}.weight", (1, DIM)
    yield from _layer(f"{encoder}.mask_downscaling.0", 4, 1, 2, 2).items()
    yield from _norm(f"{encoder}.mask_downscaling.1", 4).items()
    yield from _layer(f"{encoder}.mask_downscaling.3", 16, 4, 2, 2).items()
    yield from _norm(f"{encoder}.mask_downscaling.4", 16).items()
    yield from _layer(f"{encoder}.mask_downscaling.6", DIM, 16, 1, 1).items()


def _decoder() -> Iterator[tuple[str, Shape]]:
    decoder = "sam_mask_decoder"
    transformer = f"{decoder}.transformer"
    for n in range(2):
        layer = f"{transformer}.layers.{n}"
        yield from _attention(f"{layer}.self_attn").items()
        for cross in ("token_to_image", "image_to_token"):
            yield from _attention(f"{layer}.cross_attn_{cross}", DIM // 2).items()
        yield from _mlp(f"{layer}.mlp", DIM, FFN, DIM).items()
        for norm in range(1, 5):
            yield from _norm(f"{layer}.norm{norm}").items()
    yield from _attention(f"{transformer}.final_attn_token_to_image", DIM // 2).items()
    yield from _norm(f"{transformer}.norm_final_attn").items()
    for name, count in (("iou_token", 1), ("mask_tokens", 4), ("obj_score_token", 1)):
        yield f"{decoder}.{name}.weight", (count, DIM)
    yield from _layer(f"{decoder}.output_upscaling.0", DIM, 64, 2, 2, bias=64).items()
    yield from _norm(f"{decoder}.output_upscaling.1", 64).items()
    yield from _layer(f"{decoder}.output_upscaling.3", 64, 32, 2, 2, bias=32).items()
    for n in range(4):
        yield from _mlp(f"{decoder}.output_hypernetworks_mlps.{n}", DIM, DIM, DIM, 32).items()
    yield from _mlp(f"{decoder}.iou_prediction_head", DIM, DIM, DIM, 4).items()
    yield from _mlp(f"{decoder}.pred_obj_score_head", DIM, DIM, DIM, 1).items()
