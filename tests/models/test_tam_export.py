"""Every part goes through ``torch.export`` with static shapes, and computes the same afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from pocketeye.models import TAM, create_tam
from pocketeye.models.tam import Memory, join
from tests.models.test_tam import draws, randomised


class Method(nn.Module):
    """One method of a network as a module."""

    def __init__(self, model: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *args: Any) -> Any:
        return self.call(self.model, *args)


@pytest.fixture(scope="module", params=["efficienttam_ti_512x512", "efficienttam_ti_1",
                                        "efficienttam_ti_2", "pocketeye_tam_nano"])  # fmt: skip
def model(request) -> TAM:
    size = (96, 160) if request.param != "efficienttam_ti_1" else (64, 128)
    model = randomised(create_tam(request.param, size))
    assert isinstance(model, TAM)
    return model


def prepared(model: TAM) -> Memory:
    maps = [draws(2, model.map_chs, *model.feat_size, seed=n) for n in range(2)]
    parts = [model.prepare_map(m) for m in maps]
    return join([*parts, model.memory_attention.prepare_pointers(draws(2, 3, model.dim))])


def cases(model: TAM) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    height, width = model.image_size
    feat = draws(1, model.dim, *model.feat_size)
    points, labels = draws(2, 3, 2).abs() * 40, torch.tensor([[1, 0, -1], [2, 3, 1]])
    mask, low = draws(2, 1, height, width), draws(2, 1, height // 4, width // 4)
    num_tokens = model.memory_attention.cos.shape[0]
    tokens = draws(2, 2 * num_tokens + 4, model.mem_dim)
    return {
        "image": (TAM.encode_image, (draws(1, 3, height, width),)),
        "prompts": (lambda m, *a: m.prompt_encoder(*a), (points, labels, low)),
        "click": (TAM.predict, (feat, points[:, :1], labels[:, :1])),
        "refine": (TAM.predict, (feat, points, labels, low)),
        "track": (TAM.predict, (feat,)),
        "adopt": (TAM.adopt_mask, (feat, (mask > 0).float())),
        "write": (TAM.encode_memory, (feat, low)),
        "prepare": (TAM.prepare_map, (draws(2, model.map_chs, *model.feat_size),)),
        "read": (TAM.read, (feat, prepared(model))),
        "read_raw": (lambda m, *a: m.memory_attention(*a, 4), (feat, tokens, tokens + 1)),
    }


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("name", ["image", "prompts", "click", "refine", "track", "adopt", "write",
                                  "prepare", "read", "read_raw"])  # fmt: skip
def test_export(model, name):
    call, args = cases(model)[name]
    module = Method(model, call).eval()
    program = torch.export.export(module, args)
    want, got = (torch.utils._pytree.tree_leaves(f(*args)) for f in (module, program.module()))
    assert len(want) == len(got)
    for x, y in zip(got, want, strict=True):
        torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)
    ranks = [
        node.meta["val"].ndim
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(node.meta.get("val"), torch.Tensor)
    ]
    # Resampling matrices are made beforehand; what remains is for any runtime (but resizes).
    assert max(ranks) <= 4
    assert not any(node.meta["val"].is_complex() for node in program.graph.nodes
                   if isinstance(node.meta.get("val"), torch.Tensor))  # fmt: skip
    targets = {str(node.target) for node in program.graph.nodes}
    assert not any("bicubic" in target for target in targets)
