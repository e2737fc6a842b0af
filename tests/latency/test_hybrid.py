"""Additive attention blocks in a latency table."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from pocketeye.latency.graphs import Bench, graph_key, network_module
from pocketeye.latency.sampling import spread, work
from pocketeye.models import PlacedBlock, build_block, count, load_space
from pocketeye.runtimes import Artifact, ExportRequest
from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime

SPACE = load_space("fbnet+casvit-cifar")


def test_work_orders_candidates_as_their_macs_do() -> None:
    for position in {p.in_chs: p for p in load_space("fbnet+casvit").positions[13:21]}.values():
        shape = (position.in_chs, position.size, position.size)
        macs = {op: count(build_block(position.spec(op)), shape).macs for op in position.candidates}
        for one, other in itertools.permutations(position.candidates, 2):
            if macs[one] > 1.3 * macs[other]:
                assert work(one, position) > work(other, position), (one, other, position)


def test_spread_networks_use_them_from_cheap_to_dear() -> None:
    nets = spread(SPACE, 16, 0)
    used = [sum(block.op.startswith("add_") for block in net.blocks) for net in nets]
    assert sum(used[:5]) < sum(used[-5:])
    assert sum(used[:5]) > 0


def test_ratios_are_different_graphs() -> None:
    two, four = (PlacedBlock.parse(f"add_e{ratio}:16>16/1@8") for ratio in (2, 4))
    assert graph_key(two) != graph_key(four)


@pytest.mark.parametrize("text", ["add_e2:24>24/1@8", "add_e4:24>48/2@8"])
def test_what_is_timed_is_the_folded_block_and_it_is_verified(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = PlacedBlock.parse(text)
    bench = Bench(tmp_path, OnnxRuntime(), 1, "fp32")
    bench.verify(placed)
    seen: list[nn.Module] = []
    _spoil_export(monkeypatch, seen)
    with pytest.raises(AssertionError, match="differs"):
        bench.verify(placed)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in seen[0].modules())


def _spoil_export(patch: pytest.MonkeyPatch, seen: list[nn.Module]) -> None:
    """Let exports change one weight of what they get."""
    export = OnnxRuntime.export

    def changed(self: OnnxRuntime, request: ExportRequest, folder: Path) -> Artifact:
        seen.append(request.module)
        with torch.no_grad():
            next(request.module.parameters()).mul_(1.1)
        return export(self, request, folder)

    patch.setattr(OnnxRuntime, "export", changed)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_networks_can_be_timed(precision: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, OnnxRuntime(), 1, precision)  # type: ignore[arg-type]
    dear = spread(SPACE, 4, 0)[-1]
    assert any(block.op.startswith("add_") for block in dear.blocks)
    bench.network(dear)()
    assert any(isinstance(m, nn.BatchNorm2d) for m in network_module(dear).modules())
