"""What CAS-ViT costs in every form, beside its peers, in one interleaved table.

    python benchmarks/casvit_latency.py --results results/casvit-224

Forms, all with the same weights: ``eager`` is torch as it comes (NCHW), ``eager fused`` has its BN
folded and its maps in NHWC, ``plain`` is the export of the unfused network, ``fused`` the one that
``pocketeye export`` writes, ``int8`` that one quantised. Peers are exported as ``pocketeye export``
does it (re-parameterised where they can be). Speed-ups are over ``plain`` of the same network. Latency
does not depend on the weights, which are random with the BN statistics of real images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from pocketeye.exporting.inputs import sample_inputs, settle_batchnorm
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.latency.record import Device, LatencyRecord, choose_clock
from pocketeye.models import count, fuse
from pocketeye.models._cards import card_for
from pocketeye.predicting.network import Network, open_network
from pocketeye.runs import MANIFEST, environment, write_atomic
from pocketeye.runtimes import Artifact, get_runtime
from pocketeye.text import human_count, markdown_table

CASVIT = ("casvit_xs", "casvit_s", "casvit_m", "casvit_t")
PEERS = (
    "mobilenetv4_conv_small", "mobilenetv4_conv_medium", "efficientnet_b0", "ghostnetv3_100",
    "fastvit_t8", "efficientvit_b1", "swiftformer_xs", "repvit_m0_9", "repvit_m1_0", "fbnet_c",
)  # fmt: skip
FORMS = ("eager", "eager fused", "plain", "fused", "int8")
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
                network.module if form == "plain" else fused,
                (network.example(),),
                target,
                precision=precision,
                calibration=inputs,
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
            forms = FORMS if name in args.networks else ("fused", "int8")
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
        record = LatencyRecord(
            subject=cell.model,
            runtime=cell.runtime,
            runtime_version=get_runtime(cell.runtime).version(),
            threads=1,
            precision=cell.precision,
            clock=choose_clock(1),
            timing=found.timing,
            flags=get_runtime(cell.runtime).flags(),
            protocol=protocol.to_dict(),
            input_size=224,
        )
        records.append(
            {"model": cell.model, "form": cell.form, "disturbed": found.disturbed,
             "record": record.to_dict()}
        )  # fmt: skip
    _write(networks, records, args)


def _write(
    networks: dict[str, Network], records: list[dict[str, Any]], args: argparse.Namespace
) -> None:
    ms = {(r["model"], r["form"]): r["record"]["latency_ms"] for r in records}
    header = ("network", "params", "MACs", "published top-1 %", *(f"{form} ms" for form in FORMS),
              "fused ×", "int8 ×")  # fmt: skip
    rows, costs = [], {}
    order = sorted(networks, key=lambda name: ms[name, "fused"])
    for name in order:
        module = networks[name].module
        counts = count(module, (3, 224, 224))
        deployed = sum(p.numel() for p in fuse(module).parameters())
        costs[name] = {**asdict(counts), "deployed_params": deployed}
        plain = ms.get((name, "plain"))
        ratios = [f"{plain / ms[name, form]:.2f}" if plain else "" for form in ("fused", "int8")]
        rows.append(
            (name, human_count(deployed), human_count(counts.macs), _published(name),
             *(f"{ms[name, f]:.2f}" if (name, f) in ms else "" for f in FORMS), *ratios)
        )  # fmt: skip
    lines = markdown_table(header, rows, right=range(1, len(header)))
    lines += [
        "",
        f"{Device.here()}, ONNX Runtime {get_runtime('onnxruntime').version()}, torch "
        f"{torch.__version__}, 224 pixels, one image, one thread, warm, interleaved; × is over plain. "
        "Published accuracies are their authors', at the size in brackets where it is not 224.",
    ]
    record = {"rows": records, "costs": costs, "environment": environment()}
    args.results.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.results.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    write_atomic(args.results.with_suffix(".md"), "\n".join(lines) + "\n")
    print("\n".join(lines))


def _published(name: str) -> str:
    card = card_for(name)
    metric = card.top1 if card else None
    if metric is None:
        return ""
    return f"{metric.value}" + (f" ({metric.at})" if metric.at not in ("", "224") else "")


if __name__ == "__main__":
    main()
