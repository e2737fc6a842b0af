"""Draw the synthetic clips of docs/data.md, out of two photographs that come with scikit-learn.

    python benchmarks/clip_image.py --seed 1 --size 144 --out docs/assets/synthetic_clips.jpg

The dahlia and the pagoda come with scikit-learn (both CC BY 2.0: vultilion, danielbuechele). Their
masks, made here, are written as a COCO set, which is read as any other.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import sklearn.datasets
from PIL import Image
from scipy import ndimage

from pocketeye.data.clips.sheet import clip_sheet
from pocketeye.data.clips.synthetic import SyntheticClips, SyntheticOptions
from pocketeye.data.mask_sets.samples import load_masks
from pocketeye.results.masks import CompactMask

PAGODA = [
    207, 30, 220, 95, 320, 118, 325, 170, 330, 185, 345, 225, 350, 300, 370, 330, 300, 340,
    80, 330, 60, 270, 85, 210, 85, 170, 95, 115, 190, 80,
]  # fmt: skip


def write_set(root: Path) -> None:
    """The photographs and their masks in COCO's layout."""
    photos = Path(sklearn.datasets.__file__).parent / "images"
    files = [photos / "flower.jpg", photos / "china.jpg"]
    (root / "train").mkdir()
    (root / "annotations").mkdir()
    images = []
    for number, file in enumerate(files):
        shutil.copy(file, root / "train" / file.name)
        width, height = Image.open(file).size
        images.append({"id": number, "file_name": file.name, "width": width, "height": height})
    shapes = [dahlia(files[0]), [PAGODA]]
    annotations = [
        {"id": n, "image_id": n, "iscrowd": 0, "segmentation": s} for n, s in enumerate(shapes)
    ]
    content = {"images": images, "annotations": annotations}
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))


def dahlia(file: Path) -> dict[str, object]:
    """The largest reddish part of the image, as run lengths."""
    pixels = np.asarray(Image.open(file)).astype(int)
    numbered, count = ndimage.label(pixels[..., 0] > pixels[..., 2] + 50)
    largest = 1 + int(np.argmax(ndimage.sum_labels(numbered > 0, numbered, range(1, count + 1))))
    filled = ndimage.binary_fill_holes(numbered == largest)
    return CompactMask.from_dense(ndimage.binary_opening(filled, iterations=4)).to_rle()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--out", type=Path, default=Path("synthetic_clips.jpg"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder))
        source = SyntheticClips(
            [(load_masks(folder), 1.0)], arguments.clips, size=arguments.size,
            seed=arguments.seed, options=SyntheticOptions(pasted=(0.1, 0.3, 0.6), sizes=(0.2, 0.6)),
        )  # fmt: skip
        clip_sheet(list(source)).save(arguments.out, quality=85)


if __name__ == "__main__":
    main()
