"""Run ``pocketeye segment``: masks of what is clicked on or boxed, or of everything."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Literal

from pocketeye.arguments import OneOrMoreImages
from pocketeye.data.inputs import as_list
from pocketeye.errors import InvalidValue
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.results import Result
from pocketeye.tracking import MaskGenerator, load_segmenter
from pocketeye.tracking.image.label_prompts import read_label_prompts, segment_labelled
from pocketeye.tracking.image.outputs import outputs_for
from pocketeye.tracking.image.segmenter import read_image
from pocketeye.verbs.segment.clicks import read_clicks
from pocketeye.verbs.segment.result import SegmentResult


def segment(
    image: OneOrMoreImages,
    *,
    point: list[str] | None = None,
    box: list[str] | None = None,
    everything: bool = False,
    prompts: Path | None = None,
    model: str = DEFAULT_TRACKER,
    checkpoint: Path | None = None,
    out: Path | None = None,
    form: Literal["coco", "cvat", "label-studio", "labelme", "voc", "yolo-detect", "yolo-segment"]
    | None = None,
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
        prompts: a file or folder of labels whose objects are segmented, by their outline, box or points:
            COCO or Label Studio (.json), CVAT or Pascal VOC (.xml), LabelMe, YOLO (.txt). Classes stay.
        model: a tracker from `pocketeye list`, or the folder of a run that trained one or of an
            exported one; by default ours, whose weights come along.
        checkpoint: its weights; by default its own, those that come along, or the published file,
            where it was put.
        out: an image with the masks drawn (.png, .jpg, .webp), labels (.json: COCO, .xml: CVAT), or a
            folder for these, a label image and the objects on transparency; out/segment/NAME.png by
            default.
        form: labels for an annotation tool: of a .json coco or label-studio; in a folder a data set with
            the images.
        overwrite: replace what is there.
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
    if sum(map(bool, (everything, point or box, prompts))) > 1:
        raise InvalidValue("give one of --everything, --prompts, or points and boxes")
    if not (everything or point or box or prompts):
        raise InvalidValue(
            "say what to segment: --point x,y, --box x0,y0,x1,y1, --prompts FILE or --everything"
        )
    clicks = read_clicks(point or [], box or [])
    images = as_list(image)
    if not images:
        raise InvalidValue("say which image: the list is empty")
    # Before the network is loaded: what is there must not be overwritten.
    outputs = outputs_for(images, out, form, overwrite)
    # Read all first: a bad one at the end would waste the work before.
    pixels = [read_image(each) for each in images]
    sizes = [(each.shape[1], each.shape[0]) for each in pixels]
    labelled = read_label_prompts(prompts, outputs.names, sizes) if prompts else []
    segmenter = load_segmenter(model, checkpoint, device=device, engine=engine)
    generator = MaskGenerator(
        segmenter, points_per_side=points_per_side, pred_iou_threshold=pred_iou_threshold,
        stability_threshold=stability_threshold, crop_layers=crop_layers, min_area=min_area,
    ) if everything else None  # fmt: skip

    def found_in(number: int) -> Result:
        if generator is not None:
            return generator(pixels[number])
        if labelled:
            return segment_labelled(segmenter, pixels[number], labelled[number])
        segmenter.set_image(pixels[number])
        return segmenter.predict(**clicks)

    # Prompts are refused by the first image, before a folder is made.
    found = chain([found_in(0)], map(found_in, range(1, len(images))))
    results = [
        SegmentResult(model=model, image=name, found=each, files=tuple(files), notes=notes)
        for name, each, files, notes in outputs.write(found, pixels)
    ]
    return replace(results[0], rest=tuple(results[1:]))
