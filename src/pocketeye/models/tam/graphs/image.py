"""Encode a frame once for all objects."""

from __future__ import annotations

import copy

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from pocketeye.layers import bilinear_matrix, fold_before, set_fused_attn
from pocketeye.models._fuse import fuse
from pocketeye.models.tam.graphs.layers import (
    Enlarge,
    beside,
    in_cells,
    in_quarters,
    normalise_rows,
    on_rows,
    rows_of,
)
from pocketeye.models.tam.graphs.neck import RowsNeck
from pocketeye.models.tam.image_encoder import BackboneTrunk, ImageEncoder
from pocketeye.models.tam.tam import TAM
from pocketeye.models.tam.target_model import TargetModel


class TargetKeys(nn.Module):
    """Compute the keys of :class:`TargetModel` from rows."""

    def __init__(self, target: TargetModel, feat_size: tuple[int, int]) -> None:
        super().__init__()
        self.key_16, self.key_8 = beside(target.key_16), beside(target.key_8)
        self.enlarge = Enlarge([bilinear_matrix(2 * side, side) for side in feat_size])

    def forward(self, feat: Tensor, detail_8: Tensor) -> Tensor:
        """Return keys of unit length ``(1, 4 N, K)`` from rows in plain order."""
        coarse = self.enlarge(on_rows(self.key_16, feat))
        return normalise_rows(coarse + on_rows(self.key_8, detail_8))


class ImageGraph(nn.Module):
    """Encode an image as it comes from a file: uint8 ``(1, H, W, 3)``.

    Outputs, each where the network has it:

    - ``feat``: rows ``(1, N, C)`` of stride 16;
    - ``detail_8``, ``detail_4``: rows ``(1, 4 N, C / 4)`` and ``(1, 16 N, C / 8)``, in the order in
      which the decoder enlarges;
    - ``match_key``: unit keys ``(1, N, K)`` of matching;
    - ``target_key``: unit keys ``(1, 4 N, K)`` of the target model, row by row.
    """

    def __init__(self, model: TAM) -> None:
        super().__init__()
        self.feat_size, self.image_size = model.feat_size, model.image_size
        self.encoder = for_export(model.image_encoder)
        self.normalise = _normalising()
        self.match_key = None if model.matching is None else beside(model.matching.key)
        self.target = None if model.target is None else TargetKeys(model.target, model.feat_size)

    @property
    def is_transformer(self) -> bool:
        """Whether attention sees the image, and not convolutions alone."""
        return not isinstance(self.encoder.trunk, BackboneTrunk)

    @property
    def input_names(self) -> tuple[str, ...]:
        return ("image",)

    @property
    def output_names(self) -> tuple[str, ...]:
        names = ["feat"]
        if self.encoder.details is not None:
            names += ["detail_8", "detail_4"]
        if self.match_key is not None:
            names.append("match_key")
        if self.target is not None:
            names.append("target_key")
        return tuple(names)

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes."""
        return (torch.zeros(1, *self.image_size, 3, dtype=torch.uint8),)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image.permute(0, 3, 1, 2).to(self.normalise.weight.dtype)
        seen = self.encoder.encode_image(self.normalise(x))
        feat, found = rows_of(seen.feat), []
        if seen.details:
            detail_8, detail_4 = (rows_of(detail) for detail in seen.details)
            found += [in_cells(detail_8, *self.feat_size), in_quarters(detail_4, *self.feat_size)]
        if self.match_key is not None:
            found.append(normalise_rows(on_rows(self.match_key, feat)))
        if self.target is not None:
            found.append(self.target(feat, detail_8))
        return (feat, *found)


def _normalising() -> nn.Conv2d:
    """Make the normalisation of bytes, as a convolution of single pixels.

    It is what every runtime also has in 8 bits: ONNX Runtime takes 10 ms at 320 pixels to multiply by
    one number per channel and add another in bytes, and 0.2 ms for this.
    """
    mean, std = torch.tensor(IMAGENET_DEFAULT_MEAN), torch.tensor(IMAGENET_DEFAULT_STD)
    conv = nn.Conv2d(3, 3, 1, groups=3)
    with torch.no_grad():
        conv.weight.copy_((1 / (255 * std)).view(3, 1, 1, 1))
        conv.bias.copy_(-mean / std)  # type: ignore[union-attr]
    return conv


def for_export(encoder: ImageEncoder) -> ImageEncoder:
    """Return a copy that computes the same in fewer operations; ``encoder`` is left alone."""
    encoder = copy.deepcopy(encoder).eval()
    encoder.channels_last = False
    trunk = encoder.trunk
    if isinstance(trunk, BackboneTrunk):
        trunk.backbone = fuse(trunk.backbone)
        # 1x1 convolutions take in the norm before them.
        places = {str(stride): n for n, stride in enumerate(trunk.detail_strides)}
        for stride, norm in list(trunk.norms.items()):
            assert isinstance(norm, nn.BatchNorm2d)
            if stride in places and encoder.details is not None:
                conv = encoder.details[places[stride]]
                assert isinstance(conv, nn.Conv2d)
                encoder.details[places[stride]] = fold_before(norm, conv)
            elif stride == "32" and trunk.fuse:
                trunk.lateral = fold_before(norm, trunk.lateral)
            else:
                continue
            trunk.norms[stride] = nn.Identity()
    else:  # a ViT, whose tokens are rows already
        encoder.neck = RowsNeck(encoder.neck)  # type: ignore[assignment]
    return set_fused_attn(encoder, False)  # type: ignore[return-value]
