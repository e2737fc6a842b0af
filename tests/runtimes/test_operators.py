"""The layer of an operator that a converter complains of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pocketeye.runtimes._operators import mentioned_operator
from pocketeye.runtimes.errors import missing_operator


class Determinant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.det(x) + x.flatten(2).sum(-1)


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), Determinant()))
    return torch.export.export(net.eval(), (torch.zeros(1, 3, 4, 4),), strict=False)


@pytest.mark.parametrize(
    "message",
    [
        "No lowering found for aten.linalg_det.default",
        "PyTorch convert function for op 'linalg_det' not implemented.",
        "missing kernel aten::linalg_det.out, add one",
        'op "_linalg_det" is not known',
    ],
)
def test_operator_and_layer(program: torch.export.ExportedProgram, message: str) -> None:
    operator, layer = mentioned_operator(program, message)
    assert operator is not None
    assert "linalg_det" in operator
    assert layer == "1.1"


def test_words_that_are_also_operators(program: torch.export.ExportedProgram) -> None:
    assert mentioned_operator(program, "the sum of all ranks must add up") == (None, None)


def test_sentences() -> None:
    named = str(missing_operator("litert", "sort", "head.topk", "..."))
    assert "lacks the operator 'sort'" in named
    assert "in the layer 'head.topk'" in named
    assert "its own forward" in str(missing_operator("litert", "sort", "", "..."))
    unknown = str(
        missing_operator("coreml", None, None, "Traceback\n  line 3\nRuntimeError: rank 7\n")
    )
    assert "(RuntimeError: rank 7)" in unknown
    assert "\n" not in unknown
