"""Find the layer at which an int8 network loses its signal.

The network is exported once more with the outputs of its blocks beside its own, and each is compared
with torch: its SQNR is the power of the signal over that of the error, in decibels. 8 bits keep about
40 dB; 20 dB are an error of a tenth, at 0 dB nothing is left. The layer with the largest fall is named;
where it is a block of several, their layers are looked at in a second export. It is the same for every
quantiser, as it looks at outputs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketeye.outputs import scratch_folder
from pocketeye.runtimes._store import eval_mode
from pocketeye.runtimes.base import ExportRequest, Runtime
from pocketeye.runtimes.parity import LayerNoise, ParityReport

# Each one is an output of the graph, which the runtime must keep: more would be another network.
_MOST_POINTS = 40
_OF_8_BITS_DB = 40.0
_MOST_INPUTS = 8
_NOTHING_DB = -100.0  # also of outputs that are no numbers

Inputs = Sequence[tuple[np.ndarray, ...]]


def with_layer_noise(
    report: ParityReport, request: ExportRequest, runtime: Runtime, inputs: Inputs
) -> ParityReport:
    """Return the report of an int8 network that failed, with its layers and the one that did it.

    Args:
        request: that the artefact was exported with.
        inputs: that parity was taken on.
    """
    noise = layer_noise(request, runtime, inputs)
    if not noise:
        return report
    worst = largest_fall(noise)
    layer, before, after = worst
    inside = layer_noise(request, runtime, inputs, inside=layer)
    if inside:
        layer, before, after = largest_fall(inside, start_db=before)
        noise = [*noise, *inside]
    doubt = (
        f"int8 loses most in the layer {layer!r}: {before:.0f} dB of signal over error go in and "
        f"{after:.0f} dB come out"
    )
    return replace(report, doubts=(*report.doubts, doubt), layers=tuple(noise))


def largest_fall(
    noise: Sequence[LayerNoise], start_db: float = _OF_8_BITS_DB
) -> tuple[str, float, float]:
    """Return the layer behind which most of the signal is gone for good, with decibels before and after.

    What a later layer still has was not lost: a convolution that is fused with its ReLU gives no
    values below zero, which looks like a loss there and is none behind the ReLU.
    """
    # None: nothing differs, as good as a layer can be.
    heard = [_OF_8_BITS_DB if one.sqnr_db is None else one.sqnr_db for one in noise]
    kept = [min(max(heard[place:]), _OF_8_BITS_DB) for place in range(len(heard))]
    falls = zip([start_db, *kept], kept, strict=False)
    place, (before, after) = max(enumerate(falls), key=lambda fall: fall[1][0] - fall[1][1])
    return noise[place].layer, before, after


def layer_noise(
    request: ExportRequest, runtime: Runtime, inputs: Inputs, *, inside: str | None = None
) -> list[LayerNoise]:
    """Return the SQNR behind the blocks of a network, in the order they run; None where nothing differs.

    Args:
        inside: the layers of this block instead.
    """
    module = request.module
    with eval_mode(module):
        points = _points(module, request.example_inputs, inside)
        if not points:
            return []
        watched = _Watched(module, points)
        names = [*request.output_names, *(f"layer{n}" for n in range(len(points)))]
        wanted = replace(request, module=watched, output_names=names)
        sums = {name: [0.0, 0.0] for name in points}
        with scratch_folder() as folder:
            executable = runtime.load(runtime.export(wanted, folder))
            for arrays in inputs[:_MOST_INPUTS]:
                with torch.inference_mode():
                    expected = watched(*(torch.from_numpy(a) for a in arrays))
                got = executable(*arrays)
                own = len(request.output_names)
                for name, want, have in zip(points, expected[own:], got[own:], strict=True):
                    signal = want.double().numpy()
                    sums[name][0] += float((signal**2).sum())
                    sums[name][1] += float(((have - signal) ** 2).sum())
    return [LayerNoise(layer=name, sqnr_db=_decibels(*sums[name])) for name in points]


def _decibels(signal: float, error: float) -> float | None:
    if error == 0:
        return None
    if not math.isfinite(error):
        return _NOTHING_DB
    return max(_NOTHING_DB, 10 * math.log10(max(signal, 1e-30) / error))


class _Watched(nn.Module):
    """Give the outputs of some submodules beside the network's own."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module, self.names = module, tuple(names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        seen: dict[str, Tensor] = {}

        def keep(name: str, output: Any) -> None:
            seen[name] = output

        with _watching(self.module, self.names, keep):
            result = self.module(*inputs)
        own = (result,) if isinstance(result, Tensor) else tuple(result)
        return (*own, *(seen[name] for name in self.names))


@contextmanager
def _watching(
    module: nn.Module, names: Sequence[str], keep: Callable[[str, Any], None]
) -> Iterator[None]:
    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, output: keep(name, output)

    handles = [module.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _points(module: nn.Module, example: tuple[Tensor, ...], inside: str | None) -> list[str]:
    """Choose the submodules to look at: as deep as there are not too many; in the order they run."""
    below = "" if inside is None else f"{inside}."
    names = [n for n, _ in module.named_modules() if n.startswith(below) and n not in ("", inside)]
    ran: list[str] = []
    with torch.inference_mode(), _watching(module, names, lambda name, out: _note(ran, name, out)):
        module(*example)
    # What runs twice has no one output; an Identity says what the one before it said.
    once = [
        name
        for name in ran
        if ran.count(name) == 1 and not isinstance(module.get_submodule(name), nn.Identity)
    ]
    depth = below.count(".")
    best: list[str] = []
    for deepest in range(depth, depth + 8):
        # At each depth, the modules there and the leaves above.
        chosen = [
            name
            for name in once
            if name.count(".") == deepest
            or (name.count(".") < deepest and not any(module.get_submodule(name).children()))
        ]
        if len(chosen) > _MOST_POINTS:
            break
        if len(chosen) > len(best):
            best = chosen
    return best


def _note(ran: list[str], name: str, output: Any) -> None:
    if isinstance(output, Tensor) and output.is_floating_point():
        ran.append(name)
