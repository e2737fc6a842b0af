"""Encode images: any trunk that gives a map of stride 16, and a neck to the tracker's width."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models._fuse import fold_for_torch

STRIDE = 16  # of the map that memory and decoder read: ViT's patch size, and SAM 2's third stage
DETAIL_STRIDES = (8, 4)  # SAM 2's high-resolution features


class ImageFeatures(NamedTuple):
    """Hold what the encoder sees in ``B`` images."""

    feat: Tensor  # (B, C, H / 16, W / 16)
    details: tuple[Tensor, ...] = ()  # (B, C / 4, H / 8, W / 8) and (B, C / 8, H / 4, W / 4)


class Neck(nn.Module):
    """Bring a trunk's map to ``dim`` channels: 1x1, norm, 3x3, norm (ViTDet's neck, as in SAM).

    The convolutions have no bias: the norm after each has one.
    """

    def __init__(self, in_chs: int, dim: int) -> None:
        super().__init__()
        self.conv_1x1 = nn.Conv2d(in_chs, dim, 1, bias=False)
        self.norm_0 = LayerNorm2d(dim)
        self.conv_3x3 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.norm_1 = LayerNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm_1(self.conv_3x3(self.norm_0(self.conv_1x1(x))))


class BackboneTrunk(nn.Module):
    """Give the stride-16 map of a backbone made with ``features_only=True``.

    Every map that is read is normed per channel first (``norms``), because the stages of backbones
    differ in scale: the linear bottlenecks of EfficientNet-Lite0 have standard deviations from 2.6 to
    8.6, those of CAS-ViT-XS from 1.3 to 9.7. The norm is a BN without an affine part: its statistics
    are measured where a training begins (:func:`pocketeye.training.tam.start.measure_maps`), it
    stands before 1x1 convolutions and an addition, and an exporter may fold it into them.

    Args:
        backbone: gives a list of maps and describes them in ``feature_info`` (timm's contract).
        fuse: add the last map of stride 32, brought to the same width and size, to it: context that
            a convolutional network has nowhere else. Where there is none the map goes as it is.

    Raises:
        InvalidValue: the backbone has no map of stride 16.
    """

    def __init__(self, backbone: nn.Module, fuse: bool = True) -> None:
        super().__init__()
        info: list[dict[str, int]] = list(backbone.feature_info.get_dicts())  # type: ignore[union-attr, operator]
        # Where two maps share a stride the last is taken: it has been through the most layers.
        places = {place["reduction"]: n for n, place in enumerate(info)}
        if STRIDE not in places:
            strides = ", ".join(str(stride) for stride in sorted(places)) or "none"
            raise InvalidValue(
                f"the tracker reads a map of stride {STRIDE}, and this backbone gives strides "
                f"{strides}: choose another, or other out_indices"
            )
        self.backbone = backbone
        self.fuse = fuse and 2 * STRIDE in places
        self.detail_strides = tuple(stride for stride in DETAIL_STRIDES if stride in places)
        read = (STRIDE, *self.detail_strides, *([2 * STRIDE] if self.fuse else []))
        self.places = {stride: places[stride] for stride in read}
        chs = {stride: info[place]["num_chs"] for stride, place in self.places.items()}
        self.num_features = chs[STRIDE]
        self.detail_chs = tuple(chs[stride] for stride in self.detail_strides)
        self.norms = nn.ModuleDict(
            {str(stride): nn.BatchNorm2d(chs[stride], affine=False) for stride in read}
        )
        if self.fuse:
            self.lateral = nn.Conv2d(chs[2 * STRIDE], self.num_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.encode_image(x).feat

    def encode_image(self, x: Tensor) -> ImageFeatures:
        """Encode normalised images ``(B, 3, H, W)``; details are the maps of strides 8 and 4, normed."""
        maps = self.backbone(x)
        normed = {stride: self.norms[str(stride)](maps[n]) for stride, n in self.places.items()}
        details = tuple(normed[stride] for stride in self.detail_strides)
        x = normed[STRIDE]
        # Nearest neighbour, as in FPN: the coarse map is context, not outline.
        if self.fuse:
            x = x + F.interpolate(self.lateral(normed[2 * STRIDE]), size=x.shape[2:])
        return ImageFeatures(x, details)

    def parameters_up_to(self, stride: int) -> list[nn.Parameter]:
        """Return the backbone's parameters on which its map of ``stride`` depends.

        Raises:
            InvalidValue: no map of this stride is read.
        """
        if stride not in self.places:
            read = ", ".join(str(known) for known in sorted(self.places))
            raise InvalidValue(f"the trunk's maps have strides {read}, not {stride}")
        # The graph is asked, not the order of the modules: backbones name and order their stages freely.
        probe = copy.deepcopy(self.backbone).requires_grad_().eval()
        parameters = list(probe.parameters())
        sample = parameters[0].new_zeros(1, 3, 64, 64)  # every size has the same graph
        with torch.enable_grad():
            total = probe(sample)[self.places[stride]].sum()
            slopes = torch.autograd.grad(total, parameters, allow_unused=True)
        own = zip(self.backbone.parameters(), slopes, strict=True)
        return [p for p, slope in own if slope is not None]


class ImageEncoder(nn.Module):
    """Normalised images ``(B, 3, H, W)`` to ``(B, dim, H / 16, W / 16)``.

    Args:
        trunk: gives ``(B, num_features, H / 16, W / 16)``: :class:`pocketeye.models.PlainViT` or a
            :class:`BackboneTrunk`.
        details: give the trunk's maps of strides 8 and 4 too, brought to ``dim / 4`` and ``dim / 8``
            channels, for the mask decoder to draw outlines by (as SAM 2 does; EfficientTAM, whose ViT
            has one stride only, does without).

    Raises:
        InvalidValue: details are asked of a trunk without maps of strides 8 and 4.
    """

    def __init__(self, trunk: nn.Module, dim: int = 256, details: bool = False) -> None:
        super().__init__()
        self.trunk = trunk
        num_features = trunk.num_features
        assert isinstance(num_features, int)
        self.neck = Neck(num_features, dim)
        self.channels_last = False  # of what it computes; its outputs are in plain order always
        self.details: nn.ModuleList | None = None
        if details:
            chs = getattr(trunk, "detail_chs", ())
            if len(chs) != len(DETAIL_STRIDES):
                raise InvalidValue(
                    "details are read from maps of strides 8 and 4, which this trunk does not have: "
                    "choose another, or details=False"
                )
            widths = (dim // 4, dim // 8)
            self.details = nn.ModuleList(
                nn.Conv2d(ch, width, 1) for ch, width in zip(chs, widths, strict=True)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.encode_image(x).feat

    def for_inference(self) -> ImageEncoder:
        """Return an encoder with the same outputs in eval mode that PyTorch computes faster.

        With EfficientNet-Lite0 on one core at 320 pixels it takes two thirds of the time. The encoder
        itself is left alone; one with a trunk of another kind is returned as it is.
        """
        if not isinstance(self.trunk, BackboneTrunk):
            return self
        faster = copy.deepcopy(self).eval()
        assert isinstance(faster.trunk, BackboneTrunk)
        faster.trunk.backbone = fold_for_torch(self.trunk.backbone)
        faster.channels_last = True
        # All of it: a map in another order is put in order again by every convolution that reads it.
        return faster.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def encode_image(self, x: Tensor) -> ImageFeatures:
        """Return the map of stride 16, and the details where the network has any."""
        if not self.channels_last:
            return self._encode(x)
        seen = self._encode(x.contiguous(memory_format=torch.channels_last))
        # What reads the maps (attention, regression) wants the tokens of a channel in a row.
        return ImageFeatures(seen.feat.contiguous(), tuple(x.contiguous() for x in seen.details))

    def _encode(self, x: Tensor) -> ImageFeatures:
        if self.details is None:
            return ImageFeatures(self.neck(self.trunk(x)))
        seen = self.trunk.encode_image(x)  # type: ignore[operator]
        assert isinstance(seen, ImageFeatures)
        details = zip(self.details, seen.details, strict=True)
        return ImageFeatures(self.neck(seen.feat), tuple(conv(x) for conv, x in details))
