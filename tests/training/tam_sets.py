"""Data sets on disk for the training of trackers: discs that move, and images with label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.mask_layouts import big_labels, disc, photo, write_labels

SIZE = (160, 120)


def write_davis(root: Path, splits: Mapping[str, Sequence[str]], num_frames: int = 5) -> Path:
    """A disc of one object that goes to the right, over a photograph of each clip's own."""
    (root / "ImageSets").mkdir(parents=True)
    for split, names in splits.items():
        (root / "ImageSets" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for seed, name in enumerate(names):
            folders = [root / kind / "480p" / name for kind in ("JPEGImages", "Annotations")]
            for folder in folders:
                folder.mkdir(parents=True)
            for frame in range(num_frames):
                pixels = np.asarray(photo(seed, SIZE)).copy()
                inside = disc((50 + 8 * frame, 60), 26, SIZE)
                pixels[inside] = (240, 200, 30)
                Image.fromarray(pixels).save(folders[0] / f"{frame:05}.jpg")
                Image.fromarray(inside.astype(np.uint8) * 255).save(folders[1] / f"{frame:05}.png")
    return root


def write_images(root: Path, count: int = 12) -> Path:
    return write_labels(root, big_labels(count))
