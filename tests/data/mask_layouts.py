"""Small sets of images with masks, written as their layouts have them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pocketeye.results.masks import CompactMask

SIZE = (96, 64)
"""Width and height of the images."""


def photo(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Smooth colours with some grain."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(smooth + rng.integers(-8, 8, smooth.shape), 0, 255).astype("u1"))


def disc(centre: tuple[float, float], radius: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[1], : size[0]]
    return np.hypot(x - centre[0], y - centre[1]) < radius


def rle(mask: np.ndarray, *, compressed: bool = True) -> dict[str, object]:
    return CompactMask.from_dense(mask).to_rle(compressed=compressed)


def write_coco(
    root: Path,
    annotations: list[dict[str, object]],
    images: int = 3,
    categories: tuple[dict[str, object], ...] = (),
) -> Path:
    """``annotations`` are completed with an id."""
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").mkdir()
    records = []
    for number in range(1, images + 1):
        photo(number).save(root / "train2017" / f"{number:03}.jpg")
        records.append({"id": number, "file_name": f"{number:03}.jpg", "width": 96, "height": 64})
    rows = [{"id": 100 + i, "iscrowd": 0, **row} for i, row in enumerate(annotations)]
    content = {"images": records, "annotations": rows, "categories": categories}
    file = root / "annotations" / "instances_train2017.json"
    file.write_text(json.dumps(content))
    return root


def write_sa1b(folder: Path, masks: dict[str, list[np.ndarray]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, given) in enumerate(masks.items()):
        photo(seed).save(folder / f"{name}.jpg")
        rows = [{"segmentation": rle(mask), "id": i} for i, mask in enumerate(given)]
        (folder / f"{name}.json").write_text(json.dumps({"image": {}, "annotations": rows}))
    return folder


def write_labels(root: Path, maps: dict[str, np.ndarray]) -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, (name, labels) in enumerate(maps.items()):
        photo(seed, (labels.shape[1], labels.shape[0])).save(root / "images" / f"{name}.jpg")
        Image.fromarray(labels.astype(np.uint8)).save(root / "masks" / f"{name}.png")
    return root


def big_labels(count: int = 3) -> dict[str, np.ndarray]:
    """Maps of 160x160 with one large round object of two labels in the middle of each."""
    upper = np.arange(160)[:, None] < 80
    maps = {}
    for number in range(count):
        inside = disc((80 + 4 * number, 80), 45, (160, 160))
        maps[f"{number:02}"] = np.where(inside, np.where(upper, 3, 7), 0)
    return maps
