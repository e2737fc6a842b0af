"""A smaller copy of a parquet image set: some training images of every class, all validation images.

python benchmarks/subset.py ../shared/datasets/cifar10 out/cifar10-12k --images 12500
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    for file in sorted(args.source.glob("*.parquet")):
        table = pq.read_table(file)
        if file.stem.startswith("train"):
            labels = np.asarray(table["label"])
            classes = np.unique(labels)
            share = args.images // len(classes)
            chosen = [rng.permutation(np.flatnonzero(labels == c))[:share] for c in classes]
            table = table.take(np.sort(np.concatenate(chosen)))
        pq.write_table(table, args.out / file.name)
        print(f"{args.out / file.name}: {table.num_rows} images")


if __name__ == "__main__":
    main()
