"""What a tracked frame costs, ours beside the authors' own code and beside other trackers.

    python benchmarks/tracking_peers.py --frames FOLDER --results results/tracking-peers-DEVICE \\
        --cell torch:pocketeye_tam_nano --cell graphs:pocketeye_tam_nano \\
        --cell torch:efficienttam_ti_512x512 --cell graphs:out/ti/onnxruntime-fp32 \\
        --cell official:efficienttam_ti_512x512 \\
        --cell transformers:sam2.1_tiny --cell transformers:edgetam \\
        --official CHECKOUT:LIBS --peers-python VENV/bin/python --threads 1

A cell is a process of its own, so that peak memory is its own too; ``--threads`` are those of every
cell, and the cells take turns ``--rounds`` times. Frames count from the 17th on, when memory and
pointers are full. ``torch`` is a network of ours, ``graphs`` an exported one, or the graphs that come
along with a name. ``official`` is yformer/EfficientTAM with the weights of ours (CHECKOUT; LIBS holds
what it imports besides: hydra-core, iopath, omegaconf, antlr4-python3-runtime, portalocker).
``transformers`` runs SAM 2.1 and EdgeTAM with random weights in a Python of its own: their time does not
depend on them. Frames are a folder of JPEG files named 00000.jpg and on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

_WARM = 16  # 15 pointers and 6 maps are full by then
_KINDS = ("torch", "graphs", "official", "transformers")
# Pixels at which each network of transformers was published.
_PEERS = {"sam2.1_tiny": "Sam2Video", "sam2.1_base_plus": "Sam2Video", "edgetam": "EdgeTamVideo"}
# Of SAM 2.1's two sizes: widths and depths of the Hiera encoders (facebook/sam2.1-hiera-*).
_HIERA: dict[str, dict[str, Any]] = {
    "sam2.1_tiny": {},  # the default of transformers
    "sam2.1_base_plus": {
        "hidden_size": 112, "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16], "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20], "window_positional_embedding_background_size": [14, 14],
    },
}  # fmt: skip


def clicks(num_objects: int, size: tuple[int, int]) -> list[list[float]]:
    """Points spread over the frame, one of each object."""
    width, height = size
    return [[width * (n + 1) / (num_objects + 1), height / 2] for n in range(num_objects)]


def seconds(results: Iterable[Any]) -> Iterator[float]:
    began = time.perf_counter()
    for _ in results:
        now = time.perf_counter()
        yield now - began
        began = now


def ours(kind: str, name: str, args: argparse.Namespace, size: tuple[int, int]) -> Iterator[float]:
    import pocketeye

    if kind == "graphs":
        tracker = pocketeye.load_tracker(name, threads=args.threads)
    else:
        import torch

        torch.set_num_threads(args.threads)
        # Of published networks random weights, those of seed 0: the authors' code is given the same.
        tracker = pocketeye.load_tracker(
            name, device="cpu", engine="torch", untrained=name.startswith("efficienttam")
        )
    with tracker.open(str(args.frames), hole_area=0) as session:
        for number, click in enumerate(clicks(args.objects, size), 1):
            session.add(number, frame=0, points=[click], labels=[1])
        yield from seconds(session.run(stop=args.num_frames))


def _theirs(key: str) -> str:
    """Return the authors' name of a weight."""
    for ours_begin, begin in (("prompt_encoder.", "sam_prompt_encoder."),
                              ("mask_decoder.", "sam_mask_decoder."),
                              ("image_encoder.neck.", "image_encoder.neck.convs.0.")):  # fmt: skip
        if key.startswith(ours_begin):
            return begin + key.removeprefix(ours_begin)
    return key


def official(
    kind: str, name: str, args: argparse.Namespace, size: tuple[int, int]
) -> Iterator[float]:
    import contextlib
    import io

    import numpy as np
    import torch
    from efficient_track_anything.build_efficienttam import (  # type: ignore[import-not-found]
        build_efficienttam_video_predictor,
    )

    from pocketeye.tracking import open_model

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        weights = f"{folder}/{name}.pt"
        state = open_model(name, untrained=True, device="cpu").state_dict()
        torch.save({"model": {_theirs(key): value for key, value in state.items()}}, weights)
        predictor = build_efficienttam_video_predictor(
            f"configs/efficienttam/{name}.yaml", weights, device="cpu", apply_postprocessing=False,
            hydra_overrides_extra=["++model.compile_image_encoder=False"],
        )  # fmt: skip
    predictor.fill_hole_area = 0
    with torch.inference_mode():
        state = predictor.init_state(video_path=str(args.frames), offload_video_to_cpu=True)
        for number, click in enumerate(clicks(args.objects, size), 1):
            predictor.add_new_points_or_box(
                state, frame_idx=0, obj_id=number, points=np.array([click], np.float32),
                labels=np.array([1]),
            )  # fmt: skip
        found = predictor.propagate_in_video(state, max_frame_num_to_track=args.num_frames - 1)
        yield from seconds(found)


