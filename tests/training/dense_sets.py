"""Sets on disk for detectors and segmenters: coloured discs whose colour is their class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.mask_layouts import disc, rle

SIZE = (96, 72)
COLOURS = ((230, 40, 40), (40, 60, 230))
NAMES = ("red", "blue")


def scene(seed: int) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """uint8 pixels, and (class, mask) of two discs on a dull ground."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 130, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    objects = []
    for place in (24, 70):
        label = int(rng.integers(2))
        mask = disc((place + rng.integers(-4, 5), 36 + rng.integers(-8, 9)), 16, SIZE)
        pixels[mask] = COLOURS[label]
        objects.append((label, mask))
    return pixels, objects


def write_coco_discs(root: Path, counts: dict[str, int]) -> Path:
    """COCO with run lengths; the ids of the categories have gaps."""
    for part, (split, count) in enumerate(counts.items()):
        folder = root / f"{split}2017"
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number in range(count):
            pixels, objects = scene(1000 * part + number)
            name = f"{number:03}.png"
            Image.fromarray(pixels).save(folder / name)
            image_id = number + 1
            images.append({"id": image_id, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            for label, mask in objects:
                rows, columns = np.nonzero(mask)
                sides = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
                box = [int(side) for side in sides]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": image_id, "iscrowd": 0,
                     "category_id": 3 + 4 * label, "bbox": box, "area": int(mask.sum()),
                     "segmentation": rle(mask)}
                )  # fmt: skip
        categories = [{"id": 3 + 4 * k, "name": name} for k, name in enumerate(NAMES)]
        (root / "annotations").mkdir(exist_ok=True)
        text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
        (root / "annotations" / f"instances_{split}2017.json").write_text(text)
    return root


def write_semantic_discs(root: Path, counts: dict[str, int]) -> Path:
    """Folders of masks: 0 ground, 1 red, 2 blue, 255 a strip that counts for nothing."""
    for part, (split, count) in enumerate(counts.items()):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for number in range(count):
            pixels, objects = scene(1000 * part + number)
            labels = np.zeros(pixels.shape[:2], np.uint8)
            for label, mask in objects:
                labels[mask] = 1 + label
            labels[:3] = 255
            Image.fromarray(pixels).save(root / split / "images" / f"{number:03}.png")
            Image.fromarray(labels).save(root / split / "masks" / f"{number:03}.png")
    (root / "classes.yaml").write_text("names: [ground, red, blue]\nignore: [255]\n")
    return root
