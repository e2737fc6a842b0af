"""Mask R-CNN's numpy companion against torchvision: crops, pasting, and the whole way."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from pocketeye.artifacts import mask_rcnn_numpy, roi_numpy
from pocketeye.models import RawBoxHead, RawMaskHead, RawProposals, create_detector
from pocketeye.models.dense.roi_heads import AlignedRoIAlign
from tests.conftest import randomise_bn

BOXES = [[3.0, 5, 40, 33], [0, 0, 63.5, 47], [10, 10, 10, 20], [-30, 20, 20, 90], [50, 2, 64, 48]]


@pytest.mark.parametrize("size", [7, 14])
def test_crops_are_those_of_torchvision(size):
    feature = torch.randn(1, 3, 12, 16)
    boxes = torch.tensor(BOXES)
    want = roi_align(feature, [boxes], size, 0.25, 0, aligned=True)
    got = roi_numpy.roi_align(feature[0].numpy(), boxes.numpy(), size, 0.25)
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)
    assert roi_numpy.roi_align(feature[0].numpy(), boxes.numpy()[:0], size, 0.25).shape[0] == 0


def test_levels_are_those_of_the_network():
    maps = [torch.randn(1, 2, 128 >> n, 128 >> n) for n in range(4)]
    strides = (4, 8, 16, 32)
    corner = torch.tensor([[10.0, 10.0]])
    sides = torch.tensor([[20.0], [111], [113], [225], [230], [449], [500]])
    boxes = torch.cat([corner.expand(len(sides), 2), corner + sides], dim=1)
    names = ["p2", "p3", "p4", "p5"]
    pool = AlignedRoIAlign(names, strides, 7)
    want = pool(dict(zip(names, maps, strict=True)), [boxes], [(512, 512)])
    got = roi_numpy.pyramid_crops([m[0].numpy() for m in maps], strides, boxes.numpy(), 7)
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)


def test_masks_are_pasted_as_torchvision_does():
    masks = torch.rand(len(BOXES), 1, 28, 28)
    boxes = torch.tensor(BOXES)
    want = paste_masks_in_image(masks, boxes, (48, 64))[:, 0]
    got = roi_numpy.paste(masks[:, 0].numpy(), boxes.numpy(), (48, 64))
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)
    nothing = roi_numpy.paste(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4)), (48, 64))
    assert nothing.shape == (0, 48, 64)


def mask_rcnn(score_thresh: float):
    torch.manual_seed(0)
    model = create_detector("mask_rcnn", "fbnet_96_035_1", 3, fpn_channels=8, min_size=75,
                            max_size=90, score_thresh=score_thresh)  # fmt: skip
    heads = model.roi_heads
    for layer in (model.rpn.head.cls_logits, model.rpn.head.bbox_pred, heads.box_predictor.cls_score,
                  heads.box_predictor.bbox_pred, heads.mask_predictor.mask_fcn_logits):  # fmt: skip
        torch.nn.init.normal_(layer.weight, std=2 / layer.weight[0].numel() ** 0.5)
    return randomise_bn(model).eval()


@torch.no_grad()
@pytest.mark.parametrize("score_thresh", [0.3, 0.99999])
def test_instances_are_those_of_torchvision(score_thresh):
    model = mask_rcnn(score_thresh)
    image = torch.rand(3, 90, 75)
    images, _ = model.transform([image])
    (want,) = model([image])
    assert (len(want["boxes"]) > 5) == (score_thresh == 0.3)

    def graph(module):
        module.eval()

        def run(array: np.ndarray) -> tuple[np.ndarray, ...]:
            result = module(torch.from_numpy(array))
            return tuple(t.numpy() for t in (result if isinstance(result, tuple) else (result,)))

        return run

    raw = RawProposals(model)
    decoder = mask_rcnn_numpy.MaskRCNNDecoder(**json.loads(json.dumps(raw.decoder())))
    got = decoder(
        images.tensors.numpy(), graph(raw), graph(RawBoxHead(model)), graph(RawMaskHead(model)),
        (64, 16), (90, 75), (90, 75),
    )  # fmt: skip
    assert len(got.boxes) == len(want["boxes"])
    np.testing.assert_array_equal(got.labels, want["labels"].numpy())
    np.testing.assert_allclose(got.scores, want["scores"].numpy(), atol=1e-4)
    np.testing.assert_allclose(got.boxes, want["boxes"].numpy(), atol=1e-3)
    assert got.masks.shape == (len(got.boxes), 90, 75)
    np.testing.assert_allclose(got.masks, want["masks"][:, 0].numpy(), atol=1e-3)


def test_a_image_in_which_nothing_is_proposed():
    decoder = mask_rcnn_numpy.MaskRCNNDecoder(**RawProposals(mask_rcnn(0.3)).decoder())
    sides = [24, 12, 6, 3, 2]
    maps = [np.zeros((1, 8, side, side), np.float32) for side in sides[:-1]]
    objects = [np.zeros((1, 3, side, side), np.float32) for side in sides]
    shrunk = [np.full((1, 12, side, side), -50, np.float32) for side in sides]
    found = decoder(
        np.zeros((1, 3, 96, 96), np.float32),
        lambda image: [*maps, *objects, *shrunk],
        lambda crops: [np.zeros((len(crops), 4), np.float32), np.zeros((len(crops), 16), np.float32)],
        lambda crops: [np.zeros((len(crops), 4, 28, 28), np.float32)],
        (4, 2), (96, 96), (50, 60),
    )  # fmt: skip
    assert [column.shape for column in found] == [(0, 4), (0,), (0,), (0, 50, 60)]
