"""What CAS-ViT costs in every form, beside its peers, in one interleaved table.

    python benchmarks/casvit_latency.py --results results/casvit-224-amd-epyc

Forms, all with the same weights: ``eager`` is torch as it comes (NCHW), ``eager fused`` has its BN
folded and its maps in NHWC, ``plain`` is the export of the unfused network, ``fused`` the one that
``pocketeye export`` writes, ``int8`` that one quantised. Peers are exported as ``pocketeye export``
does it (re-parameterised where they can be). Speed-ups are over ``plain`` of the same network. Latency
does not depend on the weights, which are random with the BN statistics of real images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from tables import CASVIT_FORMS, casvit, write_results
from torch import nn

from pocketeye.exporting.inputs import sample_inputs, settle_batchnorm
from pocketeye.exporting.timing import record_of
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.models import count, fuse
from pocketeye.predicting.network import Network, open_network
from pocketeye.provenance import environment
from pocketeye.runs import MANIFEST
from pocketeye.runtimes import Artifact, ExportRequest, get_runtime

CASVIT = ("casvit_xs", "casvit_s", "casvit_m", "casvit_t")
PEERS = (
    "mobilenetv4_conv_small", "mobilenetv4_conv_medium", "efficientnet_b0", "ghostnetv3_100",
    "fastvit_t8", "efficientvit_b1", "swiftformer_xs", "repvit_m0_9", "repvit_m1_0", "fbnet_c",
)  # fmt: skip
_CALIBRATION = 16


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One network in one form: the call that is timed."""

    model: str
    form: str
    call: Callable[[], Any]
    runtime: str
    precision: str


def cells_of(network: Network, folder: Path, forms: tuple[str, ...]) -> list[Cell]:
    inputs = sample_inputs(network, None, _CALIBRATION)
    settle_batchnorm(network.module, inputs)
    fused = fuse(network.module)
    cells = []
    for form in forms:
        if form.startswith("eager"):
            module = fused if form == "eager fused" else network.module
            call = _eager(module, inputs[0][0], channels_last=form == "eager fused")
            cells.append(
                Cell(model=network.name, form=form, call=call, runtime="torch", precision="fp32")
            )
            continue
        runtime, precision = get_runtime("onnxruntime"), "int8" if form == "int8" else "fp32"
        target = folder / network.name / form
        if (target / MANIFEST).is_file():  # of an interrupted run: the weights follow from a seed
            artifact = Artifact.load(target)
        else:
            artifact = runtime.export(
                ExportRequest(
                    network.module if form == "plain" else fused,
                    (network.example(),),
                    precision=precision,
                    calibration=inputs,
                ),
                target,
            )
        call = runtime.load(artifact, threads=1).bind(*inputs[0])
        cells.append(
            Cell(
                model=network.name, form=form, call=call, runtime=runtime.name, precision=precision
            )
        )
    return cells


def _eager(module: nn.Module, image: np.ndarray, *, channels_last: bool) -> Callable[[], Any]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = module.eval().to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.from_numpy(image).contiguous(memory_format=layout)

    def call() -> None:
        with torch.inference_mode():
            module(x)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=CASVIT)
    parser.add_argument("--peers", nargs="*", default=PEERS)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--scratch", type=Path, default=Path("out/casvit-latency"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells: list[Cell] = []
    networks = {}
    for name in (*args.networks, *args.peers):
        if name.startswith("fbnet") or name.startswith("casvit") or timm.is_model(name):
            networks[name] = network = open_network(name, input_size=224)
            forms = CASVIT_FORMS if name in args.networks else ("fused", "int8")
            cells += cells_of(network, args.scratch, forms)
            print(f"exported {name}", flush=True)
        else:
            print(f"{name} is not in this timm: left out", flush=True)
    protocol = Protocol(rounds=args.rounds)
    measured = measure_interleaved(
        {f"{c.model} {c.form}": c.call for c in cells}, protocol, threads=1
    )
    records = []
    for cell in cells:
        found = measured[f"{cell.model} {cell.form}"]
        record = record_of(
            cell.model, found, runtime=get_runtime(cell.runtime), precision=cell.precision, threads=1,
            protocol=protocol, input_size=224,
        )  # fmt: skip
        records.append({"model": cell.model, "form": cell.form, "record": record.to_dict()})
    _write(networks, records, args)


def _write(
    networks: dict[str, Network], records: list[dict[str, Any]], args: argparse.Namespace
) -> None:
    costs = {}
    for name, network in networks.items():
        deployed = sum(p.numel() for p in fuse(network.module).parameters())
        counts = count(network.module, (3, 224, 224))
        costs[name] = {**asdict(counts), "deployed_params": deployed}
    caption = (
        f"{Device.here()}, ONNX Runtime {get_runtime('onnxruntime').version()}, torch "
        f"{torch.__version__}, 224 pixels, one image, one thread, warm, interleaved, undisturbed ms; × "
        "is over plain. Published accuracies are their authors', at the size in brackets where it is "
        "not 224."
    )
    record = {"rows": records, "costs": costs, "caption": caption, "environment": environment()}
    write_results(args.results, record, casvit)


if __name__ == "__main__":
    main()
