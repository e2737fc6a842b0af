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
from tables import dense, write_results

from pocketeye.models.dense.described import DenseDescription
from pocketeye.runs import RunFolder
from pocketeye.verbs.evaluate.verb import evaluate


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
    write_results(args.out, {"runs": found}, dense)


if __name__ == "__main__":
    main()
