"""Clips of moving discs, and a tracker small enough to learn them in a test."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from pocketeye.data.clips.clips import Clip, ClipBatch, ClipSource, collate_clips
from pocketeye.models import TAM, create_tam
from pocketeye.models.tam import (
    ImageEncoder,
    ImageFeatures,
    MaskDecoder,
    MemoryAttention,
    MemoryEncoder,
)
from pocketeye.models.tam.prompt_encoder import PromptEncoder

SIZE = 64


class DiscClips(ClipSource):
    """Bright discs on noise, each with a direction of its own; the second is absent in some frames."""

    def __init__(
        self,
        length: int = 8,
        num_frames: int = 4,
        num_objects: int = 1,
        size: int = SIZE,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.length, self.num_frames, self.num_objects = length, num_frames, num_objects
        self.size = size

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        size, frames = self.size, self.num_frames
        pixels = np.repeat(rng.integers(0, 80, (1, 3, size, size), np.uint8), frames, 0)
        y, x = np.mgrid[:size, :size]
        masks = np.zeros((self.num_objects, frames, size, size), bool)
        for number in range(self.num_objects):
            place = rng.uniform(size * 0.3, size * 0.7, 2)
            step = rng.uniform(-size / 24, size / 24, 2)
            colour = rng.integers(150, 256, 3)
            for frame in range(frames):
                if number == 1 and frame % 3 == 2:
                    continue
                at = place + step * frame
                inside = (x - at[0]) ** 2 + (y - at[1]) ** 2 < (size / 6) ** 2
                masks[:, frame] &= ~inside
                masks[number, frame] = inside
                pixels[frame, :, inside] = colour
        annotated = np.ones((self.num_objects, frames), bool)
        return Clip(*(torch.from_numpy(part) for part in (pixels, masks, annotated)))


class TinyTrunk(nn.Module):
    """Four strided convolutions with BN; maps of strides 8 and 4 as details."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 8, 16, 24, 32)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.num_features, self.detail_chs = 32, (24, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encode_image(x).feat

    def encode_image(self, x: torch.Tensor) -> ImageFeatures:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return ImageFeatures(maps[3], (maps[2], maps[1]))


def tiny_tam(seed: int = 0, size: int = SIZE) -> TAM:
    """About 100 thousand parameters."""
    dim, mem_dim = 32, 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_tam(
            "pocketeye_tam_pico",
            size,
            image_encoder=ImageEncoder(TinyTrunk(), dim, details=True),
            memory_attention=MemoryAttention(
                (size // 16, size // 16), dim, mem_dim, 1, ffn_dim=64, dropout=0.1
            ),
            memory_encoder=MemoryEncoder(dim, mem_dim, mask_chs=(4, 4, 8, 16)),
            prompt_encoder=PromptEncoder((size, size), dim),
            mask_decoder=MaskDecoder(dim, mlp_dim=64),
        )


def tiny_batch(clips: int = 2, frames: int = 4, objects: int = 2, size: int = SIZE) -> ClipBatch:
    return collate_clips([DiscClips(clips, frames, objects, size)[index] for index in range(clips)])
