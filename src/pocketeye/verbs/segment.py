"""Run ``pocketeye segment``: masks of what is clicked on or boxed, or of everything."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.markup import escape

from pocketeye.data.inputs import as_list
from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.errors import InvalidValue
from pocketeye.outputs import held
from pocketeye.results import Result
from pocketeye.runs import make_folder
from pocketeye.text import some, text_table
from pocketeye.tracking import ImageSegmenter, MaskGenerator, open_model
from pocketeye.tracking.image.save import LABELS, MASKS, MOST_LABELS, require_free, save_masks
from pocketeye.tracking.image.segmenter import read_image
from pocketeye.tracking.networks import DEFAULT
from pocketeye.verb_result import VerbResult
from pocketeye.verbs._arguments import OneOrMoreImages

_IN_MEMORY = "image"  # the name of one that is no file
_LIKELY_WRONG = 0.5  # J from which DAVIS calls a mask right
_MOST_SHOWN = 20  # rows of the table on a terminal; --json has all


@dataclass(frozen=True, kw_only=True)
class SegmentResult(VerbResult):
    """Hold the objects in an image, and the files that hold them.

    Attributes:
        rest: the same of further images, in the order in which they were given.
    """

    model: str
    image: str
    found: Result
    files: tuple[Path, ...] = ()
    rest: tuple[SegmentResult, ...] = ()

    def __iter__(self) -> Iterator[SegmentResult]:
        """Yield the result of each image."""
        yield self
        yield from self.rest

    def to_dict(self) -> dict[str, Any]:
        whole = self._of_this()
        return {**whole, "rest": [each._of_this() for each in self.rest]} if self.rest else whole

    def _of_this(self) -> dict[str, Any]:
        objects = [
            {key: value for key, value in row.items() if key not in ("frame", "label")}
            for row in self.found.table()
        ]
        return {
            "model": self.model,
            "image": self.image,
            "size": list(self.found.size),
            "objects": objects,
            "doubts": [str(doubt) for doubt in self.doubts],
            "files": list(self.files),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per object of each image."""
        return [{"image": each.image, **row} for each in self for row in each._of_this()["objects"]]

    def lines(self) -> list[str]:
        return [line for each in self for line in each._lines()]

    def _lines(self) -> list[str]:
        count, (width, height) = len(self.found), self.found.size
        objects = "1 object" if count == 1 else f"{count} objects"
        rows = [
            (str(row["id"]), f"{row['score']:.2f}", f"{100 * row['area'] / (width * height):.2f}",
             *(f"{row[key]:.0f}" for key in ("x", "y", "width", "height")))
            for row in self.found.table()[:_MOST_SHOWN]
        ]  # fmt: skip
        lines = [f"[bold]{objects}[/bold] in {escape(self.image)}, {width}×{height}"]
        if rows:
            header = ("object", "expected IoU", "% of image", "x", "y", "width", "height")
            lines += text_table(header, rows, right=range(7))
        if count > _MOST_SHOWN:
            lines.append(f"… and {count - _MOST_SHOWN} more (all with --json)")
        if count > MOST_LABELS and any(path.name == MASKS for path in self.files):
            lines.append(f"no {LABELS}: a palette image holds {MOST_LABELS} objects")
        return [*lines, *doubt_lines(self.doubts)]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Say which masks are likely wrong, as far as the network can tell."""
        rows = self.found.table()
        if not rows:
            seen = f"not one mask in {self.image}"
            remedy = "lower --pred-iou-threshold, or click on what you mean (--point)"
            return (Doubt(what="nothing is found", seen=seen, remedy=remedy),)
        empty = [str(row["id"]) for row in rows if not row["area"]]
        low = [str(row["id"]) for row in rows if row["area"] and row["score"] < _LIKELY_WRONG]
        groups = (
            (empty, "have no mask", "no pixel is filled"),
            (low, "are likely cut out wrongly", f"their expected IoU is below {_LIKELY_WRONG}"),
        )
        remedy = "click once more (--point), also beside it (x,y:0), or give a box (--box)"
        return tuple(
            Doubt(what=f"{len(ids)} of {len(rows)} objects {what}", seen=f"{seen}: {some(ids)}",
                  remedy=remedy)
            for ids, what, seen in groups if ids
        )  # fmt: skip

    def written(self) -> list[Path]:
        return [path for each in self for path in each.files]

    def next_commands(self) -> list[str]:
        return [f"pocketeye info {shlex.quote(self.model)}"]


def segment(
    image: OneOrMoreImages,
    *,
    point: list[str] | None = None,
    box: list[str] | None = None,
    everything: bool = False,
    model: str = DEFAULT,
    checkpoint: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    points_per_side: int = 32,
    pred_iou_threshold: float = 0.8,
    stability_threshold: float = 0.95,
    crop_layers: int = 0,
    min_area: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> SegmentResult:
    """Cut out what is clicked on or boxed in an image, or everything in it.

    Args:
        image: image file. In Python also a PIL image or an array, or a list of any of these, in each of
            which the same is segmented.
        point: x,y in pixels of a point in the object; x,y:0 of one beside it. All are of one object.
        box: x0,y0,x1,y1 in pixels round the object; several boxes, several objects.
        everything: find all objects instead.
        model: a tracker from `pocketeye list`, or the folder of a run that trained one; by default
            ours, whose weights come along.
        checkpoint: its weights; by default its own, those that come along, or the published file,
            where it was put.
        out: an image with the masks drawn (.png, .jpg, .webp), COCO run lengths (.json), or a folder
            for both, a label image and the objects on transparency; out/segment/NAME.png by default.
        overwrite: replace what is there.
        points_per_side: with --everything, clicks along each side.
        pred_iou_threshold: with --everything, least expected IoU.
        stability_threshold: with --everything, least share of a mask that a stricter cut keeps.
        crop_layers: with --everything, look at parts of the image as well, for small objects.
        min_area: with --everything, pixels below which holes are filled and specks removed.
        device: where the network runs.

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
    for target in targets:
        require_free(target, overwrite)
    # Read all first: a bad one at the end would waste the work before.
    pixels = [read_image(each) for each in images]
    segmenter = ImageSegmenter(open_model(model, checkpoint=checkpoint, device=device))
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
