"""Augment single images by timm's policies: AutoAugment, RandAugment, AugMix by one string."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import (
    augment_and_mix_transform,
    auto_augment_transform,
    posterize as timm_posterize,
    rand_augment_transform,
)

from pocketeye.errors import InvalidValue, nearest

_WHOLE, _NUMBER = r"\d+", r"\d+(?:\.\d+)?"
_FIXED = ("original", "originalr", "v0", "v0r", "3a")
_RAND = {
    "m": _WHOLE, "n": _WHOLE, "p": _NUMBER, "mstd": _NUMBER, "mmax": _WHOLE, "inc": "[01]",
    "t": "(?:weights|3aw|3a)",
}  # fmt: skip
_AUGMIX = {
    "m": _WHOLE, "w": _WHOLE, "d": _WHOLE, "a": _NUMBER, "b": "[01]", "mstd": _NUMBER,
}  # fmt: skip
_SECTIONS = {**{name: {"mstd": _NUMBER} for name in _FIXED}, "rand": _RAND, "augmix": _AUGMIX}


def require_policy(text: str) -> None:
    """Refuse what timm would trip over or pass over silently.

    Raises:
        InvalidValue: no policy string of timm's.
    """
    name, *sections = text.split("-")
    if name not in _SECTIONS:
        close = nearest(name, _SECTIONS)
        guess = f" Did you mean {close!r}?" if close else ""
        raise InvalidValue(
            f"auto_augment {text!r} begins with no known policy.{guess} "
            f"({', '.join(_SECTIONS)}; for example rand-m9-mstd0.5-inc1)"
        )
    for section in sections:
        if not any(re.fullmatch(key + value, section) for key, value in _SECTIONS[name].items()):
            raise InvalidValue(
                f"auto_augment {text!r}: {name!r} has no section {section!r} (known: a number after "
                f"one of {', '.join(_SECTIONS[name])}; for example rand-m9-mstd0.5-inc1)"
            )


class AutoAugment:
    """Apply a policy to PIL images; every draw follows from torch's generator.

    timm draws from the global generators of ``random`` and numpy: they are seeded for the call and
    as before afterwards.

    Args:
        policy: timm's string.
        input_size: side of the images, which bounds the shifts (timm: 45 %).
        mean: 0 to 1 per channel, what comes in from beyond the border.
    """

    def __init__(self, policy: str, input_size: int, mean: Sequence[float]) -> None:
        require_policy(policy)
        fill = tuple(min(255, round(255 * value)) for value in mean)
        hparams = {
            "translate_const": int(input_size * 0.45),  # as timm.data.create_transform has it
            "img_mean": fill if len(fill) > 1 else fill[0],
        }
        make = {"rand": rand_augment_transform, "augmix": augment_and_mix_transform}.get(
            policy.partition("-")[0], auto_augment_transform
        )
        self.operation = make(policy, hparams)
        for operation in _operations(self.operation):
            if operation.aug_fn is timm_posterize:
                operation.aug_fn = _posterize

    def __call__(self, image: Image.Image) -> Image.Image:
        with _seeded(int(torch.randint(1 << 32, ()))):
            augmented: Image.Image = self.operation(image)
        return augmented


def _operations(transform: Any) -> Iterator[Any]:
    """Return the operations of a policy, which timm keeps as a list or as a list of short lists."""
    for entry in getattr(transform, "policy", None) or transform.ops:
        yield from entry if isinstance(entry, list) else [entry]


def _posterize(image: Image.Image, bits: int, **kwargs: Any) -> Image.Image:
    """Turn an image black for no bits, which timm asks for at full magnitude and Pillow refuses."""
    if bits < 1:
        return image.point([0] * 256 * len(image.getbands()))
    posterized: Image.Image = timm_posterize(image, bits, **kwargs)
    return posterized


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - timm's operations draw there
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
