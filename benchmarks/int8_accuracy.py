"""What int8 costs and buys on trained networks: accuracy, agreement with fp32, latency.

    python benchmarks/int8_accuracy.py RUN [RUN ...] --data DATA --results results/int8-NAME
    python benchmarks/int8_accuracy.py tf_efficientnet_lite0 --pretrained --data imagenet-sample \\
      --calibrate-on nothing --forms fp32 int8 "int8, logits in 8 bits" --results results/int8-NAME

Every validation image goes through the network, its fp32 export, its int8 export, and the same with
GELU left in float or the logits in 8 bits. Latencies are interleaved over all files of all networks.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from tables import int8, write_results

from pocketeye.data import load_images
from pocketeye.exporting.inputs import sample_inputs
from pocketeye.exporting.timing import record_of
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.models import fuse
from pocketeye.predicting.network import Network, open_network
from pocketeye.provenance import environment, now
from pocketeye.runtimes import Executable, ExportRequest, get_runtime
from pocketeye.runtimes.onnx import onnxruntime as backend

# What is left out of the export; the only way to these forms, which are worse and no options of ours.
_WITHOUT = {
    "fp32": None,
    "int8": None,
    "int8, GELU in float": "tabulate_gelu",
    "int8, logits in 8 bits": "answer_in_float",
}


def export(network: Network, form: str, folder: Path, calibration: list[np.ndarray]) -> Executable:
    runtime = get_runtime("onnxruntime")
    step = _WITHOUT[form]
    with mock.patch.object(backend, step, return_value=0) if step else nullcontext():
        artifact = runtime.export(
            ExportRequest(
                fuse(network.module),
                (network.example(),),
                precision="fp32" if form == "fp32" else "int8",
                calibration=[(image,) for image in calibration],
            ),
            folder,
        )
    return runtime.load(artifact, threads=1)


def calibration_of(network: Network, args: argparse.Namespace) -> list[np.ndarray]:
    if args.calibrate_on == "nothing":
        return [arrays[0] for arrays in sample_inputs(network, None, args.calibration)]
    train, transform = load_images(args.data, "train"), network.info.transform()
    order = np.random.default_rng(0).permutation(len(train))[: args.calibration]
    return [transform(train.read(int(i)).image)[None].numpy() for i in order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--pretrained", action="store_true", help="names, not runs")
    parser.add_argument("--forms", nargs="+", choices=_WITHOUT, default=list(_WITHOUT)[:3])
    parser.add_argument("--calibrate-on", choices=("train", "nothing"), default="train",
                        help="nothing: what export takes without --data")  # fmt: skip
    parser.add_argument("--calibration", type=int, default=32, help="images of the calibration")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--scratch", type=Path, default=Path("out/int8"))
    parser.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    val = load_images(args.data, "val")
    rows, calls = [], {}
    for run in args.runs:
        network = open_network(run, pretrained=args.pretrained)
        transform = network.info.transform()
        images = [transform(val.read(i).image)[None].numpy() for i in range(len(val))]
        calibration = calibration_of(network, args)
        with torch.no_grad():
            expected = np.concatenate([network.module(torch.from_numpy(x)).numpy() for x in images])
        for form in args.forms:
            executable = export(network, form, args.scratch / network.name / form, calibration)
            logits = np.concatenate([executable(image)[0] for image in images])
            noise = ((logits - expected) ** 2).mean()
            rows.append(
                {
                    "network": network.info.name,
                    "form": form,
                    "top1": float((logits.argmax(1) == val.labels).mean()),
                    "agreement": float((logits.argmax(1) == expected.argmax(1)).mean()),
                    "sqnr_db": float(10 * np.log10((expected**2).mean() / noise)),
                    "n": len(images),
                }
            )
            calls[f"{network.info.name} {form}"] = executable.bind(images[0])
            print(rows[-1], flush=True)
    protocol = Protocol(rounds=args.rounds)
    measured = measure_interleaved(calls, protocol, threads=1)
    for row in rows:
        record = record_of(
            row["network"], measured[f"{row['network']} {row['form']}"],
            runtime=get_runtime("onnxruntime"), precision=row["form"][:4], threads=1,
            protocol=protocol,
        )  # fmt: skip
        row["record"] = record.to_dict()
    _write(rows, args)


def _write(rows: list[dict], args: argparse.Namespace) -> None:
    record = {
        "rows": rows, "data": Path(args.data).name, "calibration": args.calibration,
        "calibrated_on": args.calibrate_on,
        "device": str(Device.here()), "measured_at": now(), "environment": environment(),
    }  # fmt: skip
    write_results(args.results, record, int8)


if __name__ == "__main__":
    main()
