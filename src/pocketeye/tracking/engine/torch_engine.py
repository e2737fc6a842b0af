"""Compute with a network in torch, on any device."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pocketeye.devices import Device, resolve_device
from pocketeye.errors import unknown
from pocketeye.layers import normalise, onednn_products
from pocketeye.models import TAM
from pocketeye.models.tam import ImageFeatures, Memory, Pooling, Prediction
from pocketeye.tracking.engine.base import Answers, Engine, Reading, TrackerFacts
from pocketeye.tracking.engine.torch_maps import (
    MapBatch,
    MapRow,
    pack_rows,
    prepared_together,
    unpack_rows,
)

_DIGITS = 16  # of a sha256: 64 bits tell apart whatever one machine holds
DTypeName = Literal["float32", "bfloat16"]


@dataclass(slots=True)
class _Cached:
    """Hold constants of the network that are made when first used."""

    slot_keys: Tensor | None = None


class TorchEngine(Engine):
    """Compute what sessions ask of a network, in eval mode, in one precision, on one device.

    Args:
        model: with its weights; put into eval mode and moved.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        dtype: ``bfloat16`` computes under autocast.

    Raises:
        InvalidValue: an unknown device or dtype.
    """

    def __init__(self, model: TAM, device: Device = "auto", dtype: DTypeName = "float32") -> None:
        if dtype not in get_args(DTypeName):
            raise unknown("dtype", dtype, get_args(DTypeName))
        self.device = resolve_device(device)
        self.device_name = self.device.type
        self.dtype: DTypeName = dtype
        self.model = model.eval().to(self.device)
        self._encoder = self.model.image_encoder.for_inference()
        self._cached = _Cached()
        self._plain, self._round_maps = False, True
        self._one_by_one = self.device.type == "cpu"
        self.facts = TrackerFacts(
            image_size=model.image_size,
            num_maskmem=model.num_maskmem,
            pointer_dim=model.dim,
            memory_rule=model.memory_rule,
            session_rule=model.session_rule,
            map_bytes=self._map_bytes(),
        )

    def _map_bytes(self) -> int:
        """Return the bytes of one map of one object, raw and prepared: an upper bound.

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

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            # as bytes, for numpy knows no bfloat16
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:_DIGITS]

    def computing(self, *, plain: bool, round_maps: bool) -> TorchEngine:
        chosen = copy.copy(self)  # the network and its constants are shared
        chosen._plain, chosen._round_maps = plain, round_maps
        return chosen

    def batches(self, readings: Sequence[Reading]) -> list[list[int]]:
        """Put readings of equal shape together; each stays alone where one computes as the authors."""
        if self._plain:
            return [[place] for place in range(len(readings))]
        groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
        for place, reading in enumerate(readings):
            groups.setdefault(reading.shape, []).append(place)
        return list(groups.values())

    @contextmanager
    def inferring(self) -> Iterator[None]:
        """Infer in the chosen precision; the plain way leaves products to PyTorch's own kernels."""
        bf16 = self.dtype == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=bf16),
            onednn_products(not self._plain),
        ):
            yield

    def encode(self, image: np.ndarray) -> ImageFeatures:
        with self.inferring():
            x = network_input(image, self.facts.image_size).to(self.device)
            return self._encoder.encode_image(x)

    def track(
        self, features: ImageFeatures, readings: Sequence[Reading], *, stability_fallback: bool
    ) -> Answers:
        with self.inferring():
            known = self.condition(features, readings)
            return _answers(
                self.model.predict(
                    known.feat, stability_fallback=stability_fallback, details=known.details
                )
            )

    def prompt(
        self,
        features: ImageFeatures,
        reading: Reading | None,
        points: np.ndarray | None,
        labels: np.ndarray | None,
        mask_logits: np.ndarray | None,
        *,
        stability_fallback: bool,
        multimask: bool | None = None,
    ) -> Answers:
        with self.inferring():
            if reading is None:
                known = features._replace(feat=self.model.without_memory(features.feat))
            else:
                known = self.condition(features, [reading])
            prediction = self.model.predict(
                known.feat,
                points=self._here(points),
                labels=self._here(labels),
                mask=self._here(mask_logits),
                multimask=multimask,
                stability_fallback=stability_fallback,
                details=known.details,
            )
            return _answers(prediction)

    def adopt_mask(self, features: ImageFeatures, mask: np.ndarray) -> Answers:
        with self.inferring():
            here = self._here(mask)
            return _answers(self.model.adopt_mask(features.feat, here, features.details))

    def write(
        self, features: ImageFeatures, masks: np.ndarray, *, binarize: bool
    ) -> tuple[MapRow, ...]:
        with self.inferring():
            # autocast leaves bfloat16
            raw = self.model.encode_memory(features, self._here(masks), binarize).float()
            if self._round_maps:
                # The published figures were measured with maps stored as bfloat16. The values are
                # rounded, the type stays float32: official code fails without autocast where no
                # pointer is read.
                raw = raw.bfloat16().float()
            prepared = None
            if not self._plain:
                prepared = self.model.prepare_map(raw)
                prepared = prepared._replace(keys=self._narrow(prepared.keys))
            batch = MapBatch(raw, prepared)
            return tuple(MapRow(batch, row) for row in range(len(raw)))

    def pack_maps(self, maps: Sequence[MapRow]) -> tuple[dict[str, np.ndarray], Any]:
        return pack_rows(maps)

    def unpack_maps(self, arrays: Mapping[str, np.ndarray], said: Any) -> list[MapRow]:
        return unpack_rows(arrays, said, self.device)

    @overload
    def _here(self, x: np.ndarray) -> Tensor: ...

    @overload
    def _here(self, x: np.ndarray | None) -> Tensor | None: ...

    def _here(self, x: np.ndarray | None) -> Tensor | None:
        """Bring an array to the device."""
        return None if x is None else torch.from_numpy(np.ascontiguousarray(x)).to(self.device)

    def condition(self, seen: ImageFeatures, readings: Sequence[Reading]) -> ImageFeatures:
        """Return features that know the memory of ``B`` objects with readings of one shape.

        Args:
            seen: raw features of the frame, a batch of 1.
            readings: one per object, all of one :attr:`Reading.shape`.
        """
        slots = list(readings[0].slots)
        pointers = self._here(np.concatenate([np.stack(r.pointers, 1) for r in readings]))
        rows = list(zip(*(r.maps for r in readings), strict=True))
        # A pooling network reads a single map whole, and prepared maps are pooled already.
        whole = len(rows) == 1 and self.model.memory_attention.pooling is not Pooling.NONE
        if self._plain or whole:
            maps = [torch.cat([row.raw for row in each]) for each in rows]
            return self.model.read_raw(seen, maps, slots, pointers)
        # One object after another stays in a CPU's cache; a GPU wants one batch.
        if self._one_by_one:
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


def _answers(prediction: Prediction) -> Answers:
    """Bring a prediction to the CPU, in single precision whatever it was computed in."""
    masks, ious, mask, pointer, score = (x.float().cpu().numpy() for x in prediction)
    return Answers(masks, ious, mask, pointer, score[:, 0])
