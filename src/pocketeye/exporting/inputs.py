"""Read real images as network inputs: for parity, for int8 ranges, for settling random networks."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

from pocketeye.data import DIGITS, load_images
from pocketeye.errors import InvalidValue
from pocketeye.predicting.network import Network

Inputs = list[tuple[np.ndarray, ...]]


def sample_inputs(network: Network, data: str | None, num: int) -> Inputs:
    """Return ``num`` inputs (1, C, H, W), float32, normalised as the network expects; seeded.

    Without ``data``: handwritten digits for one channel, crops of two photographs for three.

    Raises:
        InvalidValue: ``num`` below 1, or a number of channels no images have.
        MissingFile: no such data.
    """
    channels = network.input_shape[0]
    if num < 1:
        raise InvalidValue(f"at least 1 image is needed, not {num}")
    if channels not in (1, 3):
        raise InvalidValue(
            f"{network.name} takes {channels} channels; images have 1 (grey) or 3 (colour)"
        )
    # The same images every time: parity of two exports can be compared.
    generator = np.random.default_rng(0)
    if data is None and channels == 3:
        images = photograph_crops(num, generator)
    else:
        dataset = load_images(data or DIGITS, "val", in_chans=channels)
        # Drawn, not the first: sets are sorted by class.
        chosen = generator.permutation(len(dataset))[:num]
        images = [dataset.read(int(i)).image for i in chosen]
    transform = network.info.transform()
    return [(transform(image)[None].numpy(),) for image in images]


def settle_batchnorm(module: nn.Module, inputs: Inputs) -> None:
    """Give an untrained network the BN statistics of real images.

    Without them the signal of a deep random network fades or grows from layer to layer, and int8
    ranges, parity and (through denormal numbers) even latency say nothing.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    with torch.no_grad():
        for start in range(0, len(inputs), 16):
            batch = np.concatenate([arrays[0] for arrays in inputs[start : start + 16]])
            if len(batch) > 1:  # one image has no variance where maps are 1x1
                module(torch.from_numpy(batch))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.eval()


def photograph_crops(num: int, generator: np.random.Generator) -> list[Image.Image]:
    """Return square crops of the two photographs of scikit-learn, in turn."""
    # The only photographs that come with a library this package needs anyway.
    from sklearn.datasets import load_sample_image

    photographs = [Image.fromarray(load_sample_image(f"{n}.jpg")) for n in ("china", "flower")]
    crops = []
    for index in range(num):
        photograph = photographs[index % len(photographs)]
        # A quarter to nine tenths of the shorter side: details as well as scenes.
        side = int(generator.uniform(0.25, 0.9) * min(photograph.size))
        left = int(generator.integers(photograph.width - side + 1))
        top = int(generator.integers(photograph.height - side + 1))
        crops.append(photograph.crop((left, top, left + side, top + side)))
    return crops
