"""Run ``pocketeye segment``: masks of what is clicked on or boxed, or of everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pocketeye.data.inputs import as_list
from pocketeye.errors import InvalidValue
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.outputs import held
from pocketeye.results import Result
from pocketeye.runs import make_folder
from pocketeye.tracking import ImageSegmenter, MaskGenerator, load_segmenter
from pocketeye.tracking.image.save import require_free, save_masks
from pocketeye.tracking.image.segmenter import read_image
from pocketeye.verbs._arguments import OneOrMoreImages
from pocketeye.verbs.segment.result import SegmentResult

_IN_MEMORY = "image"  # the name of one that is no file


def segment(
    image: OneOrMoreImages,
    *,
    point: list[str] | None = None,
    box: list[str] | None = None,
    everything: bool = False,
    model: str = DEFAULT_TRACKER,
    checkpoint: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    points_per_side: int = 32,
    pred_iou_threshold: float = 0.8,
    stability_threshold: float = 0.95,
    crop_layers: int = 0,
    min_area: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    engine: Literal["auto", "onnxruntime", "torch"] = "auto",
) -> SegmentResult:
    """Cut out what is clicked on or boxed in an image, or everything in it.

    Args:
        image: image file. In Python also a PIL image or an array, or a list of any of these, in each of
            which the same is segmented.
        point: x,y in pixels of a point in the object; x,y:0 of one beside it. All are of one object.
        box: x0,y0,x1,y1 in pixels round the object; several boxes, several objects.
        everything: find all objects instead.
        model: a tracker from `pocketeye list`, or the folder of a run that trained one or of an
            exported one; by default ours, whose weights come along.
        checkpoint: its weights; by default its own, those that come along, or the published file,
            where it was put.
        out: an image with the masks drawn (.png, .jpg, .webp), COCO run lengths (.json), or a folder
            for both, a label image and the objects on transparency; out/segment/NAME.png by default.
        overwrite: replace what is there; what was written by default of an image without a name, in
            Python, always is.
        points_per_side: with --everything, clicks along each side.
        pred_iou_threshold: with --everything, least expected IoU.
        stability_threshold: with --everything, least share of a mask that a stricter cut keeps.
        crop_layers: with --everything, look at parts of the image as well, for small objects.
        min_area: with --everything, pixels below which holes are filled and specks removed.
        device: where the network runs.
        engine: what computes. auto takes the graphs that come along with our tracker where a CPU
            computes: they start without torch.

    Raises:
        InvalidValue: no prompt or a wrong one, not an image, damaged weights, or files would be
            overwritten.
        MissingFile: no such image, or no weights.
    """
    if everything and (point or box):
        raise InvalidValue("give either --everything or points and boxes, not both")
    if not (everything or point or box):
        raise InvalidValue("say what to segment: --point x,y, --box x0,y0,x1,y1 or --everything")
    prompts = None if everything else _prompts(point or [], box or [])
    images = as_list(image)
    if not images:
        raise InvalidValue("say which image: the list is empty")
    # Arrays have no name to call the file by.
    names = [str(each) if isinstance(each, str | Path) else _IN_MEMORY for each in images]
    targets = _targets(names, out)
    # Before the network is loaded: what is there must not be overwritten.
    for each, target in zip(images, targets, strict=True):
        # A cell of a notebook runs again and again: what has no name of its own is replaced.
        unnamed = out is None and not isinstance(each, str | Path)
        require_free(target, overwrite or unnamed)
    # Read all first: a bad one at the end would waste the work before.
    pixels = [read_image(each) for each in images]
    segmenter = load_segmenter(model, checkpoint, device=device, engine=engine)
    generator = MaskGenerator(
        segmenter, points_per_side=points_per_side, pred_iou_threshold=pred_iou_threshold,
        stability_threshold=stability_threshold, crop_layers=crop_layers, min_area=min_area,
    ) if everything else None  # fmt: skip
    results: list[SegmentResult] = []
    # Prompts are refused by the first image, before a folder is made.
    first = _found(segmenter, generator, pixels[0], prompts)
    place = targets[0] if len(targets) == 1 else targets[0].parent
    make_folder(place.parent if place.suffix else place)
    with held(place):
        for name, target, levels in zip(names, targets, pixels, strict=True):
            found = _found(segmenter, generator, levels, prompts) if results else first
            files = save_masks(found, target, Path(name).name)
            results.append(SegmentResult(model=model, image=name, found=found, files=tuple(files)))
    return replace(results[0], rest=tuple(results[1:]))


def _targets(names: list[str], out: Path | None) -> list[Path]:
    """Return where the masks of each image go: several images get a folder, and a number each."""
    stems = [Path(name).stem for name in names]
    if len(names) == 1:
        return [out or Path("out") / "segment" / f"{stems[0]}.png"]
    folder = out or Path("out") / "segment"
    # With an ending it would be one file for several images.
    if folder.suffix:
        raise InvalidValue(f"--out of several images is a folder, and {folder} has an ending")
    # Numbers, as two images may have the same name.
    return [folder / f"{number:04d}-{stem}.png" for number, stem in enumerate(stems)]


def _found(
    segmenter: ImageSegmenter,
    generator: MaskGenerator | None,
    pixels: np.ndarray,
    prompts: dict[str, Any] | None,
) -> Result:
    if generator is not None:
        return generator(pixels)
    assert prompts is not None
    segmenter.set_image(pixels)
    return segmenter.predict(**prompts)


def _prompts(points: list[str], boxes: list[str]) -> dict[str, Any]:
    """Make the arguments for :meth:`ImageSegmenter.predict`."""
    # Points belong to one object, and so must the box be.
    if points and len(boxes) > 1:
        raise InvalidValue(
            f"points go with one box at most, and here are {len(boxes)}: segment one after another"
        )
    prompts: dict[str, Any] = {}
    if points:
        read = [_point(text) for text in points]
        prompts = {"points": [xy for xy, _ in read], "labels": [label for _, label in read]}
    corners = [_numbers(text, 4, "--box", "x0,y0,x1,y1") for text in boxes]
    if len(corners) == 1:
        prompts["box"] = corners[0]
    elif corners:
        prompts["boxes"] = corners
    return prompts


def _point(text: str) -> tuple[list[float], int]:
    place, colon, sign = text.partition(":")
    if colon and sign not in ("0", "1"):
        raise InvalidValue(
            f"--point {text}: after the colon stands 1 (in the object) or 0 (beside)"
        )
    # Without a sign a point lies in the object.
    return _numbers(place, 2, "--point", "x,y"), int(sign or 1)


def _numbers(text: str, count: int, option: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InvalidValue(f"{option} is written {form} in pixels, got {text!r}")
    return numbers