def peers(kind: str, name: str, args: argparse.Namespace, size: tuple[int, int]) -> Iterator[float]:
    import numpy as np
    import torch
    import transformers
    from PIL import Image

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    family = _PEERS[name]
    config = getattr(transformers, f"{family}Config")()
    for key, value in _HIERA.get(name, {}).items():
        setattr(config.vision_config.backbone_config, key, value)
    if name == "sam2.1_base_plus":
        # The neck reads the stages' widths from the last to the first.
        config.vision_config.backbone_channel_list = [896, 448, 224, 112]
    model = getattr(transformers, f"{family}Model")(config).eval()
    processor = transformers.Sam2VideoProcessor(
        image_processor=transformers.Sam2ImageProcessor(),
        video_processor=transformers.Sam2VideoVideoProcessor(),
    )
    paths = sorted(args.frames.iterdir())[: args.num_frames]
    video = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    with torch.inference_mode():
        session = processor.init_video_session(video=video, inference_device="cpu")
        points = [[[click] for click in clicks(args.objects, size)]]
        processor.add_inputs_to_inference_session(
            session, frame_idx=0, obj_ids=list(range(1, args.objects + 1)), input_points=points,
            input_labels=[[[1]] * args.objects],
        )  # fmt: skip
        model(inference_session=session, frame_idx=0)
        yield from seconds(model.propagate_in_video_iterator(session))


def work(cell: str, args: argparse.Namespace) -> None:
    """Time one cell and print it as JSON."""
    from PIL import Image

    kind, _, name = cell.partition(":")
    first = min(path for path in args.frames.iterdir() if path.suffix == ".jpg")
    size = Image.open(first).size
    run = {"official": official, "transformers": peers}.get(kind, ours)
    began = time.perf_counter()
    taken = list(run(kind, name, args, size))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": taken, "peak_bytes": peak, "whole": time.perf_counter() - began}))


def start(cell: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run a cell in a process of its own."""
    python = args.peers_python if cell.startswith("transformers:") else sys.executable
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "MKL_NUM_THREADS": str(args.threads)}
    if cell.startswith("official:"):
        env["PYTHONPATH"] = os.pathsep.join([args.official, env.get("PYTHONPATH", "")])
    command = [
        python, __file__, "--work", cell, "--frames", str(args.frames), "--threads",
        str(args.threads), "--objects", str(args.objects), "--num-frames", str(args.num_frames),
    ]  # fmt: skip
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{cell} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from pocketeye.latency.device import Device
    from pocketeye.provenance import environment

    taken: dict[str, list[float]] = defaultdict(list)
    peak: dict[str, int] = {}
    for number in range(args.rounds):
        for cell in args.cell:
            found = start(cell, args)
            frames = [1000 * s for s in found["seconds"][_WARM:]]
            taken[cell] += frames
            peak[cell] = max(peak.get(cell, 0), found["peak_bytes"])
            print(
                f"{number} {cell}: {statistics.median(frames):.0f} ms", file=sys.stderr, flush=True
            )
    rows = [
        {"cell": cell, "ms": statistics.median(taken[cell]), "fastest_ms": min(taken[cell]),
         "frames": len(taken[cell]), "peak_bytes": peak[cell]}
        for cell in args.cell
    ]  # fmt: skip
    return {"rows": rows, "threads": args.threads, "objects": args.objects, "rounds": args.rounds,
            "device": asdict(Device.here()), "environment": environment()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", action="append", default=[], help="KIND:NAME, several times")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--num-frames", type=int, default=26)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--official", default="", help="CHECKOUT:LIBS")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    if args.work:
        work(args.work, args)
        return
    if args.num_frames <= _WARM + 2:
        parser.error(f"--num-frames must be above {_WARM + 2}: the first {_WARM} fill the memory")
    for cell in args.cell:
        if cell.partition(":")[0] not in _KINDS:
            parser.error(f"a cell is KIND:NAME with a kind of {', '.join(_KINDS)}, got {cell}")
    from tables import write_results
    from tables_tracking import tracking_peers

    write_results(args.results, measure(args), tracking_peers)


if __name__ == "__main__":
    main()
