"""Call a network with its weights on a device, as a session needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketeye.devices import Device, resolve_device
from pocketeye.errors import unknown
from pocketeye.layers import normalise, onednn_products
from pocketeye.models import TAM
from pocketeye.models.tam import ImageFeatures, Memory, Pooling
from pocketeye.tracking.video.confidence import ConfidenceCurve
from pocketeye.tracking.video.memory import MapBatch, Reading, prepared_together

DTypeName = Literal["float32", "bfloat16"]


@dataclass(slots=True)
class _Cached:
    """Hold constants of the network that are made when first used."""

    slot_keys: Tensor | None = None


class TrackerNetwork:
    """Compute what sessions ask of a network, in eval mode, in one precision, on one device.

    Args:
        model: with its weights; put into eval mode and moved.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        dtype: ``bfloat16`` computes under autocast.
    """

    def __init__(self, model: TAM, device: Device = "auto", dtype: DTypeName = "float32") -> None:
        if dtype not in get_args(DTypeName):
            raise unknown("dtype", dtype, get_args(DTypeName))
        self.device = resolve_device(device)
        self.dtype: DTypeName = dtype
        self.model = model.eval().to(self.device)
        self._encoder = self.model.image_encoder.for_inference()
        self.confidence: ConfidenceCurve | None = None  # of these weights, where it was measured
        self._cached = _Cached()

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) to which frames are stretched."""
        return self.model.image_size

    @property
    def map_bytes(self) -> int:
        """Bytes of one map of one object in memory, raw and prepared: an upper bound.

        Where maps are read whole, prepared values are views of the raw map and are counted twice.
        """
        attention = self.model.memory_attention
        height, width = attention.feat_size
        tokens = height * width
        held = tokens if attention.pooling is Pooling.NONE else tokens // 4  # 2x2 means
        key_bytes = 2 if self.dtype == "bfloat16" else 4
        keys = len(attention.layers) * held * attention.dim * key_bytes
        raw = tokens * self.model.map_chs
        prepared = held * attention.mem_dim
        if self.model.matching is not None:
            prepared += tokens * self.model.matching.num_channels
        if self.model.target is not None:
            prepared += self.model.target.num_sums
        return keys + 4 * (raw + prepared)

    @contextmanager
    def computing(self, plain: bool = False) -> Iterator[None]:
        """Infer in the chosen precision; ``plain`` leaves matrix products to PyTorch's own kernels."""
        bf16 = self.dtype == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=bf16),
            onednn_products(not plain),
        ):
            yield

    def encode_image(self, frame: np.ndarray) -> ImageFeatures:
        """Encode a uint8 RGB frame ``(height, width, 3)``.

        Returns:
            Features ``(1, C, h, w)``, and the finer maps of networks that have them.
        """
        image = network_input(frame, self.image_size).to(self.device)
        return self._encoder.encode_image(image)

    def condition(self, seen: ImageFeatures, readings: list[Reading], plain: bool) -> ImageFeatures:
        """Return features that know the memory of ``B`` objects with readings of one shape.

        Args:
            seen: raw features of the frame, a batch of 1.
            readings: one per object, all of one :attr:`Reading.shape`.
            plain: compute as the authors do, from the raw maps.
        """
        slots = list(readings[0].slots)
        pointers = torch.cat([torch.stack(r.pointers, 1) for r in readings])
        rows = list(zip(*(r.maps for r in readings), strict=True))
        # A pooling network reads a single map whole, and prepared maps are pooled already.
        whole = len(rows) == 1 and self.model.memory_attention.pooling is not Pooling.NONE
        if plain or whole:
            maps = [torch.cat([row.raw for row in each]) for each in rows]
            return self.model.read_raw(seen, maps, slots, pointers)
        # One object after another stays in a CPU's cache; a GPU wants one batch.
        if self.device.type == "cpu":
            each = zip(readings, pointers.split(1), strict=True)
            return self.model.read_each(
                seen,
                (self._gather([row.prepared for row in r.maps], slots, p) for r, p in each),
            )
        prepared = [prepared_together(each) for each in rows]
        return self.model.read(seen, self._gather(prepared, slots, pointers))

    def _gather(self, maps: list[Memory], slots: list[int], pointers: Tensor) -> Memory:
        if self._cached.slot_keys is None:
            self._cached.slot_keys = self._narrow(self.model.slot_keys())
        return self.model.gather(maps, slots, self._cached.slot_keys, pointers)

    def write_map(
        self, seen: ImageFeatures, mask: Tensor, *, binarize: bool, round_maps: bool, plain: bool
    ) -> MapBatch:
        """Write the maps that ``B`` objects leave in a frame.

        Args:
            seen: raw features of the frame.
            mask: logits ``(B, 1, h, w)`` at any size.
            binarize: write yes or no instead of probabilities.
            round_maps: round to what bfloat16 holds.
            plain: write no prepared keys.
        """
        raw = self.model.encode_memory(seen, mask, binarize).float()  # autocast leaves bfloat16
        if round_maps:
            # The published figures were measured with maps stored as bfloat16. The values are rounded,
            # the type stays float32: official code fails without autocast where no pointer is read.
            raw = raw.bfloat16().float()
        if plain:
            return MapBatch(raw, None)
        prepared = self.model.prepare_map(raw)
        return MapBatch(raw, prepared._replace(keys=self._narrow(prepared.keys)))

    def _narrow(self, keys: Tensor) -> Tensor:
        """Return keys in the type in which they are multiplied, or autocast converts them per frame."""
        return keys.bfloat16() if self.dtype == "bfloat16" else keys


def network_input(frame: np.ndarray, image_size: tuple[int, int]) -> Tensor:
    """Turn a uint8 RGB frame ``(height, width, 3)`` into the network's input ``(1, 3, H, W)``.

    The frame is stretched, its aspect ratio is not kept: so were the networks trained.
    """
    # PIL's default, bicubic: the authors' resizer for folders of JPEG (for MP4 they use another).
    resized = Image.fromarray(frame).resize((image_size[1], image_size[0]))
    image = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].float() / 255
    return normalise(image)
