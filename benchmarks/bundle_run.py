"""Put a trained network into the package, as a run folder under a name of its own.

    python benchmarks/bundle_run.py out/train/casvit_xs casvit_xs.tiny_imagenet_24

Copies what says how to use the network and how it was trained, and its best weights in half precision;
of paths the last name is kept. ``card.yaml`` is written by hand. What the rounding costs
is measured by ``pocketeye eval`` with the run and with the bundled name.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).resolve().parents[1] / "src" / "pocketeye" / "weights"
KEPT = ("architecture.json", "environment.json", "recipe.yaml", "metrics.csv", "result.json")
NAMED = ("model.json", "eval.json")  # these say where the data lay
BEST = "best.safetensors"


def halved(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, floating ones in half precision; one that does not fit is refused."""
    small = {}
    for key, value in load_file(path).items():
        small[key] = value.half() if value.is_floating_point() else value
        if not torch.isfinite(small[key]).all():
            raise SystemExit(f"{key} does not fit into half precision")
    return small


def save(weights: dict[str, torch.Tensor], path: Path, **metadata: str) -> float:
    """Write them, to be read by all; megabytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path, metadata=metadata)
    path.chmod(0o644)
    return path.stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name", help="NETWORK.DATA")
    args = parser.parse_args()
    folder = FOLDER / args.name
    size = save(halved(args.run / BEST), folder / BEST)
    for name in KEPT:
        if (args.run / name).is_file():
            shutil.copyfile(args.run / name, folder / name)
    for name in NAMED:
        if (args.run / name).is_file():
            described = json.loads((args.run / name).read_text())
            described["data"] = Path(described["data"]).name
            (folder / name).write_text(json.dumps(described, indent=1) + "\n")
    config = yaml.safe_load((args.run / "config.yaml").read_text())
    config = {k: Path(v).name if isinstance(v, str) else v for k, v in config.items()}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    print(f"wrote {args.name}: {size:.2f} MB")


if __name__ == "__main__":
    main()
