"""Spaces that offer additive attention blocks beside inverted residuals."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.models import load_space
from pocketeye.models.additive import AdditiveBlock
from pocketeye.searching.deriving.ranking import recalibrate_bn
from pocketeye.searching.report import plots
from pocketeye.searching.supernet.supernet import SuperNet

from .toys import SPACE, digits

HYBRID = replace(SPACE, name="tiny+add", candidates=(*SPACE.candidates, "add_e1", "add_e2"))
ADDITIVE = ("add_e1", "add_e2")


@pytest.fixture
def net() -> SuperNet:
    torch.manual_seed(0)
    return SuperNet(HYBRID, aligned=True).train()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def additive_path() -> list[int]:
    return [HYBRID.ops.index(op) for op in ("add_e1", "add_e2", "add_e2", "add_e1")]


@pytest.mark.parametrize("name", ["fbnet+casvit", "fbnet+casvit-cifar"])
def test_shipped_spaces_offer_them_late_only(name: str) -> None:
    space, plain = load_space(name), load_space(name.replace("+casvit", ""))
    offered = [any(op.startswith("add_") for op in p.candidates) for p in space.positions]
    assert not any(offered[: len(offered) // 3])
    assert sum(offered) == 8
    for ours, theirs in zip(space.positions, plain.positions, strict=True):
        assert tuple(op for op in ours.candidates if op[:4] != "add_") == theirs.candidates
        assert replace(ours, candidates=()) == replace(theirs, candidates=())


def test_aligned_blocks_begin_as_a_skip(net: SuperNet) -> None:
    x = torch.randn(4, 8, 8, 8)
    for op in ADDITIVE:
        assert torch.equal(net.layers[0][op](x), x)
    # Where the shape changes: as the same convolution, which no inverted residual is.
    outputs = [net.layers[2][op](x) for op in ADDITIVE]
    assert torch.equal(*outputs)
    assert torch.equal(outputs[0], net.layers[2]["add_e1"].downsample(x))
    pointers = [p.data_ptr() for p in net.parameters()]
    assert len(set(pointers)) == len(pointers), "weights are shared"


def test_without_alignment_they_keep_their_own_start(images: Tensor) -> None:
    torch.manual_seed(0)
    net = SuperNet(HYBRID, aligned=False).train()
    x = torch.randn(4, 8, 8, 8)
    assert not torch.allclose(net.layers[0]["add_e1"](x), x)


def test_one_path_steps_teach_every_part_of_them() -> None:
    torch.manual_seed(0)
    net = SuperNet(HYBRID, aligned=True).train()
    data = digits(64)
    pixels = data.pixels(np.arange(64))
    assert pixels is not None
    images = torch.from_numpy(pixels).float().view(64, 1, 8, 8) / 8 - 1
    labels = torch.as_tensor(data.labels[:64])
    blocks = [m for m in net.modules() if isinstance(m, AdditiveBlock)]
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), []
    rng = random.Random(0)
    for _ in range(40):
        path = [HYBRID.ops.index(rng.choice(ADDITIVE)) for _ in range(4)]
        optimizer.zero_grad()
        loss = F.cross_entropy(net.forward_path(images, path), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.75 * losses[0]
    inside = {id(p) for block in blocks for p in block.parameters() if p.ndim > 1}
    moved = {n: not torch.equal(p, before[n]) for n, p in net.named_parameters() if id(p) in inside}
    assert len(moved) == 8 * 14
    assert all(moved.values()), [n for n, m in moved.items() if not m]


def test_mixture_reaches_them(net: SuperNet, images: Tensor) -> None:
    weights = torch.full(net.mask.shape, 1 / len(HYBRID.ops), requires_grad=True)
    net.forward_mixture(images, weights).square().sum().backward()
    assert weights.grad is not None
    columns = [HYBRID.ops.index(op) for op in ADDITIVE]
    assert bool((weights.grad[:, columns] != 0).all())
    for block in (m for m in net.modules() if isinstance(m, AdditiveBlock)):
        for last in (block.local.conv2, block.attn.proj, block.mlp.fc2):
            assert last.weight.grad is not None
            assert bool(last.weight.grad.any())


def test_subnet_is_the_path(net: SuperNet, images: Tensor) -> None:
    choices = additive_path()
    architecture = HYBRID.architecture([HYBRID.ops[c] for c in choices], "additive")
    subnet = net.subnet(architecture).train()
    torch.testing.assert_close(subnet(images), net.forward_path(images, choices))
    norms = [m for m in subnet.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 4 * 5 + 1 + 1 + 1  # blocks, downsample, stem, head
    assert recalibrate_bn(subnet, [(images,)], torch.device("cpu")) == len(images)
    assert all(bool(m.running_mean.any()) for m in norms)


def test_strip_draws_them_apart() -> None:
    ops = ("k3_e1", "add_e2", "k3_e6", "skip")
    figure = plots.architecture_strip(HYBRID.architecture(ops), [0.1] * 6, 0.6, "a device")
    boxes = figure.axes[0].patches[1:-1]
    assert [box.get_height() for box in boxes] == [1, 2, 6, 0.35]
    assert [bool(box.get_hatch()) for box in boxes] == [False, True, False, False]
    assert len({box.get_facecolor() for box in boxes}) == 3
    legend = figure.axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert "additive attention" in labels
