"""Is the layer named at which int8 loses the signal?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pocketeye.runtimes.layer_noise as module_under_test
from pocketeye.runtimes import ExportRequest, ParityReport, check_parity, get_runtime
from pocketeye.runtimes.layer_noise import largest_fall, layer_noise, with_layer_noise
from pocketeye.runtimes.parity import LayerNoise

SHAPE = (1, 3, 8, 8)
INPUTS = [(np.random.default_rng(i).standard_normal(SHAPE).astype(np.float32),) for i in range(6)]


class Spread(nn.Module):
    """Multiply one channel by a thousand: a single scale then leaves the others no steps."""

    def forward(self, x: Tensor) -> Tensor:
        factors = torch.ones(x.shape[1], 1, 1)
        factors[0] = 1000.0
        return x * factors


class Body(nn.Module):
    def __init__(self, spoilt: bool) -> None:
        super().__init__()
        self.expand = nn.Conv2d(8, 8, 3, padding=1)
        self.spread = Spread() if spoilt else nn.ReLU()
        # Reads the small channels alone.
        self.project = nn.Conv2d(8, 8, 1)
        with torch.no_grad():
            self.project.weight[:, 0] = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.spread(self.expand(x)))


def net(spoilt: bool) -> nn.Module:
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Body(spoilt), head).eval()


def request(module: nn.Module) -> ExportRequest:
    return ExportRequest(module, (torch.zeros(SHAPE),), precision="int8", calibration=INPUTS)


def report(status: str) -> ParityReport:
    return replace(ParityReport.not_run("int8", "x"), status=status, doubts=())


def test_the_layer_that_spoils_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So few that the blocks come first, and the layers of the worst one after them.
    monkeypatch.setattr(module_under_test, "_MOST_POINTS", 4)
    runtime, wanted = get_runtime("onnxruntime"), request(net(spoilt=True))
    artifact = runtime.export(wanted, tmp_path)
    parity = check_parity(wanted.module, runtime.load(artifact), INPUTS, "int8")
    found = with_layer_noise(parity, wanted, runtime, INPUTS)
    assert "in the layer '2.project'" in found.doubts[-1]
    names = [one.layer for one in found.layers]
    assert names == ["0", "1", "2", "3", "2.expand", "2.spread", "2.project"]
    loaded = ParityReport.load(found.save(tmp_path / "parity.json"))
    assert loaded.layers == found.layers


def test_a_sound_network_keeps_its_signal() -> None:
    noise = layer_noise(request(net(spoilt=False)), get_runtime("onnxruntime"), INPUTS)
    assert [one.layer for one in noise][:5] == ["0", "1", "2.expand", "2.spread", "2.project"]
    _, before, after = largest_fall(noise)
    assert before - after < 5


def test_the_largest_fall() -> None:
    noise = [
        LayerNoise(layer=name, sqnr_db=db)
        # The second is a convolution that is cut at zero, as the ReLU behind it would do.
        for name, db in (("a", 38.0), ("b", 4.0), ("c", None), ("d", 12.0), ("e", 2.0), ("f", 9.0))
    ]
    assert largest_fall(noise) == ("d", 40.0, 12.0)
    assert largest_fall(noise[4:], start_db=12.0) == ("e", 12.0, 9.0)


def test_nothing_to_look_at() -> None:
    assert with_layer_noise(
        report("FAIL"), request(nn.Conv2d(3, 8, 1)), get_runtime("onnxruntime"), INPUTS
    ) == report("FAIL")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_no_numbers_are_no_signal(broken: float, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = get_runtime("onnxruntime")
    load = type(runtime).load

    def spoilt(self: object, artifact: object, threads: int = 1) -> object:
        executable = load(self, artifact)  # type: ignore[arg-type]
        return lambda *arrays: tuple(np.full_like(y, broken) for y in executable(*arrays))

    monkeypatch.setattr(type(runtime), "load", spoilt)
    noise = layer_noise(request(net(spoilt=False)), runtime, INPUTS)
    assert {one.sqnr_db for one in noise} == {-100.0}
