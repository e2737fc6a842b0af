"""State dicts in the layout of mmdetection 2.24 and mmsegmentation 0.24, and what they compute.

The references are plain functions of a state dict in that layout, written from the conventions of those
libraries; nothing of ours is in them but the backbone's maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.parity.official import Shape, _conv, _norm, casvit_keys

TINY = {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 24)}
WIDTH = 16
State = dict[str, Tensor]


def retinanet_keys(num_classes: int, *, all_norms: bool = False) -> dict[str, Shape]:
    """``all_norms``: with the norm at stride 4, which the released code has replaced by nothing."""
    keys = _backbone()
    if not all_norms:
        keys = {k: v for k, v in keys.items() if not k.startswith("backbone.norm0.")}
    keys |= _neck(TINY["dims"][1:])
    for number, chs in ((3, TINY["dims"][-1]), (4, WIDTH)):
        keys |= _conv(f"neck.fpn_convs.{number}.conv", (WIDTH, chs, 3, 3))
    for branch, number in ((b, n) for b in ("cls", "reg") for n in range(4)):
        keys |= _conv(f"bbox_head.{branch}_convs.{number}.conv", (WIDTH, WIDTH, 3, 3))
    keys |= _conv("bbox_head.retina_cls", (9 * num_classes, WIDTH, 3, 3))
    return keys | _conv("bbox_head.retina_reg", (36, WIDTH, 3, 3))


def mask_rcnn_keys(num_classes: int) -> dict[str, Shape]:
    keys = _backbone() | _neck(TINY["dims"])
    keys |= _conv("rpn_head.rpn_conv", (WIDTH, WIDTH, 3, 3))
    keys |= _conv("rpn_head.rpn_cls", (3, WIDTH, 1, 1))
    keys |= _conv("rpn_head.rpn_reg", (12, WIDTH, 1, 1))
    box, mask = "roi_head.bbox_head", "roi_head.mask_head"
    keys |= _conv(f"{box}.fc_cls", (num_classes + 1, 1024))
    keys |= _conv(f"{box}.fc_reg", (4 * num_classes, 1024))
    keys |= _conv(f"{box}.shared_fcs.0", (1024, WIDTH * 49))
    keys |= _conv(f"{box}.shared_fcs.1", (1024, 1024))
    for number in range(4):
        keys |= _conv(f"{mask}.convs.{number}.conv", (256, 256 if number else WIDTH, 3, 3))
    keys |= _conv(f"{mask}.upsample", (256, 256, 2, 2))
    return keys | _conv(f"{mask}.conv_logits", (num_classes, 256, 1, 1))


def semantic_keys(num_classes: int, channels: int) -> dict[str, Shape]:
    keys = _backbone() | _neck(TINY["dims"])
    keys |= _conv("decode_head.conv_seg", (num_classes, channels, 1, 1))
    for level, steps in enumerate((1, 1, 2, 3)):
        for step in range(steps):
            place = f"decode_head.scale_heads.{level}.{2 * step}"
            chs = channels if step else WIDTH
            keys |= _conv(f"{place}.conv", (channels, chs, 3, 3), bias=False)
            keys |= _norm(f"{place}.bn", channels)
    return keys


def _backbone() -> dict[str, Shape]:
    keys = casvit_keys(**TINY, out_norms=True)
    return {f"backbone.{key}": shape for key, shape in keys.items()}


def _neck(dims: Shape) -> dict[str, Shape]:
    keys: dict[str, Shape] = {}
    for number, dim in enumerate(dims):
        keys |= _conv(f"neck.lateral_convs.{number}.conv", (WIDTH, dim, 1, 1))
        keys |= _conv(f"neck.fpn_convs.{number}.conv", (WIDTH, WIDTH, 3, 3))
    return keys


def conv(state: State, name: str, x: Tensor, **kwargs: int) -> Tensor:
    weight = state[f"{name}.weight"]
    padding = weight.shape[-1] // 2
    return F.conv2d(x, weight, state.get(f"{name}.bias"), padding=padding, **kwargs)


def neck(state: State, maps: list[Tensor]) -> list[Tensor]:
    """The levels of the backbone's maps."""
    laterals = [conv(state, f"neck.lateral_convs.{n}.conv", m) for n, m in enumerate(maps)]
    for n in range(len(laterals) - 1, 0, -1):
        up = F.interpolate(laterals[n], size=laterals[n - 1].shape[2:], mode="nearest")
        laterals[n - 1] = laterals[n - 1] + up
    return [conv(state, f"neck.fpn_convs.{n}.conv", x) for n, x in enumerate(laterals)]


def retina_maps(state: State, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """``cls_scores`` and ``bbox_preds`` of ``RetinaHead``, from maps at strides 8, 16 and 32."""
    levels = neck(state, maps)
    levels.append(conv(state, "neck.fpn_convs.3.conv", maps[-1], stride=2))
    levels.append(conv(state, "neck.fpn_convs.4.conv", levels[-1], stride=2))
    found: list[list[Tensor]] = []
    for branch in ("cls", "reg"):
        found.append([])
        for x in levels:
            for n in range(4):
                x = conv(state, f"bbox_head.{branch}_convs.{n}.conv", x).relu()
            found[-1].append(conv(state, f"bbox_head.retina_{branch}", x))
    return found[0], found[1]


def retina_boxes(
    cls_scores: list[Tensor], bbox_preds: list[Tensor], num_classes: int
) -> tuple[Tensor, Tensor]:
    """Of the one image, boxes ``(N, 4)`` of every anchor, unclipped, and scores ``(N, classes)``."""
    boxes, scores = [], []
    for stride, cls_score, bbox_pred in zip(
        (8, 16, 32, 64, 128), cls_scores, bbox_preds, strict=True
    ):
        height, width = cls_score.shape[-2:]
        anchors = [
            (x * stride, y * stride, stride * 4 * 2 ** (octave / 3) / math.sqrt(ratio),
             stride * 4 * 2 ** (octave / 3) * math.sqrt(ratio))
            for y in range(height) for x in range(width)
            for ratio in (0.5, 1.0, 2.0) for octave in range(3)
        ]  # fmt: skip
        cx, cy, w, h = torch.tensor(anchors, dtype=torch.float64).unbind(1)
        dx, dy, dw, dh = bbox_pred[0].permute(1, 2, 0).reshape(-1, 4).double().unbind(1)
        centre, size = (cx + dx * w, cy + dy * h), (w * dw.exp(), h * dh.exp())
        corners = [c + sign * s / 2 for sign in (-1, 1) for c, s in zip(centre, size, strict=True)]
        boxes.append(torch.stack(corners, dim=1))
        scores.append(cls_score[0].permute(1, 2, 0).reshape(-1, num_classes).sigmoid())
    return torch.cat(boxes), torch.cat(scores)


def fpn_head(state: State, levels: list[Tensor]) -> Tensor:
    """``FPNHead`` of mmsegmentation in eval mode, at stride 4."""
    total = None
    for number, x in enumerate(levels):
        for step in range(max(number, 1)):
            place = f"decode_head.scale_heads.{number}.{2 * step}"
            x = conv(state, f"{place}.conv", x)
            bn = [state[f"{place}.bn.{leaf}"] for leaf in
                  ("running_mean", "running_var", "weight", "bias")]  # fmt: skip
            x = F.batch_norm(x, *bn).relu()
            if number:
                size = [2 * n for n in x.shape[2:]]
                x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        if total is not None:
            x = F.interpolate(x, size=total.shape[2:], mode="bilinear", align_corners=False)
        total = x if total is None else total + x
    assert total is not None
    return conv(state, "decode_head.conv_seg", total)
