"""How well a tracker segments what is clicked on in a photograph: IoU after 1, 3 and 5 clicks.

    python benchmarks/click_iou.py --model pocketeye_tam_nano --model out/tracker \
        --data ../shared/datasets/objects:objects --data ../shared/datasets/ccp --out results/click-iou

It takes the images that ``pocketeye train`` keeps for validation (the set's own list, else every
fifth) and their things of their own, so of ``ccp`` the dressed person and not a sleeve, from a
hundredth of the image on. The first click goes to the middle of the object, each further one to the
middle of the largest mistake (``pocketeye.metrics.clicks``), with the last answer as mask prompt.
Writes OUT.json and OUT.md. IoUs are means over objects.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tables

from pocketeye.data.mask_sets.samples import MaskedImages
from pocketeye.data.sample import readable
from pocketeye.metrics.clicks import error_click
from pocketeye.tracking.image.segmenter import ImageSegmenter
from pocketeye.tracking.networks import open_model
from pocketeye.training.tam.sources import open_sets

CLICKS = (1, 3, 5)
LEAST_AREA = 0.01  # share of the image: smaller things are a few cells of the network's map


def things(gallery: MaskedImages) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pixels ``(H, W, 3)`` and the bool ``(H, W)`` of each thing, image after image."""
    for sample in readable(gallery):
        for shape, whole in zip(sample.targets.shapes, sample.targets.whole, strict=True):
            mask = shape()
            if whole and mask.mean() >= LEAST_AREA:
                yield np.asarray(sample.image), mask


def ious_of(segmenter: ImageSegmenter, truth: np.ndarray) -> list[float]:
    """IoU after each click on one thing of the image that is set."""
    found, points, labels = [], [], []
    answer, logits = np.zeros_like(truth), None
    for _ in range(max(CLICKS)):
        click = error_click(answer, truth)
        if click is not None:  # nothing is wrong: the answer stays
            points.append([click.x + 0.5, click.y + 0.5])
            labels.append(click.label)
            said = segmenter.predict(points=points, labels=labels, mask=logits)
            answer, logits = said.masks.items[0].dense(), said.logits[0]
        found.append(float((answer & truth).sum() / (answer | truth).sum()))
    return found


def measured(model: str, gallery: MaskedImages) -> dict[str, Any]:
    segmenter = ImageSegmenter(open_model(model, device="cpu"))
    rows, last = [], None
    for pixels, truth in things(gallery):
        if pixels is not last:
            segmenter.set_image(pixels)
            last = pixels
        rows.append(ious_of(segmenter, truth))
    means = np.asarray(rows).mean(0)
    return {"things": len(rows), "iou": {str(n): round(float(means[n - 1]), 4) for n in CLICKS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--data", action="append", required=True, help="FOLDER or FOLDER:LAYOUT")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = []
    for model in args.model:
        for data in args.data:
            (gallery,) = open_sets([data]).val_images
            name = Path(data.partition(":")[0]).name
            rows.append({"model": Path(model).name, "data": name, **measured(model, gallery)})
            print(rows[-1])
    record = {"clicks": CLICKS, "least_area": LEAST_AREA, "rows": rows}
    args.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(tables.click_iou(record))


if __name__ == "__main__":
    main()
