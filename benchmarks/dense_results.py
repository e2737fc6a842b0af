"""How good trained detectors and segmenters are, in one table.

    python benchmarks/dense_results.py --out results/dense out/blood=../shared/datasets/bccd:val,test …

Each entry is RUN=DATA:SPLITS. Every run is judged by ``pocketeye eval`` on each part of its set; the
schedule is read from the run's folder. Writes OUT.json and OUT.md; with --keep the rows that were in
OUT.json and are not judged again stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from pocketeye.models.dense.described import DenseDescription
from pocketeye.runs import RunFolder
from pocketeye.verbs.evaluate.verb import evaluate

_HEADER = ("data", "part", "images", "network", "backbone", "params", "side", "epochs", "minutes",
           "box AP", "box AP50", "mask AP", "mean IoU", "pixels right")  # fmt: skip


def row_of(run: Path, data: str, split: str) -> dict[str, Any]:
    described = DenseDescription.load(run)
    judged: Any = evaluate(str(run), data=data, split=split, device="cpu")
    found = judged.to_dict()
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    rows = RunFolder(run).metrics()
    return {
        "data": Path(data).name,
        "split": split,
        "n": found["n"],
        "task": described.task.name,
        "network": described.network,
        "backbone": described.backbone,
        "params": sum(p.numel() for p in described.make().parameters()),
        "min_size": described.min_size,
        "epochs": len(rows),
        "seconds": sum(row["seconds"] for row in rows),
        "box": found.get("box"),
        "mask": found.get("mask"),
        "miou": found.get("miou"),
        "accuracy": found.get("pixel_accuracy"),
        "recipe": recipe,
    }


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("data", "split", "network", "backbone", "min_size"))


def cells(row: dict[str, Any]) -> list[str]:
    box, mask = row["box"] or {}, row["mask"] or {}
    shares = (box.get("ap"), box.get("ap50"), mask.get("ap"), row["miou"], row["accuracy"])
    return [
        row["data"], row["split"], str(row["n"]), row["network"], row["backbone"],
        f"{row['params'] / 1e6:.2f} M", str(row["min_size"]), str(row["epochs"]),
        f"{row['seconds'] / 60:.0f}", *("" if s is None else f"{100 * s:.1f}" for s in shares),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="RUN=DATA:SPLITS")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--keep", action="store_true", help="rows of OUT.json that are not judged again"
    )
    args = parser.parse_args()
    record, found = args.out.with_suffix(".json"), []
    before = json.loads(record.read_text())["runs"] if args.keep else []
    for entry in args.runs:
        run, _, place = entry.partition("=")
        data, _, splits = place.rpartition(":")
        found += [row_of(Path(run), data, split) for split in splits.split(",")]
    new = {identity(row) for row in found}
    found = [*(row for row in before if identity(row) not in new), *found]
    found.sort(key=lambda row: (row["data"], row["network"], row["backbone"]))
    lines = [f"| {' | '.join(_HEADER)} |", "| :-- | :-- | --: | :-- | :-- |" + " --: |" * 9]
    lines += [f"| {' | '.join(cells(row))} |" for row in found]
    record.write_text(json.dumps({"runs": found}, indent=1) + "\n")
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
