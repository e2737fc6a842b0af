"""Small sets of images with boxes, written as Pascal VOC and YOLO have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.data.mask_layouts import SIZE, photo

Boxes = Sequence[tuple[str, tuple[float, float, float, float]]]


def voc_xml(boxes: Boxes, size: tuple[int, int] = SIZE, difficult: bool = False) -> str:
    things = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox>"
        f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, (x0, y0, x1, y1) in boxes
    )
    sides = f"<width>{size[0]}</width><height>{size[1]}</height>"
    return f"<annotation><size>{sides}<depth>3</depth></size>{things}</annotation>"


def write_voc(root: Path, pages: Mapping[str, str], splits: Mapping[str, Sequence[str]]) -> Path:
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for seed, (stem, text) in enumerate(pages.items()):
        photo(seed).save(root / "JPEGImages" / f"{stem}.jpg")
        (root / "Annotations" / f"{stem}.xml").write_text(text)
    for split, stems in splits.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(stems) + "\n")
    return root


def write_yolo(root: Path, texts: Mapping[str, str | None], names: Sequence[str]) -> Path:
    """All in the split ``train``; None for an image without text."""
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True)
    for seed, (stem, text) in enumerate(texts.items()):
        photo(seed).save(root / "images" / "train" / f"{stem}.jpg")
        if text is not None:
            (root / "labels" / "train" / f"{stem}.txt").write_text(text)
    rows = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    (root / "data.yaml").write_text(f"path: .\ntrain: images/train\nval:\nnames:\n{rows}")
    return root
