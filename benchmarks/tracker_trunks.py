"""What a tracked frame of the nano costs as exported, with other trunks and at other sizes.

    python benchmarks/tracker_trunks.py --results results/tracker-trunks-DEVICE

The four graphs that an object in the middle of a clip runs through (image encoder, reading of six maps,
mask decoder, memory encoder) are exported with random weights, which their time does not depend on, and
timed side by side; resizing the frame and the few steps between the graphs (2 ms) are left out.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tables import write_results
from tables_tracking import tracker_trunks

from pocketeye.artifacts.tracker import DECODE, IMAGE, WRITE, reading_graph
from pocketeye.exporting.tracker.graphs import tracker_graphs
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.models import create_tam
from pocketeye.provenance import environment, git_hash, now
from pocketeye.runtimes import ExportRequest, get_runtime

_NAME = "pocketeye_tam_nano"
_STAGES = {"encode": IMAGE, "read": reading_graph(6), "decode": DECODE, "write": WRITE}
_CELLS = (
    ("tf_efficientnet_lite0", 256), ("tf_efficientnet_lite0", 320), ("tf_efficientnet_lite0", 384),
    ("tf_efficientnet_lite1", 320), ("casvit_xs", 320), ("fbnet_c", 320),
    ("mobilenetv4_conv_small", 320),
)  # fmt: skip


def prepare(trunk: str, size: int, threads: int, folder: Path) -> tuple[dict[str, Any], float]:
    """Export the graphs of one cell; returns a call of each stage, and the encoder's parameters."""
    torch.manual_seed(0)
    model = create_tam(_NAME, size, trunk=trunk).eval()
    modules, runtime = tracker_graphs(model), get_runtime("onnxruntime")
    calls = {}
    for stage, name in _STAGES.items():
        module = modules[name]
        request = ExportRequest(
            module, module.example(), input_names=module.input_names,
            output_names=module.output_names,
        )  # fmt: skip
        with torch.no_grad():
            artifact = runtime.export(request, folder / f"{trunk}-{size}-{stage}")
        arrays = [tensor.numpy() for tensor in module.example()]
        calls[stage] = runtime.load(artifact, threads=threads).bind(*arrays)
    return calls, sum(p.numel() for p in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calls, params = {}, {}
        for trunk, size in _CELLS:
            stages, params[trunk, size] = prepare(trunk, size, args.threads, Path(folder))
            calls |= {f"{trunk} {size} {stage}": call for stage, call in stages.items()}
            print(f"exported {trunk} at {size}", flush=True)
        measured = measure_interleaved(
            calls, Protocol(rounds=args.rounds, samples=1), threads=args.threads
        )
    rows = []
    for trunk, size in _CELLS:
        ms = {s: measured[f"{trunk} {size} {s}"].timing.latency_ms for s in _STAGES}
        busy = any(measured[f"{trunk} {size} {s}"].disturbed for s in _STAGES)
        rows.append({"trunk": trunk, "size": size, "params": params[trunk, size], "stages_ms": ms,
                     "disturbed": busy})  # fmt: skip
    record = {"rows": rows, "threads": args.threads, "device": asdict(Device.here()),
              "environment": environment(), "measured_at": now(), "git": git_hash()}  # fmt: skip
    write_results(args.results, record, tracker_trunks)


if __name__ == "__main__":
    main()
