"""Set weights of an untrained tracker from which the memory is learnt in hundreds of steps.

With usual weights a token of the frame reads the mean of the whole memory at first, and the mask is a
faint part of it: training stays on a plateau until attention has found the place that it stands on. The
authors start from SAM 2's and train for hundreds of thousands of steps; a small training has not these.
"""

from __future__ import annotations

from typing import Any

import torch

from pocketeye.models.tam import TAM

_LOCAL_BIAS = 2.5  # at 128 channels attention falls to 0.55 a token away, to 0.13 two tokens away
_GAIN = 3.0  # factor of the layers through which a remembered mask reaches the frame


def look_near_first(model: TAM) -> None:
    """Let each token read the memory around its own place, and the mask stand out in what it reads.

    Queries and keys get a constant part. Rotary embedding turns it by the token's place, so that its
    product is largest between tokens of one place and falls with their distance; training shapes the
    rest. On 300 clips of 3 frames at 128 pixels the IoU after 120 steps (rate 5e-4) was 0.40, and 0.20
    without; exchanging the mask moved the answer by 0.70 of its standard deviation, and by 0.13 without.
    With a rate of 2e-3 the maps of the memory grew without bound, and the answer forgot its prompt.
    """
    attentions: list[Any] = [layer.cross_attn_image for layer in model.memory_attention.layers]
    mask_end: Any = model.memory_encoder.mask_downsampler.encoder[-1]
    with torch.no_grad():
        for attn in attentions:
            for proj in (attn.q_proj, attn.k_proj):
                proj.bias.zero_()
                # Of each pair the first channel: a vector that rotary embedding turns by the place.
                proj.bias[0::2] = _LOCAL_BIAS
            attn.v_proj.weight.mul_(_GAIN)
            attn.out_proj.weight.mul_(_GAIN)
        mask_end.weight.mul_(_GAIN)
        model.memory_encoder.out_proj.weight.mul_(2)
