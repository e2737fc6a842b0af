"""What each choice in a tracker's training bought: runs of ``pocketeye train track``.

    python benchmarks/tracker_training.py --data ../shared/datasets/davis2016-train \
        --out results/tracker-ablations "the small recipe=out/base" "from nothing=out/scratch"
    python benchmarks/tracker_training.py --curve --out results/tracker-curve FIRST SECOND

The first form scores every run on the clips of ``--split``, shown the first mask and shown one click,
and times what a frame costs to look at (the image encoder, CPU time of one thread, best of eight
interleaved rounds). It reads each run's recipe and writes OUT.json and OUT.md. The second draws the
learning curves of runs that follow each other.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from tables import write_results
from tables_tracking import tracker_ablations

from pocketeye.data.vos.layouts import load_videos
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.tracking.evaluation.evaluate import VosPlan, evaluate_vos
from pocketeye.tracking.evaluation.vos_models import BASELINES, open_vos_model
from pocketeye.tracking.networks import open_model

_PLACES = ("data", "checkpoint", "start_from")  # where things lay is of no interest


def look_ms(runs: list[Path], rounds: int = 8) -> list[float]:
    """CPU milliseconds of the image encoder, for each run."""
    torch.set_num_threads(1)
    models = [open_model(str(run), device="cpu") for run in runs]
    best = [float("inf")] * len(models)
    with torch.inference_mode():
        for number in range(rounds + 1):  # the first one warms up
            for k, model in enumerate(models):
                image = torch.randn(1, 3, *model.image_size)
                start = time.process_time()
                model.encode_image(image)
                if number:
                    best[k] = min(best[k], 1000 * (time.process_time() - start))
    return best


def scored(model: str, data: str, split: str, prompts: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for prompt in prompts:
        plan = VosPlan(prompt=prompt, protocol="semi")  # type: ignore[arg-type]
        result = evaluate_vos(
            open_vos_model(model, None, device="cpu"), load_videos(data, split), plan
        )
        mean = result.mean
        found[prompt] = {"jf": mean.jf, "j": mean.j.mean, "f": mean.f.mean}
    return found


def row_of(name: str, run: Path, data: str, split: str) -> dict[str, Any]:
    recipe = yaml.safe_load((run / "config.yaml").read_text())
    metrics = list(csv.DictReader((run / "metrics.csv").open()))
    described = TrackerDescription.load(run)
    return {
        "name": name,
        "variant": described.variant,
        "trunk": described.trunk,
        "params": sum(p.numel() for p in described.make().parameters()),
        "image_size": list(described.image_size or ()),
        "steps": sum(int(recipe["steps_per_epoch"]) for _ in metrics),
        "val_iou": max(float(row["val/iou"]) for row in metrics),
        "scores": scored(str(run), data, split, ("mask", "click")),
        "recipe": {key: recipe[key] for key in recipe if key not in _PLACES},
    }


def draw_curve(runs: list[Path], out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    done, record = 0, []
    for run in runs:
        per_epoch = yaml.safe_load((run / "config.yaml").read_text())["steps_per_epoch"]
        rows = list(csv.DictReader((run / "metrics.csv").open()))
        steps = [done + per_epoch * (number + 1) for number in range(len(rows))]
        done = steps[-1]
        for key, label, colour in (
            ("train/loss", "training", "C0"),
            ("val/loss", "validation", "C1"),
        ):
            losses = [float(row[key]) for row in rows]
            left.plot(steps, losses, color=colour, label=None if record else label)
        right.plot(steps, [float(row["val/iou"]) for row in rows], color="C1")
        for axes in (left, right):
            if record:  # where one run goes on from another
                axes.axvline(steps[0] - per_epoch, color="0.6", linewidth=1, linestyle=":")
        record.append({"steps": steps, "rows": rows})
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    left.legend(fontsize=8)
    right.set(xlabel="step", ylabel="validation IoU, first mask given")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(out.with_suffix(".png"), dpi=120)
    out.with_suffix(".json").write_text(json.dumps({"runs": record}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs", nargs="+", help="NAME=FOLDER, or with --curve folders in their order"
    )
    parser.add_argument("--data")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.curve:
        draw_curve([Path(run) for run in args.runs], args.out)
        return
    named = [entry.rsplit("=", 1) for entry in args.runs]
    rows = [row_of(name, Path(run), args.data, args.split) for name, run in named]
    for row, ms in zip(rows, look_ms([Path(run) for _, run in named]), strict=True):
        row["look_ms"] = ms
    baselines = {name: scored(name, args.data, args.split, ("mask",)) for name in BASELINES}
    record = {"split": args.split, "runs": rows, "baselines": baselines}
    write_results(args.out, record, tracker_ablations)


if __name__ == "__main__":
    main()
