"""Backbones of segmenters at equal latency: whole segmenters timed side by side, and judged.

    python benchmarks/dense_equal_latency.py --table T.latency.json --data camvid --out results/NAME \
      "searched for pixels=out/search" "searched for classes=out/classes"

Each entry is NAME=RUN, a run of `pocketeye search` for segmenters or of `pocketeye train
semantic` with a backbone of the table's space. All are measured in one session beside networks of the
table's calibration, and judged on the parts val and test. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml
from tables import dense_equal_latency, write_results

from pocketeye.latency.drift import measure_session
from pocketeye.latency.table import LatencyTable
from pocketeye.models import Architecture
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.provenance import environment, git_hash, now
from pocketeye.runtimes import get_runtime
from pocketeye.verbs.evaluate.verb import evaluate

_SPLITS = ("val", "test")


def backbone_of(run: Path, table: LatencyTable) -> Architecture:
    """As a network of the table's space, whatever the size it was found at."""
    described = DenseDescription.load(run)
    assert described.architecture is not None, f"{run} has no backbone of a search space"
    mine = SegmenterSpec(
        num_classes=described.num_classes, fpn_channels=described.fpn_channels,
        head_channels=described.head_channels,
    )  # fmt: skip
    assert table.segmenter is not None, "this is a table of classifiers"
    assert mine == table.segmenter.spec, f"{run} has another pyramid or head than the table"
    space = table.space()
    found = Architecture.from_json(json.dumps(described.architecture))
    return space.architecture(space.choices(found), run.name)


def row_of(name: str, run: Path, data: str) -> dict[str, Any]:
    described = DenseDescription.load(run)
    training = run / "train" if (run / "train").is_dir() else run
    recipe = yaml.safe_load((training / "recipe.yaml").read_text())
    result = json.loads((training / "result.json").read_text())
    judged: Any = [
        evaluate(str(run), data=data, split=split, device="cpu").to_dict() for split in _SPLITS
    ]
    return {
        "name": name,
        "params": sum(p.numel() for p in described.make().parameters()),
        "epochs": result["epochs"],
        "steps": result["epochs"] * -(-result["num_train"] // recipe["batch_size"]),
        "recipe": recipe,
        "miou": {split: one["miou"] for split, one in zip(_SPLITS, judged, strict=True)},
        "classes": {split: one["classes"] for split, one in zip(_SPLITS, judged, strict=True)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="NAME=RUN")
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    table = LatencyTable.load(args.table)
    named = [(name, Path(run)) for name, _, run in (entry.partition("=") for entry in args.runs)]
    networks = [backbone_of(run, table) for _, run in named]
    session = measure_session(table, networks, runtime=get_runtime(table.header.runtime))
    rows = []
    for (name, run), network, ms in zip(named, networks, session.at_table_speed(), strict=True):
        predicted = table.predict(network)
        rows.append(
            {**row_of(name, run, args.data), "architecture": str(network), "measured_ms": ms,
             "predicted_ms": predicted, "backbone_ms": predicted - table.head_ms}
        )  # fmt: skip
    record = {"rows": rows, "drift": session.drift, "device": str(table.header.device),
              "date": now(), "git": git_hash(), "environment": environment()}  # fmt: skip
    write_results(args.out, record, dense_equal_latency)


if __name__ == "__main__":
    main()
