"""Video sets of squares that move, written as each data set is laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pocketeye.results.colors import davis_palette

SIZE = (24, 16)


def frame_image(number: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), 10 * number, np.uint8)


def square(object_id: int, number: int) -> np.ndarray:
    """Bool: object 1 at the left, going right; object 2 below it, and so on."""
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    y = 4 * (object_id - 1)
    mask[y : y + 4, number : number + 4] = True
    return mask


def ids(objects: Sequence[int], number: int) -> np.ndarray:
    labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for object_id in objects:
        labels[square(object_id, number)] = object_id
    return labels


def save_frames(folder: Path, numbers: Sequence[int]) -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(frame_image(number)).save(folder / f"{number:05d}.jpg", quality=95)


def save_palette(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette(davis_palette())
    image.save(path)


def save_masks(folder: Path, objects: Mapping[int, Sequence[int]]) -> None:
    """Palette images: the ids that are in each numbered frame."""
    for number, there in objects.items():
        save_palette(folder / f"{number:05d}.png", ids(there, number))


def davis(root: Path, clips: Mapping[str, Mapping[int, Sequence[int]]], res: str = "480p") -> Path:
    for name, objects in clips.items():
        save_frames(root / "JPEGImages" / res / name, list(objects))
        save_masks(root / "Annotations" / res / name, objects)
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n".join(clips) + "\n")
    return root


def sav_images(root: Path, numbers: Sequence[int]) -> Path:
    """Object 000 (1 here) under 001 (2 here) for the most part; every fourth frame annotated."""
    save_frames(root / "sav_val" / "JPEGImages_24fps" / "v", numbers)
    for number in numbers[::4]:
        for folder in ("000", "001"):
            path = root / "sav_val/Annotations_6fps/v" / folder / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            both = square(1, number) | square(2, number)
            Image.fromarray(both if folder == "001" else square(1, number)).save(path)
    return root
