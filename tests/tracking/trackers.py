"""Small trackers with random weights, and moving images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pocketeye.models import create_tam
from pocketeye.models.tam import ImageEncoder, MemoryAttention, Pooling
from pocketeye.tracking import TorchEngine, Tracker
from tests.training.tam_clips import TinyTrunk

IMAGE_SIZE = (96, 160)
WIDTH, HEIGHT = 120, 80


def make_tracker(
    pooling: Pooling = Pooling.NONE, seed: int = 0, **options: Any
) -> Tracker[TorchEngine]:
    """A nano tracker at 96x160 whose every weight matters, and for which all objects are there."""
    with torch.random.fork_rng(devices=[]):  # the positions of prompts are drawn and kept
        torch.manual_seed(seed)
        model = create_tam(
            "pocketeye_tam_pico",
            IMAGE_SIZE,
            image_encoder=ImageEncoder(TinyTrunk(), 128, details=True),
            memory_attention=MemoryAttention((6, 10), 128, 32, 2, ffn_dim=64, pooling=pooling),
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            scale = 0.3 if p.ndim < 2 else 1 / p[0].numel() ** 0.5
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (p.ndim == 1) * 0.5)
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(50)
    return Tracker(TorchEngine(model, device="cpu", **options))


def moving(num_frames: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[np.ndarray]:
    """A bright disc on noise, going to the right."""
    width, height = size
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 90, (height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    frames = []
    for number in range(num_frames):
        frame = ground.copy()
        inside = (x - 20 - 4 * number) ** 2 + (y - height // 2) ** 2 < 15**2
        frame[inside] = (230, 180, 40)
        frames.append(frame)
    return frames
