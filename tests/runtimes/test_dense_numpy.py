"""Raw heads through the exporters, and the numpy companions against torch and torchvision."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import batched_nms

from pocketeye.artifacts import detection_numpy, semantic_numpy
from pocketeye.models import (
    RawBoxHead,
    RawMaskHead,
    RawProposals,
    RawRetinaNet,
    RawSemantic,
    create_detector,
    create_semantic,
)
from pocketeye.runtimes import ExportRequest, check_parity
from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime
from tests.conftest import randomise_bn

NANO = "fbnet_96_035_1"
TINY = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}


def retinanet(backbone: str = NANO, **kwargs):
    torch.manual_seed(0)
    given = {"backbone_kwargs": TINY} if backbone == "casvit_xs" else {}
    model = create_detector("retinanet", backbone, 4, fpn_channels=16, **given, **kwargs)
    randomise_bn(model).eval()
    # Fresh heads say 1 % everywhere: give their outputs a spread of 1.5.
    for branch, last in (("classification_head", "cls_logits"), ("regression_head", "bbox_reg")):
        convs, conv = getattr(model.head, branch).conv, getattr(getattr(model.head, branch), last)
        for layer in convs:
            torch.nn.init.kaiming_normal_(layer[0].weight)
        torch.nn.init.zeros_(conv.bias)
        with torch.no_grad():
            maps = model.backbone(torch.randn(1, 3, 96, 96))
            conv.weight.mul_(1.5 / conv(convs(maps["p3"])).std())
    return model


@torch.no_grad()
@pytest.mark.parametrize("score_thresh", [0.0, 0.05, 0.9, 0.9999])
def test_boxes_are_those_of_torchvision(score_thresh):
    # Sizes that the transform leaves alone, padded from 90 to 96 and from 75 to 96.
    model = retinanet(min_size=75, max_size=90, score_thresh=score_thresh)
    image = torch.rand(3, 90, 75)
    images, _ = model.transform([image])
    assert images.tensors.shape == (1, 3, 96, 96)
    (want,) = model([image])
    raw = RawRetinaNet(model)
    outputs = [t.numpy() for t in raw(images.tensors)]
    decoder = detection_numpy.RetinaDecoder(**json.loads(json.dumps(raw.decoder())))
    (got,) = decoder(outputs, (90, 75))
    assert len(got.boxes) == len(want["boxes"])
    assert (len(got.boxes) == 0) == (score_thresh == 0.9999)
    np.testing.assert_array_equal(got.labels, want["labels"].numpy())
    np.testing.assert_allclose(got.scores, want["scores"].numpy(), atol=1e-5)
    np.testing.assert_allclose(got.boxes, want["boxes"].numpy(), atol=1e-4, rtol=0)
    (large,) = decoder(outputs, (90, 75), original_size=(180, 225))
    np.testing.assert_allclose(large.boxes, got.boxes * np.float32([3, 2, 3, 2]), rtol=1e-5)


def test_nms_is_that_of_torchvision():
    generator = torch.Generator().manual_seed(3)
    corner, side = (torch.rand(400, 2, generator=generator) * s for s in (60, 40))
    boxes = torch.cat([corner, corner + side], 1)
    scores = torch.rand(400, generator=generator)
    labels = torch.randint(0, 3, (400,), generator=generator)
    want = batched_nms(boxes, scores, labels, 0.5)
    got = detection_numpy.batched_nms(boxes.numpy(), scores.numpy(), labels.numpy(), 0.5)
    assert 3 < len(want) < 350
    assert got.tolist() == want.tolist()
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    assert detection_numpy.batched_nms(*empty, 0.5).tolist() == []


def test_a_wrong_number_of_maps_is_refused():
    decoder = detection_numpy.RetinaDecoder(
        num_classes=2, strides=[8], sizes=[[32]], aspect_ratios=[1]
    )
    with pytest.raises(ValueError, match="expected 2 maps, got 1"):
        decoder([np.zeros((1, 2, 1, 1), np.float32)], (8, 8))


@pytest.mark.parametrize("size", [(40, 50), (17, 90), (9, 12), (3, 100)])
def test_resizing_is_that_of_torch(size):
    x = torch.randn(3, 17, 25)
    want = F.interpolate(x[None], size=size, mode="bilinear", align_corners=False)[0]
    got = semantic_numpy.resize(x.numpy(), size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)


def test_a_image_keeps_its_shape_on_the_canvas():
    image = np.full((50, 100, 3), 255, np.uint8)
    array, size = semantic_numpy.prepare(image, (64, 64), (0.5, 0.5, 0.5), (0.5, 0.5, 0.25))
    assert size == (32, 64)
    assert array.shape == (1, 3, 64, 64)
    np.testing.assert_allclose(array[0, :, :32].mean((1, 2)), [1, 1, 2])
    assert np.abs(array[0, :, 32:]).max() == 0
    labels = semantic_numpy.label_map(array[0], (64, 64), size, (50, 100))
    assert labels.shape == (50, 100)
    assert set(labels.ravel()) == {2}


@torch.no_grad()
def test_labels_are_those_of_the_network():
    torch.manual_seed(0)
    model = randomise_bn(create_semantic(NANO, 5, fpn_channels=16, channels=8)).eval()
    torch.nn.init.normal_(model.head.classifier.weight)
    x = torch.randn(1, 3, 96, 64)
    want = model(x)[0].argmax(0).numpy()
    got = semantic_numpy.label_map(RawSemantic(model)(x)[0].numpy(), (96, 64))
    assert len(np.unique(want)) > 1
    assert (got == want).mean() > 0.999
    torch.testing.assert_close(
        RawSemantic(model, full_size=True)(x), model(x), rtol=1e-3, atol=1e-3
    )


@torch.no_grad()
def test_what_is_exported_is_folded_however_it_was_trained():
    x = torch.randn(1, 3, 64, 64)
    for norms in ("live", "sync"):
        model = create_semantic("casvit_xs", 3, norms=norms, head_norms=norms, fpn_channels=16,
                                channels=8, backbone_kwargs=TINY)  # fmt: skip
        raw = RawSemantic(randomise_bn(model).eval(), full_size=True)
        torch.testing.assert_close(raw(x), model(x), rtol=1e-4, atol=1e-4)
        left = [n for n, m in raw.named_modules()
                if isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and ".blocks." in n]  # fmt: skip
        assert left == []


def raw_modules():
    mask_rcnn = create_detector("mask_rcnn", NANO, 4, fpn_channels=16).eval()
    image = torch.randn(1, 3, 64, 96)
    casvit = create_semantic("casvit_xs", 5, fpn_channels=16, channels=8, backbone_kwargs=TINY)
    return {
        "retinanet": (RawRetinaNet(retinanet()), image),
        "retinanet_casvit": (RawRetinaNet(retinanet("casvit_xs")), image),
        "semantic": (RawSemantic(randomise_bn(casvit)), image),
        "semantic_full": (RawSemantic(randomise_bn(casvit), full_size=True), image),
        "proposals": (RawProposals(mask_rcnn), image),
        "box_head": (RawBoxHead(mask_rcnn), torch.randn(6, 16, 7, 7)),
        "mask_head": (RawMaskHead(mask_rcnn), torch.randn(2, 16, 14, 14)),
    }


NAMES = ("retinanet", "retinanet_casvit", "semantic", "semantic_full", "proposals", "box_head",
         "mask_head")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_raw_heads_export(name, tmp_path):
    module, x = raw_modules()[name]
    module.eval()
    program = torch.export.export(module, (x,))
    ranks = [n.meta["val"].ndim for n in program.graph.nodes
             if n.op == "call_function" and isinstance(n.meta.get("val"), torch.Tensor)]  # fmt: skip
    assert max(ranks) <= 4
    runtime = OnnxRuntime()
    artifact = runtime.export(
        ExportRequest(module, (x,), output_names=module.output_names), tmp_path
    )
    report = check_parity(module, runtime.load(artifact), [(x.numpy(),)], "fp32")
    assert report.status == "PASS"
    assert [spec.name for spec in artifact.outputs] == list(module.output_names)


@torch.no_grad()
def test_no_norm_stays_in_an_exported_detector_on_casvit(tmp_path):
    model, x = retinanet("casvit_xs"), torch.randn(1, 3, 96, 160)
    names = [f"p{level}" for level in range(3, 8)]
    levels = [model.backbone(x)[name] for name in names]
    said = model.head(levels)  # anchors last: (1, anchors of all levels, values)
    raw, runtime = RawRetinaNet(model).eval(), OnnxRuntime()
    artifact = runtime.export(ExportRequest(raw, (x,), output_names=raw.output_names), tmp_path)
    kinds = [node.op_type for node in onnx.load(artifact.path).graph.node]
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds
    outputs = runtime.load(artifact)(x.numpy())
    for values, key, maps in ((4, "cls_logits", outputs[:5]), (4, "bbox_regression", outputs[5:])):
        got = np.concatenate([detection_numpy.per_anchor(m[0], values) for m in maps])
        assert np.abs(got - said[key][0].numpy()).max() < 1e-4


@torch.no_grad()
def test_an_exported_retinanet_alone_gives_boxes(tmp_path):
    model = retinanet(min_size=64, max_size=96, score_thresh=0.3)
    raw, runtime = RawRetinaNet(model), OnnxRuntime()
    artifact = runtime.export(
        ExportRequest(raw, (torch.zeros(1, 3, 64, 96),), output_names=raw.output_names), tmp_path
    )
    image = np.random.default_rng(0).integers(0, 256, (60, 96, 3), np.uint8)
    transform = model.transform
    array, size = semantic_numpy.prepare(image, (64, 96), transform.image_mean, transform.image_std)
    decoder = detection_numpy.RetinaDecoder(**raw.decoder())
    (got,) = decoder(runtime.load(artifact)(array), size)
    (want,) = model([torch.from_numpy(image).permute(2, 0, 1) / 255])
    assert len(got.boxes) == len(want["boxes"]) > 10
    np.testing.assert_allclose(got.scores, want["scores"].numpy(), atol=1e-4)
    np.testing.assert_allclose(got.boxes, want["boxes"].numpy(), atol=1e-2)
