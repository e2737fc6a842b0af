"""The supernet against its parts, and theta against explicit formulas."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models.architecture import Architecture
from pocketeye.models.blocks import InvertedResidual
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import generator, gumbel

from .toys import FIXED_MS, SPACE, make_table, make_theta, random_choices


@pytest.fixture
def net() -> SuperNet:
    torch.manual_seed(0)
    return SuperNet(SPACE).train()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def one_hot(choices: list[int]) -> Tensor:
    return F.one_hot(torch.tensor(choices), len(SPACE.ops)).float()


def explicit_mixture(net: SuperNet, x: Tensor, weights: Tensor) -> Tensor:
    """The same by plain autograd, candidate by candidate."""
    x = net.stem(x)
    for number, (layer, position) in enumerate(zip(net.layers, SPACE.positions, strict=True)):
        terms = []
        for op in position.candidates:
            weight = weights[..., number, SPACE.ops.index(op)]
            terms.append(
                layer[op](x) * (weight if weight.ndim == 0 else weight[:, None, None, None])
            )
        x = torch.stack(terms).sum(0)
    return net.head(x)


def test_mask_says_what_is_legal(net: SuperNet) -> None:
    for row, position in zip(net.mask.tolist(), SPACE.positions, strict=True):
        legal = [op for op, allowed in zip(SPACE.ops, row, strict=True) if allowed]
        assert legal == [op for op in SPACE.ops if op in position.candidates]
    skip = SPACE.ops.index("skip")
    assert net.mask[:, skip].tolist() == [True, True, False, True]


@pytest.mark.parametrize("channels_last", [False, True])
def test_one_hot_mixture_is_the_path(net: SuperNet, images: Tensor, *, channels_last: bool) -> None:
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    choices = random_choices(SPACE, random.Random(5))
    path = net.forward_path(images, choices)
    mixture = net.forward_mixture(images, one_hot(choices))
    torch.testing.assert_close(mixture, path, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_mixture_gradients_equal_an_explicit_reference(
    net: SuperNet, images: Tensor, *, per_image: bool, checkpointing: bool, channels_last: bool
) -> None:
    net = net.double()
    images = images.double()
    if channels_last:
        net, images = (
            net.to(memory_format=torch.channels_last),
            images.to(memory_format=torch.channels_last),
        )
    shape = (len(images), *net.mask.shape) if per_image else tuple(net.mask.shape)
    theta = make_theta(net)
    weights = theta.mixture(gumbel(shape, generator(1)), 0.7).detach()
    labels = torch.arange(6)
    grads = []
    for forward in (explicit_mixture, SuperNet.forward_mixture):
        given = weights.clone().requires_grad_(True)
        net.zero_grad(set_to_none=True)
        more = {"checkpointing": True} if checkpointing and forward is not explicit_mixture else {}
        F.cross_entropy(forward(net, images, given, **more), labels).backward()
        assert given.grad is not None
        grads.append([given.grad, *(p.grad for p in net.parameters())])
    # the inner products are accumulated in fp32
    torch.testing.assert_close(grads[1][0], grads[0][0], rtol=1e-4, atol=1e-6)
    for ours, reference in zip(grads[1][1:], grads[0][1:], strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-12)


def test_illegal_columns_are_not_read(net: SuperNet, images: Tensor) -> None:
    weights = torch.full(net.mask.shape, 0.2)
    wild = weights.masked_fill(~net.mask, float("nan"))
    assert torch.equal(net.forward_mixture(images, wild), net.forward_mixture(images, weights))


def test_checkpointing_counts_a_batch_once(net: SuperNet, images: Tensor) -> None:
    weights = torch.full(net.mask.shape, 0.2)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    net.forward_mixture(images, weights).sum().backward()
    plain = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    net.forward_mixture(images, weights, checkpointing=True).sum().backward()
    assert all(torch.equal(plain[k], v) for k, v in net.state_dict().items())


def test_batch_statistics_only(net: SuperNet, images: Tensor) -> None:
    before = {k: v.clone() for k, v in net.named_buffers()}
    expected = net.forward_path(images, [0, 0, 0, 0]).detach()
    for name, buffer in net.named_buffers():
        buffer.copy_(before[name])
    with net.batch_statistics_only():
        frozen = net.forward_path(images, [0, 0, 0, 0])
    assert torch.equal(frozen, expected)
    assert all(torch.equal(before[k], v) for k, v in net.named_buffers())
    net.forward_path(images, [0, 0, 0, 0])
    assert any(not torch.equal(before[k], v) for k, v in net.named_buffers())


def test_subnet_is_the_path_and_shares_nothing(net: SuperNet, images: Tensor) -> None:
    architecture = SPACE.sample(random.Random(2))
    choices = [SPACE.ops.index(op) for op in SPACE.choices(architecture)]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    subnet = net.subnet(architecture).train()
    out = subnet(images)
    subnet.stem.conv_stem.weight.data.zero_()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    torch.testing.assert_close(out, net.forward_path(images, choices))


def test_subnet_of_another_space_is_refused(net: SuperNet) -> None:
    foreign = SPACE.with_(input_size=16).sample(random.Random(0))
    with pytest.raises(InvalidValue, match=r"not .*'tiny' at 8 pixels"):
        net.subnet(foreign)
    shorter = Architecture(
        name="x", input_size=8, stem=foreign.stem, blocks=foreign.blocks[:2],
        head=foreign.head.parse("head16:8>10/1"),
    )  # fmt: skip
    with pytest.raises(InvalidValue, match="4 layers"):
        net.subnet(shorter)


def test_aligned_candidates_begin_as_one_function(images: Tensor) -> None:
    torch.manual_seed(0)
    net = SuperNet(SPACE, aligned=True).train()
    x = torch.randn(4, 8, 8, 8)
    for layer, position in zip(net.layers, SPACE.positions, strict=True):
        dense = [op for op in position.candidates if op not in ("k3_e1_g2", "skip")]
        first, *others = (layer[op](x) for op in dense)
        for other in others:
            torch.testing.assert_close(other, first, rtol=1e-4, atol=1e-5)
        if "skip" in position.candidates:
            torch.testing.assert_close(first, x)
        x = first.detach()
    pointers = [p.data_ptr() for p in net.parameters()]
    assert len(set(pointers)) == len(pointers), "weights are shared"


def test_aligned_candidates_all_receive_gradients(images: Tensor) -> None:
    net = SuperNet(SPACE, aligned=True).train()
    for block in net.modules():  # past the zero of the first step
        if isinstance(block, InvertedResidual):
            nn.init.ones_(block.bn3.weight)
    net.forward_mixture(images, torch.full(net.mask.shape, 0.2)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())


def test_latency_gradient_equals_finite_differences(net: SuperNet) -> None:
    theta = make_theta(net).double()
    noise, step = gumbel(tuple(net.mask.shape), generator(7)).double(), 1e-5
    theta.theta.data.normal_(generator=torch.Generator().manual_seed(0))
    theta.latency(theta.mixture(noise, 0.8)).backward()
    grad = theta.theta.grad
    assert grad is not None
    for layer, column in np.ndindex(*net.mask.shape):
        values = []
        for sign in (step, -step):
            with torch.no_grad():
                theta.theta[layer, column] += sign
                values.append(float(theta.latency(theta.mixture(noise, 0.8))))
                theta.theta[layer, column] -= sign
        assert float(grad[layer, column]) == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-8
        )
    assert not grad[~net.mask].any()


def test_latency_of_a_network_is_the_tables(net: SuperNet) -> None:
    theta, table = make_theta(net), make_table()
    for seed in range(5):
        architecture = SPACE.sample(random.Random(seed))
        choices = [SPACE.ops.index(op) for op in SPACE.choices(architecture)]
        expected = table.predict(architecture)
        assert theta.latency_of(choices) == pytest.approx(expected, rel=1e-6)
        assert float(theta.latency(one_hot(choices))) == pytest.approx(expected, rel=1e-6)
    assert theta.fixed_ms == pytest.approx(FIXED_MS)


def test_mixture_is_fp32_under_autocast(net: SuperNet, images: Tensor) -> None:
    theta = make_theta(net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = theta.mixture(gumbel(tuple(net.mask.shape), generator(1)), 5.0)
        logits = net.forward_mixture(images, weights)
    assert weights.dtype == theta.latency(weights).dtype == torch.float32
    F.cross_entropy(logits.float(), torch.arange(6)).backward()
    assert theta.theta.grad is not None
    assert bool(theta.theta.grad[net.mask].any())


@pytest.mark.parametrize("uniform", [False, True])
def test_illegal_candidates_are_never_drawn(net: SuperNet, *, uniform: bool) -> None:
    theta = make_theta(net)
    theta.theta.data[~net.mask] = 50.0  # even with a large number stored there
    draw = theta.draw_uniform if uniform else theta.draw
    drawn = np.array([draw(gumbel(tuple(net.mask.shape), generator(0, i))) for i in range(1000)])
    for layer, legal in enumerate(net.mask.tolist()):
        counts = np.bincount(drawn[:, layer], minlength=len(legal))
        assert not counts[~np.array(legal)].any()
        # theta is flat over what is legal: 5 standard deviations of a binomial
        p = 1 / sum(legal)
        assert abs(counts[legal] - 1000 * p).max() < 5 * (1000 * p * (1 - p)) ** 0.5


def test_noise_is_gumbel_and_a_function_of_its_seed() -> None:
    noise = gumbel((200, 200), generator(1, 2, 3))
    assert torch.equal(noise, gumbel((200, 200), generator(1, 2, 3)))
    assert not torch.equal(noise, gumbel((200, 200), generator(1, 2, 4)))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.03)
    assert float(noise.std()) == pytest.approx(1.2825, abs=0.03)


def test_entropy_of_flat_and_of_settled_theta(net: SuperNet) -> None:
    theta = make_theta(net)
    assert theta.entropy() == (pytest.approx(np.mean(np.log([5, 5, 4, 5]))), pytest.approx(1.0))
    theta.theta.data[:, 0] = 40.0
    assert theta.entropy() == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9))
