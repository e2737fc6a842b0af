"""RetinaNet and Mask R-CNN on any backbone: losses, rules, labels, precision."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import box_iou

from pocketeye.errors import InvalidValue
from pocketeye.models import DETECTORS, create_detector
from pocketeye.models.dense.anchors import LowQualityMatcher, StridedAnchors, octaves
from pocketeye.models.dense.resize import AnyShapeTransform
from pocketeye.models.dense.roi_heads import AlignedRoIAlign, mask_targets

NANO = "fbnet_96_035_1"
MOST = 12  # objects of an image; a hundred masks take most of a second


def make(name: str, num_classes: int = 3, backbone: str = NANO, **kwargs):
    torch.manual_seed(0)
    sizes = {"min_size": 96, "max_size": 128, "fpn_channels": 32, "detections_per_img": MOST}
    return create_detector(name, backbone, num_classes, **{**sizes, **kwargs})


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 90, 120, generator=generator), torch.rand(3, 97, 71, generator=generator)]


def target(boxes: list[list[float]], labels: list[int], size: tuple[int, int]):
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"boxes": corners, "labels": torch.tensor(labels, dtype=torch.int64), "masks": masks}


def targets(*, empty: int = 1):
    rows = [target([[5, 6, 60, 50], [70, 10, 110, 80]], [0, 2], (90, 120)),
            target([[10, 10, 40, 60]], [1], (97, 71))]  # fmt: skip
    blank = [target([], [], (90, 120)), target([], [], (97, 71))]
    return rows[: 2 - empty] + blank[2 - empty :]


# Fact sheet, section 1.4: millions of parameters, 80 classes.
@pytest.mark.parametrize(
    ("backbone", "retinanet", "mask_rcnn"), [("casvit_xs", 12.2, 22.8), ("casvit_m", 21.5, 31.8)]
)
def test_parameters_of_the_official_networks(backbone, retinanet, mask_rcnn):
    for name, want in (("retinanet", retinanet), ("mask_rcnn", mask_rcnn)):
        model = create_detector(name, backbone, 80)
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(want, abs=0.05)


@pytest.mark.parametrize("backbone", [NANO, "casvit_xs"])
@pytest.mark.parametrize("name", DETECTORS)
def test_a_training_step_reaches_every_parameter(name, backbone):
    kwargs = {"backbone_kwargs": {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}}
    model = make(name, backbone=backbone, **(kwargs if backbone == "casvit_xs" else {})).train()
    losses = model(images(), targets())
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", DETECTORS)
def test_a_batch_of_nothing_trains(name):
    model = make(name).train()
    losses = model(images(), targets(empty=2))
    assert all(torch.isfinite(loss) for loss in losses.values())
    boxes = [key for key in losses if "box" in key or "mask" in key]
    assert boxes
    assert all(losses[key].item() == 0 for key in boxes)
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_are_of_the_image_as_it_came(name):
    model = make(name, score_thresh=0.0).eval()
    with torch.no_grad():
        found = model(images())
    for row, image in zip(found, images(), strict=True):
        height, width = image.shape[1:]
        assert 0 < len(row["boxes"]) <= MOST
        assert row["boxes"].min() >= 0
        assert row["boxes"][:, 2].max() <= width + 1e-3
        assert row["boxes"][:, 3].max() <= height + 1e-3
        assert set(row["labels"].tolist()) <= {0, 1, 2}
        assert torch.equal(row["scores"], row["scores"].sort(descending=True).values)
        if name == "mask_rcnn":
            assert row["masks"].shape == (len(row["boxes"]), 1, height, width)


@torch.no_grad()
def test_labels_begin_at_0_in_mask_rcnn_too():
    model = make("mask_rcnn").eval()
    model.roi_heads.box_predictor.cls_score.bias[:] = torch.tensor([-9.0, -9, 9, -9])
    assert model(images())[0]["labels"].unique().tolist() == [1]
    seen = []
    model.roi_heads.register_forward_pre_hook(
        lambda m, args: seen.extend(t["labels"].tolist() for t in args[3])
    )
    model.train()
    model(images(), given := targets())
    assert seen == [[1, 3], []]
    assert given[0]["labels"].tolist() == [0, 2]


def test_retinanet_losses_by_the_formula():
    model = make("retinanet").train()
    seen: dict[str, list] = {}
    model.head.register_forward_hook(lambda m, args, out: seen.setdefault("head", []).append(out))
    model.anchor_generator.register_forward_hook(
        lambda m, args, out: seen.setdefault("anchors", []).append((args, out))
    )
    given = targets(empty=0)
    with torch.no_grad():
        losses = model(images(), given)
        resized = model.transform(images(), given)[1]
    out, anchors = seen["head"][0], seen["anchors"][0][1]
    focal, l1, count = 0.0, 0.0, 0
    for number, row in enumerate(resized):
        iou = box_iou(row["boxes"], anchors[number])
        best, which = iou.max(0)
        matched = torch.where(best >= 0.5, which, torch.where(best < 0.4, -1, -2))
        for box in range(len(iou)):
            matched[iou[box] == iou[box].max()] = box
        positive = matched >= 0
        count += max(int(positive.sum()), 1)
        p = out["cls_logits"][number].sigmoid().double()
        y = torch.zeros_like(p)
        y[positive, row["labels"][matched[positive]]] = 1
        term = -torch.where(y == 1, 0.25 * (1 - p) ** 2 * p.log(), 0.75 * p**2 * (1 - p).log())
        focal += float(term[matched != -2].sum())
        a, g = anchors[number][positive], row["boxes"][matched[positive]]
        size = a[:, 2:] - a[:, :2]
        shift = ((g[:, :2] + g[:, 2:]) - (a[:, :2] + a[:, 2:])) / 2 / size
        scale = ((g[:, 2:] - g[:, :2]) / size).log()
        wanted = torch.cat([shift, scale], 1)
        l1 += float((out["bbox_regression"][number][positive] - wanted).abs().sum())
    assert count > 2
    assert losses["classification"].item() == pytest.approx(focal / count, rel=1e-4)
    assert losses["bbox_regression"].item() == pytest.approx(l1 / count, rel=1e-4)


def test_anchors_are_exact_and_ordered_by_ratio_then_size():
    strides = (8, 128)
    anchors = StridedAnchors(strides, octaves(strides), (0.5, 1.0, 2.0))
    maps = [torch.zeros(1, 1, 2, 3, dtype=torch.bfloat16), torch.zeros(1, 1, 1, 2)]

    class Images:
        image_sizes = ((9, 17),)

    (found,) = anchors(Images(), maps)
    assert found.dtype == torch.float32
    assert found.shape == (9 * (6 + 2), 4)
    width, height = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    sizes = (width * height).sqrt()[:9]
    steps = [32 * 2 ** (n / 3) for n in range(3)]
    torch.testing.assert_close(sizes, torch.tensor(steps * 3))
    torch.testing.assert_close((height / width)[:9], torch.tensor([0.5, 1, 2]).repeat_interleave(3))
    centres = (found[:, :2] + found[:, 2:]) / 2
    torch.testing.assert_close(centres[9], torch.tensor([8.0, 0.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(centres[-1], torch.tensor([128.0, 0.0]), atol=1e-4, rtol=0)


def test_a_box_takes_its_best_anchors_if_they_are_good_enough():
    iou = torch.tensor([[0.8, 0.72, 0.2, 0.0], [0.75, 0.1, 0.1, 0.0], [0.0, 0.0, 0.1, 0.29]])
    found = LowQualityMatcher(0.7, 0.3, least=0.3)(iou)
    assert found.tolist() == [1, 0, -1, -1]  # the second box wins the anchor of the first
    found = LowQualityMatcher(0.7, 0.3, least=0.0)(iou)
    assert found.tolist() == [1, 0, -1, 2]
    nothing = LowQualityMatcher(0.5, 0.4, least=0.0)(torch.tensor([[0.0, 0.0], [0.45, 0.6]]))
    assert nothing.tolist() == [-2, 1]  # a box that overlaps nothing takes nothing


def test_crops_are_where_the_boxes_are():
    strides = (4, 8)
    maps = {}
    for name, stride in zip(("p2", "p3"), strides, strict=True):
        # every pixel holds the x of its centre in the image
        x = (torch.arange(256 // stride) + 0.5) * stride
        maps[name] = x.expand(1, 1, 256 // stride, -1)
    pool = AlignedRoIAlign(("p2", "p3"), strides, 7)
    boxes = [torch.tensor([[20.0, 40, 90, 110], [31, 30, 199, 198], [50, 50, 60, 60]])]
    crops = pool(maps, boxes, [(256, 256)])
    for crop, (x1, _, x2, _) in zip(crops[:2], boxes[0], strict=False):
        bins = x1 + (torch.arange(7) + 0.5) * (x2 - x1) / 7
        torch.testing.assert_close(crop[0, 0], bins, rtol=0, atol=1e-3)
    # 70, 168 and 10 pixels: the second is of stride 8; a level that is not read changes nothing
    maps["p3"] = maps["p3"] * 0
    assert (pool(maps, boxes, [(256, 256)])[:, 0, 0, 3] == 0).tolist() == [False, True, False]


def test_mask_targets_are_crops_of_the_right_mask():
    masks = torch.zeros(2, 40, 40, dtype=torch.uint8)
    masks[1, 10:20, 10:30] = 1
    boxes = torch.tensor([[10.0, 10, 30, 30], [0, 0, 8, 8]])
    crops = mask_targets(masks, boxes, torch.tensor([1, 0]), 28)
    assert crops[0].mean() == pytest.approx(0.5)
    assert crops[0, :14].min() == 1
    assert crops[1].max() == 0


@pytest.mark.parametrize("name", DETECTORS)
def test_half_precision_keeps_boxes_exact(name):
    # bfloat16 is slow on a CPU: one small image, few masks
    model = make(name, fpn_channels=16, detections_per_img=4, min_size=48, max_size=64).train()
    if name == "mask_rcnn":
        model.roi_heads.fg_bg_sampler.batch_size_per_image = 32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(images()[:1], targets()[:1])
    assert all(torch.isfinite(loss) and loss.dtype == torch.float32 for loss in losses.values())
    sum(losses.values()).backward()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        found = model.eval()(images()[:1])
    assert all(row["boxes"].dtype == torch.float32 for row in found)


def test_the_input_is_normalised_as_the_backbone_knows_it():
    model = make("retinanet", backbone="mobilenetv3_small_050")
    assert model.transform.image_mean == [0.485, 0.456, 0.406]
    model = make("retinanet", backbone="mobilenetv4_conv_small_035")
    assert model.transform.image_mean == list(model.backbone.body.model.default_cfg["mean"])
    assert make("mask_rcnn", image_mean=[0, 0, 0]).transform.image_mean == [0, 0, 0]


def test_mistakes_say_what_to_do():
    with pytest.raises(InvalidValue, match="Did you mean 'retinanet'"):
        create_detector("retinnet", NANO, 3)
    with pytest.raises(InvalidValue, match="at least one class"):
        create_detector("retinanet", NANO, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_two_images_can_be_learnt(name):
    model = make(name, norms="live").train()
    given = targets(empty=0)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / 150))
        optimizer.zero_grad()
        sum(model(images(), given).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    for module in model.modules():  # running statistics of two images are no good
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(images(), given)
        found = model.eval()(images())
    for row, want in zip(found, given, strict=True):
        iou = box_iou(want["boxes"], row["boxes"][: len(want["boxes"])])
        best, which = iou.max(1)
        assert best.min() > 0.6
        assert row["labels"][which].tolist() == want["labels"].tolist()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("size", [(2, 900), (900, 2), (1, 1)])
def test_images_that_are_long_and_thin(name, size):
    model = make(name, score_thresh=0.0)
    height, width = size
    whole = target([[0, 0, width, height]], [1], size)
    losses = model.train()([torch.rand(3, *size)], [whole])
    assert all(torch.isfinite(loss) for loss in losses.values())
    (found,) = model.eval()([torch.rand(3, *size)])
    assert (found["boxes"] <= torch.tensor([width, height] * 2)).all()
    if "masks" in found:
        assert found["masks"].shape[-2:] == size


def test_boxes_of_a_strip_are_brought_back():
    transform = AnyShapeTransform(64, 128, [0.0] * 3, [1.0] * 3).eval()
    images, (given,) = transform(
        [torch.rand(3, 2, 900)], [target([[90, 0, 450, 2]], [0], (2, 900))]
    )
    assert images.image_sizes == [(1, 128)]
    assert given["boxes"][0].tolist() == pytest.approx([12.8, 0, 64, 1], abs=0.1)
    assert given["masks"].shape == (1, 1, 128)
    (back,) = transform.postprocess([{"boxes": given["boxes"]}], images.image_sizes, [(2, 900)])
    assert back["boxes"][0].tolist() == pytest.approx([90, 0, 450, 2], abs=0.5)
