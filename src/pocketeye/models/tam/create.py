"""Make a tracker from its name: the eight published networks, and smaller ones of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import timm
from torch import nn

from pocketeye.errors import InvalidValue, unknown
from pocketeye.models.backbones import casvit as casvit  # a trunk by its name
from pocketeye.models.backbones.vit import PlainViT
from pocketeye.models.input_size import fixed_size, require_size
from pocketeye.models.size import make_size
from pocketeye.models.tam.image_encoder import STRIDE, BackboneTrunk, ImageEncoder
from pocketeye.models.tam.mask_decoder import MaskDecoder
from pocketeye.models.tam.matching import Matching
from pocketeye.models.tam.memory_attention import MemoryAttention, Pooling
from pocketeye.models.tam.memory_encoder import MemoryEncoder
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.models.tam.prompt_encoder import PromptEncoder
from pocketeye.models.tam.prompt_maps import PromptMaps
from pocketeye.models.tam.tam import TAM
from pocketeye.models.tam.target_model import TargetModel


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTSpec:
    """Give the numbers of a plain windowed ViT.

    Attributes:
        dim: width of the tokens.
        num_heads: heads of each attention; the published networks have 64 channels per head.
        depth: number of blocks.
        global_blocks: blocks that attend over the whole map; the others attend within windows.
    """

    dim: int
    num_heads: int
    depth: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)


@dataclass(frozen=True, kw_only=True, slots=True)
class TAMSpec:
    """Give the numbers of a tracker.

    Attributes:
        trunk: a plain ViT, or the name of a timm backbone.
        image_size: side of its square image, in pixels.
        dim: width of the features; ``mem_dim`` is that of the memory.
        num_mem_layers: layers of memory attention.
        ffn_dim: hidden width of the MLPs in memory attention and mask decoder.
        pooling: see :class:`Pooling`.
        mask_chs: widths of the memory encoder's mask branch at strides 2, 4, 8 and 16.
        details: let the mask decoder see the trunk's maps of strides 8 and 4.
        memory_rule, session_rule: see :class:`TAM`.
        prompt_maps: draw prompts into the image's map as well.
        matching: carry masks along by likeness as well.
        target: tell the object from its surroundings by regression; needs ``details``.
    """

    trunk: ViTSpec | str
    image_size: int = 1024
    dim: int = 256
    mem_dim: int = 64
    num_mem_layers: int = 4
    ffn_dim: int = 2048
    pooling: Pooling = Pooling.NONE
    mask_chs: tuple[int, ...] = (4, 16, 64, 256)
    details: bool = False
    memory_rule: MemoryRule = MemoryRule.RECENT
    session_rule: MemoryRule | None = None
    prompt_maps: bool = False
    matching: bool = False
    target: bool = False


# The suffixes are the authors' file names. By the tables of the paper _1 (equation 5) is what it calls
# "/2", the size of the window; _2 is its equation 6.
def _published(size: str, trunk: ViTSpec) -> dict[str, TAMSpec]:
    whole = TAMSpec(trunk=trunk)
    return {
        f"efficienttam_{size}": whole,
        f"efficienttam_{size}_1": replace(whole, pooling=Pooling.COUNTED_LOGITS),
        f"efficienttam_{size}_2": replace(whole, pooling=Pooling.COUNTED_KEYS),
        f"efficienttam_{size}_512x512": replace(whole, image_size=512),
    }


# The numbers that our own networks share. The published ones spend most of a frame in memory attention
# (303 of 365 GMAC in Ti at 1024 pixels): these have a quarter of the side, half the width, one layer.
_NARROW = TAMSpec(
    trunk="fbnet_a",
    details=True,
    image_size=256,
    dim=128,
    mem_dim=32,
    num_mem_layers=1,
    ffn_dim=512,
    mask_chs=(4, 8, 16, 64),
    memory_rule=MemoryRule.VISIBLE,
    # Clips of training are too short for frames some way apart. In sessions these bring an object back
    # that was hidden slowly: the last frames before show hardly anything of it.
    session_rule=MemoryRule.DISTINCT,
    prompt_maps=True,
    matching=True,
    target=True,
)

SPECS: Mapping[str, TAMSpec] = {
    **_published("s", ViTSpec(dim=384, num_heads=6)),
    **_published("ti", ViTSpec(dim=192, num_heads=3)),
    "pocketeye_tam_pico": _NARROW,
    "pocketeye_tam_nano": replace(
        _NARROW, trunk="tf_efficientnet_lite0", image_size=320, mem_dim=64, num_mem_layers=2
    ),
    "pocketeye_tam_small": replace(
        _NARROW,
        trunk=ViTSpec(dim=192, num_heads=3),
        details=False,
        target=False,
        image_size=384,
        dim=192,
        mem_dim=64,
        num_mem_layers=2,
        ffn_dim=768,
        pooling=Pooling.COUNTED_LOGITS,
    ),
}
_PARTS = ("image_encoder", "memory_attention", "memory_encoder", "prompt_encoder", "mask_decoder")


def list_tams(pattern: str = "*") -> list[str]:
    """Return the names of the trackers, sorted; ``pattern`` is matched as in the shell."""
    return sorted(name for name in SPECS if fnmatch(name, pattern))


def create_tam(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    *,
    trunk: str | nn.Module | None = None,
    pad_windows: bool = False,
    **parts: nn.Module,
) -> TAM:
    """Make a tracker, without weights.

    ======================  =======  ======  ===============================================
    network                 image  params  memory
    ======================  =======  ======  ===============================================
    ``efficienttam_s``         1024  34.1 M  whole
    ``efficienttam_s_1``       1024  34.1 M  2x2 means, equation 5 (by its tables the paper's S/2)
    ``efficienttam_s_2``       1024  34.1 M  2x2 means, equation 6
    ``…_s_512x512``             512  34.1 M  whole
    ``efficienttam_ti``…       same  17.9 M  the same four
    ``pocketeye_tam_pico``      256   3.9 M  whole; FBNet-A, one layer of memory attention
    ``pocketeye_tam_nano``      320   4.9 M  whole; EfficientNet-Lite0, two layers
    ``pocketeye_tam_small``     384   9.6 M  equation 5; the ViT of Ti, two layers
    ======================  =======  ======  ===============================================

    Args:
        name: one of :func:`list_tams`.
        image_size: (height, width) or the side of a square, multiples of 16; by default the network's.
        trunk: another image encoder's trunk: the name of a timm backbone (its maps of stride 16 and 32
            are added), or a module (:class:`BackboneTrunk`).
        pad_windows: fill up the windows of a ViT as the authors do: the same output for more work.
        parts: parts to use instead of the network's own: ``image_encoder``, ``memory_attention``,
            ``memory_encoder``, ``prompt_encoder``, ``mask_decoder``.

    Raises:
        InvalidValue: unknown name or part (with the nearest spelling), or a size that does not fit.
    """
    if name not in SPECS:
        raise unknown("tracker", name, SPECS)
    for part in parts:
        if part not in _PARTS:
            raise unknown("part", part, _PARTS)
    spec = SPECS[name]
    size = _checked_size(spec.image_size if image_size is None else image_size)
    made: dict[str, nn.Module] = dict(parts)
    if "image_encoder" not in made:
        body = _trunk(spec.trunk if trunk is None else trunk, size, pad_windows)
        made["image_encoder"] = ImageEncoder(body, spec.dim, spec.details)
    elif trunk is not None:
        raise InvalidValue("give either image_encoder or trunk: the trunk is a part of the encoder")
    made = {**_default_parts(spec, size, made), **made}
    memory: Any = made["memory_attention"]  # the user's own may have another size or width
    if spec.prompt_maps:
        made["prompt_maps"] = PromptMaps(memory.feat_size, memory.dim)
    if spec.matching:
        made["matching"] = Matching(memory.feat_size, memory.dim)
    if spec.target:
        made["target"] = TargetModel(memory.dim)
    return TAM(**made, variant=name, memory_rule=spec.memory_rule, session_rule=spec.session_rule)  # type: ignore[arg-type]


def _default_parts(
    spec: TAMSpec, size: tuple[int, int], given: Mapping[str, nn.Module]
) -> dict[str, nn.Module]:
    feat_size = (size[0] // STRIDE, size[1] // STRIDE)
    made: dict[str, nn.Module] = {}
    if "memory_attention" not in given:
        made["memory_attention"] = MemoryAttention(
            feat_size,
            spec.dim,
            spec.mem_dim,
            spec.num_mem_layers,
            ffn_dim=spec.ffn_dim,
            pooling=spec.pooling,
        )
    if "memory_encoder" not in given:
        made["memory_encoder"] = MemoryEncoder(spec.dim, spec.mem_dim, mask_chs=spec.mask_chs)
    if "prompt_encoder" not in given:
        made["prompt_encoder"] = PromptEncoder(size, spec.dim)
    if "mask_decoder" not in given:
        made["mask_decoder"] = MaskDecoder(spec.dim, mlp_dim=spec.ffn_dim)
    return made


def _trunk(trunk: ViTSpec | str | nn.Module, size: tuple[int, int], pad_windows: bool) -> nn.Module:
    if isinstance(trunk, nn.Module):
        return trunk
    if isinstance(trunk, ViTSpec):
        return PlainViT(
            size,
            trunk.dim,
            trunk.depth,
            trunk.num_heads,
            global_blocks=trunk.global_blocks,
            pad_windows=pad_windows,
        )
    # A tag after the dot names weights ("resnet18.a1_in1k"); the network is the part before it.
    if not timm.is_model(trunk.partition(".")[0]):
        raise unknown("backbone", trunk, timm.list_models(), "see `pocketeye list --include-timm`")
    backbone = timm.create_model(trunk, features_only=True)
    if fixed_size(backbone) is not None:
        require_size(backbone, make_size(*size), trunk)
    return BackboneTrunk(backbone)


def _checked_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or any(side < STRIDE or side % STRIDE for side in size):
        # Proposes the nearest size that fits: a user has the size of a video in mind, not multiples.
        fitting = "x".join(str(max(1, round(side / STRIDE)) * STRIDE) for side in size)
        raise InvalidValue(
            f"a tracker's image is (height, width) in multiples of {STRIDE}, not "
            f"{'x'.join(map(str, size))}; near it: {fitting}"
        )
    return size[0], size[1]
