"""Image encoder: any trunk that gives one map of stride 16, and a neck to the tracker's width."""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from pocketeye.errors import InvalidValue

STRIDE = 16


class Neck(nn.Module):
    """1x1 to ``dim`` channels, norm, 3x3, norm."""

    def __init__(self, in_chs: int, dim: int) -> None:
        super().__init__()
        self.conv_1x1 = nn.Conv2d(in_chs, dim, 1, bias=False)
        self.norm_0 = LayerNorm2d(dim)
        self.conv_3x3 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.norm_1 = LayerNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm_1(self.conv_3x3(self.norm_0(self.conv_1x1(x))))


class BackboneTrunk(nn.Module):
    """The stride-16 map of a backbone made with ``features_only=True``.

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
        places = {place["reduction"]: n for n, place in enumerate(info)}
        if STRIDE not in places:
            strides = ", ".join(str(stride) for stride in sorted(places)) or "none"
            raise InvalidValue(
                f"the tracker reads a map of stride {STRIDE}, and this backbone gives strides "
                f"{strides}: choose another, or other out_indices"
            )
        self.backbone, self.place = backbone, places[STRIDE]
        self.num_features = info[self.place]["num_chs"]
        self.context: int | None = places.get(2 * STRIDE) if fuse else None
        if self.context is not None:
            self.lateral = nn.Conv2d(info[self.context]["num_chs"], self.num_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.backbone(x)
        x = maps[self.place]
        if self.context is None:
            return x
        return x + F.interpolate(self.lateral(maps[self.context]), size=x.shape[2:])


class ImageEncoder(nn.Module):
    """Normalised pictures ``(B, 3, H, W)`` to ``(B, dim, H / 16, W / 16)``.

    Args:
        trunk: gives ``(B, num_features, H / 16, W / 16)``: :class:`pocketeye.models.PlainViT` or a
            :class:`BackboneTrunk`.
    """

    def __init__(self, trunk: nn.Module, dim: int = 256) -> None:
        super().__init__()
        self.trunk = trunk
        num_features = trunk.num_features
        assert isinstance(num_features, int)
        self.neck = Neck(num_features, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.neck(self.trunk(x))
