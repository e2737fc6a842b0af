"""Official detection and segmentation layouts load, and compute what they compute there."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import pocketeye
from pocketeye.errors import InvalidValue
from pocketeye.models import create_detector, create_semantic, load_backbone
from tests.models import mm_layout as mm
from tests.parity.official import casvit_keys, filled

K = 5


def detector(name: str, **kwargs):
    kwargs = {"min_size": 96, "max_size": 160, **kwargs}
    return create_detector(
        name, "casvit_xs", K, fpn_channels=mm.WIDTH, backbone_kwargs=mm.TINY, **kwargs
    ).eval()


def segmenter():
    return create_semantic(
        "casvit_xs", K, fpn_channels=mm.WIDTH, channels=12, backbone_kwargs=mm.TINY
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("all_norms", [True, False])
def test_retinanet_computes_the_same(all_norms, tmp_path):
    state = filled(mm.retinanet_keys(K, all_norms=all_norms))
    torch.save({"meta": {}, "state_dict": state}, tmp_path / "det.pth")
    model = pocketeye.load_checkpoint(detector("retinanet"), tmp_path / "det.pth")
    x = torch.randn(1, 3, 75, 110)  # no map divides evenly
    cls_scores, bbox_preds = mm.retina_maps(state, model.backbone.body(x))
    boxes, scores = mm.retina_boxes(cls_scores, bbox_preds, K)
    features = list(model.backbone(x).values())
    found = model.head(features)
    torch.testing.assert_close(found["cls_logits"][0].sigmoid(), scores, rtol=1e-4, atol=1e-5)
    (anchors,) = model.anchor_generator(mm_image_list(x), features)
    deltas = found["bbox_regression"][0].double()
    decoded = model.box_coder.decode_single(deltas, anchors.double())
    torch.testing.assert_close(decoded, boxes, rtol=1e-4, atol=1e-3)


def mm_image_list(x):
    from torchvision.models.detection.image_list import ImageList

    return ImageList(x, [tuple(x.shape[-2:])])


@torch.no_grad()
def test_mask_rcnn_computes_the_same():
    state = filled(mm.mask_rcnn_keys(K))
    model = pocketeye.load_checkpoint(detector("mask_rcnn"), state)
    x = torch.randn(1, 3, 64, 96)
    levels = mm.neck(state, model.backbone.body(x))
    ours = list(model.backbone(x).values())
    torch.testing.assert_close(ours[:4], levels, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours[4], levels[3][:, :, ::2, ::2], rtol=1e-4, atol=1e-5)
    shared = mm.conv(state, "rpn_head.rpn_conv", levels[0]).relu()
    logits, deltas = model.rpn.head(ours)
    torch.testing.assert_close(logits[0], mm.conv(state, "rpn_head.rpn_cls", shared))
    torch.testing.assert_close(deltas[0], mm.conv(state, "rpn_head.rpn_reg", shared))

    box, mask = "roi_head.bbox_head", "roi_head.mask_head"
    crops = torch.randn(3, mm.WIDTH, 7, 7)
    hidden = crops.flatten(1)
    for name in ("shared_fcs.0", "shared_fcs.1"):
        hidden = F.linear(hidden, state[f"{box}.{name}.weight"], state[f"{box}.{name}.bias"]).relu()
    want_cls, want_reg = (
        F.linear(hidden, state[f"{box}.{n}.weight"], state[f"{box}.{n}.bias"])
        for n in ("fc_cls", "fc_reg")
    )
    heads = model.roi_heads
    got_cls, got_reg = heads.box_predictor(heads.box_head(crops))
    torch.testing.assert_close(got_cls[:, 1:], want_cls[:, :K], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got_cls[:, 0], want_cls[:, K], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got_reg[:, 4:], want_reg, rtol=1e-4, atol=1e-5)

    y = crops = torch.randn(2, mm.WIDTH, 14, 14)
    for number in range(4):
        y = mm.conv(state, f"{mask}.convs.{number}.conv", y).relu()
    up = (state[f"{mask}.upsample.weight"], state[f"{mask}.upsample.bias"])
    y = F.conv_transpose2d(y, *up, stride=2).relu()
    want = mm.conv(state, f"{mask}.conv_logits", y)
    got = heads.mask_predictor(heads.mask_head(crops))[:, 1:]
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_semantic_fpn_computes_the_same():
    state = filled(mm.semantic_keys(K, 12))
    model = pocketeye.load_checkpoint(segmenter(), {"state_dict": state})
    x = torch.randn(2, 3, 71, 90)
    want = mm.fpn_head(state, mm.neck(state, model.backbone.body(x)))
    want = F.interpolate(want, size=(71, 90), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (lambda: detector("retinanet"), mm.retinanet_keys(K)),
        (lambda: detector("mask_rcnn"), mm.mask_rcnn_keys(K)),
        (segmenter, mm.semantic_keys(K, 12)),
    ],
    ids=["retinanet", "mask_rcnn", "semantic"],
)
def test_every_weight_arrives_once(make, keys):
    state = filled(keys)
    model = pocketeye.load_checkpoint(make(), state)
    held = sorted(round(v.double().abs().sum().item(), 3) for v in model.state_dict().values())
    theirs = sorted(round(v.double().abs().sum().item(), 3) for v in state.values())
    assert held == theirs
    again = pocketeye.load_checkpoint(make(), model.state_dict())
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())


def test_what_does_not_fit_is_named():
    state = filled(mm.retinanet_keys(K + 1))
    with pytest.raises(InvalidValue, match=r"retinanet on casvit_xs: 2 of another shape .*54, 16"):
        pocketeye.load_checkpoint(detector("retinanet"), state)
    with pytest.raises(InvalidValue, match="missing"):
        pocketeye.load_checkpoint(detector("mask_rcnn"), state)
    other = create_semantic("casvit_s", K)
    with pytest.raises(InvalidValue, match="another variant"):
        pocketeye.load_checkpoint(other, filled(mm.semantic_keys(K, 12)))


@pytest.mark.parametrize("source", ["classifier", "segmenter", "fbnet"])
def test_a_backbone_alone_loads(source):
    if source == "fbnet":
        model = create_detector("retinanet", "fbnet_96_035_1", K, fpn_channels=mm.WIDTH)
        torch.manual_seed(1)
        state = pocketeye.create_model("fbnet_96_035_1", num_classes=7).state_dict()
        key = "conv_stem.weight"
    else:
        model = detector("retinanet")
        state = filled(casvit_keys(**mm.TINY, num_classes=7))
        if source == "segmenter":
            state = filled(mm.semantic_keys(K, 12))
        key = "stem.0.conv.weight"
    load_backbone(model, state)
    their_key = {"classifier": "patch_embed.0.weight", "segmenter": "backbone.patch_embed.0.weight",
                 "fbnet": "conv_stem.weight"}[source]  # fmt: skip
    assert torch.equal(model.backbone.body.model.state_dict()[key], state[their_key])
    del state[their_key]
    with pytest.raises(InvalidValue, match="1 missing"):
        load_backbone(model, state)
